"""Versions, switches, and what hides a library, each named with the command that mends it."""

import sys

import pytest
from doctor_toys import ROOT, one

from genarm.doctor import installation, machine
from genarm.system import env


def test_a_version_outside_its_range_is_named_with_the_command_that_mends_it(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nrequires-python = ">=3.99"\n'
        'dependencies = ["rich>=14", "fastapi<0.1", "no-such-thing>=2", "tomli; python_version < \'3\'"]\n'
    )
    cap, missing = installation.libraries(tmp_path)
    assert (cap.check, cap.status, cap.fix) == ("fastapi", "fail", "python -m pip install 'fastapi<0.1'")
    assert "Prefect server does not start" in cap.detail
    assert missing.check == "no-such-thing" and "not installed" in missing.detail
    assert one(installation.python(tmp_path)).status == "fail"
    assert one(installation.libraries(ROOT)).status == one(installation.python(ROOT)).status == "ok"


def test_what_hides_mlflow_is_found(tmp_path, monkeypatch):
    (tmp_path / "mlflow").mkdir()
    assert one(installation.mlflow_import(tmp_path)).status == "ok"
    (tmp_path / "mlflow" / "types.py").touch()
    assert "mlflow/types.py" in one(installation.mlflow_import(tmp_path)).detail
    (tmp_path / "mlflow" / "__init__.py").touch()
    assert one(installation.mlflow_import(tmp_path)).fix == "rm mlflow/__init__.py"
    for file in (tmp_path / "mlflow").iterdir():
        file.unlink()
    monkeypatch.setattr(sys, "path", [])  # the library is not installed: the folder is what an import finds
    assert one(installation.mlflow_import(tmp_path)).status == "fail"


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("DO_NOT_TRACK", "true", "ok"),
        ("DO_NOT_TRACK", "1", "warn"),  # MLflow takes the word alone
        ("DVC_NO_ANALYTICS", "yes", "ok"),
        ("DVC_NO_ANALYTICS", "", "warn"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "0", "ok"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "true", "warn"),
    ],
)
def test_a_switch_that_silences_nothing_is_seen(name, value, status, monkeypatch):
    for other, silent in env.TELEMETRY_OFF.items():
        monkeypatch.setenv(other, silent)
    monkeypatch.setenv(name, value)
    finding = one(installation.telemetry(ROOT))
    assert finding.status == status
    assert (f"export {name}={env.TELEMETRY_OFF[name]}" == finding.fix) == (status == "warn")


def test_what_a_processor_can_do_is_read_from_its_flags(tmp_path):
    (tmp_path / "x86").write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n\nflags\t: other\n")
    (tmp_path / "arm").write_text("Features : fp asimd bf16\n")
    assert machine.cpu_flags(tmp_path / "x86") == {"fpu", "avx512_bf16", "sse"}
    assert "bf16" in machine.cpu_flags(tmp_path / "arm")
    assert machine.cpu_flags(tmp_path / "none") == set()
