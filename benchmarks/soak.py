"""A server under mixed requests for as long as one likes: what was lost or different, and its memory.

    python benchmarks/soak.py --minutes 60 --out FOLDER    table, memory.csv and memory.svg

`genarm serve` runs as a process of its own on toy models. `--streams` clients ask one request after another,
of the kinds of `soak_requests.py` by chance, and compare each answer with what the decoder draws for the same
request alone. The champion is swapped after a third of the time, and back after two thirds. `--cores` bounds
the processor time of both processes together: clients wait where it is exceeded. Memory is read every
`--every` seconds; after `--warm` of the time the mean of every tenth has to lie within 3% of the median.

An answer that differs need not be that of another request: where a random number lies as near to the border
of two tokens as float32 is exact, the batch decides. `soak_ties.py` computes that in float64, and such an
answer counts as rounded.
"""

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from soak_requests import (
    CANCELLED,
    COMPARISON,
    KINDS,
    SEEDS,
    Expected,
    Told,
    Wanted,
    asked,
    post,
    streamed,
    whole,
)
from soak_ties import Ties
from toy_server import ToyProject, ToyServer

FLAT, PARTS = 0.03, 10  # the mean of every tenth of the time lies within this share of the median
WATCH = 2.0  # seconds between two looks for champions
OUTCOMES = ("right", "rounded", "different")  # of an answer that came, the best first
Row = tuple[float, float, int, int, int]  # seconds, MB, threads, open files, requests so far


class Load:
    """The clients: what they asked, and what was wrong with the answers."""

    def __init__(self, server: ToyServer, expected: Expected, ties: Ties, cores: float, seed: int) -> None:
        self.server, self.expected, self.ties = server, expected, ties
        self.cores, self.seed, self.lock = cores, seed, threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()  # of kind and what became of it
        self.versions: Counter[int] = Counter()
        self.faults: list[str] = []
        self.began, self.spent = time.monotonic(), server.cpu_seconds + time.process_time()
        self.stop = threading.Event()

    def run(self, number: int) -> None:
        """Ask until it is stopped."""
        draw = random.Random(f"{self.seed} {number}")
        with httpx.Client(base_url=self.server.address, timeout=120) as client:
            while not self.stop.is_set():
                kind, seed = draw.choice(list(KINDS)), draw.randrange(SEEDS)
                try:
                    told = (
                        self._compare(client, seed) if kind == COMPARISON else self._ask(client, kind, seed)
                    )
                except (httpx.HTTPError, ValueError, KeyError) as error:
                    told = "lost"
                    self.faults.append(f"{kind} {seed}: {type(error).__name__}: {error}")
                self.counts[kind, told] += 1
                while self._over() and not self.stop.wait(0.05):
                    pass

    def _over(self) -> bool:
        """Whether more processor time was used than is allowed."""
        spent = self.server.cpu_seconds + time.process_time() - self.spent
        return spent > self.cores * (time.monotonic() - self.began)

    def _ask(self, client: httpx.Client, kind: str, seed: int) -> str:
        if kind == COMPARISON:
            return self._compare(client, seed)
        path, body = asked(kind, seed)
        if kind == CANCELLED:
            got = streamed(client, path, body, most=20 + 10 * seed)
        else:
            got = streamed(client, path, body) if body.get("stream") else whole(post(client, path, body))
        wanted, version = self.expected.of(kind, seed, got.versions), got.versions.get("kind", 0)
        self.versions[version] += 1
        pairs = list(zip(got.told, wanted, strict=True))
        return self._judged(pairs, version, f"{kind} {seed} of {got.versions}", left=kind == CANCELLED)

    def _compare(self, client: httpx.Client, seed: int) -> str:
        path, body = asked(COMPARISON, seed)
        shown = post(client, path, body)
        vote = {"choice": ("a", "b", "tie")[seed % 3], "user": body["user"]}
        told = post(client, f"{path}/{shown['id']}", vote)
        judged = []
        for side in "ab":
            wanted = self.expected.side(body, told[side])
            got = Told(shown[side]["text"], end=wanted.told.end)  # how it ended is not told
            version = told[side]["versions"].get("kind", 0)
            judged.append(self._judged([(got, wanted)], version, f"comparison {seed}, side {side}: {told}"))
        return max(judged, key=OUTCOMES.index)

    def _judged(self, pairs: list[tuple[Told, Wanted]], version: int, what: str, left: bool = False) -> str:
        """What became of an answer; of one that differs all that is known is kept."""
        other = [(got, wanted) for got, wanted in pairs if not wanted.equals(got, left=left)]
        if not other:
            return "right"
        with self.lock:
            rounded = all(self.ties.explain(got, wanted, version) for got, wanted in other)
        told = "rounded" if rounded else "different"
        self.faults.append(f"{told}: {what}: {other}")
        return told

    @property
    def requests(self) -> int:
        """Those that ended."""
        return sum(self.counts.values())


def main() -> int:
    """Run it; 1 where something was lost or different, or memory is not flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("soak"),
        help="folder for memory.csv, memory.svg and faults.txt, where all that was wrong stands in full",
    )
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--cores", type=float, default=0.5)
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks at memory")
    parser.add_argument("--warm", type=float, default=1 / 6, help="share of the time that is warm-up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = ToyProject(Path(folder))
        expected, server = Expected(project), ToyServer(project, "--watch", str(WATCH))
        load = Load(server, expected, Ties(project, expected.tokenizer), chosen.cores, chosen.seed)
        rows = soaked(chosen, project, server, load)
        after = left_open(server)
        cores = (server.cpu_seconds + time.process_time() - load.spent) / (time.monotonic() - load.began)
        code = server.stop()
        log, votes = server.told, kept_votes(project)
    figures = measured(rows, chosen.warm) | {
        "requests": load.requests, "lost": _total(load, "lost"), "rounded": _total(load, "rounded"),
        "different": _total(load, "different"),
        "swaps": log.count("now served"), "votes_kept": votes,
        "votes_given": sum(load.counts[COMPARISON, told] for told in OUTCOMES),
        "open_afterwards": after, "exit_status": code, "tracebacks": log.count("Traceback"),
        "cores": round(cores, 2), "minutes": chosen.minutes, "streams": chosen.streams, "seed": chosen.seed,
    }  # fmt: skip
    print(
        table(load),
        *(f"{name:<24}{value:g}" for name, value in figures.items()),
        *(fault[:500] for fault in load.faults[:20]),
        sep="\n",
    )
    (chosen.out / "faults.txt").write_text("".join(f"{fault}\n" for fault in load.faults), encoding="utf-8")
    draw(rows, figures, chosen.out / "memory.svg")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    bad = ("lost", "different", "open_afterwards", "exit_status", "tracebacks")
    return int(
        any(figures[name] for name in bad) or figures["departure"] > FLAT or votes != figures["votes_given"]
    )


def soaked(chosen: argparse.Namespace, project: ToyProject, server: ToyServer, load: Load) -> list[Row]:
    """Memory while the clients ask, with the two swaps; each row is written as it comes."""
    rows: list[Row] = []
    swaps = [(1 / 3, 2), (2 / 3, 1)]
    with (
        (chosen.out / "memory.csv").open("w", newline="", encoding="utf-8") as file,
        ThreadPoolExecutor(chosen.streams) as pool,
    ):
        written = csv.writer(file)
        written.writerow(("seconds", "mb", "threads", "files", "requests"))
        asking = [pool.submit(load.run, number) for number in range(chosen.streams)]
        while (passed := time.monotonic() - load.began) < 60 * chosen.minutes and server.alive:
            if swaps and passed > swaps[0][0] * 60 * chosen.minutes:
                project.promote("kind", swaps.pop(0)[1])
            rows.append((round(passed, 1), *server.resources_now, load.requests))
            written.writerow(rows[-1])
            file.flush()
            time.sleep(chosen.every)
        load.stop.set()
        for future in asking:
            future.result()
    return rows


def measured(rows: list[Row], warm: float) -> dict[str, float]:
    """Memory after the warm-up: its median, and how far parts and single values lie from it.

    `departure` is that of the mean of any tenth of the time, as a share; single values are those of a moment.
    """
    after = [row for row in rows if row[0] >= warm * rows[-1][0]]
    values = [row[1] for row in after]
    median = statistics.median(values)
    part = -(-len(values) // PARTS)
    means = [statistics.mean(values[i : i + part]) for i in range(0, len(values), part)]
    return {
        "median_mb": round(median, 1),
        "lowest_mb": min(values),
        "highest_mb": max(values),
        "first_mean_mb": round(means[0], 1),
        "last_mean_mb": round(means[-1], 1),
        "departure": round(max(abs(mean - median) for mean in means) / median, 4),
        "threads_first": after[0][2], "threads_last": after[-1][2],
        "files_first": after[0][3], "files_last": after[-1][3],
    }  # fmt: skip


def left_open(server: ToyServer) -> int:
    """Responses that are still open ten seconds after the last client has gone."""
    for _ in range(100):
        metrics = httpx.get(f"{server.address}/metrics").text.splitlines()
        found = next(line for line in metrics if line.startswith("genarm_open_responses "))
        if not (count := int(float(found.split()[1]))):
            break
        time.sleep(0.1)
    return count


def kept_votes(project: ToyProject) -> int:
    """The votes in the store."""
    from genarm.feedback.store import Store

    store = Store(project.project.params.feedback, project.project.root)
    try:
        return store.mark("kind")[0]
    finally:
        store.close()


def _total(load: Load, what: str) -> int:
    return sum(count for (_, told), count in load.counts.items() if told == what)


def table(load: Load) -> str:
    """What was asked of each kind, and by which version of the champion that is swapped it was answered."""
    columns = (*OUTCOMES, "lost")
    rows: list[tuple[Any, ...]] = [("request", "asked", *columns), ("---",) * (2 + len(columns))]
    for kind in KINDS:
        parts = [load.counts[kind, told] for told in columns]
        rows.append((kind, sum(parts), *parts))
    lines = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    by_version = dict(sorted(load.versions.items()))
    return f"{lines}\nanswers by the version of kind (0: not guided by it): {by_version}"


def draw(rows: list[Row], figures: dict[str, float], path: Path) -> None:
    """The curve of memory, with the band of 3% around its median."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "soak", "font.family": "sans-serif"}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 3))
    median, end = figures["median_mb"], rows[-1][0] / 60
    axes.axhspan(median * (1 - FLAT), median * (1 + FLAT), color="#2a78d6", alpha=0.12, lw=0)
    axes.plot([row[0] / 60 for row in rows], [row[1] for row in rows], color="#2a78d6", lw=1.5)
    for share in (1 / 3, 2 / 3):
        axes.axvline(share * end, color="#888888", lw=0.8, ls=":")
        axes.text(share * end, median * 0.86, " swap", color="#666666", fontsize=9)
    axes.set(xlim=(0, end), ylim=(median * 0.85, median * 1.15), xlabel="minutes", ylabel="MB resident")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
