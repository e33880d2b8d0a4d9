"""Whether a challenger on trial beside the champion makes people wait: seconds to the first token.

    python benchmarks/serving_canary.py [STREAMS] [TOKENS] [ROUNDS]

One server answers streams of `guided` in three ways that take turns, so that a machine that slows down slows
all: by the champion alone; with a challenger that answers a tenth of the people; and where both answer a
quarter of the prompts, too, for the judge. Each round has other prompts and people, three for each stream,
the same for every way. CPU seconds, which a busy machine disturbs less, are those of the server's process.
ARMs are random LoRAs on the top 8 layers: how fast a model runs does not depend on what its weights are.
"""

import json
import multiprocessing
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from serving import MODEL, body

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
EACH = 3  # requests of one stream in a round
WAYS: dict[str, dict[str, float]] = {
    "champion alone": {},
    "challenger, share 0.1": {"share": 0.1, "judged": 0},
    "the same, judged 0.25": {"share": 0.1, "judged": 0.25},
}


def ask(address: str, asked: dict[str, Any]) -> float:
    """Seconds to the first text of a stream, which is read to its end."""
    began, first = time.monotonic(), 0.0
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=asked, timeout=600) as stream:
        for line in stream.iter_lines():
            if line and not first and line != "data: [DONE]":
                delta = json.loads(line[6:])["choices"][0]["delta"]
                first = time.monotonic() - began if delta.get("content") else 0.0
    return first


def client(address: str, turn: int, streams: int, tokens: int, result: Any) -> None:
    """People ask, as many at once as there are streams: seconds to the first text of each."""
    people = range(turn * streams * EACH, (turn + 1) * streams * EACH)
    asked = [body(i, tokens) | {"model": "guided", "user": f"person {i}"} for i in people]
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(lambda _: httpx.get(f"{address}/health"), people))
        result.put(list(pool.map(lambda one: ask(address, one), asked)))


def make_arm(folder: Path, seed: int) -> Path:
    """A random LoRA on the upper layers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from genarm.models import load_model, resolve
    from genarm.models.arm import write_card
    from genarm.types import ArmCard

    source = resolve(MODEL)
    model, random = load_model(source, "float32"), torch.Generator().manual_seed(seed)
    top = list(range(model.config.num_hidden_layers))[-8:]
    lora = LoraConfig(r=8, target_modules=LINEAR, layers_to_transform=top, task_type="CAUSAL_LM")
    made = get_peft_model(model, lora)
    for name, parameter in made.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.02, generator=random)
    made.save_pretrained(folder)
    card = ArmCard(
        dimension="kind", model_id=source.id, model_revision=None, model_weights_sha256=source.weights_sha256,
        guides_id=source.id, guides_revision=None, tokenizer_sha256=source.tokenizer_sha256,
        adapter_sha256="", beta=0.1, weight=1.0, pairs_sha256="0" * 64, data_md5=None, git_commit=None,
    )  # fmt: skip
    write_card(folder, card)
    return folder


def report(head: str, seen: dict[str, list[float]], spent: dict[str, float]) -> None:
    """Print what all rounds until now have given."""
    print(head)
    for way, firsts in seen.items():
        median, p95 = (sorted(firsts)[int(part * (len(firsts) - 1))] for part in (0.5, 0.95))
        print(
            f"  {way}: first token median {median:.2f} s, p95 {p95:.2f} s, n={len(firsts)}; "
            f"CPU seconds {spent[way]:.1f}",
            flush=True,
        )


def main() -> None:
    from genarm.config import CanaryConfig
    from genarm.decoding import load_decoder
    from genarm.models.arm import adapter_hash
    from genarm.serve.canary import RunningTrial
    from genarm.serve.lineup import Lineup, ServedArm
    from genarm.serve.run import Server, listening
    from genarm.serve.service import Service
    from genarm.types import Champion, Responses, Trial

    streams, tokens, rounds = (int(v) for v in [*sys.argv[1:], *(8, 16, 8)[len(sys.argv) - 1 :]])
    place = tempfile.TemporaryDirectory()
    folder = Path(place.name)
    arms = {name: make_arm(folder / name, seed) for seed, name in enumerate(("kind", "kind@2"))}
    sides = [
        Champion(version, "m", adapter_hash(arm), 0.3, "contrast")
        for version, arm in enumerate(arms.values(), 1)
    ]
    served = {"kind": ServedArm("kind", sides[0])}
    alone = Lineup(
        load_decoder(MODEL, {"kind": arms["kind"]}, dtype="float32", batch_size=streams), MODEL, served
    )
    both = Lineup(load_decoder(MODEL, arms, dtype="float32", batch_size=streams), MODEL, served)
    service, listener = Service(alone), listening("127.0.0.1", 0)
    server = Server(service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    address, spawn = f"http://127.0.0.1:{listener.getsockname()[1]}", multiprocessing.get_context("spawn")
    seen: dict[str, list[float]] = {way: [] for way in WAYS}
    spent = dict.fromkeys(WAYS, 0.0)
    for turn in range(-1, rounds):  # the first warms up
        ways = [*WAYS][turn % 3 :] + [*WAYS][: turn % 3]  # each way comes first as often as the others
        for way in ways:
            trial = None
            if rule := WAYS[way]:
                config = CanaryConfig(dimension="kind", max_kl=1e9, max_repetition=2, **rule)
                trial = RunningTrial(
                    Trial("kind", sides[1], sides[0]),
                    config,
                    both,
                    service.means,
                    folder / f"{turn}",
                    Responses(),
                )
            service.swap(both if trial else alone, trial)
            result, began = spawn.Queue(), time.process_time()
            process = spawn.Process(target=client, args=(address, turn + 1, streams, tokens, result))
            process.start()
            firsts = result.get()
            process.join()
            while trial and trial.drawing:  # for the judge: it slows no other way's round
                time.sleep(0.1)
            if turn >= 0:
                seen[way] += firsts
                spent[way] += time.process_time() - began
        if turn >= 0:
            report(f"{streams} streams, {tokens} tokens each, {turn + 1} rounds", seen, spent)
    server.should_exit = True
    thread.join()
    place.cleanup()


if __name__ == "__main__":
    main()
