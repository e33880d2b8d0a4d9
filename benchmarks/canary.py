"""The test of a challenger in service, watched after every outcome, by simulation.

    python benchmarks/canary.py [--json FILE] [--runs 10000] [--alpha 0.01] [--alpha-harm 0.05] [--ties 0.2]

A run ends as `genarm.evaluation.canary` says: promoted, stopped for harm, or held after `--most` outcomes.
Beside it stand two z tests at the same levels: one whose number of outcomes is fixed, at `--most`, and the
same one looked at after every outcome from the 30th on, which is what it does not allow for.

The capital against 1/2 depends on wins and losses alone. So of each number of wins and losses together the
fewest wins that end a run are found once, by the rule's own function.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from genarm.evaluation.betting import exceeds

RATES = (0.4, 0.45, 0.48, 0.5, 0.52, 0.55, 0.6, 0.7)
FIRST = 30  # outcomes before the first look at the z test

Walks = NDArray[np.int64]
Flags = NDArray[np.bool_]


def main() -> None:
    """Print the table, and write its figures flat where a file is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--alpha-harm", type=float, default=0.05)
    parser.add_argument("--ties", type=float, default=0.2, help="share of outcomes that are ties")
    chosen = parser.parse_args()
    alphas = chosen.alpha, chosen.alpha_harm
    edges = [fewest(chosen.most, alpha) for alpha in alphas]
    figures: dict[str, float] = vars(chosen) | {"json": None}
    print(f"{vars(chosen)}; +- is twice the standard error of a share of 1/2: {1 / chosen.runs**0.5:.3f}")
    print(
        "true rate  promoted  stopped   held  outcomes to an end: median  95% |  z: fixed  watched  stopped"
    )
    for rate in RATES:
        walks = preferences(rate, chosen.ties, chosen.runs, chosen.most)
        found = ended(walks, edges) | watched(walks, alphas)
        figures |= {f"{name}_{rate:g}": value for name, value in found.items()}
        print(
            f"{rate:9.2f} {found['promoted']:9.4f} {found['stopped']:8.4f} {found['held']:6.3f} "
            f"{found['median']:27.0f} {found['p95']:5.0f} | {found['z_fixed']:9.4f} "
            f"{found['z_watched']:8.4f} {found['z_stopped']:8.4f}"
        )
    if chosen.json:
        del figures["json"]
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def fewest(most: int, alpha: float) -> NDArray[np.int64]:
    """By the number of wins and losses together, from 0 to `most`: the fewest wins that show "above 1/2"."""
    edge, wins = np.full(most + 1, most + 1), 0
    for n in range(1, most + 1):  # one more outcome asks for at most one more win, and never for fewer
        wins = max(wins, n // 2)
        while wins <= n and not exceeds({1.0: wins, 0.0: n - wins}, 0.5, alpha):
            wins += 1
        edge[n] = wins
    return edge


def preferences(rate: float, ties: float, runs: int, most: int) -> Walks:
    """1, 0 or -1 [runs, outcomes] with this win rate, which counts ties as half."""
    wins = rate - ties / 2
    if not 0 <= wins <= 1 - ties:
        raise SystemExit(f"with {ties:g} ties the win rate cannot be {rate:g}")
    drawn = np.random.default_rng(0).random((runs, most), dtype=np.float32)
    return np.where(drawn < wins, 1, np.where(drawn < wins + ties, 0, -1)).astype(np.int8)


def ended(walks: Walks, edges: list[NDArray[np.int64]]) -> dict[str, float]:
    """Shares of runs by how they end under the rule, and after how many outcomes they do."""
    wins, losses = (np.cumsum(walks == side, axis=1, dtype=np.int32) for side in (1, -1))
    promote, harm = (
        first(own >= edge[wins + losses]) for own, edge in zip((wins, losses), edges, strict=True)
    )
    most = walks.shape[1]
    promoted, stopped = promote < harm, harm < promote
    at = np.minimum(np.minimum(promote, harm) + 1, most)
    return {
        "promoted": float(promoted.mean()),
        "stopped": float(stopped.mean()),
        "held": float((~promoted & ~stopped).mean()),
        "median": float(np.median(at)),
        "p95": float(np.quantile(at, 0.95)),
    }


def watched(walks: Walks, alphas: tuple[float, float]) -> dict[str, float]:
    """Shares of runs that z tests of "the mean preference is 0" promote or stop."""
    n = np.arange(1, walks.shape[1] + 1)
    mean = np.cumsum(walks, axis=1) / n
    spread = np.sqrt(np.maximum(np.cumsum(walks**2, axis=1) / n - mean**2, 1e-12) / n)
    z = (mean / spread)[:, FIRST - 1 :]
    above, below = (float(stats.norm.isf(alpha)) for alpha in alphas)
    up, down = first(z >= above), first(z <= -below)
    return {
        "z_fixed": float((z[:, -1] >= above).mean()),
        "z_watched": float((up < down).mean()),
        "z_stopped": float((down < up).mean()),
    }


def first(flags: Flags) -> NDArray[np.int64]:
    """The first true of each row; beyond the end where there is none."""
    return np.where(flags.any(axis=1), flags.argmax(axis=1), flags.shape[1])


if __name__ == "__main__":
    main()
