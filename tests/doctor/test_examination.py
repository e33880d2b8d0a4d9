"""The examination as a whole: light, complete, each problem with its fix."""

import subprocess
import sys

from doctor_toys import ROOT
from rich.console import Console

from genarm import doctor
from genarm.doctor.ahead import CHECKS
from genarm.pipeline import preflight
from genarm.pipeline.preflight.models import models
from genarm.pipeline.preflight.origin import origin


def test_it_imports_nothing_heavy():
    """But for what the project's own judges import, since they are tried."""
    program = (
        "import sys; from pathlib import Path; from genarm.system import env;"
        "env.prepare(Path.cwd());"
        "from genarm.doctor import examine; examine(Path.cwd());"
        "print(sorted({'torch', 'transformers', 'mlflow', 'prefect', 'dvc'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_whatever_is_found_wrong_comes_with_a_fix(tmp_path, quiet):
    """An empty folder is wrong in many ways; one that cannot be examined is told, and hides no other."""
    quiet.setattr(doctor, "CHECKS", (*doctor.CHECKS, lambda root: 1 / 0))
    findings = doctor.examine(tmp_path)
    failed = {f.check for f in findings if f.status == "fail"}
    assert {"params.yaml", "dvc", "git", "champions"} <= failed
    assert all(bool(f.fix) == (f.status != "ok") for f in findings)
    assert "ZeroDivisionError" in findings[-1].detail
    console = Console(width=100)
    with console.capture() as captured:
        console.print(doctor.render(findings))
    shown = captured.get()
    assert f"{sum(f.status == 'fail' for f in findings)} failed" in shown
    assert "-> git restore data.dvc" in shown or "-> git restore dvc.yaml" in shown


def test_what_a_run_checks_beforehand_is_examined_too():
    """But for the base model and the commit, of which the doctor has more to say."""
    assert set(preflight.CHECKS) - set(CHECKS) == {models, origin}
