// SPDX-License-Identifier: MPL-2.0
// One camera on the page.

import { Controls } from "./controls.js";
import { element, Flow, set, Times } from "./figures.js";
import { Stage } from "./stage.js";
import { evidence, presence, seconds, seen, states } from "./words.js";

// A picture older than this, and than three times what the rate asks for, is marked as old, s.
const OLD_S = 2;

export class Camera {
  root;
  #id;
  #parts;
  #stage;
  #controls;
  #flow;
  #times;
  #state = null;
  #told = undefined;
  #toldAt = 0;
  #connected = false;

  constructor(id) {
    this.#id = id;
    this.root = document.getElementById("card").content.cloneNode(true).firstElementChild;
    this.root.dataset.camera = id;
    const part = (name) => this.root.querySelector(`[data-${name}]`);
    const names = ["name", "room", "presence", "evidence", "stage", "canvas", "fresh", "rate", "mark", "seen", "states", "ack"];
    this.#parts = Object.fromEntries(names.map((name) => [name, part(name)]));
    const title = `camera-${id}`;
    this.#parts.name.id = title;
    this.root.setAttribute("aria-labelledby", title);
    set(this.#parts.name, id);
    this.#controls = new Controls(id, part("controls"), this.#parts.ack);
    this.#stage = new Stage(this.#parts.canvas, (region) => this.#controls.draw(region), () => this.tick());
    this.#controls.stage = this.#stage;
    this.#flow = new Flow(part("flow"));
    this.#times = new Times(part("times"));
  }

  state(camera) {
    this.#state = camera;
    this.#connected = true;
    set(this.#parts.room, camera.in_force?.room_id ?? "");
    if (this.#told === undefined || !camera.state.presence) this.presence(camera.state.presence);
    const chips = states(camera);
    const list = this.#parts.states;
    while (list.children.length > chips.length) list.lastChild.remove();
    chips.forEach(({ text, tone }, at) => {
      const chip = list.children[at] ?? list.appendChild(element("li", { className: "chip" }));
      chip.dataset.tone = tone;
      set(chip, text);
    });
    this.#flow.show(camera);
    this.#times.show();
    this.#controls.show(camera.in_force, true);
    this.tick();
  }

  presence(told) {
    this.#told = told;
    this.#toldAt = performance.now();
    this.tick();
  }

  result(result) {
    this.#times.add(result.stages);
    this.#stage.offer(result);
  }

  down() {
    this.#connected = false;
    this.#stage.clear();
    this.#controls.show(this.#state?.in_force ?? null, false);
    // Nothing is known of them any more.
    for (const chip of this.#parts.states.children) chip.dataset.tone = "unknown";
    this.tick();
  }

  // Ages grow by themselves; several times a second.
  tick() {
    const parts = this.#parts;
    if (this.#told !== undefined) {
      const said = presence(this.#told, this.#connected);
      parts.presence.dataset.tone = said.tone;
      set(parts.presence, said.text);
      const known = this.#told?.evidence_age_ms ?? null;
      const age = known === null ? null : (known + performance.now() - this.#toldAt) / 1000;
      set(parts.evidence, evidence(this.#told, age, this.#connected, said.why));
    }
    const { shown, age, rate } = this.#stage;
    const wanted = this.#state?.in_force?.rate_hz;
    const old = age !== null && (!this.#connected || age > Math.max(OLD_S, wanted ? 3 / wanted : 0));
    parts.stage.classList.toggle("old", old);
    parts.mark.hidden = !old && !(shown && !shown.picture);
    if (old) set(parts.mark, `Old: ${seconds(age)} ago${this.#why()}`);
    else if (shown && !shown.picture) set(parts.mark, "Pictures are not shown");
    parts.fresh.dataset.tone = age === null ? "unknown" : old ? "bad" : "good";
    set(parts.fresh, age === null ? "no picture yet" : old ? "old" : "live");
    parts.rate.hidden = old || rate === null;
    if (rate !== null) set(parts.rate, `${rate.toFixed(1)} a second`);
    if (shown) {
      const words = seen(shown);
      set(parts.seen, words);
      parts.canvas.setAttribute("aria-label", `Picture of ${this.#id}. ${words}`);
    }
  }

  #why() {
    if (!this.#connected) return ", no connection to the daemon";
    if (this.#state?.in_force?.paused) return ", inference is paused";
    return "";
  }
}
