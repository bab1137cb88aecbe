// The list of all runs. Every text is set as text; symbols are cloned from the page.

import { Connection, say, words } from "./live.js";

const SAY_MS = 10_000; // the shortest time between two announcements of the counts
const WORD_MAX = 24;
const at = (id) => document.getElementById(id);
const rows = new Map(); // key -> {data, element}
const groups = new Map([...document.querySelectorAll(".group")].map((one) => [one.dataset.group, one]));
const chips = new Map([...document.querySelectorAll(".chip")].map((one) => [one.dataset.look, one]));
const looks = new Map(
  [...document.querySelectorAll("template[data-look]")].map((one) => [one.dataset.look, one.content]),
);
const directory = document.body.dataset.directory;
const wanted = { looks: new Set(), name: "" };
let order = [];
let about = { counts: {}, left_out: 0, troubles: [] };
let offset = 0; // of the server's clock
let toldAt = 0;
let toldLater = 0;

const secondsSince = (time) => (Date.now() + offset - Date.parse(time)) / 1000;

function made(data) {
  const element = at("row").content.firstElementChild.cloneNode(true);
  element.id = `run-${data.key}`;
  element.querySelector(".copy").addEventListener("click", copy);
  return element;
}

function fill(element, data, before) {
  if (before?.look !== data.look) {
    element.querySelector(".look").replaceChildren(looks.get(data.look).cloneNode(true));
  }
  const link = element.querySelector(".name");
  say(link, data.name);
  if (before === undefined) link.href = `run/${data.key}/`;
  say(element.querySelector(".why"), data.told);
  element.querySelector(".why").classList.toggle("printed", data.is_printed);
  const next = element.querySelector(".next");
  next.hidden = data.command.length === 0;
  if (before === undefined || before.command.join(" ") !== data.command.join(" ")) {
    next.querySelector("code").replaceChildren(...data.command.flatMap(commandWord));
  }
  next.querySelector(".copy").setAttribute("aria-label", `copy the next command of ${data.name}`);
  tick(element, data);
}

/** Return a word of a command and the gap before it; a short one is not broken over lines. */
function commandWord(text, index) {
  const word = document.createElement("span");
  word.textContent = text;
  if (text.length <= WORD_MAX) word.className = "word";
  return index ? [" ", word] : [word];
}

function tick(element, data) {
  const since = data.since === null ? "" : words(secondsSince(data.since));
  say(element.querySelector(".age"), since && (data.has_ended ? `${since} ago` : `for ${since}`));
  const took = data.took && `took ${data.took}`;
  say(element.querySelector(".work"), data.at_work.map(working).join("; ") || took);
}

function working(one) {
  const seconds = secondsSince(one.since);
  if (one.doing === "retrying") {
    return `${one.stage} failed, again in ${words((one.limit_ms ?? 0) / 1000 - seconds)}`;
  }
  const what = one.doing === "verifying" ? `${one.stage}, verifying` : one.stage;
  return `${what} ${words(seconds)}${one.limit ? ` of ${one.limit}` : ""}`;
}

function isShown(data) {
  if (wanted.looks.size && !wanted.looks.has(data.look)) return false;
  return data.name.toLowerCase().includes(wanted.name);
}

/** Put the rows where they belong, moving no more of them than necessary. */
function arrange() {
  const focused = document.activeElement;
  const filled = new Map([...groups.keys()].map((name) => [name, []]));
  for (const key of order) {
    const row = rows.get(key);
    if (row && isShown(row.data)) filled.get(row.data.group).push(row.element);
  }
  let shown = 0;
  for (const [name, elements] of filled) {
    const group = groups.get(name);
    const list = group.querySelector(".rows");
    const stay = new Set(elements);
    for (const one of [...list.children]) if (!stay.has(one)) one.remove();
    elements.forEach((one, index) => {
      if (list.children[index] !== one) list.insertBefore(one, list.children[index] ?? null);
    });
    group.hidden = elements.length === 0;
    say(group.querySelector(".count"), String(elements.length));
    shown += elements.length;
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  const isFiltered = wanted.looks.size > 0 || wanted.name !== "";
  if (isFiltered) groups.get("done").open = true;
  at("empty").hidden = rows.size > 0 || about.troubles.length > 0;
  at("none").hidden = rows.size === 0 || shown > 0;
  at("all").hidden = !isFiltered;
}

function summarize() {
  const counts = about.counts;
  for (const [look, chip] of chips) {
    const count = counts[look] ?? 0;
    chip.hidden = count === 0 && !wanted.looks.has(look);
    chip.setAttribute("aria-pressed", String(wanted.looks.has(look)));
    say(chip.querySelector(".count"), String(count));
  }
  const said = [...chips.keys()]
    .filter((look) => counts[look])
    .map((look) => `${counts[look]} ${chips.get(look).querySelector("span").textContent}`);
  const last = directory.split("/").filter(Boolean).pop() ?? directory;
  document.title = `${said.join(", ") || "no runs"} \u2013 ${last}`;
  at("more").hidden = about.left_out === 0;
  say(at("more"), about.left_out ? `${about.left_out} more runs are not listed here.` : "");
  const troubles = at("troubles");
  troubles.hidden = about.troubles.length === 0;
  troubles.replaceChildren(...about.troubles.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  tell(said.join(", ") || "no runs");
}

/** Announce the counts to screen readers from time to time. */
function tell(text) {
  clearTimeout(toldLater);
  const wait = toldAt + SAY_MS - Date.now();
  const now = () => {
    toldAt = Date.now();
    say(at("said"), text);
  };
  if (wait <= 0) now();
  else toldLater = setTimeout(now, wait);
}

function onRuns(message) {
  offset = Date.parse(message.now) - Date.now();
  about = message.about;
  at("loading")?.remove();
  const gone = message.all
    ? [...rows.keys()].filter((key) => !message.order.includes(key))
    : message.gone;
  for (const key of gone) {
    rows.get(key)?.element.remove();
    rows.delete(key);
  }
  let isMoved = message.order !== null || gone.length > 0;
  for (const data of message.rows) {
    const row = rows.get(data.key);
    const element = row?.element ?? made(data);
    isMoved ||= row?.data.group !== data.group || row?.data.name !== data.name || row?.data.look !== data.look;
    fill(element, data, row?.data);
    rows.set(data.key, { data, element });
  }
  order = message.order ?? order;
  if (isMoved || message.all) arrange();
  summarize();
}

async function copy(event) {
  const button = event.currentTarget;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    say(button, "copied");
  } catch {
    getSelection().selectAllChildren(code);
    say(button, "selected");
  }
  setTimeout(() => say(button, "copy"), 2_000);
}

function filter() {
  arrange();
  summarize();
  const asked = new URLSearchParams();
  if (wanted.looks.size) asked.set("standing", [...wanted.looks].join(","));
  if (wanted.name) asked.set("name", wanted.name);
  history.replaceState(null, "", `#${asked}`);
}

function clear() {
  wanted.looks.clear();
  wanted.name = "";
  at("find").value = "";
  filter();
}

const asked = new URLSearchParams(location.hash.slice(1));
for (const look of (asked.get("standing") ?? "").split(",")) if (chips.has(look)) wanted.looks.add(look);
wanted.name = (asked.get("name") ?? "").toLowerCase();
at("find").value = wanted.name;
for (const [look, chip] of chips) {
  chip.addEventListener("click", () => {
    if (!wanted.looks.delete(look)) wanted.looks.add(look);
    filter();
  });
}
at("find").addEventListener("input", () => {
  wanted.name = at("find").value.trim().toLowerCase();
  filter();
});
at("all").addEventListener("click", clear);
at("clear").addEventListener("click", clear);
setInterval(() => {
  for (const { data, element } of rows.values()) if (element.isConnected) tick(element, data);
}, 1_000);
new Connection("events", { runs: onRuns });
