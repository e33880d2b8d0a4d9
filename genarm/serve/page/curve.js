// The strength curve of one prompt: one dimension's weight swept, KL by weight, and each weight's answer.

import { Answer } from "./answer.js";
import { stream } from "./api.js";
import { RANGE } from "./controls.js";
import { byId, el, offer, svg } from "./dom.js";
import { niceAbove, number, weight } from "./numbers.js";
import { bodyOf } from "./state.js";

const FACTORS = [0, 0.5, 1, 1.5, 2, RANGE]; // of the promoted weight; browsers open six connections at once
const HEIGHT = 190;
const TOP = 16;
const GUTTER = 46; // pixels for the numbers at the left; style.css has the same

export class Curve {
  constructor(mode) {
    this.mode = mode;
    this.points = [];
    new ResizeObserver(() => this.#draw()).observe(byId("curve"));
  }

  setArms(arms) {
    this.arms = arms;
    byId("strength").hidden = !arms.length;
    offer(byId("swept"), arms.map((arm) => arm.dimension));
  }

  colour(mode) {
    this.mode = mode;
    for (const point of this.points) point.answer.colour(mode);
  }

  // Ask for all weights at once; how many of them were answered.
  async sweep(state, signal) {
    const arm = this.arms.find(({ dimension }) => dimension === byId("swept").value);
    this.points = FACTORS.map((factor) => this.#point(Number((factor * arm.weight).toPrecision(6))));
    this.#show(arm);
    const asked = this.points.map(async (point) => {
      const weights = { ...state.weights, [arm.dimension]: point.weight };
      const done = await point.answer.follow(stream(bodyOf(state, "guided", weights), signal), signal);
      if (done) point.kl = point.answer.kl;
      this.#draw();
      return done;
    });
    return (await Promise.all(asked)).filter(Boolean).length;
  }

  #point(value) {
    const root = el("article", { hidden: true });
    return { weight: value, root, answer: new Answer(root, `weight ${weight(value)}`, this.mode), kl: null };
  }

  #show(arm) {
    this.plot = svg("svg", { role: "img", height: HEIGHT });
    const marks = this.points.map((point, i) => {
      const input = el("input", { type: "radio", name: "point", value: i, change: () => this.#choose(i) });
      return el("label", { mouseenter: () => this.#choose(i) }, input, el("span", {}, weight(point.weight)));
    });
    const by = `weight of ${arm.dimension}`;
    const axis = el("div", { class: "axis", role: "radiogroup", "aria-label": by }, ...marks);
    this.title = el("p", { class: "note" });
    this.by = `KL, nats a token, by ${by}`;
    this.inputs = marks.map((mark) => mark.firstElementChild);
    byId("curve").hidden = false;
    byId("curve").replaceChildren(this.title, this.plot, axis, ...this.points.map((point) => point.root));
    this.#choose(FACTORS.indexOf(1));
    this.#draw();
  }

  #choose(i) {
    this.chosen = i;
    this.inputs[i].checked = true;
    this.points.forEach((point, j) => (point.root.hidden = i !== j));
    this.#mark();
  }

  #draw() {
    const width = byId("curve").clientWidth;
    if (!this.plot || width <= GUTTER) return;
    const column = (width - GUTTER) / FACTORS.length;
    const highest = Math.max(0.001, ...this.points.map((point) => point.kl ?? 0));
    const most = niceAbove(highest, [1, 2, 4, 6]); // so that half of it is short, too
    const x = (i) => GUTTER + column * (i + 0.5);
    const y = (kl) => HEIGHT - 8 - ((HEIGHT - 8 - TOP) * kl) / most;
    const known = this.points.map((point, i) => ({ ...point, i })).filter((point) => point.kl !== null);
    const left = FACTORS.length - known.length;
    this.title.textContent = left ? `${this.by}: ${known.length} of ${FACTORS.length} answered` : this.by;
    this.plot.setAttribute("width", width);
    const told = known.map((point) => `${number(point.kl)} at weight ${weight(point.weight)}`).join(", ");
    this.plot.setAttribute("aria-label", `KL in nats a token: ${told || "not known yet"}`);
    const level = (kl) => [
      svg("line", { class: "grid", x1: GUTTER, x2: width, y1: y(kl), y2: y(kl) }),
      svg("text", { x: GUTTER - 8, y: y(kl) + 4, "text-anchor": "end" }, String(kl)),
    ];
    const strip = (i) => {
      const size = { x: x(i) - column / 2, y: 0, width: column, height: HEIGHT };
      const pick = () => this.#choose(i);
      return svg("rect", { class: "strip", "data-point": i, ...size, mouseenter: pick, click: pick });
    };
    const point = ({ i, kl }) => [
      svg("circle", { class: "point", "data-point": i, cx: x(i), cy: y(kl), r: 5 }),
      svg("text", { class: "value", x: x(i), y: y(kl) - 10, "text-anchor": "middle" }, number(kl)),
    ];
    const line = known.map((point) => `${x(point.i)},${y(point.kl)}`).join(" ");
    this.plot.replaceChildren(
      ...FACTORS.map((_, i) => strip(i)),
      ...[0, most / 2, most].flatMap(level),
      svg("polyline", { points: line }),
      ...known.flatMap(point),
    );
    this.#mark();
  }

  #mark() {
    for (const node of this.plot.querySelectorAll("[data-point]")) {
      node.classList.toggle("chosen", Number(node.dataset.point) === this.chosen);
    }
  }
}
