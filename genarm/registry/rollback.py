"""Putting an earlier version back in use, in steps that are completed after a crash between any two of them.

1. refuse where there is nothing to go back from or to, or the target is blocked
2. note target and reason on the champion                                        (`pending.begin_rollback`)
3. block the champion, move the aliases, log the rollback, remove the note    (`pending.complete_rollback`)

Once 2 is written, `pending.reconcile` completes 3.
"""

from genarm.errors import RegistryError
from genarm.registry import tags
from genarm.registry.pending import begin_rollback, complete_rollback, repair
from genarm.registry.promote import blocked
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.versions import aliases, get


@translates_errors
def rollback(store: Store, dimension: str, reason: str, to: int | None = None, *, actor: str = "") -> int:
    """Put an earlier version back in use and block the present one; the version number now in use.

    `to` is a version number, 0 for the base model alone, or None for the alias `previous`. Raises
    RegistryError where there is nothing to go back from or to.
    """
    if not reason.strip():
        raise RegistryError("a rollback needs a reason: it is what the blocked version will say")
    with store.lock() as held:
        repair(held, dimension)
        champion, target = _checked(held, dimension, to)
        begin_rollback(held, get(held, dimension, champion), target, reason, actor)
        complete_rollback(held, dimension, champion)
    return target


def _checked(store: Store, dimension: str, to: int | None) -> tuple[int, int]:
    """The version numbers to go back from and to."""
    numbers = aliases(store, dimension)
    champion = numbers.get(tags.CHAMPION)
    if champion is None:
        raise RegistryError(f"{dimension} has no champion in {store.address}: nothing to roll back")
    target = numbers.get(tags.PREVIOUS) if to is None else to
    if target is None:
        raise RegistryError(
            f"{dimension} has no champion before version {champion}",
            hint="name one with --to N (genarm registry list), or --to 0 for the base model alone",
        )
    if target == champion:
        raise RegistryError(f"version {target} of {model_name(dimension)} is the champion already")
    if target and (why := blocked(store, dimension, get(store, dimension, target).sha256)):
        raise RegistryError(why, hint="choose another with --to N: genarm registry list")
    return champion, target
