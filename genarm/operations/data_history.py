"""Where each data version came from, as `data.dvc` says in the working tree and in every commit."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from genarm.data.dvc_lock import FOLDER, POINTER
from genarm.pipeline.lineage import git
from genarm.system.redact import redact


@dataclass(slots=True)
class DataVersion:
    """A data version: the sources that `data.dvc` names for it, and the first commit that has it, if any."""

    md5: str
    commit: str = ""
    sources: dict[str, dict[str, str]] = field(default_factory=dict)  # source -> its mark and files


def data_versions(root: Path) -> dict[str, DataVersion]:
    """Every data version that this clone knows of, by md5. A pointer that cannot be read says nothing."""
    found = dict[str, DataVersion]()
    for commit, text in _pointers(root):
        for md5, sources in _read(text):
            version = found.setdefault(md5, DataVersion(md5))
            version.commit = version.commit or commit
            version.sources = sources or version.sources
    return found


def _pointers(root: Path) -> Iterator[tuple[str, str]]:
    """Each commit that changed `data.dvc`, oldest first, with its text; then that of the working tree."""
    texts = dict[str, str]()
    for commit in git(root, "log", "--all", "--reverse", "--format=%H", "--", POINTER).split():
        blob = git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./{POINTER}")
        if blob:
            texts[blob] = texts.get(blob) or git(root, "cat-file", "blob", blob)
            yield commit, texts[blob]
    if (root / POINTER).is_file():
        yield "", (root / POINTER).read_text(encoding="utf-8", errors="replace")


def _read(text: str) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    try:
        pointer: Any = YAML(typ="safe").load(text)
        outs, deps = pointer.get("outs") or [], pointer.get("deps") or []
        rows = ((pointer.get("meta") or {}).get("genarm") or {}).get("sources") or []
        sources = {
            redact(str(row["source"])): {
                "mark": str(row.get("mark", "")),
                "files": ", ".join(row.get("files", [])),
            }
            for row in rows
        }
        for dep in deps:
            sources[redact(str(dep["path"]))] = {"mark": str(dep.get("md5") or dep.get("etag") or "")}
        for out in outs:
            if md5 := str(out.get("md5") or "").removesuffix(FOLDER):
                yield md5, sources
    except (YAMLError, AttributeError, KeyError, TypeError):
        return  # it was committed with conflict markers, or cut short
