// What is asked, as the fragment of a link: the browser keeps that part of an address to itself.

const NUMBERS = {
  seed: (n) => Number.isSafeInteger(n) && n >= 0,
  temperature: (n) => n >= 0 && n <= 2,
  max_tokens: (n) => Number.isSafeInteger(n) && n >= 1 && n <= 100000,
};
const WEIGHT = "weight.";
const LONGEST = 20000;

export function toFragment(state) {
  const parts = new URLSearchParams({ prompt: state.prompt });
  for (const name of Object.keys(NUMBERS)) parts.set(name, state[name]);
  for (const [dimension, value] of Object.entries(state.weights)) parts.set(WEIGHT + dimension, value);
  return `#${parts}`;
}

// The parts of a link that can be used; anybody may have written it.
export function fromFragment(fragment) {
  const state = { weights: {} };
  for (const [name, text] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    const value = text.trim() === "" ? NaN : Number(text);
    if (name === "prompt") state.prompt = text.slice(0, LONGEST);
    else if (Object.hasOwn(NUMBERS, name) && NUMBERS[name](value)) state[name] = value;
    else if (name.startsWith(WEIGHT) && value >= 0 && value <= 1e6) {
      state.weights[name.slice(WEIGHT.length)] = value;
    }
  }
  return state;
}

// The body of a request for an answer with these weights.
export function bodyOf(state, model, weights) {
  const { prompt, seed, temperature, max_tokens } = state;
  const body = { model, messages: [{ role: "user", content: prompt }], seed, temperature, max_tokens };
  return weights ? { ...body, guidance: weights } : body;
}
