"""`genarm train-judge`: a reward model that learns, is registered once, and refused where it saw too much."""

import shutil

import pytest
import torch
from judge_project import SETTINGS, judge_project, write_params
from transformers import AutoModelForSequenceClassification

from genarm import registry
from genarm.config.judge_training import JudgeTraining
from genarm.errors import ConfigError, DataError, JudgeError
from genarm.judges import load_with_origin
from genarm.judges.check import check
from genarm.models.source import read_tokenizer
from genarm.operations.train_judge import train_judge
from genarm.pipeline.judge_fetch import fetch_judges
from genarm.pipeline.preflight.judges import judges, require_judges
from genarm.pipeline.preflight.trained import trained_judges
from genarm.system.env import local_tracking_uri
from genarm.system.files import read_rows, write_rows
from genarm.system.progress import ProgressDisplay
from genarm.training import bradley_terry
from genarm.types import Message, PreferencePair, Prompt


@pytest.fixture(scope="module")
def once(toy, tmp_path_factory):
    """A project whose judge was trained once; its tests leave it as it was."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", local_tracking_uri(root))
        project = judge_project(root, toy)
        return project, train_judge(project, "vowels", JudgeTraining(**SETTINGS))


@pytest.fixture
def trained(once, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_tracking_uri(once[0].root))
    return once


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_tracking_uri(tmp_path))


def pinned(project, toy, made, **more):
    """The same project, judged by a version of its trained judge; and that judge's parameters."""
    trained = {"version": made.version, "sha256": made.sha256[:12]} | more
    here = write_params(project.root, toy, judge={"trained": trained})
    return here, here.params.dimensions["vowels"].judge


def test_it_learns_and_is_a_plain_folder_that_transformers_reads_alike(trained, toy):
    project, made = trained
    assert made.version == 1 and made.accuracy > 0.9 and made.interval[0] < made.accuracy <= made.interval[1]
    assert made.left_out == 0 and "trained: {version: 1, sha256:" in made.lines
    _, config = pinned(project, toy, made)
    check(config, project.root)
    judged = load_with_origin(config, project.root)
    prompt, texts = Prompt((Message("user", "say 1"),)), ["aaaaa", "qqqqq"]
    scores = [judged.judge.score(prompt, text) for text in texts]
    model = AutoModelForSequenceClassification.from_pretrained(project.root / made.folder)
    tokenizer = read_tokenizer(project.root / made.folder)
    ids = [tokenizer(f"<|user|>say 1<|end|><|assistant|>{t}<|end|>")["input_ids"] for t in texts]
    theirs = [model(input_ids=torch.tensor([row])).logits[0, 0].item() for row in ids]
    torch.testing.assert_close(scores, theirs, rtol=0, atol=1e-5)
    assert scores[0] > scores[1] and made.sha256[:12] in judged.identity


def test_a_version_is_fetched_by_its_number_and_checked(trained, toy):
    project, made = trained
    place, kept = project.root / made.folder, project.root / "kept"
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    place.rename(kept)
    here, config = pinned(project, toy, made)
    with pytest.raises(JudgeError, match="version 1 of the judge of 'vowels' is not in") as caught:
        check(config, here.root)
    assert "genarm plan" in caught.value.hint
    require_judges(here)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before
    with pytest.raises(JudgeError, match="params.yaml says 000000000000"):
        check(pinned(project, toy, made, sha256="0" * 12)[1], here.root)
    with pytest.raises(JudgeError, match=r"no version 7 of genarm-judge\.vowels; it holds: 1"):
        fetch_judges(pinned(project, toy, made, version=7)[0])
    absent = pinned(project, toy, made, version=7)[0]
    (told,) = trained_judges(absent) + judges(absent)  # once, and nobody says that it can judge
    assert told.status == "fail" and "has no version 7 of genarm-judge.vowels" in told.detail
    (place / "tokenizer_config.json").write_text("{}")
    with pytest.raises(JudgeError, match=r"judge\.json says"):
        check(config, here.root)
    shutil.rmtree(place)
    kept.rename(place)


def test_the_same_judge_is_registered_once(trained):
    project, made = trained
    assert registry.connect(project.root).register_judge(project.root / made.folder) == made.version


def test_a_judge_whose_conversations_went_to_an_arm_is_refused(trained, toy):
    project, made = trained
    judge = {"trained": {"version": made.version}}
    fetch_judges(write_params(project.root, toy, judge=judge))
    with pytest.raises(JudgeError, match=r"no longer set aside for it: \d+ in train") as caught:
        fetch_judges(write_params(project.root, toy, judge=judge, shares={"judge": 0}))
    assert "pairs.seed" in caught.value.hint
    write_params(project.root, toy)


def test_without_pairs_set_aside_nothing_is_trained(toy, tmp_path):
    project = judge_project(tmp_path / "a", toy, shares={"judge": 0})
    with pytest.raises(ConfigError, match=r"pairs\.judge is 0") as caught:
        train_judge(project, "vowels", JudgeTraining())
    assert "genarm pairs vowels" in caught.value.hint
    with pytest.raises(DataError, match=r"no file at .*judge\.jsonl"):
        train_judge(write_params(tmp_path / "a", toy), "vowels", JudgeTraining())


def test_pairs_that_an_arm_sees_as_well_are_refused(toy, tmp_path):
    project = judge_project(tmp_path, toy)
    layout = project.layout
    own = read_rows(layout.pairs("vowels", "judge"), PreferencePair)
    evaluation = read_rows(layout.pairs("vowels", "evaluation"), PreferencePair)
    write_rows(layout.pairs("vowels", "evaluation"), [*evaluation, own[0]])
    with pytest.raises(
        DataError, match=r"judge\.jsonl and .*evaluation\.jsonl share 1 conversation, such as"
    ):
        train_judge(project, "vowels", JudgeTraining())
    write_rows(layout.pairs("vowels", "judge"), [*own, evaluation[0]])
    with pytest.raises(DataError, match="split by other values"):
        train_judge(project, "vowels", JudgeTraining())


def test_a_missing_package_is_named_with_the_command_that_installs_it(toy, tmp_path, monkeypatch):
    project = judge_project(tmp_path, toy)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(JudgeError, match="trl") as caught:
        train_judge(project, "vowels", JudgeTraining())
    assert caught.value.hint == "pip install 'genarm[judges]'"


def test_pairs_that_are_too_long_are_counted(toy, tmp_path, own_store):
    project = judge_project(tmp_path, toy)
    file = project.layout.pairs("vowels", "judge")
    pairs = read_rows(file, PreferencePair)
    write_rows(file, [PreferencePair(pairs[0].prompt, "a" * 100, "q"), *pairs[1:]])
    made = train_judge(project, "vowels", JudgeTraining(**SETTINGS | {"epochs": 0.5}))
    assert (made.pairs, made.left_out) == (len(pairs) - 1, 1)
    assert "1 more were too long" in str(made)


def test_it_computes_in_the_bases_precision_and_keeps_its_weights_in_float32(
    trained, toy, tmp_path, own_store
):
    made = train_judge(judge_project(tmp_path, toy, dtype="bfloat16"), "vowels", JudgeTraining(**SETTINGS))
    precise, rounded = (
        AutoModelForSequenceClassification.from_pretrained(root / judge.folder, dtype="auto")
        for root, judge in ((trained[0].root, trained[1]), (tmp_path, made))
    )
    assert rounded.dtype == torch.float32 and made.accuracy > 0.9
    apart = (rounded.score.weight - precise.score.weight).norm() / precise.score.weight.norm()
    assert 0 < apart < 0.1


def test_a_training_that_was_stopped_goes_on_from_its_checkpoint(
    trained, toy, tmp_path, own_store, monkeypatch
):
    whole, steps = trained[1], []
    project = judge_project(tmp_path, toy)

    class Stops(ProgressDisplay):
        def show(self, step):
            steps.append(step.done)
            if len(steps) == 10:
                raise KeyboardInterrupt

    monkeypatch.setattr(bradley_terry, "ProgressDisplay", Stops)
    with pytest.raises(KeyboardInterrupt):
        train_judge(project, "vowels", JudgeTraining(**SETTINGS))
    again = train_judge(project, "vowels", JudgeTraining(**SETTINGS))
    assert 1 < steps[10] <= steps[9], "not from the first step, and no step is left out"
    assert (again.version, again.sha256) == (1, whole.sha256), "the same bytes as without the stop"
    assert not any(project.layout.judge_training("vowels").iterdir())
