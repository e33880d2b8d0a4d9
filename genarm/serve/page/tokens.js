// What a token is worth, and which colour says so.

import { el } from "./dom.js";
import { number, weight } from "./numbers.js";

const SIGNED = [0.1, 0.5, 1.5]; // nats
const CHANCES = [0.1, 0.5, 0.9]; // probabilities under an ARM

// Tokens that make whole characters together, with numbers that add up as log-probabilities do.
export class Unit {
  constructor(tokens) {
    this.tokens = tokens;
    this.text = tokens.map((token) => token.text).join("");
    this.base = sum(tokens, (token) => token.base);
    this.guided = sum(tokens, (token) => token.guided);
    this.arms = {};
    for (const name of Object.keys(tokens[0].arms)) {
      this.arms[name] = sum(tokens, (token) => token.arms[name]);
    }
  }

  get shift() {
    return this.guided - this.base;
  }
}

function sum(tokens, value) {
  return tokens.reduce((total, token) => total + value(token), 0);
}

const CONTRAST = { scale: signed, ends: ["learned to avoid", "learned to say, nats"] };
const SUM = { scale: chance, ends: ["", "log p under the ARM, nats"] };

// The ways to colour: by shift, by the reward of each ARM, or not.
export function modes(arms) {
  const shift = {
    name: "the shift",
    value: (unit) => unit.shift,
    scale: signed,
    ends: ["less likely", "likelier than under the base, nats"],
  };
  const rewards = arms.map((arm) => ({
    name: `the reward of ${arm.dimension}`,
    value: (unit) => unit.arms[arm.dimension],
    ...(arm.guidance === "contrast" ? CONTRAST : SUM),
  }));
  return [shift, ...rewards, { name: "nothing", value: () => undefined, scale: signed, ends: null }];
}

// -3 to 3 for a number that may have either sign.
export function signed(value) {
  return Math.sign(value) * SIGNED.filter((bound) => Math.abs(value) >= bound).length;
}

// 0 to 3 for a log-probability.
export function chance(value) {
  return CHANCES.filter((bound) => value >= Math.log(bound)).length;
}

export function colourOf(unit, mode) {
  const value = mode.value(unit);
  const level = value === undefined ? 0 : mode.scale(value);
  return level > 0 ? `up${level}` : level < 0 ? `down${-level}` : "";
}

// The colours of a mode with the bounds that they stand for.
export function legend(mode) {
  if (!mode.ends) return [];
  const [before, after] = mode.ends;
  const up = mode.scale === signed ? SIGNED : CHANCES.map(Math.log);
  const marks = up.map((bound, i) => el("b", { class: `up${i + 1}` }, `≥ ${number(bound, 1)}`));
  const down = SIGNED.map((bound, i) => el("b", { class: `down${i + 1}` }, `≤ ${number(-bound, 1)}`));
  const all = mode.scale === signed ? [...down.reverse(), ...marks] : marks;
  return [before, el("span", { class: "marks" }, ...all), after].filter(Boolean);
}

// A token's text with what cannot be seen made visible.
export function visible(unit) {
  if (!unit.text) return "end of the answer";
  return unit.text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}

// The numbers of a token, as pairs of a word and a number.
export function numbers(unit, weights) {
  const chanceOf = (value) => `${number(value)} (${(100 * Math.exp(value)).toPrecision(2)}%)`;
  const rows = [["log p, base", chanceOf(unit.base)]];
  if (Object.keys(weights).length) {
    rows.push(["log p, guided", chanceOf(unit.guided)], ["shift", signedNumber(unit.shift)]);
  }
  for (const [name, value] of Object.entries(unit.arms)) {
    rows.push([`reward, ${name}`, `${signedNumber(value)} × ${weight(weights[name] ?? 0)}`]);
  }
  const ids = unit.tokens.map((token) => token.id).join(", ");
  return [...rows, [unit.tokens.length > 1 ? "tokens" : "token", ids]];
}

function signedNumber(value) {
  return (value > 0 ? "+" : "") + number(value);
}
