"""Whether the preference data of every dimension is there, and its first rows are what the source says."""

from collections import Counter
from itertools import islice
from pathlib import Path

from genarm.config import SourceConfig
from genarm.data.dvc import data_version
from genarm.data.files import find_files
from genarm.data.formats import parse
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.errors import ConfigError, DataError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.project import Project

ROWS = 20  # of a file
FILES = 50  # of a dimension
WHOLE = 64 << 20  # bytes of a .json file, which is read whole


def sources(project: Project) -> list[CheckResult]:
    """Read the first rows of every file of every dimension."""
    data, params = project.layout.data, project.params
    if not data.is_dir():
        if version := data_version(project.root):
            detail = f"data version {version[:12]} is not in data/ yet, so its rows are not checked"
            return [warn("sources", detail, "dvc repro data.dvc")]
        return [fail("sources", f"{project.root} has no preference data yet", "genarm data SOURCE")]
    results, counts = list[CheckResult](), dict[str, str]()
    for dimension, config in params.dimensions.items():
        key = f"dimensions.{dimension}.data"
        try:
            found, counts[dimension] = _first_rows(data, key, config.data)
            results += found
        except (DataError, ConfigError) as error:
            results.append(fail("sources", f"{key}: {error.message}", error.hint))
    shown = ", ".join(f"{dimension} {count}" for dimension, count in counts.items())
    return results or [ok("sources", f"the first rows of all files can be read: {shown}")]


def _first_rows(data: Path, key: str, source: SourceConfig) -> tuple[list[CheckResult], str]:
    """What is wrong with the files of a source, and how many they are."""
    files = find_files(
        data, source.files, tell=False
    )  # the stage that reads them all tells what it leaves out
    parsed, refused, empty = 0, Counter[str](), 0
    example = ""
    for path in files[:FILES]:
        if path.suffix == ".json" and path.stat().st_size > WHOLE:
            parsed += 1
            continue
        name, rows = path.relative_to(data).as_posix(), 0
        for row in islice(read_file(path, name), ROWS):
            rows += 1
            try:
                parse(row.value, source.format, source.preferred)
                parsed += 1
            except Refused as why:
                refused[why.reason] += 1
                example = example or f"row {row.number} of {name}: {why.reason}, {why.detail}".rstrip(", ")
        empty += not rows
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    if empty == len(files):
        return [fail("sources", f"{key}: {count}, and no row in them", "fetch the data again")], count
    if not parsed:
        detail = f"{key}: none of the first {refused.total()} rows is a preference pair: {example}"
        return [fail("sources", detail, f"correct the data, or {key} in params.yaml")], count
    if refused.total() > parsed:
        first = refused.total() + parsed
        detail = f"{key}: {refused.total()} of the first {first} rows are refused: {example}"
        return [
            warn("sources", detail, "see the quarantine that the stage pairs writes: genarm pairs")
        ], count
    return [], count
