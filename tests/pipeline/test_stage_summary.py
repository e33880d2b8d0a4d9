"""What a finished stage did, in one line, from what it wrote."""

import pytest

from genarm.pipeline.project import Project
from genarm.pipeline.stage_summary import summary, title_of
from genarm.system.files import write_json, write_rows
from genarm.types import Response, Verdict


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("stage", "title"),
    [
        ("train@kind-words", "train kind-words"),
        ("respond-champion@kind", "respond champion kind"),
        ("respond-base", "respond base"),
        ("data.dvc", "data"),
    ],
)
def test_a_stage_is_called_as_its_command_is_typed(stage, title):
    assert title_of(stage) == title


def test_the_numbers_that_say_most_are_told(project):
    layout = project.layout
    write_json(layout.pairs_stats("kind"), {"rows": 30, "pairs": 27, "splits": {"train": {"pairs": 20}}})
    metrics = {"train/pairs": 20.0, "validation/accuracy": 0.554, "validation/accuracy_before": 0.415}
    write_json(layout.train_metrics("kind"), metrics)
    answers = [Response(f"p{i}", "text", tokens, "stop", -3.0, 0.1 * i) for i, tokens in enumerate((2, 4))]
    write_rows(layout.responses("base"), answers)
    write_rows(layout.responses("challenger", "kind"), answers)
    write_rows(layout.responses("champion", "kind"), [])
    preferences = enumerate((1.0, 0.0, -1.0, 0.5))
    verdicts = [Verdict(f"p{i}", "kind", "challenger", "base", p) for i, p in preferences]
    unread = Verdict("p4", "kind", "challenger", "base", None)
    other = Verdict("p0", "brief", "challenger", "base", -1.0)
    write_rows(layout.verdicts("kind"), [*verdicts, unread, other])
    stages = "pairs@kind train@kind respond-base respond@kind respond-champion@kind judge@kind"
    assert [summary(project, stage) for stage in stages.split()] == [
        "27 pairs, 20 to train on, 3 rows refused",
        "20 pairs, validation accuracy 0.55 (0.41 before)",
        "2 responses, 3 tokens each",
        "2 responses, 3 tokens each, KL 0.05",
        "no champion yet",
        # one won, one half won, one tied, one lost: 2.25 of 4
        "6 verdicts, win rate 0.56 over base, 1 of 5 unread",
    ]


def test_what_cannot_be_read_fails_no_run(project):
    project.layout.train_metrics("kind").parent.mkdir(parents=True)
    project.layout.train_metrics("kind").write_text("{")
    assert summary(project, "train@kind") == summary(project, "judge@kind") == ""
