"""Who labelled the pairs: what `labels.yaml` beside the data files says of each of them."""

from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from genarm.errors import DataError

FILE = "labels.yaml"


def labelled_by(data: Path, names: Iterable[str]) -> list[str]:
    """Who labelled these files below `data`, each once; empty where the file says nothing of any of them.

    Where it names some of them only, `not known` stands for the others. Raises DataError for a file that is
    no mapping of names to texts.
    """
    file = data / FILE
    if not file.is_file():
        return []
    try:
        said = YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}
    except (YAMLError, UnicodeDecodeError) as error:
        raise _unreadable(type(error).__name__) from None
    if not isinstance(said, dict):
        raise _unreadable(f"a {type(said).__name__}")
    if strange := next((name for name, who in said.items() if not isinstance(who, str)), None):
        raise _unreadable(f"{strange}: {said[strange]!r}")
    found = list(dict.fromkeys(said.get(name, "not known") for name in names))
    return [] if found == ["not known"] else found


def _unreadable(what: str) -> DataError:
    return DataError(
        f"data/{FILE} holds {what}, not who labelled each file",
        hint="a line is `helpful.jsonl: people, by name of the study`, or the name of a scorer first",
    )
