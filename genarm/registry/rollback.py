"""Putting an earlier version back in use, in steps that are completed after a crash between any two of them.

1. refuse where there is nothing to go back from or to, or the target is blocked
2. note target and reason on the champion                                        (`pending.begin_rollback`)
3. block the champion, move the aliases, log the rollback, remove the note    (`pending.complete_rollback`)
4. tell whoever asked for it, then forget that it was not told                (`decision_log.forget_untold`)

Once 2 is written, `reconcile` completes 3. Whoever repeats a command that was interrupted before 4 finds that
it is done: nobody else is rolled back, whatever happened meanwhile.
"""

from dataclasses import replace

from genarm.errors import RegistryError
from genarm.registry import tags
from genarm.registry.decision_log import find_untold, forget_untold
from genarm.registry.model_files import has_files
from genarm.registry.pending import REASON_LENGTH, RollbackPlan, begin_rollback, complete_rollback
from genarm.registry.promote import blocked
from genarm.registry.repair import repair, unfinished
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.user import user_name
from genarm.registry.versions import Version, aliases, get
from genarm.system.process import OnLine, ignore


@translates_errors
def rollback(
    store: Store,
    dimension: str,
    reason: str,
    to: int | None = None,
    *,
    actor: str = "",
    say: OnLine = ignore,
    tell: OnLine = ignore,
) -> int:
    """Put an earlier version back in use and block the present one; the version number now in use.

    `to` is a version number, 0 for the base model alone, or None for the alias `previous`. `say` gets a
    sentence on what an earlier crash had left and is repaired first; `tell` gets the sentence on what was
    done, also where the same command had been interrupted and was completed before: it does not happen
    twice, unless somebody was told of the first. Raises RegistryError where there is nothing to go back from
    or to, and StaleDecision where another version became the champion meanwhile.
    """
    if not reason.strip():
        raise RegistryError(
            "a rollback needs a reason: it is what the blocked version will say", hint="--reason TEXT"
        )
    plan = RollbackPlan(0, reason.strip()[:REASON_LENGTH], actor, to, user_name())
    key = plan.key(dimension)
    with store.lock() as held:
        interrupted = any(tags.ROLLBACK in version.tags for version in unfinished(held, dimension))
        repaired = repair(held, dimension)
        for line in repaired:
            say(line)
        before = find_untold(held, key)
        if before is None:
            if interrupted:
                raise RegistryError(
                    f"another rollback had been interrupted and was seen to first: {'; '.join(repaired)}",
                    hint="nothing else was done; to go back further, type the command again",
                )
            demoted, target = _checked(held, dimension, to)
            plan = replace(plan, to=target)
            begin_rollback(held, demoted, plan)
            champion = complete_rollback(held, demoted, plan)
        else:
            champion = aliases(held, dimension).get(tags.CHAMPION, 0)
    tell(f"{dimension}: {_outcome(champion, before)}")
    forget_untold(store, key)
    return champion


def _outcome(champion: int, before: tuple[int, int] | None) -> str:
    """What is told; `before` is from where to where the same command, interrupted, had gone already."""
    if before and champion != before[1]:
        return (
            f"this rollback, from version {before[0]} to {before[1]}, had been interrupted and was completed "
            f"since, and after it version {champion} became the champion: nothing is done now"
        )
    said = f"version {champion} is the champion again" if champion else "back to the base model"
    return said + ("; this rollback had been interrupted and was completed since" if before else "")


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
        version = get(store, dimension, target)
        sha256 = version.champion().adapter_sha256
        if (pruned := version.tags.get(tags.PRUNED)) and not has_files(store, version):
            raise RegistryError(
                f"genarm gc removed the files of {version.name} on {pruned}",
                hint="choose another with --to N: genarm registry list",
            )
        if why := blocked(store, dimension, sha256):
            raise RegistryError(why, hint="choose another with --to N: genarm registry list")
    return get(store, dimension, champion), target
