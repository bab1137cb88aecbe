// One run: its output as it is printed, and the report drawn again when it has changed.

import { Connection, say } from "./live.js";

const LINES_MAX = 2_000;
const DRAW_MS = 1_500; // the shortest time between two requests for the report
const BUSY_MS = 2_000; // how long after somebody has selected something in it
const at = (id) => document.getElementById(id);
const lines = at("lines");
const toggled = new Map(); // the parts that somebody has opened or closed, by heading
let runId = null;
let isFirst = true;
let drawnAt = Date.now();
let due = 0;

function add(news) {
  const added = document.createDocumentFragment();
  for (const one of news.slice(-LINES_MAX)) {
    const line = document.createElement("span");
    line.className = one.err ? "line err" : "line";
    const who = document.createElement("span");
    who.className = "who";
    who.textContent = one.name ? `${one.name} ${one.err ? "!" : "|"} ` : "";
    line.append(who);
    for (const [text, classes, style] of one.parts) {
      const part = document.createElement("span");
      part.textContent = text;
      if (classes) part.className = classes;
      if (style) part.style.cssText = style;
      line.append(part);
    }
    line.append("\n");
    added.append(line);
  }
  lines.append(added);
  while (lines.childElementCount > LINES_MAX) lines.firstElementChild.remove();
  if (at("follow").checked) lines.scrollTop = lines.scrollHeight;
  say(at("log-count"), lines.childElementCount === LINES_MAX ? `the last ${LINES_MAX} lines` : "");
}

function note(text) {
  add([{ name: "", err: false, parts: [[text, "note", ""]] }]);
}

function onStanding(now) {
  const isOther = runId !== null && runId !== now.run_id;
  runId = now.run_id;
  if (isOther) lines.replaceChildren();
  if (isFirst) isFirst = false; // it was drawn a moment ago
  draw();
}

function draw() {
  clearTimeout(due);
  due = setTimeout(redraw, Math.max(0, drawnAt + DRAW_MS - Date.now()));
}

async function redraw() {
  drawnAt = Date.now();
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (!answer.ok) return;
    adopt(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The connection says that it is lost; once it is back, the report is drawn again.
  }
}

/** Take over the differences of a page that was drawn again, and leave the rest alone. */
function adopt(fresh) {
  if (fresh.title) document.title = fresh.title;
  const parts = (page) => [
    page.querySelector("header.standing"), page.querySelector("nav"),
    ...page.querySelectorAll("main > :not(#log)"),
  ].filter(Boolean);
  const [old, young] = [parts(document), parts(fresh)];
  const isAlike = old.length === young.length && old.every((one, index) => one.id === young[index].id);
  if (!isAlike) {
    location.reload();
    return;
  }
  old.forEach((one, index) => {
    const other = document.importNode(young[index], true);
    if (one.id === "origin" || plain(one) === plain(other)) return;
    if (isBusy(one)) {
      clearTimeout(due);
      due = setTimeout(redraw, BUSY_MS);
      return;
    }
    for (const fold of other.querySelectorAll("details")) {
      if (toggled.has(nameOf(fold))) fold.open = toggled.get(nameOf(fold));
    }
    one.replaceWith(other);
  });
}

/** Return the text of a part, regardless of what is open in it. */
function plain(part) {
  const copy = part.cloneNode(true);
  for (const fold of copy.querySelectorAll("details")) fold.removeAttribute("open");
  return copy.outerHTML;
}

function isBusy(part) {
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && part.contains(selection.anchorNode);
  return isSelected || (document.hasFocus() && part.contains(document.activeElement));
}

function nameOf(fold) {
  const outer = fold.parentElement?.closest("details");
  return `${outer ? nameOf(outer) : ""}/${fold.querySelector("h3, h4, summary")?.textContent}`;
}

document.addEventListener("click", (event) => {
  const fold = event.target.closest?.("summary")?.parentElement;
  if (fold) setTimeout(() => toggled.set(nameOf(fold), fold.open));
});
at("follow").addEventListener("change", () => {
  if (at("follow").checked) lines.scrollTop = lines.scrollHeight;
});
lines.addEventListener("scroll", () => {
  at("follow").checked = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
});
const connection = new Connection("events", {
  open: () => lines.replaceChildren(),
  lines: add,
  refused: (one) => { lines.replaceChildren(); note([one.said, one.remedy].filter(Boolean).join(": ")); },
  shown: () => lines.replaceChildren(),
  standing: onStanding,
  gone: () => { connection.close(); say(at("connection"), "this run is gone"); at("connection").dataset.state = "lost"; },
});
// A page that nobody sees needs no stream: browsers open only a few to one server.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) connection.close();
  else connection.open();
});
