"""A language model as judge in a project: checked without an answer, asked by its stage, its cost told."""

import json

import pytest
from llm_server import KEY, Answer, LlmServer

from genarm.errors import JudgeError
from genarm.operations import new_project
from genarm.pipeline.preflight.judges import judges, require_judges
from genarm.pipeline.project import Project
from genarm.pipeline.stages.judge import judge
from genarm.system.files import read_rows, write_json, write_rows
from genarm.types import Message, Prompt, Response, Verdict

TEMPLATE = "{{ prompt }} {{ a }} {{ b }}"


@pytest.fixture
def server():
    with LlmServer() as started:
        yield started


@pytest.fixture
def project(server, tmp_path):
    """A new project whose judge is a language model with a template of the project's own."""
    folder = tmp_path / "project"
    new_project.create(folder)
    params = (folder / "params.yaml").read_text()
    judge = f"{{llm: {{model: judge, base_url: '{server.url}', key: JUDGE_KEY, template: ask.jinja}}}}"
    assert "judge: judges:Preference" in params
    (folder / "params.yaml").write_text(params.replace("judge: judges:Preference", f"judge: {judge}"))
    (folder / "ask.jinja").write_text(TEMPLATE)
    stages = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(stages.replace("- judges.py", "- judges.py\n        - ask.jinja"))
    return Project(folder)


def problems(project):
    return [result.detail for result in judges(project) if result.status == "fail"]


def test_what_lacks_is_told_before_a_run_and_nothing_is_paid_for(project, server, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    (told,) = problems(project)
    assert told.startswith("dimensions.preference.judge: the environment variable JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    assert problems(project) == []
    server.models = Answer(b"{}", 401)
    (told,) = problems(project)
    assert "refuses the key" in told and KEY not in told
    (project.root / "ask.jinja").write_text("{{ prompt }} {{ a }}")
    (told,) = problems(project)
    assert "ask.jinja lacks the second answer" in told
    assert not server.requests


def test_its_template_is_a_dependency_of_the_stage(project, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    require_judges(project)
    stages = project.root / "dvc.yaml"
    stages.write_text(stages.read_text().replace("        - ask.jinja\n", ""))
    with pytest.raises(JudgeError, match="does not depend on ask.jinja") as error:
        require_judges(project)
    assert "add `- ask.jinja` to the deps of the stage judge" in error.value.hint


def test_the_stage_asks_and_tells_the_cost(project, server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    layout, prompts = project.layout, [Prompt((Message("user", f"{i}?"),)) for i in range(12)]
    write_rows(layout.prompts, prompts)
    for path, text in (
        (layout.responses("base"), "no"),
        (layout.responses("challenger", "preference"), "a long answer"),
    ):
        write_rows(path, [Response(p.id, text, 2, "stop", -1.0, 0.0) for p in prompts])
    write_rows(layout.responses("champion", "preference"), [])
    assert len(judge(project, "preference")) == 12
    [who] = {verdict.judge for verdict in read_rows(layout.verdicts("preference"), Verdict)}
    assert who.startswith("judge-2026-01-01 (fp_1) at 127.0.0.1") and "asked by ask.jinja" in who
    told = json.loads(layout.judge_statistics("preference").read_text())["preference"]
    assert told["usage"]["requests"] == 24 and told["usage"]["tokens_in"] == 2400
    assert told["statistics"]["first"] == 0.5 and told["statistics"]["consistent"] == 1.0
    before = layout.verdicts("preference").read_bytes()
    judge(project, "preference")
    assert len(server.requests) == 24 + 2  # each time the model is asked once who it is
    assert layout.verdicts("preference").read_bytes() == before
    assert (
        json.loads(layout.judge_statistics("preference").read_text())["preference"]["usage"]["cached"] == 24
    )


def test_the_cost_is_that_of_all_looks(project, server, monkeypatch):
    """Three prompts, then two more: 2 x 5 requests, of which six are found on disk at the second look."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    layout, prompts = project.layout, [Prompt((Message("user", f"{i}?"),)) for i in range(5)]
    write_rows(layout.prompts, prompts)
    for until in ([3], [3, 5]):
        write_json(layout.looks, {"preference": until})
        for path, text in (
            (layout.responses("base"), "no"),
            (layout.responses("challenger", "preference"), "a long answer"),
        ):
            write_rows(path, [Response(p.id, text, 2, "stop", -1.0, 0.0) for p in prompts[: until[-1]]])
        write_rows(layout.responses("champion", "preference"), [])
        judge(project, "preference")
    told = json.loads(layout.judge_statistics("preference").read_text())["preference"]
    assert (told["usage"]["requests"], told["usage"]["cached"], told["usage"]["tokens_in"]) == (10, 6, 1000)
    assert told["statistics"]["comparisons"] == 5
