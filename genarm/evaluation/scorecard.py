"""Responses and verdicts of one challenger to its scorecard, and the metrics that experiments compare."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from genarm.errors import DataError
from genarm.evaluation.correction import corrected
from genarm.evaluation.length_control import length_controlled
from genarm.evaluation.sequential import looked
from genarm.evaluation.text_health import text_health
from genarm.evaluation.win_rate import preferences_by_prompt, win_rate
from genarm.system import metric_names as names
from genarm.system.counted import counted
from genarm.types import Champion, Comparison, JudgeStanding, Response, Scorecard, Side, Verdict

SIDES: tuple[Side, ...] = ("base", "champion", "challenger")


def score(
    dimension: str,
    challenger_sha256: str,
    champion: Champion | None,
    responses: Mapping[Side, Sequence[Response]],
    verdicts: Sequence[Verdict],
    standings: Sequence[JudgeStanding] = (),
    *,
    looks: tuple[int, int] | None = None,
) -> Scorecard:
    """Everything that was measured of one challenger, its own dimension and its rival first.

    Where a judge was checked against people, its win rates are corrected for its errors beside the raw ones.
    `looks` are the looks taken and the most prompts, where the run may go on after a look; prompts were then
    taken in the order of the base's answers.
    Raises DataError unless every side answered the base's prompts once each and every comparison judged them
    all: win rates over different prompts cannot be compared.
    """
    expected = {r.prompt_id for r in responses["base"]}
    for side, answers in responses.items():
        counts = Counter(r.prompt_id for r in answers)
        _same_prompts(f"responses of the {side}", set(counts), expected)
        if len(counts) < len(answers):
            raise DataError(
                f"{dimension}: the {side} answered prompt {counts.most_common(1)[0][0]} more than once",
                hint="re-run the stage: genarm respond",
            )
    groups: dict[tuple[str, Side, Side, bool], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if missing := {verdict.left, verdict.right} - set(responses):
            raise DataError(
                f"{dimension}: a verdict is about the {missing.pop()}, which did not answer", hint="dvc repro"
            )
        groups[verdict.dimension, verdict.left, verdict.right, verdict.held_out].append(verdict)
    if not groups:
        raise DataError(f"{dimension}: there are no verdicts", hint=f"genarm judge {dimension}")
    tokens = {side: {r.prompt_id: r.tokens for r in answers} for side, answers in responses.items()}
    checks = {(s.dimension, s.held_out): s.check for s in standings if not s.stale}
    comparisons = []
    for (judged, left, right, held_out), group in groups.items():
        _same_prompts(
            f"verdicts on {judged}, {left} against {right},", {v.prompt_id for v in group}, expected
        )
        preferences = preferences_by_prompt(group)
        longer = [tokens[left][i] - tokens[right][i] for i in preferences]
        outcomes = [(1 + p) / 2 for p in preferences.values()]
        check = checks.get((judged, held_out))
        in_order = [preferences[r.prompt_id] for r in responses["base"] if r.prompt_id in preferences]
        comparisons.append(
            replace(
                win_rate(group),
                length_controlled=length_controlled(outcomes, longer),
                corrected=corrected(outcomes, check.accuracy, check.se) if check else None,
                looked=looked(in_order, *looks) if looks else None,
            )
        )
    order: dict[Side, int] = {"challenger": 0, "champion": 1, "base": 2}
    comparisons.sort(
        key=lambda c: (c.dimension != dimension, c.dimension, c.held_out, order[c.left], order[c.right])
    )
    return Scorecard(
        dimension=dimension,
        challenger_sha256=challenger_sha256,
        champion=champion,
        comparisons=comparisons,
        health=[text_health(side, responses[side]) for side in SIDES if side in responses],
        standings=standings,
    )


def comparison(card: Scorecard, dimension: str, right: Side, *, held_out: bool = False) -> Comparison | None:
    """The challenger against one side on one dimension, by its judge or by the held-out one.

    None where that was not compared.
    """
    wanted = (dimension, "challenger", right, held_out)
    return next((c for c in card.comparisons if (c.dimension, c.left, c.right, c.held_out) == wanted), None)


def metrics(card: Scorecard) -> dict[str, object]:
    """The numbers that experiments compare: win rates over the rival, and the challenger's text health."""
    over_rival = [c for c in card.comparisons if (c.left, c.right) == ("challenger", card.rival)]
    health = [asdict(h) for h in card.health if h.side == "challenger"]
    return {
        names.WIN_RATE: {names.HELD_OUT if c.held_out else c.dimension: c.win_rate.value for c in over_rival},
        **{name: h[name] for h in health for name in (names.PERPLEXITY, names.REPETITION, names.KL)},
    }


def _same_prompts(what: str, answered: set[str], expected: set[str]) -> None:
    if missing := sorted(expected - answered):
        raise DataError(
            f"{what} miss {counted(len(missing), 'prompt')}, first {missing[0]}", hint="dvc repro"
        )
    if unasked := sorted(answered - expected):
        raise DataError(f"{what} name prompts that were not asked, first {unasked[0]}", hint="dvc repro")
