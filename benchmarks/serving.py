"""The server against its engine: tokens a second of the same requests, streamed over HTTP and by `generate`.

    python benchmarks/serving.py [STREAMS] [TOKENS] [ROUNDS]

The client is a process of its own. Rounds alternate, so that a machine that slows down slows both. CPU
seconds, which a busy machine disturbs less, are those of the process of the server.
"""

import json
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

MODEL = "smollm2-135m-instruct"
PROMPT = "Write a few words about the number {}."


def body(i: int, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": PROMPT.format(i)}]
    return {"model": "base", "messages": messages, "seed": i, "max_tokens": tokens, "ignore_eos": True,
            "temperature": 1, "top_p": 1, "stream": True}  # fmt: skip


def ask(address: str, asked: dict[str, Any]) -> float:
    """Seconds to the first text of a stream, which is read to its end."""
    began, first = time.monotonic(), 0.0
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=asked, timeout=600) as stream:
        for line in stream.iter_lines():
            if line and not first and line != "data: [DONE]":
                delta = json.loads(line[6:])["choices"][0]["delta"]
                first = time.monotonic() - began if delta.get("content") else 0.0
    return first


def client(address: str, streams: int, tokens: int, result: Any) -> None:
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(lambda i: httpx.get(f"{address}/health"), range(streams)))
        began = time.monotonic()
        firsts = list(pool.map(lambda i: ask(address, body(i, tokens)), range(streams)))
        result.put((time.monotonic() - began, sorted(firsts)))


def main() -> None:
    from genarm.decoding import GuidedRequest, load_decoder
    from genarm.serve.lineup import Lineup
    from genarm.serve.run import Server, listening
    from genarm.serve.service import Service

    streams, tokens, rounds = (int(v) for v in [*sys.argv[1:], *(32, 32, 3)[len(sys.argv) - 1 :]])
    decoder = load_decoder(MODEL, {}, dtype="float32", batch_size=streams)
    requests = [
        GuidedRequest(decoder.prompt(PROMPT.format(i)), max_new_tokens=tokens, seed=i, ignore_eos=True)
        for i in range(streams)
    ]
    listener = listening("127.0.0.1", 0)
    server = Server(Service(Lineup(decoder, MODEL)), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    address, spawn = f"http://127.0.0.1:{listener.getsockname()[1]}", multiprocessing.get_context("spawn")
    decoder.generate(requests[:2])
    for _ in range(rounds):
        began, spent = time.monotonic(), time.process_time()
        decoder.generate(requests)
        alone, result = time.monotonic() - began, spawn.Queue()
        spent_alone, spent = time.process_time() - spent, time.process_time()
        process = spawn.Process(target=client, args=(address, streams, tokens, result))
        process.start()
        served, firsts = result.get()
        process.join()
        spent_served = time.process_time() - spent
        total, p95 = streams * tokens, firsts[int(0.95 * (len(firsts) - 1))]
        print(
            f"engine {total / alone:.1f} tokens/s, server {total / served:.1f}, ratio {alone / served:.3f}; "
            f"CPU seconds {spent_alone:.1f} and {spent_served:.1f}, ratio {spent_alone / spent_served:.3f}; "
            f"first token p95 {p95:.2f} s",
            flush=True,
        )
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
