// The form: the prompt, a slider for each dimension, and how tokens are drawn.

import { byId, el } from "./dom.js";
import { niceAbove, weight } from "./numbers.js";

export const RANGE = 2.5; // a slider goes from 0 to so many times the promoted weight
const STEPS = 500; // an arrow key moves by a hundredth
const UNLIMITED = 256; // tokens, where the server names no limit but the context
const NUMBERS = ["seed", "temperature", "max_tokens"];

export class Controls {
  constructor() {
    this.sliders = new Map();
    this.given = { weights: {} }; // by a link or the history
    this.started = false;
  }

  // One slider for each version in service; what was set before stays.
  setArms(served) {
    const arms = served.data.filter((arm) => arm.version !== null && !arm.trial);
    const kept = { ...this.weights(), ...this.given.weights };
    const box = byId("weights");
    box.replaceChildren(box.firstElementChild);
    this.sliders.clear();
    for (const arm of arms) box.append(this.#slider(arm, kept[arm.dimension] ?? arm.weight));
    if (!arms.length) box.append(el("p", { class: "note" }, "No dimension has a champion yet."));
    byId("max_tokens").max = served.context;
    if (!this.started) {
      byId("temperature").value = served.defaults.temperature;
      byId("max_tokens").value = served.defaults.max_tokens ?? Math.min(UNLIMITED, served.context);
      this.started = true;
    }
    this.write(this.given);
    this.given = { weights: {} };
  }

  #slider(arm, value) {
    const id = `weight-${arm.dimension}`;
    const most = Math.max(arm.weight * RANGE, value) || 1;
    const limits = { type: "range", min: 0, max: most, step: "any" };
    const input = el("input", { id, ...limits, "aria-describedby": `${id}-note` });
    const range = el("div", { class: "range" }, input);
    const shown = el("output", { for: id });
    const show = () => {
      shown.textContent = weight(Number(input.value));
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    const set = (to) => {
      input.max = Math.max(input.max, to);
      input.value = to;
      range.style.setProperty("--promoted", arm.weight / input.max);
      show();
    };
    input.addEventListener("input", () => {
      const grid = niceAbove(input.max / STEPS, [1, 2, 5]);
      const near = Math.abs(input.value - arm.weight) < grid;
      input.value = near ? arm.weight : Math.round(input.value / grid) * grid;
      show();
    });
    this.sliders.set(arm.dimension, { input, set });
    set(value);
    const note = `version ${arm.version}${arm.pinned ? ", pinned" : ""}, by ${arm.guidance}`;
    const back = el(
      "button",
      {
        type: "button",
        class: "plain",
        "aria-label": `promoted ${weight(arm.weight)}: set ${arm.dimension} to it`,
        click: () => set(arm.weight),
      },
      `promoted ${weight(arm.weight)}`,
    );
    return el(
      "div",
      { class: "slider" },
      el("label", { for: id }, arm.dimension),
      shown,
      range,
      el("span", { class: "note", id: `${id}-note` }, note),
      back,
    );
  }

  weights() {
    const value = (input) => Number(Number(input.value).toFixed(6));
    return Object.fromEntries([...this.sliders].map(([dimension, { input }]) => [dimension, value(input)]));
  }

  read() {
    const numbers = Object.fromEntries(NUMBERS.map((name) => [name, byId(name).valueAsNumber]));
    return { prompt: byId("prompt").value, ...numbers, weights: this.weights() };
  }

  // Set what a state says, and leave the rest; before the arms are known it is kept for them.
  write(state) {
    if (!this.started) this.given = state;
    if (state.prompt !== undefined) byId("prompt").value = state.prompt;
    for (const name of NUMBERS) if (state[name] !== undefined) byId(name).value = state[name];
    for (const [dimension, value] of Object.entries(state.weights)) this.sliders.get(dimension)?.set(value);
  }
}
