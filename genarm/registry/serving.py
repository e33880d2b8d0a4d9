"""What a version is served at: the weight and guidance that it was promoted with, however it was tried since.

A version is found by the hash of its adapter. So a training that gives the bytes of an earlier champion puts
that version on trial again, perhaps at another weight, and no decision has seen the version at that weight
yet. Two pairs of tags tell the two apart:

genarm.weight, genarm.guidance                      how it is tried: written whenever it is put on trial
genarm.promoted_weight, genarm.promoted_guidance    how it is served: written by a promotion alone, undone
                                                    with it, and noted where a version without them is
                                                    tried anew, or a rollback puts it in use

The card among its files, which whoever loads it from MLflow reads, has the second pair once there is one. A
version that earlier genarm promoted has only the first, which then says how it was promoted.
"""

import json
from dataclasses import asdict, replace

from genarm.errors import DataError
from genarm.registry import tags
from genarm.registry.model_files import store_card, stored_card
from genarm.registry.standing import DONE, ROLLED_BACK
from genarm.registry.store import Store
from genarm.registry.versions import Use, Version, delete_tag, set_tag
from genarm.system.files import read_value
from genarm.types import ArmCard


def is_settled(version: Version) -> bool:
    """Whether a version was ever in use: only a promotion may change how it is served."""
    state = version.tags.get(tags.PROMOTION, "")
    return (
        version.notes_use
        or tags.PROMOTED_AT in version.tags
        or state == DONE
        or state.startswith(ROLLED_BACK)
        or bool({tags.CHAMPION, tags.PREVIOUS} & set(version.aliases))
    )


def settle(store: Store, version: Version) -> None:
    """Note on a version that was in use how it is served, before it is tried in another way."""
    if not version.notes_use:
        _tag(store, version, Use.of(version.champion()).promoted())


def as_served(version: Version, card: ArmCard) -> ArmCard:
    """The card that belongs among the files of a version that was in use."""
    use = Use.of(version.champion())
    return replace(card, weight=use.weight, guidance=use.guidance)


def begin_use(store: Store, version: Version, use: Use) -> Version:
    """Serve a version that is being promoted by `use`; it was noted how before (`note_use`)."""
    _tag(store, version, use.promoted())
    write_use(store, version, use)
    return replace(version, tags={**version.tags, **use.promoted()})


def note_use(version: Version) -> str:
    """What `undo_use` reads: how a version is served now, null for one that was never promoted."""
    known = version.served if version.notes_use else None
    return json.dumps(asdict(known) if known else None)


def undo_use(store: Store, version: Version) -> Version:
    """Serve a version as it was before the promotion that is undone, as noted on it; the version then."""
    if tags.PROMOTION_USE not in version.tags:  # the promotion of an earlier genarm, which changed neither
        return version
    before, noted = _noted(version.tags[tags.PROMOTION_USE]), dict(version.tags)
    if before:
        _tag(store, version, before.promoted())
        noted |= before.promoted()
    else:
        for tag in (tags.PROMOTED_WEIGHT, tags.PROMOTED_GUIDANCE):
            if noted.pop(tag, None) is not None:
                delete_tag(store, version, tag)
    undone = replace(version, tags=noted)
    if undone.served:
        write_use(store, undone, undone.served)
    return undone


def serve_again(store: Store, version: Version) -> None:
    """Make ready a version that a rollback puts in use: tags and files say what it was promoted with."""
    use = version.served
    if use is None:  # edited by hand, which `reconcile` mends
        return
    if not version.notes_use:
        _tag(store, version, use.promoted())
    if version.tried != use:
        _tag(store, version, use.tried())
    write_use(store, version, use)


def write_use(store: Store, version: Version, use: Use) -> None:
    """Let the card among a version's files say how it is served, unless it does, or there is none."""
    card = stored_card(store, version)
    if card is not None and Use.of(card) != use:
        store_card(store, version, replace(card, weight=use.weight, guidance=use.guidance))


def _noted(text: str) -> Use | None:
    try:
        return read_value(json.loads(text), Use, tags.PROMOTION_USE) if text != "null" else None
    except (ValueError, DataError):
        return None


def _tag(store: Store, version: Version, wanted: dict[str, str]) -> None:
    for tag, value in wanted.items():
        if version.tags.get(tag) != value:
            set_tag(store, version, tag, value)
