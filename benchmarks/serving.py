"""The server against its engine: tokens a second of the same requests, streamed over HTTP and by `generate`.

    python benchmarks/serving.py [--streams 32] [--tokens 128] [--rounds 4] [--json FILE]

The client is a process of its own. Rounds alternate, so that a machine that slows down slows both. CPU
seconds, which a busy machine disturbs less, are those of the process of the server.
"""

import argparse
import json
import multiprocessing
import re
import selectors
import socket
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

MODEL = "smollm2-135m-instruct"
FIRST = re.compile(rb'"content":"[^"]')  # the opening chunk has an empty one
PROMPT = "Write a few words about the number {}."


def body(i: int, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": PROMPT.format(i)}]
    return {"model": "base", "messages": messages, "seed": i, "max_tokens": tokens, "ignore_eos": True,
            "temperature": 1, "top_p": 1, "stream": True}  # fmt: skip


def client(address: str, streams: int, tokens: int, result: Any) -> None:
    """All streams at once in one thread that reads bytes and parses nothing, for it shares the cores."""
    host, port = address.removeprefix("http://").split(":")
    selector, firsts, tails = selectors.DefaultSelector(), dict[int, float](), dict[int, bytes]()
    opened = [socket.create_connection((host, int(port))) for _ in range(streams)]
    began = time.monotonic()
    for i, connection in enumerate(opened):
        content = json.dumps(body(i, tokens)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        selector.register(connection, selectors.EVENT_READ, i)
        tails[i] = b""
    while tails:
        for key, _ in selector.select():
            i, read = key.data, key.fileobj.recv(1 << 16)
            assert read, "the server closed a stream that had not ended"
            tails[i] = tails[i][-64:] + read
            if i not in firsts and FIRST.search(tails[i]):
                firsts[i] = time.monotonic() - began
            if b"data: [DONE]" in tails[i]:
                selector.unregister(key.fileobj)
                del tails[i]
    result.put((time.monotonic() - began, sorted(firsts.values())))
    for connection in opened:
        connection.close()


def main() -> None:
    from genarm.decoding import GuidedRequest, load_decoder
    from genarm.serve.lineup import Lineup
    from genarm.serve.run import Server, listening
    from genarm.serve.service import Service

    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128, help="of each response")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    chosen = parser.parse_args()
    streams, tokens = chosen.streams, chosen.tokens
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
    found: dict[str, list[float]] = {}
    print(f"{'engine':>10}{'server':>10}{'ratio':>8}{'CPU ratio':>11}{'first token p95':>17}")
    for _ in range(chosen.rounds):
        began, spent = time.monotonic(), time.process_time()
        decoder.generate(requests)
        alone, result = time.monotonic() - began, spawn.Queue()
        spent_alone, spent = time.process_time() - spent, time.process_time()
        process = spawn.Process(target=client, args=(address, streams, tokens, result))
        process.start()
        served, firsts = result.get()
        process.join()
        spent_served, total = time.process_time() - spent, streams * tokens
        row = {
            "engine_tokens_per_second": total / alone,
            "server_tokens_per_second": total / served,
            "ratio": alone / served,
            "cpu_ratio": spent_alone / spent_served,
            "first_token_p95_seconds": firsts[int(0.95 * (len(firsts) - 1))],
        }
        for name, value in row.items():
            found.setdefault(name, []).append(value)
        print("{:10.1f}{:10.1f}{:8.3f}{:11.3f}{:15.2f} s".format(*row.values()), flush=True)
    medians = {name: round(median(values), 4) for name, values in found.items()}
    print("{:10.1f}{:10.1f}{:8.3f}{:11.3f}{:15.2f} s  medians".format(*medians.values()))
    if chosen.json:
        chosen.json.write_text(json.dumps(medians, indent=1) + "\n", encoding="utf-8")
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
