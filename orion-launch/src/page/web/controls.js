// SPDX-License-Identifier: MPL-2.0
// What can be changed of a camera. Each change is a command as over MQTT, and its answer is shown.

import { element, set } from "./figures.js";
import { post } from "./live.js";
import { cause, said } from "./words.js";

const SIZES = ["orion", "n", "s", "m", "l", "x"];
const FOCUS = { off: "off", simple: "simple", smoothing: "smoothing", velocity: "velocity" };
const SIDES = { x: "Left %", y: "Top %", width: "Width %", height: "Height %" };

export class Controls {
  #camera;
  #ack;
  #force = null;
  #fields = {};
  #sides = {};
  #buttons = {};
  #stage = null;
  #connected = false;
  #busy = 0;

  constructor(camera, place, ack) {
    this.#camera = camera;
    this.#ack = ack;
    place.append(this.#tuning(), this.#regions());
    place.addEventListener("input", (event) => (event.target.dataset.dirty = "yes"));
  }

  set stage(stage) {
    this.#stage = stage;
  }

  // What is in force shows in all fields that nobody is editing.
  show(force, connected) {
    this.#force = force;
    this.#connected = connected;
    if (force) {
      fill(this.#fields.rate, force.rate_hz === null ? "" : String(Math.round(1000 * force.rate_hz) / 1000));
      fill(this.#fields.size, force.model_size);
      // What moves is found without a model.
      this.#fields.size.disabled = force.detector === "motion";
      fill(this.#fields.focus, force.auto_focus.enabled ? force.auto_focus.strategy : "off");
      const [region] = force.attention;
      for (const side of Object.keys(SIDES)) fill(this.#sides[side], region ? percent(region[side]) : "");
      set(this.#buttons.pause, force.paused ? "Resume" : "Pause");
      const many = force.attention.length;
      const none = force.auto_focus.enabled ? "none: the focus chooses" : "none: the whole frame is looked at";
      set(this.#buttons.legend, `Region: ${many === 0 ? none : many === 1 ? "one set" : `${many} set, the first is shown`}`);
    }
    this.#enable();
  }

  async draw(region) {
    this.#draws(false);
    await this.#region(region);
  }

  #tuning() {
    const field = (name, label, input) => {
      this.#fields[name] = input;
      return element("label", { className: "field grow" }, label, input);
    };
    const options = (values) => values.map((value) => element("option", { value, textContent: value }));
    const rate = element("input", { type: "number", min: "0.1", max: "30", step: "any", required: true, inputMode: "decimal" });
    const apply = element("button", { className: "primary", textContent: "Apply" });
    const pause = element("button", { type: "button", textContent: "Pause" });
    const restart = element("button", { type: "button", textContent: "Restart worker" });
    this.#buttons = { apply, pause, restart };
    pause.addEventListener("click", () => this.#send(this.#force?.paused ? "resume_inference" : "pause_inference"));
    restart.addEventListener("click", () => this.#send("restart_worker"));
    const form = element(
      "form",
      { noValidate: true },
      element(
        "div",
        { className: "row" },
        field("rate", "Rate, Hz", rate),
        field("size", "Model", element("select", {}, ...options(SIZES))),
        field("focus", "Focus", element("select", {}, ...options(Object.keys(FOCUS)))),
        apply,
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply();
    });
    const row = element("div", { className: "row" }, pause, restart);
    return element("div", { className: "tuning" }, form, row);
  }

  #regions() {
    const numbers = element("div", { className: "numbers" });
    for (const [side, label] of Object.entries(SIDES)) {
      const input = element("input", { type: "number", min: "0", max: "100", step: "any", inputMode: "decimal" });
      this.#sides[side] = input;
      numbers.append(element("label", { className: "field" }, label, input));
    }
    const draw = element("button", { type: "button", textContent: "Draw", "aria-pressed": "false" });
    const use = element("button", { textContent: "Set region" });
    const clear = element("button", { type: "button", textContent: "Clear" });
    const legend = element("legend", { textContent: "Region" });
    Object.assign(this.#buttons, { draw, use, clear, legend });
    draw.addEventListener("click", () => this.#draws(!this.#stage.drawing));
    draw.addEventListener("keydown", (event) => event.key === "Escape" && this.#draws(false));
    clear.addEventListener("click", () => {
      this.#clean(Object.values(this.#sides));
      this.#send("clear_attention_rois");
    });
    const form = element("form", { noValidate: true }, element("fieldset", {}, legend, numbers, element("div", { className: "row" }, draw, use, clear)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const sides = Object.entries(this.#sides);
      const missing = sides.find(([, input]) => input.value.trim() === "" || !input.validity.valid);
      if (missing) return this.#tell(`${SIDES[missing[0]].replace(" %", "")}: expected a number of percent`, "bad");
      this.#clean(sides.map(([, input]) => input));
      this.#region(Object.fromEntries(sides.map(([side, input]) => [side, Number(input.value) / 100])));
    });
    return form;
  }

  #draws(on) {
    this.#stage.drawing = on;
    this.#buttons.draw.setAttribute("aria-pressed", String(on));
    set(this.#buttons.draw, on ? "Drag on the picture" : "Draw");
  }

  async #region(region) {
    // Drawn sides have more digits than anybody needs.
    const short = Object.fromEntries(Object.entries(region).map(([side, value]) => [side, Math.round(1e4 * value) / 1e4]));
    await this.#send("set_attention_rois", { rois: [short] });
  }

  async #apply() {
    const force = this.#force;
    const { rate, size, focus } = this.#fields;
    if (rate.value.trim() === "" || rate.validity.badInput) return this.#tell("Rate: expected a number", "bad");
    const wanted = [];
    const changed = (input) => input.dataset.dirty === "yes";
    if (changed(rate)) wanted.push(["set_inference_rate", { rate_hz: Number(rate.value) }]);
    if (changed(size) && size.value !== force.model_size) wanted.push(["set_model_size", { size: size.value }]);
    if (changed(focus)) {
      if (focus.value === "off") {
        wanted.push(["disable_auto_focus"]);
      } else {
        wanted.push(["set_auto_focus_strategy", { strategy: focus.value }], ["enable_auto_focus"]);
      }
    }
    if (wanted.length === 0) return this.#tell("Nothing is changed", "unknown");
    this.#clean([rate, size, focus]);
    // One after the other, so that what is refused stops the rest.
    for (const [command, params] of wanted) {
      if (!(await this.#send(command, params))) return;
    }
  }

  #clean(inputs) {
    for (const input of inputs) delete input.dataset.dirty;
  }

  async #send(command, params) {
    this.#busy += 1;
    this.#enable();
    this.#tell(`${cause(command)} …`, "unknown");
    try {
      const path = `api/cameras/${encodeURIComponent(this.#camera)}/commands`;
      const ack = await post(path, params ? { command, params } : { command });
      const { text, trouble } = said(ack);
      this.#tell(text, trouble ? "bad" : "good");
      return !trouble;
    } catch (error) {
      this.#tell(`${cause(command)}: ${error.message}`, "bad");
      return false;
    } finally {
      this.#busy -= 1;
      this.#enable();
    }
  }

  #tell(text, tone) {
    this.#ack.dataset.tone = tone;
    set(this.#ack, text);
  }

  #enable() {
    const able = this.#connected && this.#force !== null && this.#busy === 0;
    for (const button of ["apply", "pause", "restart", "draw", "use", "clear"]) this.#buttons[button].disabled = !able;
  }
}

function percent(fraction) {
  return String(Math.round(1e4 * fraction) / 100);
}

function fill(input, value) {
  if (input.dataset.dirty !== "yes" && document.activeElement !== input && input.value !== value) input.value = value;
}
