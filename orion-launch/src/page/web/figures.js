// SPDX-License-Identifier: MPL-2.0
// The ledger as a flow, and where time goes.

import { cause, count, flow, milliseconds } from "./words.js";

const STAGES = [
  ["capture_ms", "Camera"],
  ["queue_ms", "Queue"],
  ["worker_ms", "Worker"],
  ["inference_ms", "of it inference"],
  ["publish_ms", "Publish"],
];
const KEPT = 31;

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

export class Flow {
  #list;
  #shape = "";

  constructor(list) {
    this.#list = list;
  }

  show(camera) {
    const steps = flow(camera);
    const shape = steps.map((step) => step.step).join();
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#list.replaceChildren(
        ...steps.map(({ step }) =>
          element("li", {}, element("span", { className: "step", textContent: step }), element("span", { className: "count" }), element("span", { className: "lost" })),
        ),
      );
    }
    steps.forEach(({ passed, causes, inFlight }, at) => {
      const [, number, lost] = this.#list.children[at].children;
      set(number, inFlight ? `${count(passed)} (+${count(inFlight)})` : count(passed));
      number.title = inFlight ? `${inFlight} in hand` : "";
      set(lost, causes.map(([name, n]) => `−${count(n)} ${cause(name)}`).join(", "));
      // What is not wanted is no loss.
      lost.classList.toggle("fine", causes.every(([name]) => name === "rate_limit" || name === "paused"));
    });
  }
}

export class Times {
  #rows = new Map();
  #recent = [];
  #place;

  constructor(place) {
    this.#place = place;
    place.append(element("p", { className: "hint", textContent: "No result yet" }));
  }

  add(stages) {
    this.#recent = [...this.#recent.slice(1 - KEPT), stages];
  }

  show() {
    if (this.#recent.length === 0) return;
    if (this.#rows.size === 0) this.#build();
    const medians = STAGES.map(([key]) => median(this.#recent.map((stages) => stages[key]).filter((ms) => ms !== null)));
    const whole = Math.max(1, ...medians.filter((ms) => ms !== null));
    STAGES.forEach(([key], at) => {
      const { row, bar, text } = this.#rows.get(key);
      row.hidden = medians[at] === null;
      if (medians[at] === null) return;
      bar.max = whole;
      bar.value = medians[at];
      set(text, milliseconds(medians[at]));
    });
  }

  #build() {
    const body = element("tbody");
    for (const [key, name] of STAGES) {
      const bar = element("progress", { max: 1, value: 0, "aria-label": name });
      const text = element("td");
      const row = element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", {}, bar), text);
      this.#rows.set(key, { row, bar, text });
      body.append(row);
    }
    this.#place.replaceChildren(
      element("table", { className: "times" }, body),
      element("p", { className: "hint", textContent: `Medians of the last ${KEPT} results` }),
    );
  }
}

function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

// Only what is another text is written, so that nothing is read out twice.
export function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
