"""Whether a judge that asks a server loses or doubles a comparison, through failures and a kill.

    python benchmarks/llm_judge.py --json figures.json
    python benchmarks/llm_judge.py --comparisons 100 --failures 0.4

A process judges, 32 requests in flight, against a server on loopback that lets a share of its answers fail.
It is killed (SIGKILL) once two fifths of the requests are answered, and a second process goes on.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llm_judge_server import FailingServer

from genarm.config.judge import LlmJudgeConfig
from genarm.judges import preference
from genarm.judges.base import Comparison
from genarm.system.layout import Layout
from genarm.types import Message, Prompt, Response

TIMEOUT, RETRIES = 1.0, 15  # 0.2^16: no request fails so often by chance


def main(arguments: list[str] | None = None) -> int:
    """Run it, show the figures, and say by the exit code whether nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=32, help="requests in flight")
    parser.add_argument("--failures", type=float, default=0.2, help="share of answers that fail")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds an answer takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, one flat object")
    parser.add_argument("--child", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        judge_all(*chosen.child, chosen.comparisons, chosen.concurrency)
        return 0
    figures = measure(chosen)
    for name, value in figures.items():
        print(f"{name:20} {value}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")
    return (
        0
        if figures["lost"] == figures["wrong"] == figures["double_rows"] == figures["asked_twice"] == 0
        else 1
    )


def comparisons(n: int) -> list[Comparison]:
    """As many, of which the left response is the longer one in every second."""
    found = []
    for i in range(n):
        long, short = (
            Response("", text, 1, "stop", -1.0, 0.0) for text in (f"long answer {i}" * 3, f"no {i}")
        )
        found.append(
            (Prompt((Message("user", f"question {i}"),)), *((long, short) if i % 2 else (short, long)))
        )
    return found


def judge_all(url: str, folder: str, n: int, concurrency: int) -> None:
    """Judge as a stage does, in this process; writes verdicts and usage when all is done."""
    from genarm.judges.llm.judge import load_llm_judge

    config = LlmJudgeConfig(
        model="longer", base_url=url, concurrency=concurrency, timeout=TIMEOUT, retries=RETRIES
    )
    judge = load_llm_judge(config, Path(folder))
    judge.prepare(comparisons(n))
    said = [preference(judge, *comparison) for comparison in comparisons(n)]
    usage = judge.usage
    told = {"said": said, "requests": usage.requests, "cached": usage.cached, "repeated": usage.repeated}
    (Path(folder) / "told.json").write_text(json.dumps(told))


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Kill one process in the middle, let another go on, and count what server, disk and verdicts say."""
    n, requests, began = chosen.comparisons, 2 * chosen.comparisons, time.monotonic()
    server = FailingServer(chosen.failures, chosen.latency)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        first = _start(server.url, folder, chosen)
        while sum(server.answered.values()) < 0.4 * requests and first.poll() is None:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        was_killed = first.wait() == -signal.SIGKILL
        kept = set(_keys(folder))
        second = _start(server.url, folder, chosen)
        if second.wait():
            raise SystemExit("the second process failed")
        told = json.loads((Path(folder) / "told.json").read_text())
        keys = _keys(folder)
    server.shutdown()
    server.server_close()
    right = [(preference > 0) == bool(i % 2) for i, preference in enumerate(told["said"]) if preference]
    answers = server.answered
    return {
        "comparisons": n,
        "killed": was_killed,
        "kept_at_the_kill": len(kept),
        "lost": n - len(right),
        "wrong": right.count(False),
        "double_rows": len(keys) - requests,
        "asked_twice": requests - told["requests"] - told["cached"] or len(kept) - told["cached"],
        # whole answers that had not reached the disk when the process was killed: at most those in flight
        "answered_twice": sum(count - 1 for count in answers.values()) - 1,  # the trial, once a process
        "failures": sum(server.failed.values()),
        "requests": sum(server.asked.values()),
        "failure_share": round(sum(server.failed.values()) / sum(server.asked.values()), 3),
        "seconds": round(time.monotonic() - began, 1),
    }


def _start(url: str, folder: str, chosen: argparse.Namespace) -> "subprocess.Popen[bytes]":
    words = ["--child", url, folder, "--comparisons", chosen.comparisons, "--concurrency", chosen.concurrency]
    return subprocess.Popen([sys.executable, __file__, *map(str, words)])


def _keys(folder: str) -> list[str]:
    rows = sqlite3.connect(Layout(Path(folder)).judge_replies)
    found = [key for (key,) in rows.execute("select key from replies")]
    rows.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
