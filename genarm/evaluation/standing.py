"""Who gave the verdicts, and what `judge-checks.json` knows of their agreement with people."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from genarm.config import JudgeConfig
from genarm.types import JudgeCheck, JudgeStanding, Verdict

Checks = Mapping[str, Sequence[JudgeCheck] | None]  # by dimension, as `judge-checks.json` has them


def settings_hash(config: JudgeConfig) -> str:
    """The start of the sha256 of a judge's options and tie: a judge with others is another judge.

    A hash, since an option may be the key of somebody's server, and checks are committed.
    """
    text = json.dumps({"options": config.options, "tie": config.tie}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def standings(
    verdicts: Sequence[Verdict], checks: Checks, configs: Mapping[tuple[str, bool], JudgeConfig]
) -> list[JudgeStanding]:
    """One for each judge that gave verdicts, by dimension and whether it is the held-out one.

    A check is stale where it was made of another judge, version, or settings than those of the verdicts.
    """
    seen: dict[tuple[str, bool], dict[str, None]] = {}
    for verdict in verdicts:
        names = seen.setdefault((verdict.dimension, verdict.held_out), {})
        if verdict.judge:
            names[verdict.judge] = None
    return [_standing(key, "; ".join(names), checks, configs.get(key)) for key, names in seen.items()]


def _standing(key: tuple[str, bool], judge: str, checks: Checks, config: JudgeConfig | None) -> JudgeStanding:
    dimension, held_out = key
    check = next((c for c in checks.get(dimension) or () if c.held_out == held_out), None)
    stale = ""
    if check is not None and check.judge != judge:
        stale = (
            f"the check is of {check.judge}, and the verdicts are of {judge or 'a judge that is not known'}"
        )
    elif check is not None and config is not None and check.settings != settings_hash(config):
        stale = f"the check is of {judge} with other options or another tie"
    return JudgeStanding(dimension, held_out, judge, check, stale)
