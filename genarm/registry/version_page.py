"""The page of a version in MLflow: where it stands and why, how well it did, what it is, where it comes from.

It is made of the version's tags alone, and written again whenever they change.
"""

from collections.abc import Mapping, Sequence

from genarm.registry import tags
from genarm.registry.pages import render, run_link, version_link
from genarm.registry.record import DecisionNote, decision_note, noted_metrics, rollback_note
from genarm.registry.standing import place, standing, when, who
from genarm.registry.store import Store
from genarm.registry.tags import label, model_name
from genarm.registry.versions import Version, versions
from genarm.system import metric_names as names
from genarm.types import Estimate

# What the page says in sentences, or what is only there for repairs.
NO_LINEAGE = {
    *(tags.METRICS, tags.DECISION, tags.ROLLED_BACK, tags.ROLLBACK, tags.BLOCKED, tags.MODEL_ID),
    *(tags.PROMOTION, tags.PROMOTION_FROM, tags.PROMOTION_PREVIOUS, tags.PROMOTION_BLOCKED),
    tags.PROMOTION_USE,
    *(tags.PROMOTED_AT, tags.PROMOTED_BY, tags.PROMOTED_USER, tags.DECISION_RUN, tags.REPORT_SHA256),
}


def version_page(version: Version, others: Sequence[Version] = ()) -> str:
    """The page as Markdown; `others` are the versions of its dimension."""
    known, metrics, decided, rolled_back = (
        version.tags,
        noted_metrics(version),
        decision_note(version),
        rollback_note(version),
    )
    return render(
        "version",
        version=version,
        known=known,
        tags=tags,
        standing=standing(version, others).sentence,
        served=version.served,
        tried=version.tried,
        decided=decided,
        against=_against(version, decided),
        decided_by=decided and who(decided.by, decided.user),
        decided_at=decided and when(decided.at),
        decision_link=decided and run_link(decided.experiment, decided.run),
        rollback_link=rolled_back and run_link(rolled_back.experiment, rolled_back.run),
        measured=measured_lines(metrics, version.dimension),
        metrics={name: value for name, value in sorted(metrics.items()) if not names.is_of_decision(name)},
        lineage=lineage(version),
    ).removesuffix("\n")


def lineage(version: Version) -> dict[str, str]:
    """What a version is and where it comes from, by names as people read them."""
    of = {label(t): v for t, v in version.tags.items() if t.startswith(tags.PREFIX) and t not in NO_LINEAGE}
    return dict(sorted(of.items()))


def refresh(store: Store, version: Version, others: Sequence[Version] = ()) -> None:
    """Write the page of a version, unless it says so already."""
    text = version_page(version, others)
    if text != version.page:
        store.client.update_model_version(model_name(version.dimension), str(version.number), text)


def refresh_pages(store: Store, dimension: str, numbers: Sequence[int]) -> None:
    """Write the pages of these versions of a dimension as their tags are now; 0 stands for none."""
    stored = versions(store, dimension)
    for version in stored:
        if version.number in numbers:
            refresh(store, version, stored)


def measured_lines(metrics: Mapping[str, float], dimension: str) -> list[str]:
    """What was measured for the last decision, a line each; empty where nothing was."""
    lines = []
    own = _win_rate(metrics, dimension)
    if own:
        lines.append(f"{names.WIN_RATE} on {dimension}: {own}")
    for name in metrics:
        head, _, other = name.partition("/")
        if head == names.WIN_RATE and other:
            judged = "by the held-out judge" if other == names.HELD_OUT else f"on {other}"
            lines.append(f"{names.WIN_RATE} {judged}: {_win_rate(metrics, other, guard=True)}")
    for name in (names.PERPLEXITY, names.REPETITION, names.KL, names.MEAN_TOKENS):
        if name in metrics:
            lines.append(f"{name}: {metrics[name]:.4g}")
    if names.EVALUATION_ACCURACY in metrics:
        line = f"{names.EVALUATION_ACCURACY} (held-out pairs): {metrics[names.EVALUATION_ACCURACY]:.3f}"
        if names.EVALUATION_LONGER in metrics:
            line += f", where preferring the longer response gets {metrics[names.EVALUATION_LONGER]:.3f}"
        lines.append(line)
    if names.EVALUATION_IMPLICIT in metrics:
        right = metrics[names.EVALUATION_IMPLICIT]
        lines.append(f"{names.EVALUATION_IMPLICIT} (what was learned, held-out pairs): {right:.3f}")
    return lines


def _win_rate(metrics: Mapping[str, float], dimension: str, *, guard: bool = False) -> str:
    def value(name: str) -> float | None:
        return metrics.get(names.guard_name(name, dimension) if guard else name)

    rate, low, high, n, p = map(
        value,
        (names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N, names.P_VALUE),
    )
    if rate is None or low is None or high is None or n is None:
        return ""
    text = str(Estimate(rate, (low, high), int(n)))
    if p is not None:
        text += f", p {p:.2g}"
    if not guard and (adjusted := metrics.get(names.P_ADJUSTED)) is not None:
        text += f", adjusted {adjusted:.2g}"
    return text


def _against(version: Version, decided: DecisionNote | None) -> str:
    if decided is None:
        return ""
    if not decided.against:
        return "the base model"
    return f"[{place(decided.against)}]({version_link(version.dimension, decided.against)})"
