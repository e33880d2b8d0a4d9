"""Files that are not read: which are plainly no data, and how data files are made of those of other kinds."""

from collections.abc import Sequence
from pathlib import PurePath

PLAINLY_NONE = (
    ".md", ".rst", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".html", ".pdf", ".png", ".jpg", ".jpeg",
    ".svg", ".gif", ".py", ".ipynb", ".sh", ".lock", ".dvc",
)  # fmt: skip
NAMES = ("readme", "license", "licence", "notice", "copying", "makefile", "_success")
DESCRIPTIONS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json")  # of data sets
_TO_JSON = "to_json('pairs.jsonl', orient='records', lines=True)"
CONVERSIONS = {
    ".xlsx": f"pandas.read_excel({{name!r}}).{_TO_JSON}",
    ".xls": f"pandas.read_excel({{name!r}}).{_TO_JSON}",
    ".tsv": f"pandas.read_csv({{name!r}}, sep='\\t').{_TO_JSON}",
    ".feather": f"pandas.read_feather({{name!r}}).{_TO_JSON}",
    ".arrow": "datasets.Dataset.from_file({name!r}).to_json('pairs.jsonl')",
    ".ndjson": "rename it: mv {name} {stem}.jsonl",
    ".zip": "unpack it: unzip {name}",
    ".tar": "unpack it: tar -xf {name}",
    ".tgz": "unpack it: tar -xf {name}",
    ".gz": "unpack it: gunzip {name}",
    ".xz": "unpack it: unxz {name}",
    ".zst": "unpack it: unzstd {name}",
}


def is_plainly_none(name: str) -> bool:
    """Whether a file is no data, by its name alone: a README, a licence, a picture, a description."""
    path = PurePath(name.lower())
    return (
        path.suffix in PLAINLY_NONE
        or path.stem in NAMES
        or path.name in DESCRIPTIONS
        or path.name.startswith(".")
    )


def conversion(name: str) -> str:
    """What makes a data file of a file of another kind; empty where no way is known."""
    path = PurePath(name)
    way = CONVERSIONS.get(path.suffix.lower(), "")
    return way.format(name=path.name, stem=path.stem)


def way_out(names: Sequence[str], known: Sequence[str]) -> str:
    """The hint for files of which none is a data file: how the first one is converted, and what is read."""
    first = next((way for name in names if (way := conversion(name))), "")
    return (
        f"{first}; files that are read: {', '.join(known)}"
        if first
        else f"files that are read: {', '.join(known)}"
    )
