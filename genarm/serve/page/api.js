// What the page asks of the server: the versions it serves, and answers as they stream.

const KEY = "genarm.key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

// What the server refused, in words.
export class Refusal extends Error {
  constructor(status, error = {}, wait = null) {
    super(words(status, error, wait));
    this.status = status;
  }
}

function words(status, error, wait) {
  const told = error.message ?? `status ${status}`;
  const later = wait ? ` Try again in ${wait} ${wait === "1" ? "second" : "seconds"}.` : "";
  if (status === 0) return "The server cannot be reached. Does it run, and is this machine connected?";
  if (status === 401) {
    return key.get() ? "The server does not know this API key." : "The server asks for an API key.";
  }
  if (status === 429) return `Too many requests: ${told}.${later}`;
  if (error.code === "stopping") return "The server is stopping, and takes no more requests.";
  if (status === 503) return `The server is busy: ${told}.${later}`;
  if (status === 504) return `It took too long: ${told}.`;
  if (status >= 500) return `The server failed: ${told}.`;
  return `The server refuses this request: ${told}.`;
}

// What a path of the server answers. Raises Refusal.
export async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, credentials: "omit" });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refusal(0);
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, body.error, answer.headers.get("retry-after"));
}

export async function fetchArms() {
  return (await call("v1/arms")).json();
}

// The chunks of a chat completion. Raises Refusal, also for an error in the middle of the stream.
export async function* stream(body, signal) {
  const answer = await call("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, guidance_rewards: true }),
    signal,
  });
  for await (const data of events(answer.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refusal(chunk.error.code === "timeout" ? 504 : 500, chunk.error);
    yield chunk;
  }
  throw new Refusal(500, { message: "the answer broke off" });
}

// The data of server-sent events, of which each is one line here.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Refusal(0);
    }
    if (part.done) return;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
  }
}
