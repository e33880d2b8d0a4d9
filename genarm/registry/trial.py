"""How a version is tried: the alias `challenger`, and the tags that say its weight and guidance.

How a version that was promoted is served is another matter, which a trial leaves alone: `serving`.
"""

from genarm.registry import tags
from genarm.registry.serving import is_settled, settle
from genarm.registry.store import Store
from genarm.registry.version_page import refresh_pages
from genarm.registry.versions import Use, Version, aliases, point, set_tag
from genarm.types import ArmCard


def use_tags(card: ArmCard) -> dict[str, str]:
    """The tags that say how an ARM is used."""
    return Use.of(card).tried()


def _new_use(version: Version, card: ArmCard) -> dict[str, str]:
    """Of these tags, the ones that a version has otherwise; earlier genarm wrote none for the guidance."""
    stored = {tags.GUIDANCE: "sum", **version.tags}
    return {tag: value for tag, value in use_tags(card).items() if stored.get(tag) != value}


def is_used_otherwise(store: Store, version: Version, card: ArmCard) -> bool:
    """Whether it is tried at another weight or guidance than the stored one; the champion's are settled."""
    settled = aliases(store, version.dimension).get(tags.CHAMPION) == version.number
    return not settled and bool(_new_use(version, card))


def put_on_trial(store: Store, version: Version, card: ArmCard) -> None:
    """Set the alias `challenger`, and how it is tried; neither for the champion itself."""
    numbers = aliases(store, version.dimension)
    if numbers.get(tags.CHAMPION) == version.number:
        if tags.CHALLENGER in numbers:
            point(store, version.dimension, tags.CHALLENGER, 0)
        return
    if changed := _new_use(version, card):
        if is_settled(version):
            settle(store, version)
        for tag, value in changed.items():
            set_tag(store, version, tag, value)
        refresh_pages(store, version.dimension, (version.number,))
    if numbers.get(tags.CHALLENGER) != version.number:
        point(store, version.dimension, tags.CHALLENGER, version.number)
