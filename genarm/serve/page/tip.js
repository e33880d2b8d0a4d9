// The numbers of the token that is pointed at or has the focus. Escape hides them.

import { byId, el } from "./dom.js";

const GAP = 6; // pixels
const LINGER = 150; // milliseconds in which the pointer may reach the numbers themselves
const tip = byId("tip");
let shownFor = null;
let leaving = 0;

export function showTip(node, title, rows) {
  hideTip();
  const list = rows.flatMap(([word, value]) => [el("dt", {}, word), el("dd", {}, value)]);
  tip.replaceChildren(el("p", {}, title), el("dl", {}, ...list));
  tip.hidden = false;
  shownFor = node;
  node.setAttribute("aria-describedby", "tip");
  place();
}

// Below the token, or above it where there is no room.
function place() {
  const at = shownFor.getClientRects()[0];
  const { offsetWidth: width, offsetHeight: height } = tip;
  const left = Math.min(Math.max(at.left, GAP), document.documentElement.clientWidth - width - GAP);
  const below = at.bottom + GAP + height <= window.innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? at.bottom + GAP : Math.max(GAP, at.top - GAP - height)}px`;
}

export function leaveTip() {
  clearTimeout(leaving);
  leaving = setTimeout(hideTip, LINGER);
}

export function hideTip() {
  clearTimeout(leaving);
  shownFor?.removeAttribute("aria-describedby");
  shownFor = null;
  tip.hidden = true;
}

tip.addEventListener("mouseenter", () => clearTimeout(leaving));
tip.addEventListener("mouseleave", leaveTip);
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
document.addEventListener("scroll", () => shownFor && place(), { passive: true });
