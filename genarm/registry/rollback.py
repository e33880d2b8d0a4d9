"""Putting an earlier version back in use, in steps that are completed after a crash between any two of them.

1. refuse where there is nothing to go back from or to, or the target is blocked
2. note target and reason on the champion                                        (`pending.begin_rollback`)
3. block the champion, move the aliases, log the rollback, remove the note    (`pending.complete_rollback`)
4. tell whoever asked for it, then forget that it was not told                  (`pending.forget_rollback`)

Once 2 is written, `reconcile` completes 3. Whoever repeats a command that was interrupted before 4 finds that
it is done, and does not go back one version more.
"""

from collections.abc import Callable
from dataclasses import replace

from genarm.errors import RegistryError
from genarm.registry import tags
from genarm.registry.pending import (
    REASON_LENGTH,
    RollbackPlan,
    begin_rollback,
    complete_rollback,
    forget_rollback,
)
from genarm.registry.promote import blocked
from genarm.registry.repair import repair
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.versions import Version, aliases, get, versions
from genarm.system.process import OnLine, ignore

Told = Callable[[int, bool], None]


@translates_errors
def rollback(
    store: Store,
    dimension: str,
    reason: str,
    to: int | None = None,
    *,
    actor: str = "",
    say: OnLine = ignore,
    told: Told = lambda number, already: None,
) -> int:
    """Put an earlier version back in use and block the present one; the version number now in use.

    `to` is a version number, 0 for the base model alone, or None for the alias `previous`. `say` gets a
    sentence on what an earlier crash had left and is repaired first. `told` gets the version in use, and
    whether this very rollback had been interrupted and completed before: it does not happen twice, unless
    somebody was told of the first. Raises RegistryError where there is nothing to go back from or to, and
    StaleDecision where another version became the champion meanwhile.
    """
    if not reason.strip():
        raise RegistryError("a rollback needs a reason: it is what the blocked version will say")
    with store.lock() as held:
        interrupted = any(tags.ROLLBACK in version.tags for version in versions(held, dimension))
        for line in repair(held, dimension):
            say(line)
        asked = RollbackPlan(0, reason.strip()[:REASON_LENGTH], actor, to)
        before = _done_before(held, dimension, asked, interrupted)
        if before:
            demoted, target = before
        else:
            demoted, target = _checked(held, dimension, to)
            plan = replace(asked, to=target)
            begin_rollback(held, demoted, plan)
            target = complete_rollback(held, demoted, plan)
    told(target, before is not None)
    forget_rollback(store, demoted)
    return target


def _done_before(
    store: Store, dimension: str, asked: RollbackPlan, interrupted: bool
) -> tuple[Version, int] | None:
    """The version and the target of the rollback that is asked for, where it was completed and nobody told.

    Raises RegistryError where another rollback was interrupted, and only now completed: what was asked for
    was asked of a champion that is none any more.
    """
    champion = aliases(store, dimension).get(tags.CHAMPION, 0)
    for version in versions(store, dimension):
        plan = RollbackPlan.noted(version.tags.get(tags.ROLLBACK_DONE, ""))
        if plan is None or plan.to != champion:  # overtaken since
            continue
        if (plan.reason, plan.actor, plan.asked) == (asked.reason, asked.actor, asked.asked):
            return version, plan.to
        if interrupted:
            raise RegistryError(
                f"another rollback of {dimension} had been interrupted and is completed now, from version "
                f"{version.number} to {plan.to}, because: {plan.reason}",
                hint="nothing else was done; to go back further, type the command again",
            )
    return None


def _checked(store: Store, dimension: str, to: int | None) -> tuple[Version, int]:
    """The version to go back from, and the number of the one to go back to."""
    numbers = aliases(store, dimension)
    champion = numbers.get(tags.CHAMPION)
    if champion is None:
        raise RegistryError(
            f"{dimension} has no champion in {store.address}: nothing to roll back",
            hint="what there is, and what became of it: genarm registry list",
        )
    target = numbers.get(tags.PREVIOUS) if to is None else to
    if target is None:
        raise RegistryError(
            f"{dimension} has no champion before version {champion}",
            hint="name one with --to N (genarm registry list), or --to 0 for the base model alone",
        )
    if target == champion:
        raise RegistryError(
            f"version {target} of {model_name(dimension)} is the champion already",
            hint="name another with --to N: genarm registry list",
        )
    if target:
        sha256 = get(store, dimension, target).champion().adapter_sha256
        if why := blocked(store, dimension, sha256):
            raise RegistryError(why, hint="choose another with --to N: genarm registry list")
    return get(store, dimension, champion), target
