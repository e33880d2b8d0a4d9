"""The flow that makes a source of preference data the data version."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from genarm.data import dvc
from genarm.data.files import shown
from genarm.data.pairs import PairStats, check_pairs, make_pairs
from genarm.errors import DataError
from genarm.models import load_tokenizer
from genarm.pipeline.project import Project
from genarm.system.counted import counted
from genarm.system.files import write_rows
from genarm.system.redact import redact

from . import secret_source
from .align import alone, open_project
from .run_console import told
from .run_name import concluded, failure_in_name, name_run
from .tasks import ASKS_A_SERVER


@dataclass(frozen=True, slots=True)
class DataVersion:
    """What came in: its version, its files, and what each dimension made of them."""

    version: str
    files: list[dict[str, str]]
    dimensions: dict[str, PairStats]


@flow(flow_run_name="data")
def version_data(source: str, root: str | None = None, check: bool = True) -> DataVersion:
    """Put a source in the place of data/ and data.dvc, and return what came in.

    source: a path or glob, a URL, or hf://owner/name@revision; env://NAME and secret://NAME stand for one
    that holds a secret, since Prefect keeps parameters. root: the project's folder. check: first see that
    every dimension of params.yaml finds enough pairs in it; if not, the old data stays.
    """
    if secret_source.storable(source) != source:
        raise DataError(
            f"{redact(source)}: its query may hold a secret, and Prefect keeps the parameters of a flow",
            hint=secret_source.HINT,
        )
    project = open_project(root)
    with failure_in_name("data"), alone(project):
        version, stats = set_data(project, source, check)
        files = came_in(project.layout.data, stats)
        publish(version, stats, files)
    outcome = f"version {version[:12]}, {counted(len(files), 'file')}"
    name_run(f"data: {outcome}")
    return concluded(DataVersion(version, files, stats), outcome)


@task(task_run_name="fetch, check, replace", **ASKS_A_SERVER)
def set_data(project: Project, source: str, check: bool) -> tuple[str, dict[str, PairStats]]:
    """Fetch, check, replace; where a step fails, the data stays as it was."""
    stats: dict[str, PairStats] = {}
    version = dvc.set_data(
        project.root,
        secret_source.whole(source),
        lambda folder: stats.update(validate(project, folder)) if check else None,
        on_line=partial(get_run_logger().warning, **told()),
    )
    return version, stats


def validate(project: Project, data: Path) -> dict[str, PairStats]:
    """What `genarm pairs` would make of a folder. Raises DataError where that is too little."""
    tokenizer, config = load_tokenizer(project.base), project.params.pairs
    dimensions = project.params.dimensions.items()
    results = [make_pairs(data, name, d.data, config, tokenizer) for name, d in dimensions]
    quarantine = project.root / ".cache" / "quarantine.jsonl"
    write_rows(quarantine, (row for result in results for row in result.refused))
    for result in results:
        check_pairs(result, f"{quarantine.relative_to(project.root)} names every row")
    return {result.dimension: result.stats for result in results}


def came_in(data: Path, stats: Mapping[str, PairStats]) -> list[dict[str, str]]:
    """Every file of data/ with its rows, the dimensions that read it, and its columns that none reads."""
    rows: list[dict[str, str]] = []
    for file in sorted(f for f in data.rglob("*") if f.is_file()):
        name = shown(file, data)
        readers = [d for d, s in stats.items() if name in s.files]
        unread = sorted({column for d in readers for column in stats[d].unread.get(name, ())})
        rows.append(
            {
                "file": name,
                "rows": str(stats[readers[0]].files[name]) if readers else "",
                "dimensions": ", ".join(readers),
                "columns not read": ", ".join(unread),
            }
        )
    return rows


@task(cache_policy=NO_CACHE, task_run_name="publish what came in")
def publish(version: str, stats: Mapping[str, PairStats], files: list[dict[str, str]]) -> None:
    """What came in, in the log, and as tables on the page of the flow run: by file and by dimension."""
    log = get_run_logger()
    for file in files if stats else ():
        read = f"{counted(int(file['rows'] or 0), 'row')}, read for {file['dimensions']}"
        log.info("data/%s: %s", file["file"], read if file["rows"] else "no dimension reads it")
    rows = [counts(dimension, made) for dimension, made in stats.items()]
    create_table_artifact(rows, key="data", description=f"data version {version}")
    create_table_artifact(files, key="data-files", description=f"the files of data version {version}")


def counts(dimension: str, stats: PairStats) -> dict[str, str | int]:
    """What a dimension made of the data, as a row of a table."""
    refused = sum(stats.refused.values())
    row: dict[str, str | int] = {"dimension": dimension, "rows": stats.rows, "pairs": stats.pairs}
    return row | {"refused": refused} | {split: part.pairs for split, part in stats.splits.items()}
