"""What could not end well is refused before anything runs, in one line with all of it and the ways out."""

import json
import subprocess
from pathlib import Path

import pytest
from toy_rewards import llama, save
from typer.testing import CliRunner

from genarm.cli.main import app
from genarm.config import LoraConfig
from genarm.errors import JudgeError, PipelineError
from genarm.operations import new_project
from genarm.pipeline import preflight
from genarm.pipeline.preflight import room
from genarm.pipeline.preflight.judge_room import judge_models
from genarm.pipeline.preflight.judges import require_judges
from genarm.pipeline.preflight.origin import origin
from genarm.pipeline.preflight.shape import read_shape
from genarm.pipeline.project import Project

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@t")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def root(toy, tmp_path: Path) -> Path:
    """A new project with data, a toy base and a judge of its own, committed."""
    folder = tmp_path / "project"
    new_project.create(folder)
    edit(folder / "params.yaml", "model: smollm2-135m-instruct", f"model: {toy.folder}")
    edit(folder / "params.yaml", "max_new_tokens: 128", "max_new_tokens: 16")
    edit(folder / "params.yaml", "judge: judges:Preference", "judge: judges:Relevant")
    (folder / "data").mkdir()
    rows = [{"prompt": f"say {i}", "chosen": "yes", "rejected": "no"} for i in range(30)]
    (folder / "data" / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "data.dvc").write_text(f"outs:\n- md5: {'d' * 32}.dir\n  path: data\n")
    for words in (["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    return folder


def test_where_all_is_in_order_nothing_is_told(root):
    assert preflight.require(Project(root)) == []
    assert not (root / "__pycache__").exists()


def test_a_file_in_imported_data_that_the_import_would_delete_is_told_before_anything_runs(root):
    (root / "seed").mkdir()
    (root / "data" / "pairs.jsonl").rename(root / "seed" / "pairs.jsonl")
    pointer = root / "data.dvc"
    pointer.write_text(f"deps:\n- path: seed\n  md5: {'d' * 32}.dir\n{pointer.read_text()}")
    (root / "data" / "pairs.jsonl").write_bytes((root / "seed" / "pairs.jsonl").read_bytes())
    assert [told.check for told in preflight.require(Project(root))] == ["git"]  # data.dvc is not committed
    (root / "data" / "mine.jsonl").write_text("{}\n")
    with pytest.raises(PipelineError, match=r"of no data version, to be lost with it: mine\.jsonl") as caught:
        preflight.require(Project(root))
    assert "genarm data data" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (
            "params.yaml",
            "judges:Relevant",
            "judges:Relevnt",
            "dimensions.preference.judge: .*mean 'Relevant'",
        ),
        ("params.yaml", "judges:Relevant", "refusl", "dimensions.preference.judge: .*did you mean 'refusal'"),
        ("judges.py", "return len", "return 1 / 0 * len", r"ZeroDivisionError: .*judges.py:\d+\)"),
        ("judges.py", "return len", "return None and len", "gave a NoneType for the response to 'How are"),
        (
            "params.yaml",
            '"**/*"',
            '"helpful/*"',
            "dimensions.preference.data: no data file matches 'helpful/.*pairs.jsonl",
        ),
        ("params.yaml", '"**/*"', '{files: "**/*", format: pku}', "PKU rows carry two labels"),
        (
            "params.yaml",
            '"**/*"',
            '{files: "**/*", columns: {chosen: choosen}}',
            "pairs.jsonl has no column 'choosen' .did you mean 'chosen'",
        ),
        ("data/pairs.jsonl", '"chosen"', '"better"', "none of the first 30 rows is a preference pair: row 1"),
        ("params.yaml", "layers: all", "layers: 9", "lora.layers = 9, but .* has 4 layers.*1 to 4"),
        ("params.yaml", "max_new_tokens: 16", "max_new_tokens: 99999", "leaves no room for a prompt"),
        ("params.yaml", "    train: {}", "    train: {model: ./none}", "'./none' is no folder"),
        ("dvc.yaml", "  decide:\n", "  decid:\n", "dvc.yaml has no stage decide, which genarm"),
        ("dvc.yaml", "- judges.py", "- params.yaml", "does not depend on judges.py.*add `- judges.py` to"),
    ],
)
def test_what_is_wrong_is_told_with_a_way_out(file, old, new, told, root):
    edit(root / file, old, new)
    with pytest.raises(PipelineError, match=told) as caught:
        preflight.require(Project(root))
    assert caught.value.hint and "\n" not in str(caught.value)


def test_a_file_may_begin_with_rows_that_are_refused(root):
    good = (root / "data" / "pairs.jsonl").read_text()
    (root / "data" / "pairs.jsonl").write_text('{"prompt": "say"}\n' * 25 + good)
    (told,) = preflight.require(Project(root))
    assert "25 of the first 26 rows are refused: row 1 of pairs.jsonl" in told.detail


def test_a_gpu_that_does_not_tell_its_memory_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho '[N/A], [N/A]'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(Path, "exists", lambda _: True)  # of the device
    assert room.capacity().what == "the memory"


def test_files_that_a_container_holds_in_memory_count_as_free(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(room, "CONTAINER", tmp_path)
    for name, text in (("max", "1000\n"), ("current", "900\n"), ("stat", "file 600\ninactive_file 500\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert room.capacity() == room.Capacity("the memory", 1000, 600)
    (tmp_path / "memory.max").write_text("max\n")
    assert room.capacity().total > 1000


def test_all_that_is_wrong_is_told_at_once(root):
    edit(root / "params.yaml", "judges:Relevant", "refusl")
    edit(root / "params.yaml", '"**/*"', "nothing")
    edit(root / "params.yaml", "layers: all", "layers: 9")
    with pytest.raises(PipelineError, match=r"3 things are wrong: \(1\) .*'nothing'; \(2\) .*; \(3\) .*9"):
        preflight.require(Project(root))


def test_a_file_that_a_judge_imports_must_be_listed_too(root):
    (root / "words").mkdir()
    (root / "words" / "__init__.py").write_text("GOOD = ['yes']\n")
    edit(root / "judges.py", "class", "from words import GOOD\n\n\nclass")
    with pytest.raises(JudgeError, match="does not depend on words/__init__.py"):
        require_judges(Project(root))
    edit(root / "dvc.yaml", "- judges.py", "- judges.py\n      - words")
    require_judges(Project(root))


def test_what_no_commit_holds_is_a_warning(root):
    edit(root / "judges.py", "question", "prompt")
    edit(root / "data.dvc", "d" * 32, "e" * 32)
    (told,) = preflight.require(Project(root))
    assert "2 files differ from it (data.dvc, judges.py)" in told.detail and told.fix.startswith("git add")


def test_what_git_ignores_in_a_folder_of_judges_is_no_difference(root):
    (root / "words" / "__pycache__").mkdir(parents=True)
    (root / "words" / "__init__.py").touch()
    (root / "words" / "__pycache__" / "words.pyc").touch()
    edit(root / "dvc.yaml", "- judges.py", "- judges.py\n        - words")
    for words in (["add", "-A"], ["commit", "-qm", "words"]):
        subprocess.run([*GIT, *words], cwd=root, check=True)
    assert preflight.require(Project(root)) == []
    (root / "words" / "more.py").touch()
    (told,) = preflight.require(Project(root))
    assert "it does not hold words/more.py" in told.detail


def test_a_need_above_what_is_free_is_told_with_the_parameter_that_lowers_it(root, monkeypatch):
    monkeypatch.setattr(room, "capacity", lambda: room.Capacity("the memory", 2**40, 1000))
    training, answering = preflight.require(Project(root))
    assert "training preference needs about 0.9 GiB" in training.detail and "batch_tokens" in training.fix
    assert "batch_size (32)" in answering.fix
    monkeypatch.setattr(room, "capacity", lambda: room.Capacity("the memory", 1000, 1000))
    with pytest.raises(PipelineError, match="the weights of .* the memory has 0.0 GiB"):
        preflight.require(Project(root))


def test_the_plan_tells_what_a_run_would_refuse_and_then_the_stages(root, monkeypatch):
    edit(root / "params.yaml", "judges:Relevant", "refusl")
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, ["plan"])
    assert done.exit_code == 1 and "never run here" in done.stdout and "judge@preference" in done.stdout
    assert done.stderr.startswith("would fail: dimensions.preference.judge: unknown scorer 'refusl'")
    assert "warning: commit" in done.stderr and "(params.yaml)" in done.stderr
    as_json = CliRunner().invoke(app, ["plan", "--json"])
    assert as_json.exit_code == 1 and "judge@preference" in {s["stage"] for s in json.loads(as_json.stdout)}
    edit(root / "params.yaml", "refusl", "refusal")
    assert CliRunner().invoke(app, ["plan"]).exit_code == 0, "a warning refuses no run"


@pytest.mark.parametrize(
    "config",
    [LoraConfig(), LoraConfig(layers=1, rank=2), LoraConfig(targets=("q_proj", "down_proj"))],
    ids=["all", "top", "targets"],
)
def test_the_size_of_a_model_and_of_its_adapter_is_read_off_its_files(config, toy):
    from genarm.models import resolve
    from genarm.models.skeleton import skeleton
    from genarm.training.lora import add_lora

    shape = read_shape(toy.folder)
    assert shape.parameters == sum(p.numel() for p in toy.model.parameters())
    adapted = add_lora(skeleton(resolve(str(toy.folder))), config)
    assert shape.lora_parameters(config) == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_a_run_does_not_check_again_what_its_command_has_checked(root, monkeypatch):
    """A scheduled run, the next run of the process, and one whose data was mended check by themselves."""
    edit(root / "judges.py", "question", "prompt")
    asked = []
    monkeypatch.setattr(preflight, "CHECKS", [lambda project: asked.append(1) or origin(project)])
    assert [r.check for r in preflight.require_once(Project(root))] == ["git"] and len(asked) == 1
    preflight.require_ahead(Project(root))
    assert [r.check for r in preflight.require_once(Project(root))] == ["git"] and len(asked) == 2
    assert preflight.require_once(Project(root)) and len(asked) == 3
    preflight.require_ahead(Project(root))
    assert preflight.require_once(Project(root), anew=True) and len(asked) == 5


def test_judges_that_are_models_take_memory_too(root, tmp_path, monkeypatch):
    """Weights of 4 bytes, and 4096 tokens of width 32 with 22 values each; tuning holds the base as well."""
    folder = save(tmp_path / "rewards", model := llama())
    edit(root / "params.yaml", "judge: judges:Relevant", f"judge: {{reward_model: {{model: {folder}}}}}")
    edit(root / "params.yaml", "weight: tuned ", "weight: 0.3 ")
    (found,) = judge_models(Project(root))
    assert found.weights == 4 * sum(p.numel() for p in model.parameters())
    assert found.pass_bytes == 4096 * 32 * 22 * 4 and not found.tunes
    need = found.weights + found.pass_bytes + room.LIBRARIES
    told = []
    for free, tuned in ((need, False), (need - 1, False), (need + 2**20, True)):
        if tuned:
            edit(root / "params.yaml", "weight: 0.3 ", "weight: tuned ")
        monkeypatch.setattr(room, "capacity", lambda free=free: room.Capacity("the memory", 2**40, free))
        told.append([r for r in room.memory_need(Project(root)) if "rewards" in r.detail])
    assert not told[0] and "needs about 0.8 GiB, 0.8 GiB of the memory are free" in told[1][0].detail
    assert "reward_model.dtype: bfloat16, or lower reward_model.batch_tokens (4096)" in told[1][0].fix
    assert "with base and ARM beside it while tuning" in told[2][0].detail
    monkeypatch.setattr(room, "capacity", lambda: room.Capacity("the memory", found.weights - 1, 2**40))
    (failed,) = [r for r in room.memory_need(Project(root)) if "judge" in r.detail]
    assert failed.status == "fail" and "choose a smaller judge" in failed.fix
