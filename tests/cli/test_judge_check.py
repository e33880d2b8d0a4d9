"""`genarm judge-check`: judges against people, in files of several formats, noted for the decision."""

import json

import pytest
from cli_toys import PARAMS

from genarm.errors import DataError
from genarm.operations.human_pairs import read_pairs
from genarm.pipeline.preflight.judge_checks import judge_checks
from genarm.pipeline.project import Project

JUDGES = '''
class First:
    """Likes whatever stands first, and counts how often it is asked."""
    def compare(self, prompt, left, right):
        return 1

class Unsure:
    """Cannot be read where a text says so."""
    def compare(self, prompt, left, right):
        if "?" in left.text + right.text:
            return None
        return (len(left.text) > len(right.text)) - (len(left.text) < len(right.text))
'''


def rows(n: int, chosen: str, rejected: str, **more: str) -> list[dict[str, str]]:
    return [{"prompt": f"say {i}", "chosen": chosen, "rejected": rejected, **more} for i in range(n)]


@pytest.fixture
def files(project):
    """People prefer the longer answer in 30 pairs of one file and the shorter one in 40 pairs of another."""
    (project / "judges.py").write_text(JUDGES)
    longer = [*rows(20, "long enough", "no", kind="a"), *rows(10, "longer", "no", kind="b"), {"text": "none"}]
    (project / "longer.jsonl").write_text("\n".join(map(json.dumps, longer)))
    better = [{"question": f"ask {i}", "better": "no", "worse": "on and on"} for i in range(40)]
    (project / "shorter.json").write_text(json.dumps(better))
    return project


def test_a_judge_is_measured_on_every_file_and_noted(files, run):
    code, out, err = run("judge-check", "length", "longer.jsonl", "shorter.json", "--by", "kind")
    assert code == 1 and "shorter.json has no column 'kind'" in err
    code, out, err = run("judge-check", "length", "longer.jsonl", "shorter.json", "--json", "out.json")
    assert code == 0, err
    told = " ".join(out.split())
    assert "longer.jsonl: 30 pairs of 20 prompts" in told and "1 row refused" in told
    assert "pass judge length, genarm" in told and "fail judge length, genarm" in told
    assert "the judge is not to be relied on: it fails on shorter.json" in told
    assert "git add judge-checks.json" in told
    first, second = json.loads((files / "out.json").read_text())
    agreed = {j["name"]: j["agreement"]["accuracy"]["value"] for j in first["judges"]}
    assert agreed["length"] == pytest.approx(20 / 30 + 10 / 60), "one word in ten pairs on both sides: a tie"
    assert agreed["longer"] == 1 and set(agreed) == {"length", "longer", "VADER", "Flesch"}
    assert {j["name"]: j["agreement"]["longer"] for j in second["judges"]}["longer"] == 1
    noted = json.loads((files / "judge-checks.json").read_text())["length"]
    assert [a["file"] for a in noted[0]["agreements"]] == ["longer.jsonl", "shorter.json"]
    assert noted[0]["accuracy"]["value"] == pytest.approx((25 + 0) / 70)
    assert noted[0]["judge"].startswith("length, genarm") and noted[0]["agreements"][1]["sha256"]
    assert Project(files).judge_checks()["length"][0].accuracy.n == 70


def test_subsets_are_measured_apart(files, run):
    code, out, _ = run("judge-check", "length", "longer.jsonl", "--by", "kind", "--json", "out.json")
    assert code == 0 and " a " in out and " b " in out
    [judge, *_] = json.loads((files / "out.json").read_text())[0]["judges"]
    assert {name: s["accuracy"]["value"] for name, s in judge["subsets"].items()} == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize(
    ("judge", "consistent", "first", "unread"), [("First", 0.0, 1.0, 0), ("Unsure", 1.0, 0.5, 40)]
)
def test_a_judge_that_goes_by_position_or_cannot_be_read_fails(judge, consistent, first, unread, files, run):
    (files / "params.yaml").write_text(PARAMS.replace("judge: length", f"judge: 'judges:{judge}'"))
    asked = [{"prompt": f"ask {i}", "chosen": "no?", "rejected": "on"} for i in range(40)]
    (files / "mixed.jsonl").write_text("\n".join(map(json.dumps, [*rows(60, "longer", "no"), *asked])))
    code, out, err = run("judge-check", "length", "mixed.jsonl", "--json", "out.json")
    assert code == 0 and "fail  judge" in out, err
    found = json.loads((files / "out.json").read_text())[0]["judges"][0]["agreement"]
    assert (found["consistency"], found["first"], found["unread"]) == (consistent, first, unread)
    if unread:
        assert "40 of 100 pairs of mixed.jsonl could not be read" in out and found["accuracy"]["value"] == 1


def test_what_is_no_file_of_pairs_is_refused_before_any_judge_is_asked(files, run):
    (files / "none.jsonl").write_text('{"text": "a"}\n')
    code, _, err = run("judge-check", "length", "longer.jsonl", "none.jsonl")
    assert code == 1 and "none.jsonl holds no preference pair" in err
    assert run("judge-check", "length", "longer.jsonl", "longer.jsonl")[2].startswith("error: two files are")
    assert run("judge-check", "lenght", "longer.jsonl")[0] == 1
    assert not (files / "judge-checks.json").exists()
    with pytest.raises(DataError, match="has no column 'knd' .did you mean 'kind'"):
        read_pairs(files / "longer.jsonl", Project(files).params.dimensions["length"].data, "knd")


def test_the_preflight_says_where_a_check_would_change_no_decision(files, run):
    stages = {"stages": {"decide": {"cmd": "genarm decide", "params": ["decide"]}}}
    (files / "dvc.yaml").write_text(json.dumps(stages))
    assert judge_checks(Project(files)) == []
    (files / "params.yaml").write_text(PARAMS + "respond: {}\n")
    run("judge-check", "length", "longer.jsonl")
    [warned] = judge_checks(Project(files))
    assert warned.status == "warn" and "add `- judge-checks.json:`" in warned.fix
    stages["stages"]["decide"]["params"] = ["decide", {"judge-checks.json": None}]
    (files / "dvc.yaml").write_text(json.dumps(stages))
    assert judge_checks(Project(files))[0].status == "ok"
    (files / "judge-checks.json").unlink()
    assert judge_checks(Project(files))[0].status == "fail"


def test_a_check_that_is_replaced_is_told(files, run):
    run("judge-check", "length", "shorter.json")
    _, out, _ = run("judge-check", "length", "longer.jsonl")
    assert "warning: this takes the place of the check on shorter.json" in out
    _, out, _ = run("judge-check", "length", "longer.jsonl", "shorter.json")
    assert "takes the place" not in out, "nothing is lost"


def test_of_a_judge_that_cannot_be_read_at_all_nothing_is_shown(files, run):
    (files / "params.yaml").write_text(PARAMS.replace("judge: length", "judge: 'judges:Unsure'"))
    (files / "asked.jsonl").write_text("\n".join(map(json.dumps, rows(20, "why?", "no"))))
    code, out, err = run("judge-check", "length", "asked.jsonl")
    [line] = [line for line in out.splitlines() if line.startswith("judges:Unsure")]
    assert code == 0 and line.split() == ["judges:Unsure", "20", "100%"], err
    assert "20 of 20 pairs of asked.jsonl could not be read" in out
