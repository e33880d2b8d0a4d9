// Joins the parts: what is served, the form, two answers, the curve, the history and links.

import { Answer } from "./answer.js";
import { fetchArms, key, stream } from "./api.js";
import { Controls } from "./controls.js";
import { Curve } from "./curve.js";
import { byId, el, offer } from "./dom.js";
import { History } from "./history.js";
import { bodyOf, fromFragment, toFragment } from "./state.js";
import { legend, modes } from "./tokens.js";

const LARGEST_SEED = 1e6;
const controls = new Controls();
let ways = modes([]);
let served = null;
let running = null;
let last = Promise.resolve();

const base = new Answer(byId("base"), "base", ways[0]);
const guided = new Answer(byId("guided"), "guided", ways[0]);
const curve = new Curve(ways[0]);
const history = new History(open);

const stops = document.querySelectorAll(".stop");
const setStops = (disabled) => stops.forEach((button) => button.setAttribute("aria-disabled", disabled));
const say = (text) => (byId("status").textContent = text);

// A refusal in words; where it is about the key, the field for it is shown.
function complain(error) {
  byId("alert").replaceChildren(el("p", { class: "alert" }, error.message));
  if (error.status !== 401) return;
  byId("key").hidden = false;
  byId("key-text").focus();
}

async function load() {
  try {
    served = await fetchArms();
  } catch (error) {
    byId("served").textContent = "What it serves is not known yet.";
    return complain(error);
  }
  byId("alert").replaceChildren();
  byId("key").hidden = byId("key-forget").hidden = !key.get();
  const arms = served.data.filter((arm) => arm.version !== null && !arm.trial);
  const versions = arms.map((arm) => `${arm.dimension} version ${arm.version}`);
  const refused = served.data.filter((arm) => arm.refused);
  const lost = refused.map(
    (arm) => ` Version ${arm.refused.version} of ${arm.dimension} cannot be served: ${arm.refused.reason}.`,
  );
  const by = versions.join(" and ") || "nothing yet";
  byId("served").textContent = `${served.base}, guided by ${by}.${lost.join("")}`;
  byId("guided").hidden = !arms.length;
  controls.setArms(served);
  curve.setArms(arms);
  recolour(modes(arms));
}

// Offer the ways to colour, and use the chosen one.
function recolour(offered = ways) {
  ways = offered;
  offer(byId("colour"), ways.map((mode) => mode.name));
  const mode = ways[byId("colour").selectedIndex];
  byId("legend").replaceChildren(...legend(mode));
  for (const part of [base, guided, curve]) part.colour(mode);
}

// Run what needs the server, one after another: a new one ends the one before. `work` gets a signal that the
// stop button aborts, too, and gives what is said at the end.
async function run(work) {
  running?.abort();
  const mine = (running = new AbortController());
  byId("alert").replaceChildren();
  setStops("false");
  const before = last;
  last = (async () => {
    await before;
    const told = mine.signal.aborted ? "" : await work(mine.signal);
    if (running !== mine) return;
    running = null;
    setStops("true");
    say(mine.signal.aborted ? "Stopped." : told);
  })();
  await last;
}

async function ask() {
  if (!served) await load();
  if (!served) return;
  const state = controls.read();
  const sides = byId("guided").hidden ? [base] : [base, guided];
  say("Answering …");
  await run(async (signal) => {
    const bodies = [bodyOf(state, "base"), bodyOf(state, "guided", state.weights)];
    const follow = (side, i) => side.follow(stream(bodies[i], signal), signal);
    const done = await Promise.all(sides.map(follow));
    const refused = sides.find((side) => side.error?.status === 401);
    if (refused) complain(refused.error);
    if (!done.every(Boolean)) return "Not answered.";
    history.add({ state, answers: sides.map((side) => side.save()) });
    await changed();
    return sides.map((side) => `${side.name}: ${side.facts.textContent}`).join("; ");
  });
}

// A promotion while the page is open: the versions that answered are others than those shown.
async function changed() {
  const known = Object.fromEntries(served.data.map((arm) => [arm.dimension, arm.version]));
  const answered = Object.entries(guided.genarm?.versions ?? {});
  if (answered.some(([dimension, version]) => known[dimension] !== version)) await load();
}

async function sweep() {
  if (!byId("ask").reportValidity()) return;
  say("Answering at six weights …");
  await run(async (signal) => `${await curve.sweep(controls.read(), signal)} of 6 weights answered.`);
}

async function open(entry) {
  running?.abort();
  await last;
  controls.write(entry.state);
  [base, guided].forEach((side, i) => entry.answers[i] && side.restore(entry.answers[i]));
  byId("answers-title").scrollIntoView();
  byId("prompt").focus();
  say("Shown from the history.");
}

async function share() {
  window.history.replaceState(null, "", toFragment(controls.read()));
  byId("link").hidden = true;
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    const field = byId("link").querySelector("input");
    field.value = location.href;
    byId("link").hidden = false;
    field.select();
    say("Copy the link from the field.");
  }
}

function useKey(text) {
  if (text) key.set(text);
  else key.forget();
  byId("key-text").value = "";
  return load();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key-text").value.trim());
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
});
byId("key-forget").addEventListener("click", () => useKey(""));
for (const button of stops) button.addEventListener("click", () => running?.abort());
byId("another").addEventListener("click", () => {
  byId("seed").value = Math.floor(Math.random() * LARGEST_SEED);
  byId("ask").requestSubmit();
});
byId("share").addEventListener("click", share);
byId("sweep").addEventListener("click", sweep);
byId("colour").addEventListener("change", () => recolour());
window.addEventListener("hashchange", () => controls.write(fromFragment(location.hash)));

controls.write(fromFragment(location.hash));
recolour();
load();
