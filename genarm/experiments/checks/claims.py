"""Claims and fronts: what could not be computed from what the experiment measures is refused."""

from collections.abc import Iterator

from genarm.config import nearest
from genarm.experiments.checks.refusal import installed, known, refused
from genarm.experiments.claims_config import ClaimsConfig
from genarm.experiments.load import Experiment

FEWEST = 4  # prompts of a front: two in each half


def check_claims(experiment: Experiment, where: str) -> None:
    """Raise ConfigError with the first claim or front that could not be computed."""
    _fronts(experiment, where)
    config = experiment.config
    if (claims := config.claims) is None:
        return
    known(where, "claims.subject: unknown row", claims.subject, config.methods)
    if claims.equivalent and claims.equivalent.to not in config.methods:
        raise refused(
            where,
            f"claims.equivalent is to the row {claims.equivalent.to!r}"
            f"{nearest(claims.equivalent.to, config.methods)}, which is not among the methods: "
            "equivalence needs the row that it is to, such as `dpo: {method: adapter, adapter: dpo}`",
        )
    for kind, row in _others(claims):
        known(where, f"claims.{kind}: unknown row", row, config.methods)
        if row == claims.subject:
            raise refused(where, f"claims.{kind} compares the subject {row!r} with itself")
    if (gap := claims.recovers) and len({gap.floor, gap.ceiling, gap.control}) < 3:
        raise refused(
            where,
            f"claims.recovers has floor {gap.floor!r}, ceiling {gap.ceiling!r} and control {gap.control!r}, "
            "which must differ",
        )
    _speeds(experiment, claims, where)
    _outcomes(experiment, claims, where)
    for row in claims.front_over and (claims.subject, *claims.front_over):
        if not config.methods[row].front:
            raise refused(where, f"claims.front_over compares fronts, and methods.{row} has no `front`")


def _others(claims: ClaimsConfig) -> Iterator[tuple[str, str]]:
    """Kind of claim and row of all that the subject is compared with."""
    for kind in ("beats", "faster", "front_over"):
        yield from ((kind, row) for row in getattr(claims, kind))
    if claims.equivalent:
        yield "equivalent", claims.equivalent.to
    if gap := claims.recovers:
        for name in ("floor", "ceiling", "control"):
            if (row := getattr(gap, name)) is not None:
                yield f"recovers.{name}", row


def _speeds(experiment: Experiment, claims: ClaimsConfig, where: str) -> None:
    """What is claimed to be faster is timed, at a batch that both rows share."""
    config = experiment.config
    for other in claims.faster:
        own, theirs = (config.speed_of(row) for row in (claims.subject, other))
        if own is None or theirs is None:
            raise refused(where, f"claims.faster: {other!r} is compared by time, and `speed` is null")
        if not set(own.batches) & set(theirs.batches):
            raise refused(
                where,
                f"claims.faster: {claims.subject!r} is timed in batches of {_listed(own.batches)} and "
                f"{other!r} of {_listed(theirs.batches)}: give them one in common",
            )


def _outcomes(experiment: Experiment, claims: ClaimsConfig, where: str) -> None:
    """A judge that gives no scores has compared the rows that a claim is about."""
    config = experiment.config
    dimension, judges = next(iter(config.judges.items()))
    if judges.gold.llm is None:
        return
    pairs = [(kind, claims.subject, row) for kind, row in _others(claims) if kind in ("beats", "equivalent")]
    if gap := claims.recovers:
        rows = (claims.subject, gap.floor, gap.ceiling, gap.control)
        pairs += [("recovers", row, "base") for row in rows if row not in (None, "base")]
    for kind, one, other in pairs:
        if not {one, other} & set(config.over):
            raise refused(
                where,
                f"claims.{kind}: the gold judge of {dimension} compares and gives no scores, so {one!r} is "
                f"compared with {other!r} only if `over` names one of them",
            )


def _fronts(experiment: Experiment, where: str) -> None:
    """Rows with a front can be drawn on two dimensions, by judges that give scores."""
    config = experiment.config
    rows = {name: row for name, row in config.methods.items() if row.front}
    if not rows:
        return
    first = next(iter(rows))
    if len(config.judges) != 2:
        raise refused(
            where, f"methods.{first}: a front is of two dimensions, and judges has {len(config.judges)}"
        )
    for dimension, judges in config.judges.items():
        if judges.gold.llm is not None:
            raise refused(
                where,
                f"methods.{first}: a front needs scores, and {dimension} has a gold judge without",
            )
    if min([config.prompts.n, *(row.prompts or FEWEST for row in rows.values())]) < FEWEST:
        raise refused(where, f"methods.{first}: a front needs {FEWEST} prompts, two in each half")
    installed(where, f"methods.{first}: front", "hypervolume", ("moocore",))


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
