// SPDX-License-Identifier: MPL-2.0
// The one connection to the daemon over which everything comes, and its return after a loss.

const SILENT_MS = 5000;
const LONGEST_WAIT_MS = 10000;
const HIDDEN_MS = 15000;

export class Live {
  #source = null;
  #heard = 0;
  #wait = 500;
  #timer = 0;
  #hide = 0;
  #stopped = true;
  #on;

  // `on`: {hello, state, result, presence, said, up, down(text), out}.
  constructor(on) {
    this.#on = on;
    setInterval(() => this.#look(), 1000);
    // Nobody looks at a hidden page, so nothing is done for it.
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#hide);
      if (!document.hidden) {
        if (!this.#source && !this.#stopped) this.#connect();
      } else {
        this.#hide = setTimeout(() => this.#close("not connected while this page is hidden"), HIDDEN_MS);
      }
    });
  }

  start() {
    this.#stopped = false;
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#close("logged out");
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource("api/live");
    this.#source = source;
    this.#heard = performance.now();
    for (const kind of ["hello", "state", "result", "presence", "said"]) {
      source.addEventListener(kind, (event) => {
        this.#heard = performance.now();
        if (kind === "hello") {
          this.#wait = 500;
          this.#on.up();
        }
        this.#on[kind](JSON.parse(event.data));
      });
    }
    source.addEventListener("bye", () => this.#lost("the daemon has stopped"));
    source.addEventListener("error", () => this.#lost("no connection to the daemon"));
  }

  #look() {
    if (this.#source && performance.now() - this.#heard > SILENT_MS) this.#lost("the daemon says nothing any more");
  }

  #close(why) {
    this.#source?.close();
    this.#source = null;
    this.#on.down(why);
  }

  async #lost(why) {
    this.#close(why);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#again(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }

  async #again() {
    if (this.#stopped || document.hidden) return;
    try {
      const answer = await fetch("api/session", { signal: AbortSignal.timeout(5000) });
      const session = await answer.json();
      if (!session.admitted) return this.#on.out(session);
    } catch {
      return this.#lost("no connection to the daemon");
    }
    if (!this.#stopped) this.#connect();
  }
}

// Asks for something that changes something; its answer, or an error in words.
export async function post(path, body) {
  let answer;
  try {
    const headers = { "content-type": "application/json" };
    answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Error("no connection to the daemon");
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({ error: `the daemon answers with ${answer.status}` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}
