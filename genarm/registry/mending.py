"""What somebody changed by hand in MLflow, found and mended: tags, aliases, runs and files of versions.

genarm identifies a version by tags, and everybody can edit those. What a version is stands in its files too,
in the card of its ARM, so tags are read back from there. `inspect` only looks (`genarm doctor --deep`);
`genarm registry reconcile` also calls what mends them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from genarm.registry import tags
from genarm.registry.lease import busy
from genarm.registry.model_files import has_files, stored_card
from genarm.registry.serving import write_use
from genarm.registry.standing import DONE, PENDING, ROLLED_BACK
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import SHA256, Use, Version, delete_tag, point, run_of, set_tag, versions

ALIASES = (tags.CHAMPION, tags.PREVIOUS, tags.CHALLENGER)
STATES = (PENDING, DONE, "failed: ", "reverted: ", ROLLED_BACK)  # what PROMOTION may begin with
RECONCILE = "genarm registry reconcile"


@dataclass(frozen=True)
class Fault:
    """Something that is not as genarm left it; `mend` puts it right and says how, None where it cannot.

    `fix` is the command of the way out.
    """

    what: str
    fix: str
    mend: Callable[[Store], str] | None = None


@translates_errors
def inspect(store: Store, dimensions: Sequence[str]) -> list[Fault]:
    """What is wrong in a registry: changes left half done, and what somebody edited."""
    return [
        fault
        for dimension in dimensions
        for fault in [*_unfinished(store, dimension), *faults(store, dimension)]
    ]


@translates_errors
def missing_runs(store: Store, dimensions: Sequence[str]) -> list[str]:
    """The versions whose run was deleted and collected: their metrics are lost, and nothing else is."""
    stored = [version for dimension in dimensions for version in versions(store, dimension)]
    return [version.name for version in stored if run_of(store, version) is None]


def faults(store: Store, dimension: str) -> list[Fault]:
    """What somebody edited on a dimension; versions that are just being changed are left out."""
    stored = versions(store, dimension)
    return [
        fault
        for version in stored
        if tags.ROLLBACK not in version.tags and version.tags.get(tags.PROMOTION) != PENDING
        for fault in [*_identity(store, version, stored), *_states(store, version), *_files(store, version)]
    ]


def _unfinished(store: Store, dimension: str) -> Iterator[Fault]:
    """Promotions and rollbacks that nobody is at any more, as far as can be seen without the lock."""
    if store.lock_file is None and busy(store.client):
        return
    for version in versions(store, dimension):
        for change, under_way in (
            ("rollback", tags.ROLLBACK in version.tags),
            ("promotion", version.tags.get(tags.PROMOTION) == PENDING),
        ):
            if under_way:
                what = f"the {change} of {dimension} version {version.number} was left half done"
                yield Fault(what, RECONCILE)


def _identity(store: Store, version: Version, stored: list[Version]) -> Iterator[Fault]:
    """The tags that say what a version is, against the card in its files."""
    in_use = any(alias in ALIASES for alias in version.aliases)
    usable = bool(SHA256.fullmatch(version.sha256)) and bool(version.tried and version.served)
    if usable and not in_use:  # to compare all versions would take a download each
        return
    card = stored_card(store, version)
    if card is None:
        if not usable and in_use:
            yield _foreign(version, stored)
        return
    right, say = {tags.ADAPTER_SHA256: card.adapter_sha256}, "its files say"
    use = Use.of(card)
    if version.notes_use:
        if decided := _decided(store, version):
            use, say = decided, "it was promoted with"
        right |= use.promoted() if version.served != use else {}
    # What was promoted may be on trial in another way, but not while it is the champion.
    if not version.notes_use or tags.CHAMPION in version.aliases or version.tried is None:
        right |= use.tried() if version.tried != use else {}
    if tags.GUIDANCE not in version.tags and use.guidance == "sum":  # which earlier genarm did not say
        right.pop(tags.GUIDANCE, None)
    for tag, value in right.items():
        held = version.tags.get(tag, "")
        if held != value:
            yield Fault(
                f"{version.name} has {tag} = {held[:12]!r}, {say} {value[:12]!r}",
                RECONCILE,
                _setting(version, tag, value),
            )
    if Use.of(card) != use:
        yield Fault(
            f"the files of {version.name} say {Use.of(card)}, it was promoted with {use}",
            RECONCILE,
            _serving(version, use),
        )


def _decided(store: Store, version: Version) -> Use | None:
    """What a version was promoted with, from the decision on it; None where that is not on record."""
    if not version.tags.get(tags.PROMOTION, "").startswith((DONE, ROLLED_BACK)):
        return None  # a promotion that was undone may have left its decision's run
    run = run_of(store, version, tags.DECISION_RUN)
    return Use.read(run.data.tags, tags.WEIGHT, tags.GUIDANCE) if run else None


def _foreign(version: Version, stored: list[Version]) -> Fault:
    """A version that holds no ARM, under an alias that genarm reads."""
    before = next((v for v in stored if tags.PREVIOUS in v.aliases and v.number != version.number), None)
    usable = before is not None and SHA256.fullmatch(before.sha256) and before.served is not None
    fallback = before.number if before and usable else 0

    def mend(store: Store) -> str:
        said = []
        for alias in version.aliases:
            if alias in ALIASES:
                number = point(store, version.dimension, alias, fallback if alias == tags.CHAMPION else 0)
                said.append(f"alias {alias} is now {number or 'unset'}")
        return ", ".join(said)

    held = ", ".join(alias for alias in version.aliases if alias in ALIASES)
    return Fault(f"alias {held} points to {version.name}, which holds no ARM", RECONCILE, mend)


def _states(store: Store, version: Version) -> Iterator[Fault]:
    """The tags that say what became of a version."""
    state, block = version.tags.get(tags.PROMOTION, ""), version.tags.get(tags.BLOCKED, "")
    if tags.PROMOTION in version.tags and not state.startswith(STATES):
        champion = tags.CHAMPION in version.aliases
        yield Fault(
            f"{version.name} has {tags.PROMOTION} = {state!r}, which says nothing",
            RECONCILE,
            _setting(version, tags.PROMOTION, DONE) if champion else _deleting(version, tags.PROMOTION),
        )
    if state.startswith(ROLLED_BACK) and not block:
        reason = state.removeprefix(ROLLED_BACK)
        yield Fault(
            f"{version.name} was rolled back and is not blocked",
            RECONCILE,
            _setting(version, tags.BLOCKED, reason),
        )
    elif tags.BLOCKED in version.tags and not block:
        yield Fault(
            f"{version.name} has an empty {tags.BLOCKED}", RECONCILE, _deleting(version, tags.BLOCKED)
        )
    if block and tags.CHAMPION in version.aliases:
        yield Fault(
            f"{version.name} is the champion, though it is blocked: {block}",
            f"genarm registry rollback {version.dimension} --reason REASON, or genarm registry promote "
            f"{version.dimension} --version {version.number} --force REASON",
        )
    for tag in (tags.PROMOTION_FROM, tags.PROMOTION_PREVIOUS):
        if tag in version.tags and version.number_in(tag) is None:
            yield Fault(
                f"{version.name} has {tag} = {version.tags[tag]!r}, which is no version",
                RECONCILE,
                _setting(
                    version, tag, _noted_champion(store, version) if tag == tags.PROMOTION_FROM else "0"
                ),
            )


def _files(store: Store, version: Version) -> Iterator[Fault]:
    if {tags.CHAMPION, tags.PREVIOUS} & set(version.aliases) and not has_files(store, version):
        yield Fault(
            f"the files of {version.name} are gone",
            "restore them; the ARM trained last is registered anew by genarm run, any other replaced by "
            f"genarm registry rollback {version.dimension} --reason REASON",
        )


def _noted_champion(store: Store, version: Version) -> str:
    """Which champion a version replaced, from the decision on it; 0 where that is not on record."""
    run = run_of(store, version, tags.DECISION_RUN)
    noted = run.data.tags.get(tags.CHAMPION_VERSION, "") if run else ""
    return noted if noted.isascii() and noted.isdigit() else "0"


def _setting(version: Version, tag: str, value: str) -> Callable[[Store], str]:
    def mend(store: Store) -> str:
        set_tag(store, version, tag, value)
        return f"it is {value[:12]!r} again"

    return mend


def _serving(version: Version, use: Use) -> Callable[[Store], str]:
    def mend(store: Store) -> str:
        write_use(store, version, use)
        return "they say so again"

    return mend


def _deleting(version: Version, tag: str) -> Callable[[Store], str]:
    def mend(store: Store) -> str:
        delete_tag(store, version, tag)
        return "the tag is removed"

    return mend
