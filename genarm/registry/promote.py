"""Making a challenger the champion, in steps that can be undone after a crash between any two of them.

1. refuse where the decision is stale or not `promote`, or the version is unknown or blocked
2. log the decision
3. note the aliases on the version, mark it pending, let it be served at the weight and guidance that the
   decision saw, move the aliases to it                                          (`pending.begin_promotion`)
4. fetch it through the alias `champion` and smoke test it
5. read the alias once more, note who promoted it, when and why, lift a block, mark it done

A failure in 4 puts the aliases back and marks the version `failed: reason`. What a crash leaves between 3
and 5 is reverted by `reconcile`.
"""

import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from genarm.errors import GenarmError, RegistryError, StaleDecision
from genarm.registry import tags
from genarm.registry.champions import champions, describe, fetch
from genarm.registry.decision_log import log_decision
from genarm.registry.pending import begin_promotion, revert_promotion
from genarm.registry.repair import repair, unfinished
from genarm.registry.standing import DONE
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.user import user_name
from genarm.registry.version_page import refresh
from genarm.registry.versions import Use, Version, aliases, delete_tag, find, get, point, set_tag, versions
from genarm.system.process import OnLine, ignore
from genarm.types import Champion, Decision

SmokeTest = Callable[[Path], None]


@translates_errors
def promote(
    store: Store,
    dimension: str,
    decision: Decision,
    *,
    smoke_test: SmokeTest,
    actor: str,
    report_sha256: str = "",
    force: str = "",
    metrics: Mapping[str, float] | None = None,
    say: OnLine = ignore,
) -> int:
    """Make the challenger of a decision the champion, unless it is already; its version number.

    `force` is a person's reason to promote in spite of the outcome or a block. `metrics` are logged with the
    decision, if that is not on record yet. `say` gets a sentence on what
    an earlier crash had left and is repaired first, and on a promotion that was done before. Raises
    StaleDecision where the champion is not the one the challenger was measured against, or another becomes
    it meanwhile; RegistryError where the outcome is not `promote`, the version is blocked or unknown, or the
    smoke test fails (the old champion then stays).
    """
    if decision.dimension != dimension:
        raise RegistryError(
            f"a decision on {decision.dimension!r} promotes nothing on {dimension!r}",
            hint=f"promote {decision.dimension!r} with it",
        )
    if decision.outcome != "promote" and not force:
        raise RegistryError(
            f"the decision on {dimension} is {decision.outcome!r}, not 'promote': "
            + "; ".join(decision.reasons),
            hint=f"to promote it all the same: genarm registry promote {dimension} --force REASON",
        )
    with store.lock() as held:
        for line in repair(held, dimension):
            say(line)
        champion = champions(held, [dimension])[dimension]
        if (
            champion
            and champion.adapter_sha256 == decision.challenger_sha256
            and (decision.weight is None or Use.of(champion) == _use(decision))
        ):
            known = get(held, dimension, champion.version).tags
            say(
                f"{dimension}: version {champion.version} was promoted before, by "
                f"{known.get(tags.PROMOTED_BY, 'hand')} at {known.get(tags.PROMOTED_AT, 'an unknown time')}"
            )
            return champion.version
        version = _challenger(held, decision, force=bool(force))
        _check_measured_against(champion, decision)
        use = _use(decision, version)
        run_id = log_decision(
            held, decision, actor=actor, report_sha256=report_sha256, force=force, metrics=metrics
        )
        version = begin_promotion(held, version, use)
        _check_in_use(held, version, smoke_test)
        notes = {
            tags.PROMOTED_BY: actor,
            tags.PROMOTED_USER: user_name(),
            tags.PROMOTED_AT: datetime.now(UTC).isoformat(timespec="seconds"),
            tags.REPORT_SHA256: report_sha256,
            tags.DECISION_RUN: run_id,
            **use.tried(),
        }
        _finish(held, version, notes, run_id)
    return version.number


def _challenger(store: Store, decision: Decision, *, force: bool) -> Version:
    """The registered version of a decision's challenger, which may be blocked only with `force`."""
    dimension = decision.dimension
    version = find(store, dimension, decision.challenger_sha256)
    if version is None:
        raise RegistryError(
            f"{store.address} has no version of {model_name(dimension)} with adapter "
            f"{decision.challenger_sha256[:12]}",
            hint="register it first: genarm run",
        )
    if (why := blocked(store, dimension, version.sha256)) and not force:
        raise RegistryError(
            why,
            hint="train another, or lift the block: "
            f"genarm registry promote {dimension} --version {version.number} --force REASON",
        )
    return version


def _use(decision: Decision, version: Version | None = None) -> Use:
    """What a decision is on: the weight and guidance that were measured.

    Where the decision is of earlier genarm, which did not say it: those that the version is tried at.
    """
    if decision.weight is not None:
        return Use(decision.weight, decision.guidance or "sum")
    if version is None or version.tried is None:
        number = version.number if version else ""
        raise RegistryError(
            f"the decision on {decision.dimension} names no weight, and neither does version {number}",
            hint="decide again: genarm run",
        )
    return version.tried


def _check_measured_against(champion: Champion | None, decision: Decision) -> None:
    """Refuse a decision that another promotion or rollback has overtaken."""
    if _identity(champion) != _identity(decision.champion):
        raise StaleDecision(
            f"{decision.dimension}: decided against {_described(decision.champion)}, "
            f"but the champion is {_described(champion)}",
            hint="decide again: genarm run",
        )


def _check_in_use(store: Store, version: Version, smoke_test: SmokeTest) -> None:
    """Fetch the new champion as its users will, and try it; put the aliases back where that fails."""
    dimension = version.dimension
    _check_alias(store, version)
    try:
        with tempfile.TemporaryDirectory() as folder:
            smoke_test(fetch(store, dimension, version.champion(), Path(folder) / dimension))
    except Exception as error:
        if isinstance(error, GenarmError) and error.retryable:  # it says nothing of the version
            revert_promotion(store, dimension, version.number, f"reverted: {error}")
            raise
        revert_promotion(store, dimension, version.number, f"failed: {error}")
        champion = champions(store, [dimension])[dimension]
        raise RegistryError(
            f"{version.name} failed its smoke test and is not promoted: {error}",
            hint=f"{describe(champion, 'the base model')} stays in use",
        ) from error
    except BaseException:  # Ctrl-C
        revert_promotion(store, dimension, version.number, "reverted: interrupted")
        raise


def _finish(store: Store, version: Version, notes: dict[str, str], run_id: str) -> None:
    for tag, value in notes.items():
        if value and version.tags.get(tag) != value:
            set_tag(store, version, tag, value)
    if tags.BLOCKED in version.tags:  # a person lifted it; the reason is in the decision's run
        delete_tag(store, version, tags.BLOCKED)
    stored = versions(store, version.dimension)
    [promoted] = [other for other in stored if other.number == version.number]
    for other in stored:  # a crash from here on either leaves the pages right or is reverted with them
        if other.number in (version.number, promoted.number_in(tags.PROMOTION_FROM)):
            refresh(store, other, stored)
    _check_alias(store, version)
    set_tag(store, version, tags.PROMOTION, DONE)
    delete_tag(store, version, tags.PROMOTION_USE)
    store.client.set_tag(run_id, tags.PROMOTED_VERSION, str(version.number))
    if tags.CHALLENGER in promoted.aliases:
        point(store, version.dimension, tags.CHALLENGER, 0)


def _check_alias(store: Store, version: Version) -> None:
    """Refuse to call a version promoted whose alias somebody else has moved, in spite of the lock."""
    now = aliases(store, version.dimension).get(tags.CHAMPION, 0)
    if now != version.number:
        revert_promotion(store, version.dimension, version.number, f"reverted: overtaken by version {now}")
        raise StaleDecision(
            f"{version.name} is not promoted: somebody else made version {now} the champion meanwhile",
            hint="decide again: genarm run",
        )


@translates_errors
def blocked(store: Store, dimension: str, sha256: str) -> str:
    """Why an adapter must not be promoted; empty where nothing forbids it."""
    version = find(store, dimension, sha256)
    reason = version.tags.get(tags.BLOCKED) if version else None
    return f"{version.name} is blocked: {reason}" if version and reason else ""


@translates_errors
def manual_decision(
    store: Store, dimension: str, version: int | str, reason: str, *, say: OnLine = ignore
) -> Decision:
    """A person's decision for a version against today's champion, to be promoted with `force=reason`.

    A version that is on trial is promoted as it is tried, any other as it was promoted before. `say` gets a
    sentence on what an earlier crash had left: today's champion is the one after its repair.
    """
    if unfinished(store, dimension):
        with store.lock() as held:
            for line in repair(held, dimension):
                say(line)
    chosen = get(store, dimension, version)
    as_champion = chosen.champion()
    on_trial = chosen.tried if tags.CHALLENGER in chosen.aliases else None
    use = on_trial or Use.of(as_champion)
    return Decision(
        dimension=dimension,
        outcome="promote",
        reasons=[f"chosen by hand: {reason}"],
        challenger_sha256=as_champion.adapter_sha256,
        champion=champions(store, [dimension])[dimension],
        weight=use.weight,
        guidance=use.guidance,
    )


def _identity(champion: Champion | None) -> tuple[int, str, Use] | None:
    return (champion.version, champion.adapter_sha256, Use.of(champion)) if champion else None


def _described(champion: Champion | None) -> str:
    said = describe(champion, "the base model")
    return f"{said} at {Use.of(champion)}" if champion else said
