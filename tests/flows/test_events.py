"""Events of a flow and of a command reach a webhook by way of a real Prefect server; status asks the same."""

import uuid

import pytest
from dvc_project import git
from prefect_shell import ROOT, ask, prefect, running_server, start, until, webhook
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from toy_params import dimension

from genarm.system.files import write_json
from genarm.watch import events
from genarm.watch.prefect_api import named_server
from genarm.watch.runs import ask as ask_runs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crashed")]

RUN = """
import logging, sys
from pathlib import Path
from genarm.system import env
env.prepare(Path.cwd())
from prefect import flow
from genarm.flows import watching
from genarm.flows.align import open_project
from genarm.flows.events import tell
from genarm.flows.metrics import AT_ITS_END
from genarm.types import Decision
from genarm.watch import events

@flow(name="refresh", **AT_ITS_END)
def refresh(root: str, outcome: str):
    project = open_project(root)
    assert watching.watch_champions(project, carry_out=True)  # there is none, and that is no error
    tell(events.decided(project.root, Decision("kind", outcome, ["0.7 of 120"], "a" * 64, None), True))
    if outcome == "reject":
        raise ValueError("it ends here")

refresh(".", sys.argv[1])
"""
DEPLOY = """
from genarm.flows.refresh import refresh
refresh.to_deployment("nightly", cron="0 2 * * *").apply()
"""


@pytest.fixture
def told():
    """What a webhook was told, and its address."""
    with webhook() as place:
        yield place


@pytest.fixture
def project(tmp_path):
    """A project that has parameters, and metrics of its runs."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--quiet")
    params = {"base": {"model": "nowhere"}, "dimensions": {"kind": dimension("a.jsonl")}}
    write_json(root / "params.yaml", params | {"watch": {"metrics": "out/genarm.prom", "prompts": 5}})
    return root


def run(server, project, outcome: str, code: int) -> None:
    process = start(server | {"OMP_NUM_THREADS": "1"}, project, "-c", RUN, outcome)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    assert "was not told" not in output and "watch.metrics" not in output, output
    assert "no dimension has a champion yet" in output and "not measured tonight" not in output, output


def test_what_happened_is_told_and_status_knows_the_runs(told, project, tmp_path, monkeypatch):
    texts, url = told
    with running_server(tmp_path / "home") as server:
        _automations(server, tmp_path, url)
        run(server, project, "promote", 0)
        until(lambda: any("promoted" in text for text in texts), "the promotion is told")
        assert "genarm: project: kind promoted: 0.7 of 120" in texts
        run(server, project, "reject", 1)  # it fails, and both is told by other automations
        monkeypatch.setenv("PREFECT_API_URL", server["PREFECT_API_URL"])
        assert events.send(events.rolled_back(project, "kind", "too long", "kind: version 1 again")) == ""
        until(lambda: any("kind: version 1 again, because: too long" in text for text in texts), "a rollback")
        until(lambda: any("no run of refresh" in text for text in texts), "that no run is completed")
        heard = ask(server, "events/filter", {"filter": {"event": {"prefix": ["genarm."]}}, "limit": 50})
        assert {event["event"] for event in heard["events"]} == {
            "genarm.promoted",
            "genarm.rejected",
            "genarm.rolled-back",
        }
        related = [r for e in heard["events"] if e["event"] == "genarm.promoted" for r in e["related"]]
        assert any(r["prefect.resource.id"].startswith("prefect.flow-run.") for r in related)

        api = named_server()
        assert api is not None
        before = ask_runs(api)
        assert [r.state for r in before.here(project)] == ["Failed", "Completed"] and not before.due
        assert {r.folder for r in before.last} == {str(project)} and before.last[0].ended
        deployed = start(server, project, "-c", DEPLOY)
        output, _ = deployed.communicate(timeout=120)
        assert deployed.returncode == 0, output
        known = until(lambda: (found := ask_runs(api)).due and found, "a run is scheduled")
        (schedule,) = known.schedules
        assert (schedule.name, list(schedule.when)) == ("refresh/nightly", ["0 2 * * * UTC"])
        assert not schedule.ready and not schedule.paused and known.due[11:16] == "02:00"
    samples = {
        (s.name, s.labels.get("state")): s.value
        for family in text_string_to_metric_families((project / "out" / "genarm.prom").read_text())
        for s in family.samples
    }
    ended = "genarm_flow_last_end_timestamp_seconds"
    assert samples[ended, "Failed"] >= samples[ended, "Completed"] > 0
    assert events.send(events.data_held(project, ["half is gone"]))  # nobody listens: it says so, and goes on


def _automations(server, folder, url: str) -> None:
    """The automations of the repository, the last one with a shorter wait."""
    save = "from prefect.blocks.webhook import Webhook; print(Webhook(url=input()).save('genarm-alert'))"
    (folder / "url").write_text(url)
    printed, _ = start(server, folder, "-c", f"import sys; sys.stdin = open('url'); {save}").communicate()
    content = (ROOT / "automations.yaml").read_text().replace(str(uuid.UUID(int=0)), printed.split()[-1])
    file = folder / "automations.yaml"
    file.write_text(content.replace("within: 93600", "within: 20"))
    assert "genarm-no-run" in {a["name"] for a in YAML(typ="safe").load(content)["automations"]}
    prefect(server, "automation", "create", "--from-file", str(file))
