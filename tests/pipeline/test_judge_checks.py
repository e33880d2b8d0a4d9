"""A check of a judge and DVC: the decision is made anew when it changes, and only then."""

import json

import decided_project
import pytest

from genarm.operations.judge_check import judge_check
from genarm.pipeline.project import Project
from genarm.system.files import write_json

pytestmark = pytest.mark.slow


def test_dvc_decides_again_when_a_judge_was_checked(tmp_path):
    decided_project.make(tmp_path)
    stages = json.loads((tmp_path / "dvc.yaml").read_text())
    stages["stages"]["decide"]["params"] = [{"judge-checks.json": None}]
    write_json(tmp_path / "dvc.yaml", stages)
    write_json(tmp_path / "judge-checks.json", {"kind": None})
    project = Project(tmp_path)
    decided_project.repro(tmp_path, "decide")
    before = project.decisions()["kind"]
    assert any("not measured against people (genarm judge-check kind FILE)" in r for r in before.reasons)
    assert "Stage 'decide' didn't change, skipping" in decided_project.repro(tmp_path, "decide")
    rows = [{"prompt": f"say {i}", "chosen": "a b", "rejected": "a"} for i in range(40)]
    (tmp_path / "people.jsonl").write_text("\n".join(map(json.dumps, rows)))
    judge_check(project, "kind", [tmp_path / "people.jsonl"])
    told = decided_project.repro(tmp_path, "decide")
    after = project.decisions()["kind"]
    assert "Running stage 'decide'" in told and after.reasons != before.reasons
    assert any("the check is of length, genarm" in reason for reason in after.reasons)
