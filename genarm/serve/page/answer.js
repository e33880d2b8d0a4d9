// One answer as it streams: its tokens, what they are worth, and who answered.

import { el } from "./dom.js";
import { number, weight } from "./numbers.js";
import { hideTip, leaveTip, showTip } from "./tip.js";
import { colourOf, numbers, Unit, visible } from "./tokens.js";

const ENDS = { stop: "ended by itself", length: "cut at the maximum" };

export class Answer {
  constructor(root, name, mode) {
    this.root = root;
    this.name = name;
    this.mode = mode;
    this.facts = el("span", { class: "note" });
    this.text = el("div", { class: "text", role: "group", "aria-label": `Tokens of the answer: ${name}` });
    this.trouble = el("p", { class: "trouble" });
    this.told = el("footer", { class: "note" });
    const title = el("h3", {}, name);
    root.replaceChildren(el("header", {}, title, this.facts), this.text, this.trouble, this.told);
    this.text.addEventListener("mouseover", (event) => this.#tell(event.target));
    this.text.addEventListener("mouseleave", leaveTip);
    this.text.addEventListener("focusin", (event) => this.#enter(event.target));
    this.text.addEventListener("focusout", hideTip);
    this.text.addEventListener("click", (event) => event.target.closest(".token")?.focus());
    this.text.addEventListener("keydown", (event) => this.#walk(event));
    this.clear();
  }

  clear() {
    Object.assign(this, { units: [], open: [], genarm: null, end: null, kl: null, error: null });
    for (const part of [this.text, this.facts, this.trouble, this.told]) part.replaceChildren();
    this.text.setAttribute("aria-busy", "false");
  }

  // Follow a stream to its end; whether it came there. A signal that was aborted stops it.
  async follow(chunks, signal) {
    this.clear();
    this.text.setAttribute("aria-busy", "true");
    try {
      for await (const chunk of chunks) this.take(chunk);
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) this.end = "stopped";
      else this.fail(error);
    }
    this.finish();
    return ["stop", "length"].includes(this.end);
  }

  take(chunk) {
    if (chunk.genarm) this.#tellVersions(chunk.genarm);
    for (const choice of chunk.choices) {
      for (const token of choice.guidance_rewards ?? []) {
        this.open.push(token);
        if (token.text) this.#close();
      }
      if (choice.finish_reason) Object.assign(this, { end: choice.finish_reason, kl: choice.kl });
    }
  }

  // What is left is an end token, or half a character.
  finish() {
    if (this.open.length) this.#close();
    this.text.setAttribute("aria-busy", "false");
    const count = this.units.reduce((total, unit) => total + unit.tokens.length, 0);
    const ended = ENDS[this.end] ?? this.end ?? "not finished";
    const parts = [`${count} ${count === 1 ? "token" : "tokens"}`, ended];
    if (this.kl !== null && this.#guided) parts.push(`KL ${number(this.kl)} nats a token`);
    this.facts.textContent = parts.join(" · ");
  }

  fail(error) {
    Object.assign(this, { end: "failed", error });
    this.trouble.textContent = error.message;
  }

  // For the history, and back.
  save() {
    const { genarm, end, kl } = this;
    return { tokens: this.units.flatMap((unit) => unit.tokens), genarm, end, kl };
  }

  restore({ tokens, genarm, end, kl }) {
    this.clear();
    this.take({ genarm, choices: [{ guidance_rewards: tokens, finish_reason: end, kl }] });
    this.finish();
  }

  colour(mode) {
    this.mode = mode;
    this.units.forEach((unit, i) => paint(this.text.children[i], unit, mode));
  }

  get #guided() {
    return Object.keys(this.genarm?.versions ?? {}).length > 0;
  }

  #close() {
    const unit = new Unit(this.open);
    this.open = [];
    const first = this.units.length === 0;
    this.units.push(unit);
    const words = unit.text.trimStart() || unit.text;
    const space = unit.text.slice(0, unit.text.length - words.length);
    const ink = el("span", {}, words || "end");
    const node = el("span", { class: "token", tabindex: first ? 0 : -1 }, space, ink);
    paint(node, unit, this.mode);
    this.text.append(node);
  }

  #tellVersions(genarm) {
    this.genarm = genarm;
    const versions = Object.entries(genarm.versions);
    const who = versions.map(([d, version]) => `${d} version ${version} at ${weight(genarm.weights[d])}`);
    this.told.textContent = [who.join(", ") || "the base alone", `seed ${genarm.seed}`].join(" · ");
  }

  #tell(target) {
    const node = target.closest(".token");
    if (!node) return;
    const unit = this.units[[...this.text.children].indexOf(node)];
    showTip(node, visible(unit), numbers(unit, this.genarm?.weights ?? {}));
  }

  #enter(node) {
    this.text.querySelector("[tabindex='0']")?.setAttribute("tabindex", -1);
    node.setAttribute("tabindex", 0);
    this.#tell(node);
  }

  // Arrow keys go from token to token; the text as a whole is one stop of the tabulator.
  #walk(event) {
    const all = [...this.text.children];
    const at = all.indexOf(document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
    if (event.key === "ArrowDown") steps.ArrowDown = line(all, at, 1);
    if (event.key === "ArrowUp") steps.ArrowUp = line(all, at, -1);
    const next = all[steps[event.key]];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

// Colour a token's text, without the space before it.
function paint(node, unit, mode) {
  node.lastElementChild.className = `${unit.text ? "" : "end"} ${colourOf(unit, mode)}`.trim();
}

// The index of the token above or below: the first on another line that is not left of this one.
function line(all, at, step) {
  const here = all[at].getBoundingClientRect();
  let found = at;
  for (let i = at + step; i >= 0 && i < all.length; i += step) {
    const { top, left } = all[i].getBoundingClientRect();
    if (Math.abs(top - here.top) < 4) continue;
    const [best, first] = [all[found].getBoundingClientRect(), found === at];
    if (!first && Math.abs(best.top - top) > 4) break;
    if (first || Math.abs(left - here.left) < Math.abs(best.left - here.left)) found = i;
  }
  return found;
}
