"""What an experiment may name: the methods and the trainers, each with its settings."""

from genarm.config import Section
from genarm.experiments.methods import METHODS
from genarm.experiments.trainers import TRAINERS


def listing() -> list[dict[str, str]]:
    """A row for each method and trainer: what it is, and the settings that it takes."""
    rows = [
        {"name": name, "kind": "method", "what": kind.about, "settings": _settings(kind.settings)}
        for name, kind in METHODS.items()
    ]
    return rows + [
        {"name": name, "kind": "trainer", "what": kind.about, "settings": _settings(kind.settings)}
        for name, kind in TRAINERS.items()
    ]


def _settings(section: type[Section]) -> str:
    return ", ".join(section.model_fields) or "none"
