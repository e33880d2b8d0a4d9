"""What a stage, a decision or a promotion reads, compared with what DVC recorded, by content.

DVC decides by sizes, times and permissions whether a file is unchanged, so a flipped bit in its cache or in
the workspace passes it. Every stage that DVC runs is therefore checked here before it reads, and a decision
with all that it was made of, back to the data, before it is made and before it is carried out. The error
names the damaged file and cache object, and the commands that make them again.
"""

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.data.dvc_lock import LOCK, POINTER, Recorded, Records, is_import, read_records
from genarm.errors import AdapterError, PipelineError
from genarm.pipeline import stage_names as names
from genarm.pipeline.project import Project
from genarm.types import Champion

if TYPE_CHECKING:
    from genarm.data.dvc_content import Contents, Damage


def verify_stage(project: Project, stage: str, dimension: str = "") -> None:
    """Check what a stage reads, if DVC runs it: then DVC has recorded all of it just before.

    Raises PipelineError naming the first file that is damaged, DataError where the record itself is.
    """
    if "DVC_STAGE" in os.environ:
        verify_inputs(project, stage, dimension)


def verify_inputs(project: Project, stage: str, dimension: str = "") -> None:
    """Check what a stage reads; raises as `verify_stage` does. What DVC never recorded is not checked."""
    records = read_records(project.root)
    if records is not None:
        paths = _relative(project, _read_by(project, stage, dimension))
        _raise_if_damaged(project.root, records, paths, paths)


def verify_decision(project: Project, *, made: bool) -> None:
    """Check what the decision is made of, back to the data; once it is `made`, itself and its report, too.

    Raises PipelineError naming the first file that is damaged or not on record, or that changed after the
    decision; DataError where the record itself is damaged. Without a `dvc.lock` there is nothing to compare.
    """
    records = read_records(project.root)
    if records is None:
        return
    layout = project.layout
    outputs = [layout.decisions, layout.scorecards, layout.report] if made else []
    paths = _relative(project, [*_decided_on(project), *outputs])
    for path in paths:
        if not records.of(path):
            raise PipelineError(
                f"{LOCK} does not record {path}, so nothing tells whether it is what its stage wrote",
                hint="let DVC run the stages: dvc repro",
            )
    behind = [record.path for record in records.behind(paths)]
    contents = _raise_if_damaged(project.root, records, behind, paths)
    if not made:
        _raise_if_another_champion_answered(project, records)
    for entry in records.read_by(names.DECIDE) if made else []:
        found = contents.hash_of(entry.path, entry.algorithm)
        if found != entry.md5:
            raise PipelineError(
                f"{entry.path} changed after the decision: the stage {names.DECIDE} read md5 {entry.md5}, "
                f"now it is {found or 'missing'}",
                hint="decide again: genarm run",
            )


def shown(damage: "Damage") -> str:
    """What is damaged, in one line: the file, both hashes, and what the cache holds in its place."""
    record, cached = damage.record, damage.cached
    where = "" if record.stage == record.source else f" of {record.stage}"
    if damage.cache_is_damaged:
        cache = f"the cache object {damage.object} is damaged, too: it has {cached}"
    else:
        cache = f"the cache object {damage.object} is {'whole' if cached else 'missing'}"
    found = f"it has {damage.found}" if damage.found else "it is missing"
    if damage.found == damage.recorded:
        return f"the cache object {damage.object}, the list of {damage.path}, is damaged: it has {cached}"
    recorded = f"{damage.path} is not what {record.source} records{where}: md5 {damage.recorded}"
    return f"{recorded}, but {found}; {cache}"


def way_out(root: Path, damage: "Damage") -> str:
    """The commands that put the right file in place, from the cache or by making it again."""
    stage = damage.record.stage
    if damage.found == damage.recorded:
        return way_out_of_object(root, damage.object, [damage.record])
    removed = [damage.path, *([str(damage.object)] if damage.cache_is_damaged else [])]
    remove = f"rm -{'rf' if damage.recorded.endswith('.dir') else 'f'} {shlex.join(removed)}"
    if stage == POINTER:
        if damage.cached == damage.recorded:
            return f"{remove} && dvc checkout {POINTER}"
        if is_import(root):
            return f"{remove} && dvc repro {POINTER}"
        return f"{remove} && dvc pull {POINTER}, or where no remote has it: genarm data SOURCE"
    make = f"{remove} && dvc repro {stage}"
    if damage.cached == damage.recorded and damage.found:
        return f"{make}; if you changed it on purpose: dvc commit --force {stage}"
    return make if damage.cached else f"{make}; or if {LOCK} was edited: git restore {LOCK}"


def way_out_of_object(root: Path, object: Path, holders: Sequence[Recorded]) -> str:
    """The commands that replace a damaged cache object; its file in the workspace is whole or missing."""
    remove = f"rm -f {shlex.quote(str(object))}"
    for record in holders[:1]:
        if (root / record.path).exists():
            return f"{remove} && dvc commit --force {record.stage}"
        get = "repro" if record.stage != POINTER or is_import(root) else "pull"
        return f"{remove} && dvc {get} {record.stage}"
    return remove  # of an earlier run: should it be needed again, its stage makes it again


def _raise_if_damaged(
    root: Path, records: Records, paths: Collection[str], needed: Collection[str]
) -> "Contents":
    """Check the outputs at `paths`; one that is missing altogether matters only where it is `needed`."""
    from genarm.data.dvc_content import Contents  # DVC reads its settings as it is imported

    contents = Contents(root)
    checked = [record for record in records.outputs if any(record.overlaps(path) for path in paths)]
    damages = [
        damage
        for damage in contents.damaged(checked)
        if damage.found or any(damage.record.overlaps(path) for path in needed)
    ]
    if damages:
        more = f" ({len(damages) - 1} more: genarm doctor --deep)" if damages[1:] else ""
        raise PipelineError(shown(damages[0]) + more, hint=way_out(root, damages[0]))
    return contents


def _raise_if_another_champion_answered(project: Project, records: Records) -> None:
    """The champion that is decided against is the one whose answers were judged."""
    incumbents, champions = _relative(project, [project.layout.incumbents, project.layout.champions])
    for noted, versions in (
        (incumbents, project.incumbents(missing_ok=True)),
        (champions, project.champions(missing_ok=True)),
    ):
        for dimension, version in versions.items():
            stage = names.stage_of(names.RESPOND_CHAMPION, dimension)
            answered = records.parameters.get(stage, {}).get(incumbents, {})
            if dimension not in answered or _is_in_use(project, dimension, version):
                continue
            then, now = answered[dimension], asdict(version) if version else None
            if then != now:
                raise PipelineError(
                    f"{noted} has another champion of {dimension} than {stage} answered with: "
                    f"{now or 'the base model'}, not {then or 'the base model'}",
                    hint=f"genarm registry reconcile && dvc repro {names.DECIDE}, "
                    f"or if the file was edited: git restore {noted}",
                )


def _read_by(project: Project, stage: str, dimension: str) -> Sequence[Path]:
    """The files and folders that a stage reads and another one wrote."""
    layout, pairs = project.layout, project.layout.artifacts / "pairs"
    match stage:
        case names.PAIRS:
            return [layout.data]
        case names.PROMPTS:
            return [pairs, *([layout.data] if project.params.decide.extra else [])]
        case names.TRAIN:
            return [pairs / dimension]
        case names.RESPOND_BASE | names.RESPOND_CHAMPION:  # a champion is checked by its own hash
            return [layout.prompts]
        case names.TUNE:
            return [pairs / dimension, layout.arm(dimension)]
        case names.RESPOND:
            return [layout.prompts, layout.arm(dimension), layout.tuned(dimension)]
        case names.JUDGE:
            return [layout.prompts, *_responses(project, dimension)]
        case names.REPORT:
            written = [layout.decisions, layout.scorecards, pairs, layout.artifacts / "train"]
            return [*written, *_decided_on(project)]
        case names.REGISTER:
            champion = project.champions(missing_ok=True).get(dimension)
            found = [] if _is_in_use(project, dimension, champion) else [layout.tuned(dimension)]
            return [layout.arm(dimension), layout.train_hash(dimension).parent, *found]
    raise ValueError(f"{stage!r} reads nothing that is checked")


def _decided_on(project: Project) -> list[Path]:
    """What the stage `decide` reads: of an ARM in use nothing but the ARM, since no run measures it again."""
    layout, champions, paths = project.layout, project.champions(missing_ok=True), list[Path]()
    for dimension in project.params.dimensions:
        paths.append(layout.arm(dimension))
        if not _is_in_use(project, dimension, champions.get(dimension)):
            paths += [layout.tuned(dimension), *_responses(project, dimension), layout.verdicts(dimension)]
    return paths


def _is_in_use(project: Project, dimension: str, champion: Champion | None) -> bool:
    try:
        return project.is_in_use(dimension, champion)
    except AdapterError:  # it is damaged, and then named with the rest
        return False


def _responses(project: Project, dimension: str) -> list[Path]:
    layout = project.layout
    sides = [layout.responses("challenger", dimension), layout.responses("champion", dimension)]
    return [layout.responses("base"), *sides]


def _relative(project: Project, paths: Sequence[Path]) -> list[str]:
    return [path.relative_to(project.root).as_posix() for path in paths]
