"""How Prefect finds the flow, and what importing it does to a process: nothing."""

import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]

CHANGES = """
import os, sys
before = dict(os.environ)
import genarm.flows
assert "prefect" not in sys.modules
assert dict(os.environ) == before
import prefect
before = dict(os.environ)
import genarm.flows.align, genarm.flows.refresh, genarm.flows.version_data, genarm.flows.deploy
assert dict(os.environ) == before, set(os.environ) ^ set(before)
read_settings_later = {"torch", "mlflow", "dvc"} - set(sys.modules)  # once a flow has prepared them
assert len(read_settings_later) == 3, read_settings_later
"""
LOADS = """
from prefect.flows import load_flow_from_entrypoint
flow = load_flow_from_entrypoint("{entrypoint}", use_placeholder_flow=False)
assert flow.name == "refresh" and flow.fn.__module__ == "genarm.flows.refresh", flow
assert set(flow.parameters.properties) == {{"root", "promote", "run", "wait_hours"}}
"""


def run(code: str, folder: Path) -> None:
    """In an interpreter that has imported nothing of ours yet."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_flows_leaves_the_environment_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    run(CHANGES, tmp_path)


def test_prefect_loads_the_flow_that_its_file_names(tmp_path, monkeypatch):
    """From any folder, as the part of its package that its imports need."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    (deployment,) = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]
    run(LOADS.format(entrypoint=deployment["entrypoint"]), tmp_path)
