"""The test that may be looked at against the fixed one, by simulation: power and prompts by true win rate.

    python benchmarks/sequential.py [--json FILE] [--runs 4000] [--alpha 0.01] [--ties 0.2]

Looks are at 120, 180, ... 600 prompts, as with `respond.prompts: 120`, `decide.batch_prompts: 60` and
`decide.max_prompts: 600`. A run ends at the first look that promotes (win and gain) or rejects (the upper
bound of the win rate below 1/2 + min_gain), else at 600. The fixed tests are exact sign tests at 120 and at
600. For `two`, a second dimension without any difference is decided beside it: Holm doubles p.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from genarm.evaluation.condition import Z
from genarm.evaluation.sequential import EXPONENT, boundary

RATES = (0.5, 0.55, 0.6, 0.7, 0.8)
FIRST, BATCH, MOST = 120, 60, 600
MIN_GAIN = 0.02


def main() -> None:
    """Print the table, and write its figures flat where a file is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--ties", type=float, default=0.2, help="share of prompts that are ties")
    chosen = parser.parse_args()
    figures: dict[str, float] = {"runs": chosen.runs, "alpha": chosen.alpha, "ties": chosen.ties}
    head = "true rate   promoted    two   rejected   prompts |  fixed 120  fixed 600"
    print(f"alpha {chosen.alpha:g}, {chosen.ties:.0%} ties, {chosen.runs} runs, looks at 120, 180, ... 600")
    print(head)
    for rate in RATES:
        found = simulate(rate, chosen.ties, chosen.alpha, chosen.runs)
        figures |= {f"{name}_{rate:g}": value for name, value in found.items()}
        print(
            f"{rate:9.2f} {found['promoted']:10.3f} {found['promoted_two']:6.3f} {found['rejected']:10.3f} "
            f"{found['prompts']:9.0f} | {found['fixed_120']:10.3f} {found['fixed_600']:10.3f}"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def simulate(rate: float, ties: float, alpha: float, runs: int) -> dict[str, float]:
    """Shares of runs and the mean number of prompts at one true win rate, which counts ties as half."""
    said = preferences(rate, ties, runs)
    alone, beside = (ended(said, a) for a in (alpha, alpha / 2))
    return {
        "promoted": float(alone[0].mean()),
        "promoted_two": float(beside[0].mean()),
        "rejected": float(alone[1].mean()),
        "prompts": float(alone[2].mean()),
        **{f"fixed_{n}": float(fixed(said[:, :n], alpha).mean()) for n in (FIRST, MOST)},
    }


def preferences(rate: float, ties: float, runs: int) -> NDArray[np.int64]:
    """1, 0 or -1 [runs, prompts]; the same random numbers at every rate."""
    rng = np.random.default_rng(0)
    drawn = rng.random((runs, MOST))
    wins = rate - ties / 2
    if not 0 <= wins <= 1 - ties:
        raise SystemExit(f"with {ties:g} ties the win rate cannot be {rate:g}")
    return np.where(drawn < wins, 1, np.where(drawn < wins + ties, 0, -1))


def ended(
    said: NDArray[np.int64], alpha: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Which runs are promoted, which rejected, and after how many prompts each ends."""
    runs = len(said)
    counted = np.maximum(1, np.cumsum(said != 0, axis=1))
    highest = np.maximum.accumulate(np.cumsum(said, axis=1) / counted**EXPONENT, axis=1)
    promoted, rejected = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
    prompts = np.full(runs, MOST)
    least = boundary(alpha, MOST)
    for n in range(FIRST, MOST + 1, BATCH):
        rates = 0.5 + said[:, :n].mean(axis=1) / 2
        going = ~promoted & ~rejected
        wins = going & (highest[:, n - 1] >= least) & (rates >= 0.5 + MIN_GAIN)
        loses = going & ~wins & (upper(rates, n) < 0.5 + MIN_GAIN)
        promoted |= wins
        rejected |= loses
        prompts[wins | loses] = n
    return promoted, rejected, prompts


def upper(rates: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Wilson's upper bound, as `win_rate.wilson` has it for one rate."""
    half = Z * np.sqrt(rates * (1 - rates) / n + Z * Z / (4 * n * n))
    return np.asarray((rates + Z * Z / (2 * n) + half) / (1 + Z * Z / n))


def fixed(said: NDArray[np.int64], alpha: float) -> NDArray[np.bool_]:
    """The rule of one look: the exact sign test and the least gain."""
    wins, losses = (said > 0).sum(axis=1), (said < 0).sum(axis=1)
    p = stats.binom.sf(wins - 1, wins + losses, 0.5)
    return np.asarray((p < alpha) & (0.5 + said.mean(axis=1) / 2 >= 0.5 + MIN_GAIN))


if __name__ == "__main__":
    main()
