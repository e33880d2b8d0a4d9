"""Whether the preference data of every dimension is there, whole in a version, and what the source says."""

from itertools import islice
from pathlib import Path

from genarm.config import SourceConfig
from genarm.data.dvc import data_version
from genarm.data.files import find_files
from genarm.data.formats import parse
from genarm.data.mapping import PAIR, ColumnMap
from genarm.data.own_files import comes_from_here, only_here, told, way_out
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.errors import ConfigError, DataError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.project import Project
from genarm.system.counted import counted

ROWS = 20  # of a file
MOST = 1000  # of a file in which none of those is a pair: a file may begin with rows that are refused
FILES = 50  # of a dimension
WHOLE = 64 << 20  # bytes of a .json file, which is read whole


def sources(project: Project) -> list[CheckResult]:
    """Read the first rows of every file of every dimension, and all bytes of an imported data/."""
    data, params = project.layout.data, project.params
    if not data.is_dir():
        if version := data_version(project.root):
            detail = f"data version {version[:12]} is not in data/ yet, so its rows are not checked"
            return [warn("sources", detail, "dvc repro data.dvc")]
        return [fail("sources", f"{project.root} has no preference data yet", "genarm data SOURCE")]
    if comes_from_here(project.root) and (files := only_here(project.root)):
        return [fail("sources", told(files), way_out(files))]
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
    files = find_files(data, source.files, tell=False)  # the stage pairs tells what is left out
    parsed = refused = rows = 0
    example = ""
    for path in files[:FILES]:
        if path.suffix == ".json" and path.stat().st_size > WHOLE:
            parsed, rows = parsed + 1, rows + 1  # not looked into
            continue
        name = path.relative_to(data).as_posix()
        columns = ColumnMap(source.columns.by_part(), name)
        good = 0
        for read, row in enumerate(islice(read_file(path, name, columns.columns), MOST)):
            if read >= ROWS and good:
                break
            rows += 1
            try:
                parse(columns.row(row.value), source.format, source.preferred)
                good += 1
            except Refused as why:
                refused += 1
                example = example or f"row {row.number} of {name}: {why.reason}, {why.detail}".rstrip(", ")
        parsed += good
        columns.check(PAIR)
    count = counted(len(files), "file")
    results = list[CheckResult]()
    if not rows:
        results.append(fail("sources", f"{key}: no row in {count}", "fetch the data again"))
    elif not parsed:
        detail = f"{key}: none of the first {rows} rows is a preference pair: {example}"
        results.append(fail("sources", detail, f"correct the data, or {key} in params.yaml"))
    elif refused > parsed:
        detail = f"{key}: {refused} of the first {rows} rows are refused: {example}"
        results.append(warn("sources", detail, "the quarantine that the stage pairs writes names every row"))
    return results, count
