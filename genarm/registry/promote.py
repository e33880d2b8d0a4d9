"""Moving the champion alias, so that a crash between any two writes can be repaired.

MLflow has no transactions, so each change first states what it is about to do.

promote                                            rollback
1. tag the new version with the aliases as they    1. tag the champion genarm.rollback = target, reason
   were, then genarm.promotion = pending           2. tag it genarm.blocked = reason
2. alias previous = the old champion               3. alias champion = target
3. alias champion = the new version                4. alias previous = the champion before the target
4. fetch it through the alias, smoke test          5. log it in genarm/decisions
5. tag genarm.promotion = done                     6. tag genarm.promotion = rolled back, then
                                                      delete the tag genarm.rollback
A failure in 4 puts the aliases back and tags `failed: reason`. `reconcile` reverts a promotion that is still
pending (the decision stands, so the next run promotes again, with its smoke test), and completes a rollback.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from genarm.errors import RegistryError, StaleDecision
from genarm.registry.champions import champions, fetch
from genarm.registry.decision_log import log_decision, log_rollback
from genarm.registry.store import Store, asking
from genarm.registry.versions import Version, aliases, find, get, model_name, versions
from genarm.types import Champion, Decision

STATE, FROM, PREVIOUS = "genarm.promotion", "genarm.promotion_from", "genarm.promotion_previous"
BLOCKED, ROLLBACK = "genarm.blocked", "genarm.rollback"
REASON_LENGTH = 500


@asking
def promote(
    store: Store,
    dimension: str,
    decision: Decision,
    *,
    smoke_test: Callable[[Path], None],
    actor: str,
    report_sha256: str = "",
    force: str = "",
) -> int:
    """Make the challenger of a decision the champion, unless it is already; its version number.

    `force` is a person's reason to promote whatever the outcome or a block says. Raises StaleDecision where
    the champion is not the one the challenger was measured against, RegistryError where the outcome is not
    `promote`, the version is blocked or unknown, or the smoke test fails (the old champion then stays).
    """
    if decision.dimension != dimension:
        raise RegistryError(f"a decision on {decision.dimension!r} promotes nothing on {dimension!r}")
    if decision.outcome != "promote" and not force:
        raise RegistryError(
            f"the decision on {dimension} is {decision.outcome!r}, not 'promote': "
            + "; ".join(decision.reasons),
            hint=f"to promote it all the same: genarm registry promote {dimension} --force REASON",
        )
    with store.lock():
        _reconcile(store, dimension)
        champion = champions(store, [dimension])[dimension]
        if champion and champion.adapter_sha256 == decision.challenger_sha256:
            return champion.version
        version = find(store, dimension, decision.challenger_sha256)
        if version is None:
            raise RegistryError(
                f"{store.where} has no version of {model_name(dimension)} with adapter "
                f"{decision.challenger_sha256[:12]}",
                hint="register it first: genarm run",
            )
        if (why := blocked(store, dimension, version.sha256)) and not force:
            raise RegistryError(
                why,
                hint="train another, or lift the block: "
                f"genarm registry promote {dimension} --version {version.number} --force REASON",
            )
        if _key(champion) != _key(decision.champion):
            raise StaleDecision(
                f"{dimension}: decided against {_say(decision.champion)}, "
                f"but the champion is {_say(champion)}",
                hint="decide again: genarm run",
            )
        run = log_decision(store, decision, actor=actor, report_sha256=report_sha256, force=force)
        _promote(store, version, smoke_test, actor, report_sha256, run)
    return version.number


def _promote(
    store: Store, version: Version, smoke_test: Callable[[Path], None], actor: str, report: str, run: str
) -> None:
    dimension, named = version.dimension, aliases(store, version.dimension)
    old = named.get("champion", 0)
    _tag(store, version, FROM, str(old))
    _tag(store, version, PREVIOUS, str(named.get("previous", 0)))
    _tag(store, version, STATE, "pending")
    if old:
        _point(store, dimension, "previous", old)
    _point(store, dimension, "champion", version.number)
    try:
        with tempfile.TemporaryDirectory() as place:
            seen = champions(store, [dimension])[dimension]
            if seen != version.champion():
                raise RegistryError(f"the alias champion reads back as {_say(seen)}, not {version.number}")
            smoke_test(fetch(store, dimension, seen, Path(place) / dimension))
    except Exception as error:
        _revert(store, dimension, version.number, f"failed: {error}")
        raise RegistryError(
            f"version {version.number} of {model_name(dimension)} failed its smoke test and is not promoted: "
            f"{error}",
            hint=f"{_say(champions(store, [dimension])[dimension])} stays in use",
        ) from error
    except BaseException:  # Ctrl-C
        _revert(store, dimension, version.number, "reverted: interrupted")
        raise
    now = datetime.now(UTC).isoformat(timespec="seconds")
    notes = {"promoted_by": actor, "promoted_at": now, "report_sha256": report, "decision_run": run}
    for key, value in notes.items():
        if value:
            _tag(store, version, f"genarm.{key}", value)
    if BLOCKED in version.tags:  # lifted by a person, with a reason that the trail has
        store.client.delete_model_version_tag(model_name(dimension), str(version.number), BLOCKED)
    _tag(store, version, STATE, "done")
    store.client.set_tag(run, "genarm.promoted_version", str(version.number))
    if aliases(store, dimension).get("challenger") == version.number:
        _point(store, dimension, "challenger", 0)


@asking
def blocked(store: Store, dimension: str, sha256: str) -> str:
    """Why an adapter must not be promoted; empty where nothing forbids it."""
    version = find(store, dimension, sha256)
    reason = version.tags.get(BLOCKED) if version else None
    return (
        f"version {version.number} of {model_name(dimension)} is blocked: {reason}"
        if version and reason
        else ""
    )


@asking
def rollback(store: Store, dimension: str, reason: str, to: int | None = None, *, actor: str = "") -> int:
    """Put an earlier version back in use and block the present one; the version number now in use.

    `to` is a version number, 0 for the base model alone, or None for the alias `previous`. Raises
    RegistryError where there is nothing to go back from or to.
    """
    if not reason.strip():
        raise RegistryError("a rollback needs a reason: it is what the blocked version will say")
    with store.lock():
        _reconcile(store, dimension)
        named = aliases(store, dimension)
        if "champion" not in named:
            raise RegistryError(f"{dimension} has no champion in {store.where}: nothing to roll back")
        target = named.get("previous") if to is None else to
        if target is None:
            raise RegistryError(
                f"{dimension} has no champion before version {named['champion']}",
                hint="name one with --to N (genarm registry list), or --to 0 for the base model alone",
            )
        if target == named["champion"]:
            raise RegistryError(f"version {target} of {model_name(dimension)} is the champion already")
        if target and (why := blocked(store, dimension, get(store, dimension, target).sha256)):
            raise RegistryError(
                why,
                hint="choose another with --to N: genarm registry list",
            )
        champion = get(store, dimension, named["champion"])
        plan = {"to": target, "reason": reason.strip()[:REASON_LENGTH], "actor": actor}
        _tag(store, champion, ROLLBACK, json.dumps(plan))
        _complete_rollback(store, get(store, dimension, champion.number))
    return target


def _complete_rollback(store: Store, demoted: Version) -> int:
    """Steps 2 to 6, each of which may have been done before."""
    dimension, plan = demoted.dimension, json.loads(demoted.tags[ROLLBACK])
    target = int(plan["to"])
    _tag(store, demoted, BLOCKED, plan["reason"])
    _point(store, dimension, "champion", target)
    _point(store, dimension, "previous", _champion_before(store, dimension, target))
    log_rollback(store, demoted, target, plan["reason"], plan["actor"])
    _tag(store, demoted, STATE, f"rolled back: {plan['reason']}")
    store.client.delete_model_version_tag(model_name(dimension), str(demoted.number), ROLLBACK)
    return target


def _champion_before(store: Store, dimension: str, number: int) -> int:
    """The version that `number` replaced, skipping those that are gone or blocked; 0 for none."""
    held = {v.number: v for v in versions(store, dimension)}
    seen = {number}
    while number in held:
        number = int(held[number].tags.get(FROM, "0"))
        if number in seen:
            return 0
        seen.add(number)
        if number in held and BLOCKED not in held[number].tags:
            return number
    return 0


@asking
def reconcile(store: Store, dimensions: Sequence[str]) -> list[str]:
    """Repair what a crash left half done; a sentence for each repair."""
    with store.lock():
        return [line for dimension in dimensions for line in _reconcile(store, dimension)]


def _reconcile(store: Store, dimension: str) -> list[str]:
    lines = []
    for version in versions(store, dimension):
        if ROLLBACK in version.tags:
            target = _complete_rollback(store, version)
            lines.append(f"{dimension}: completed the rollback from version {version.number} to {target}")
        elif version.tags.get(STATE) == "pending":
            _revert(store, dimension, version.number, "reverted: interrupted before the smoke test")
            lines.append(f"{dimension}: reverted the unfinished promotion of version {version.number}")
    held, named = {v.number for v in versions(store, dimension)}, aliases(store, dimension)
    for alias, number in named.items():
        if number in held:
            continue
        # The champion of yesterday is a safer answer than none.
        fallback = named.get("previous", 0) if alias == "champion" else 0
        now = _point(store, dimension, alias, fallback)
        lines.append(
            f"{dimension}: alias {alias} pointed to version {number}, which is gone; now {now or 'unset'}"
        )
    named = aliases(store, dimension)
    if "challenger" in named and named["challenger"] == named.get("champion"):
        _point(store, dimension, "challenger", 0)
        lines.append(f"{dimension}: version {named['champion']} is the champion, no longer on trial")
    return lines


def _revert(store: Store, dimension: str, number: int, state: str) -> None:
    """Put the aliases back as they were before the promotion; an alias moved by hand since is left alone."""
    version, named = get(store, dimension, number), aliases(store, dimension)
    old, before = int(version.tags[FROM]), int(version.tags[PREVIOUS])
    if named.get("champion", 0) in (number, old):
        _point(store, dimension, "champion", old)
        _point(store, dimension, "previous", before)
    _tag(store, version, STATE, state[:REASON_LENGTH])


def manual_decision(store: Store, dimension: str, version: int | str, reason: str) -> Decision:
    """A person's decision for a version against the champion of now, to be promoted with `force=reason`."""
    chosen = get(store, dimension, version)
    return Decision(
        dimension=dimension,
        outcome="promote",
        reasons=[f"chosen by hand: {reason}"],
        challenger_sha256=chosen.sha256,
        champion=champions(store, [dimension])[dimension],
    )


def _point(store: Store, dimension: str, alias: str, number: int) -> int:
    """Point an alias to a version, or to nothing where that is 0 or gone; where it points now."""
    name = model_name(dimension)
    if number in {v.number for v in versions(store, dimension)}:
        store.client.set_registered_model_alias(name, alias, str(number))
        return number
    if alias in aliases(store, dimension):
        store.client.delete_registered_model_alias(name, alias)
    return 0


def _tag(store: Store, version: Version, key: str, value: str) -> None:
    store.client.set_model_version_tag(model_name(version.dimension), str(version.number), key, value)


def _key(champion: Champion | None) -> tuple[int, str] | None:
    return (champion.version, champion.adapter_sha256) if champion else None


def _say(champion: Champion | None) -> str:
    return f"version {champion.version} ({champion.adapter_sha256[:12]})" if champion else "the base model"
