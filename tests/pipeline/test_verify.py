"""Files that DVC takes for unchanged and are not: named before a decision, with the commands that heal."""

import hashlib
import shutil
from pathlib import Path

import decided_project
import pytest
from decided_project import flip, repro, shell

from genarm.data.dvc import status
from genarm.errors import DataError, PipelineError
from genarm.operations import registry as operations
from genarm.pipeline.project import Project
from genarm.pipeline.stages.decide import decide
from genarm.pipeline.verify import verify_decision, verify_inputs, verify_stage
from genarm.system.files import write_json
from genarm.types import Champion

VERDICTS = "artifacts/verdicts/kind.jsonl"
WEIGHTS = "artifacts/arms/kind/adapter_model.safetensors"
PROMPTS = "artifacts/prompts.jsonl"


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    return decided_project.make(tmp_path_factory.mktemp("decided"))


@pytest.fixture
def project(origin, tmp_path):
    return Project(shutil.copytree(origin.root, tmp_path / "project", symlinks=True))


def object_of(project: Project, path: str) -> str:
    """The cache object of a file that is whole, as a path from the root."""
    md5 = hashlib.md5((project.root / path).read_bytes()).hexdigest()
    return f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"


def folder_object(project: Project, path: str) -> Path:
    """The cache object of a recorded folder: the list of its files."""
    text = (project.root / "dvc.lock").read_text() + (project.root / "data.dvc").read_text()
    after = text.split(f"path: {path}\n", 1)[1]
    md5 = next(word for word in after.split() if word.endswith(".dir"))
    return project.root / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"


def refused(project: Project, path: str) -> PipelineError:
    """The error that both a decision and a promotion meet; it names the file."""
    with pytest.raises(PipelineError) as caught:
        decide(project)
    with pytest.raises(PipelineError) as promoted:
        verify_decision(project, made=True)
    assert promoted.value.hint == caught.value.hint
    assert caught.value.message.startswith(f"{path} is not what ") and "\n" not in str(caught.value)
    return caught.value


def heal(project: Project, error: PipelineError) -> None:
    """Type what the hint says; then all is in order, for DVC too."""
    shell(project.root, error.hint.split("; ")[0])
    repro(project.root)
    verify_decision(project, made=True)
    assert status(project.root) == {}


def test_what_is_whole_passes_and_is_decided_the_same_again(project):
    before = project.layout.decisions.read_bytes()
    verify_decision(project, made=True)
    decide(project)
    assert project.layout.decisions.read_bytes() == before


@pytest.mark.slow
def test_a_flipped_bit_stops_plain_repro_in_the_words_of_the_stage_and_the_hint_heals_it(project):
    """The cache object is damaged; DVC restores it and is content."""
    object = object_of(project, VERDICTS)
    flip(project.root / object)
    (project.root / VERDICTS).unlink()
    shell(project.root, "dvc checkout")
    assert status(project.root) == {}
    told = repro(project.root, "--force --single-item decide")
    assert f"error: {VERDICTS} is not what dvc.lock records of judge@kind" in told
    assert f"hint: rm -f {VERDICTS} {object} && dvc repro judge@kind" in told
    heal(project, refused(project, VERDICTS))
    assert project.decisions()["kind"].outcome == "promote"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("copy", WEIGHTS),
        ("hardlink", WEIGHTS),
        ("symlink", VERDICTS),
        ("copy", PROMPTS),
        ("copy", "data/a.jsonl"),
    ],
)
def test_a_damaged_object_of_the_cache_is_named_and_healed(project, link, path):
    shell(project.root, f"dvc config cache.type {link} && dvc checkout --relink")
    whole, object = (project.root / path).read_bytes(), object_of(project, path)
    flip(project.root / object)
    (project.root / path).unlink()
    shell(project.root, "dvc checkout")
    assert status(project.root) == {}
    error = refused(project, path)
    now = hashlib.md5((project.root / path).read_bytes()).hexdigest()
    assert f"{object} is damaged" in error.message and error.message.count(now) == 2
    assert hashlib.md5(whole).hexdigest() in error.message and object in error.hint
    heal(project, error)
    assert (project.root / path).read_bytes() == whole == (project.root / object).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("path", [VERDICTS, WEIGHTS])
def test_a_file_changed_in_place_is_named_and_comes_back_from_the_cache(project, path):
    status(project.root)  # DVC knows sizes and times by now
    flip(project.root / path)
    assert status(project.root) == {}
    error = refused(project, path)
    assert "is whole" in error.message and "dvc commit --force" in error.hint
    heal(project, error)


def test_data_that_is_not_what_its_pointer_says_is_named(project):
    flip(project.root / "data" / "a.jsonl")
    error = refused(project, "data/a.jsonl")
    assert "what data.dvc records: md5" in error.message
    assert error.hint == "rm -f data/a.jsonl && dvc checkout data.dvc"
    with pytest.raises(PipelineError, match="data/a.jsonl"):
        verify_inputs(project, "pairs", "kind")


@pytest.mark.slow
def test_added_data_is_healed_from_the_remote(project, tmp_path):
    shell(project.root, "rm data.dvc && dvc add data && dvc repro")
    shell(project.root, f"dvc remote add --default store {tmp_path / 'store'} && dvc push")
    object = object_of(project, "data/a.jsonl")
    flip(project.root / object)
    flip(project.root / "data" / "a.jsonl")
    error = refused(project, "data/a.jsonl")
    assert "genarm data SOURCE" in error.hint
    shell(project.root, error.hint.split(", or")[0])
    verify_decision(project, made=True)


@pytest.mark.slow
def test_an_object_that_a_remote_kept_damaged_is_named_when_it_was_pulled(project, tmp_path):
    shell(project.root, f"dvc remote add --default store {tmp_path / 'store'} && dvc push")
    object = object_of(project, VERDICTS)
    flip(tmp_path / "store" / Path(object).relative_to(".dvc/cache"))
    shell(project.root, f"rm -f {object} {VERDICTS} && dvc pull")
    heal(project, refused(project, VERDICTS))


@pytest.mark.slow
@pytest.mark.parametrize("rename", [False, True])
def test_a_damaged_list_of_a_folder_is_named(project, rename):
    """A list that is no JSON any more is not restored; one with a changed name is, under that name."""
    listed = folder_object(project, "artifacts/arms/kind")
    listed.chmod(0o644)
    text = listed.read_text()
    listed.write_text(text.replace("adapter_config", "adapter_xonfig") if rename else text[:-1])
    shutil.rmtree(project.layout.arm("kind"))
    shell(project.root, "dvc checkout")
    error = refused(project, "artifacts/arms/kind")
    assert str(listed.relative_to(project.root)) in error.hint and error.hint.startswith("rm -rf ")
    heal(project, error)


def test_a_hash_edited_in_the_lock_is_told_with_git_as_the_way_out(project):
    lock = project.root / "dvc.lock"
    md5 = hashlib.md5((project.root / VERDICTS).read_bytes()).hexdigest()
    lock.write_text(lock.read_text().replace(md5, "a" * 32))
    error = refused(project, VERDICTS)
    assert "a" * 32 in error.message and md5 in error.message and "is missing" in error.message
    assert error.hint.endswith("git restore dvc.lock")
    shell(project.root, "git restore dvc.lock")
    verify_decision(project, made=True)


def test_what_the_lock_does_not_hold_is_not_decided_on(project):
    """A lock cut off between two stages is valid YAML."""
    lock = project.root / "dvc.lock"
    lock.write_text(lock.read_text().partition("  judge@kind:")[0])
    with pytest.raises(PipelineError, match=f"dvc.lock does not record {VERDICTS}.*dvc repro"):
        decide(project)
    repro(project.root)
    verify_decision(project, made=True)


@pytest.mark.slow
def test_a_decision_on_other_verdicts_than_those_that_are_there_is_not_carried_out(project):
    made = project.root / "made" / VERDICTS
    made.write_text(made.read_text().replace("1.0", "-1.0"))
    shell(project.root, "dvc repro --force --single-item judge@kind")
    with pytest.raises(PipelineError, match=r"artifacts/verdicts changed after the decision.*genarm run"):
        operations.promote(project, "kind", None, "")


@pytest.mark.parametrize("path", ["artifacts/decisions.json", "artifacts/report/report.json"])
def test_a_damaged_decision_or_report_is_not_carried_out(project, path):
    flip(project.root / path)
    with pytest.raises(PipelineError, match=f"{path} is not what dvc.lock records"):
        verify_decision(project, made=True)


@pytest.mark.slow
def test_stages_check_what_they_read_where_dvc_runs_them(project, monkeypatch):
    flip(project.root / PROMPTS)
    for stage in ("respond-base", "respond", "respond-champion", "judge"):
        verify_stage(project, stage, "kind")  # by hand: a person may try what he likes
    monkeypatch.setenv("DVC_STAGE", "any")
    for stage in ("respond-base", "respond", "respond-champion", "judge"):
        with pytest.raises(PipelineError, match=f"{PROMPTS} is not what dvc.lock records of prompts"):
            verify_stage(project, stage, "kind")
    verify_stage(project, "pairs", "kind")
    verify_stage(project, "register", "kind")


@pytest.mark.slow
def test_a_source_that_is_not_in_the_workspace_is_not_missed(project):
    """A clone may hold what the decision reads and no more."""
    shutil.rmtree(project.root / "data")
    verify_decision(project, made=True)
    project.layout.verdicts("kind").unlink()
    assert "it is missing" in refused(project, VERDICTS).message


def test_without_a_lock_there_is_nothing_to_compare(project):
    (project.root / "dvc.lock").unlink()
    flip(project.root / PROMPTS)
    verify_decision(project, made=True)


def test_a_lock_left_by_a_merge_stops_a_decision(project):
    lock = project.root / "dvc.lock"
    lock.write_text("<<<<<<< ours\n" + lock.read_text())
    with pytest.raises(DataError, match="dvc.lock is not valid YAML.*line 1 is a conflict marker"):
        decide(project)


@pytest.mark.parametrize("file", ["champions", "incumbents"])
def test_another_champion_than_the_one_that_answered_is_not_decided_against(project, file):
    write_json(getattr(project.layout, file), {"kind": Champion(1, "m-1", "a" * 64, 1.0)})
    with pytest.raises(PipelineError, match=rf"mlflow/{file}.json has another champion of kind than.*'m-1'"):
        decide(project)


@pytest.mark.slow
def test_a_damaged_list_of_whole_files_is_named_and_written_again(project):
    """What is decided on is right, but the cache could not give it back."""
    listed = folder_object(project, "artifacts/pairs/kind")
    flip(listed)
    with pytest.raises(PipelineError, match="the list of artifacts/pairs/kind, is damaged") as caught:
        verify_decision(project, made=True)
    heal(project, caught.value)
