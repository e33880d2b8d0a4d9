// Two answers, a vote, and which was which. Text of models and of the server is only ever set as text.

import { call, key } from "../page/api.js";
import { byId } from "../page/dom.js";

const choices = [...document.querySelectorAll("button[data-choice]")];
const USER = "genarm.user";
let open = null; // the comparison that waits for a vote
let busy = false;

// The JSON that a path answers; `body` is sent as JSON.
async function json(path, method = "GET", body = undefined) {
  const headers = body ? { "content-type": "application/json" } : {};
  return (await call(path, { method, headers, body: body && JSON.stringify(body) })).json();
}

// One thing at a time; what goes wrong is told, and the page goes on.
async function doing(words, work) {
  if (busy) return;
  busy = true;
  byId("status").textContent = words;
  byId("trouble").textContent = "";
  show();
  try {
    await work();
  } catch (error) {
    byId("trouble").textContent = error.message;
    if (error.status === 401) byId("key").hidden = false;
  } finally {
    busy = false;
    byId("status").textContent = "";
    show();
  }
}

function show() {
  byId("compare").disabled = busy;
  for (const button of choices) button.disabled = busy || !open;
}

function user() {
  let name = localStorage.getItem(USER);
  if (!name) {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    name = `web-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    localStorage.setItem(USER, name);
  }
  return name;
}

async function fetchDimensions() {
  const served = (await json("v1/arms")).data.filter((arm) => arm.version !== null);
  byId("dimension").replaceChildren(...served.map((arm) => new Option(arm.dimension, arm.dimension)));
  byId("key").hidden = true;
  if (!served.length) throw new Error("Nothing is promoted yet, so there is nothing to compare.");
}

async function ask() {
  const body = {
    prompt: byId("prompt").value,
    dimension: byId("dimension").value,
    user: user(),
    consent: byId("consent").checked,
  };
  open = null;
  byId("answers").hidden = true;
  open = await json("v1/comparisons", "POST", body);
  for (const side of ["a", "b"]) {
    byId(`text-${side}`).textContent = open[side].text;
    byId(`side-${side}`).textContent = "";
    byId(`text-${side}`).parentElement.classList.remove("better");
  }
  byId("told").textContent = "";
  byId("reason").value = "";
  byId("answers").hidden = false;
  byId("vote").hidden = false;
  byId("answers-title").focus();
}

async function vote(choice) {
  const body = { choice, user: user(), reason: byId("reason").value };
  const told = await json(`v1/comparisons/${open.id}`, "POST", body);
  open = null;
  for (const side of ["a", "b"]) {
    byId(`side-${side}`).textContent = told[side] ? named(told[side]) : "";
    byId(`text-${side}`).parentElement.classList.toggle("better", choice === side);
  }
  byId("vote").hidden = true;
  byId("told").textContent = ({
    guided: "You prefer the guided answer.", other: "You prefer the other answer.", tie: "A tie.",
  }[told.preferred] ?? "A new version is on trial, so which was which is not told.") + " Thank you.";
}

// What one side was: `guided by positive@3 at 0.3`.
function named(side) {
  const arms = Object.entries(side.versions).map(([d, version]) => `${d}@${version} at ${side.weights[d]}`);
  return arms.length ? `guided by ${arms.join(", ")}` : "the base model alone";
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  doing("Both answers are being written …", ask);
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
});
for (const button of choices) {
  button.addEventListener("click", () => open && doing("", () => vote(button.dataset.choice)));
}
document.addEventListener("keydown", (event) => {
  const choice = { a: "a", b: "b", t: "tie" }[event.key];
  const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select");
  if (!choice || !open || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  doing("", () => vote(choice));
});
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(byId("key-text").value.trim());
  byId("key-text").value = "";
  doing("", fetchDimensions);
});
byId("erase").addEventListener("click", () => doing("", async () => {
  const done = await json(`v1/feedback/users/${encodeURIComponent(user())}`, "DELETE");
  localStorage.removeItem(USER);
  open = null;
  byId("answers").hidden = true;
  byId("user").textContent = user();
  byId("erased").textContent = `Deleted: ${done.deleted}. From now on this browser has another name.`;
}));

byId("user").textContent = user();
doing("", fetchDimensions);
