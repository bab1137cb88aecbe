// What both pages need: the connection, times as text, and texts that stay texts.

const BEAT_MS = 40_000; // the server says something every 15 s
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

/** Return a span of whole seconds as the program writes it: 12s, 4m05s, 2h10m. */
export function words(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}s`;
  const minutes = Math.floor(whole / 60);
  const two = (number) => String(number).padStart(2, "0");
  if (minutes >= 60) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
  return whole % 60 ? `${minutes}m${two(whole % 60)}s` : `${minutes}m`;
}

/** Set a text only where it differs, so that nothing that is read or selected is disturbed. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Keep a stream of events open; show in #connection whether it is. */
export class Connection {
  #address; #handlers; #source = null; #tries = 0; #timer = 0; #watch = 0;

  constructor(address, handlers) {
    this.#address = address;
    this.#handlers = handlers;
    this.open();
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => event.persisted && this.open());
    addEventListener("online", () => this.#source || this.open());
  }

  open() {
    this.close();
    const source = new EventSource(this.#address);
    this.#source = source;
    source.onopen = () => {
      this.#tries = 0;
      this.#alive();
      this.#state("open", "live");
      this.#handlers.open?.();
    };
    source.onerror = () => this.#lost();
    source.addEventListener("beat", () => this.#alive());
    for (const [name, handler] of Object.entries(this.#handlers)) {
      if (name === "open") continue;
      source.addEventListener(name, (event) => {
        this.#alive();
        handler(JSON.parse(event.data));
      });
    }
    this.#alive();
  }

  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    this.#source?.close();
    this.#source = null;
  }

  #alive() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(), BEAT_MS);
  }

  #lost() {
    this.close();
    const wait = RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)];
    this.#state("lost", "connection lost, trying again");
    this.#timer = setTimeout(() => this.#again(), wait);
  }

  /** Ask whether there is a stream, and why not: a stream does not report that. */
  async #again() {
    let status = 0;
    try {
      status = (await fetch(this.#address, { method: "HEAD", cache: "no-store" })).status;
    } catch {
      // Nobody answers.
    }
    if (status === 200) {
      this.open();
    } else if (status === 403) {
      this.close();
      this.#state("lost", "served again: open the new address");
    } else {
      this.#lost();
      if (status === 503) this.#state("lost", "too many pages are open, trying again");
    }
  }

  #state(state, text) {
    const shown = document.getElementById("connection");
    shown.dataset.state = state;
    say(shown, text);
    document.body.classList.toggle("stale", state === "lost");
  }
}
