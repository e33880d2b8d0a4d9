// Elements made of text and attributes. There is no way from a string to markup here.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

// An element; an attribute that is a function listens to the event of its name.
export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Let people choose among names; what was chosen stays where it can.
export function offer(select, names) {
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => el("option", {}, name)));
  if (names.includes(chosen)) select.value = chosen;
}
