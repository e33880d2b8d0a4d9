// What was asked in this browser, with its answers: in localStorage, without the key.

import { byId, el } from "./dom.js";
import { weight } from "./numbers.js";

const STORE = "genarm.history";
const MOST = 20;

export class History {
  // `open` is called with an entry that somebody chooses.
  constructor(open) {
    this.open = open;
    this.entries = read();
    byId("clear").addEventListener("click", () => this.clear());
    this.#show();
  }

  add(entry) {
    this.entries = [{ ...entry, at: new Date().toISOString() }, ...this.entries].slice(0, MOST);
    this.#write();
    this.#show();
  }

  clear() {
    this.entries = [];
    localStorage.removeItem(STORE);
    this.#show();
    byId("history-title").setAttribute("tabindex", -1); // the button that had the focus is gone
    byId("history-title").focus();
  }

  // The oldest go first where the browser has no more room.
  #write() {
    while (this.entries.length) {
      try {
        return localStorage.setItem(STORE, JSON.stringify(this.entries));
      } catch {
        this.entries.pop();
      }
    }
  }

  #show() {
    byId("history-note").textContent = this.entries.length
      ? `The last ${MOST} at most, kept in this browser alone.`
      : "What you ask is kept here, in this browser alone.";
    byId("clear").hidden = !this.entries.length;
    byId("entries").replaceChildren(...this.entries.map((entry) => this.#line(entry)));
  }

  #line(entry) {
    const { prompt, seed, weights } = entry.state;
    const used = Object.entries(weights).map(([dimension, value]) => `${dimension} ${weight(value)}`);
    const when = new Date(entry.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const facts = [...used, `seed ${seed}`, when].join(" · ");
    const words = [el("span", { class: "asked" }, prompt), el("span", { class: "note" }, facts)];
    const button = { type: "button", class: "plain", click: () => this.open(entry) };
    return el("li", {}, el("button", button, ...words));
  }
}

function read() {
  try {
    const entries = JSON.parse(localStorage.getItem(STORE) ?? "[]");
    const whole = (entry) => typeof entry?.state?.prompt === "string" && Array.isArray(entry.answers);
    return Array.isArray(entries) ? entries.filter(whole) : [];
  } catch {
    return [];
  }
}
