"""Going on after a hold: what is answered at each look, what is kept, and where it ends."""

import json
from pathlib import Path

import pytest
from toy_params import dimension
from verdict_rows import response

from genarm.errors import ConfigError, DataError
from genarm.evaluation.rule import decide
from genarm.evaluation.scorecard import score
from genarm.pipeline import kept, looking, looks
from genarm.pipeline.project import Project
from genarm.pipeline.stages import respond as stage
from genarm.pipeline.stages.judge import judge
from genarm.system.files import read_rows, write_json, write_rows
from genarm.types import Message, Prompt, Response, Verdict

PROMPTS = [Prompt((Message("user", f"say {i}"),)) for i in range(50)]


def project(root: Path, base: Path | str = "nowhere", **decide: object) -> Project:
    """Two dimensions, `a` and `b`; two prompts are answered first, then three at a time."""
    rule = {"max_prompts": 9, "batch_prompts": 3, "alpha": 0.05, **decide}
    sampling = {"max_new_tokens": 4, "batch_size": 4}
    write_json(
        root / "params.yaml",
        {
            "base": {"model": str(base), "dtype": "float32"},
            "dimensions": {"a": dimension(), "b": dimension()},
            "respond": {"prompts": 2, "sampling": sampling},
            "decide": {key: value for key, value in rule.items() if value is not None},
        },
    )
    made = Project(root)
    write_rows(made.layout.prompts, PROMPTS[:8])
    return made


def test_each_dimension_goes_its_own_way_and_the_base_answers_for_all(tmp_path):
    """2, 5, then 8, where the prompts end; `a` stops after 5."""
    made = project(tmp_path)
    assert looking.begin(made, ["a", "b"], anew=True) == {
        *("respond@a", "respond-champion@a", "judge@a", "respond@b", "respond-champion@b", "judge@b"),
        *("respond-base", "decide"),
    }
    assert json.loads(made.layout.looks.read_text()) == {"a": [2], "b": [2]}
    assert looking.begin(made, ["a", "b"], anew=False) == set(), "a second run keeps the looks"
    looking.go_on(made, ["a", "b"])
    changed = looking.go_on(made, ["b"])
    assert looking.further_stages(made, ["a", "b"], changed) == [
        *("respond-base", "respond@b", "respond-champion@b", "judge@a", "judge@b", "decide")
    ]
    assert looking.go_on(made, ["b"]) == set(), "all eight prompts are used"
    assert made.looks("a") == [2, 5] and made.looks("b") == made.looks() == [2, 5, 8]
    assert looks.batches(made, "a") == [PROMPTS[:2], PROMPTS[2:5]]
    assert [len(batch) for batch in looks.batches(made)] == [2, 3, 3]
    assert looks.looks_so_far(made, "b") == (3, 9)
    assert looking.begin(made, ["a", "b"], anew=True) and made.looks() == [2]


def test_without_max_prompts_a_run_decides_once(tmp_path):
    made = project(tmp_path, max_prompts=None, batch_prompts=None)
    looking.begin(made, ["a", "b"], anew=True)
    assert json.loads(made.layout.looks.read_text()) == {"a": None, "b": None}
    assert made.looks() == [] and looks.looks_so_far(made, "a") is None
    assert looks.batches(made, "a") == [PROMPTS[:2]]


def test_looks_of_other_parameters_are_refused_by_the_stage_and_taken_anew_by_a_run(tmp_path):
    made = project(tmp_path, max_prompts=4)
    write_json(made.layout.looks, {"a": [2, 5], "b": [2]})
    with pytest.raises(DataError, match=r"a was looked at after 5 prompts, and decide.max_prompts is 4"):
        looks.looks_so_far(made, "a")
    looking.begin(made, ["a", "b"], anew=False)
    assert made.looks("a") == made.looks("b") == [2]


def test_answers_and_verdicts_are_made_once_and_are_those_of_a_run_without_memory(tmp_path, toy, monkeypatch):
    made, asked = project(tmp_path, toy.folder), list[int]()
    whole = stage.answer_prompts
    monkeypatch.setattr(
        stage,
        "answer_prompts",
        lambda prompts, *a, **k: asked.append(len(prompts)) or whole(prompts, *a, **k),
    )
    looking.begin(made, ["a", "b"], anew=True)
    stage.respond(made, "base", None, None)
    cost = made.layout.respond_cost("base")
    assert cost.is_file()
    looking.go_on(made, ["a"])
    stage.respond(made, "base", None, None)
    assert asked == [2, 3] and not cost.exists(), "the seconds of one batch are not those of all answers"
    base = made.layout.responses("base")
    before = base.read_bytes()
    assert [r.prompt_id for r in read_rows(base, Response)] == [p.id for p in PROMPTS[:5]]
    [file] = [f for f in made.layout.kept.glob("*.jsonl") if len(f.read_text().splitlines()) == 3]
    file.write_text(file.read_text().replace("tokens", "tokenz", 1))  # damaged: it is made again
    stage.respond(made, "base", None, None)
    assert asked == [2, 3, 3] and base.read_bytes() == before

    for d, n in (("a", 5), ("b", 2)):
        rows = [response(p.id, text="x" * i) for i, p in enumerate(PROMPTS[:n])]
        write_rows(made.layout.responses("challenger", d), rows)
        write_rows(made.layout.responses("champion", d), [])
    assert len(judge(made, "a")) == 10 and len(judge(made, "b")) == 4, "of the base, only its own prompts"
    first = made.layout.verdicts("a").read_bytes()
    monkeypatch.setattr("genarm.pipeline.stages.judge.compare", None)  # is not asked again
    judge(made, "a")
    assert made.layout.verdicts("a").read_bytes() == first
    kept.forget(made)
    assert not list(made.layout.kept.iterdir())


def test_a_look_is_told_and_ends_where_more_prompts_would_not_help(tmp_path):
    """Eight wins of eight reach 8 / 8^(1/4) = 4.76 by 1 of 256 walks, and within nine steps no other does;
    Holm doubles it."""
    made = project(tmp_path)
    looking.begin(made, ["a", "b"], anew=True)
    decided(made, {"a": [1.0, 1.0], "b": [1.0, 1.0]})
    look = looking.last_look(made, ["a", "b"])
    assert look.undecided == ["a", "b"] and "2 prompts, a p = " in look.line and "goes on; b" in look.line
    decided(made, {"a": [None, None], "b": [1.0, 1.0]})  # a judge that cannot be read has to be repaired
    assert looking.last_look(made, ["a", "b"]).undecided == ["b"]
    looking.go_on(made, ["a", "b"]), looking.go_on(made, ["a", "b"])
    decided(made, {"a": [1.0, -1.0] * 4, "b": [1.0] * 8})
    look = looking.last_look(made, ["a", "b"])
    assert look.undecided == []
    assert look.line.endswith("b p = 0.0078, promote") and "hold at the last prompt" in look.line


def test_a_look_counts_only_the_dimensions_that_are_measured(tmp_path):
    """`b` went further before and is in use by now; `a` was held at its first look."""
    made = project(tmp_path)
    looking.begin(made, ["a", "b"], anew=True)
    looking.go_on(made, ["b"])
    decided(made, {"a": [1.0, None], "b": [1.0] * 5})
    look = looking.last_look(made, ["a"])
    assert look.number == 1 and look.line.startswith("2 prompts, a p = ")
    assert looking.last_look(made, ["a", "b"]).number == 2


def decided(made: Project, said: dict[str, list[float | None]]) -> None:
    """Write scorecards and decisions as the stage does, from preferences over the base."""
    cards = []
    for d, preferences in said.items():
        rows = [response(p.id) for p in PROMPTS[: len(preferences)]]
        verdicts = [
            Verdict(p.id, on, "challenger", "base", x)
            for on in said
            for p, x in zip(PROMPTS, preferences, strict=False)
        ]
        sides = {"base": rows, "challenger": rows}
        cards.append(score(d, "a" * 64, None, sides, verdicts, looks=looks.looks_so_far(made, d)))
    write_json(made.layout.scorecards, {c.dimension: c for c in cards})
    write_json(made.layout.decisions, {d.dimension: d for d in decide(cards, made.params.decide)})


@pytest.mark.parametrize(
    ("first", "rule", "said"),
    [
        (5, {"max_prompts": 4}, r"respond.prompts = 5 is how many .* decide.max_prompts = 4 is how many"),
        (None, {"max_prompts": 4}, r"respond.prompts = null is how many"),
        (5, {"extra": "more.jsonl"}, r"decide.extra = 'more.jsonl' .* decide.max_prompts, which is not set"),
    ],
)
def test_parameters_that_go_nowhere_are_refused(tmp_path, first, rule, said):
    params = {
        "base": {"model": "x"},
        "dimensions": {"a": dimension()},
        "respond": {"prompts": first},
        "decide": rule,
    }
    write_json(tmp_path / "params.yaml", params)
    with pytest.raises(ConfigError, match=said):
        _ = Project(tmp_path).params


def test_code_that_was_renamed_is_no_code_that_never_changes():
    assert kept.code("types") != kept.code("types", "errors.py")
    with pytest.raises(ValueError, match=r"genarm/types.py has no files"):
        kept.code("types.py")
