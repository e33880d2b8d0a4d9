"""The flow `refresh` on a real Prefect server: held data pauses it, and a person's answer ends that."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from browser import chromium
from dvc_project import dvc, git
from etag_server import site
from prefect_shell import ask, running_server, start, until
from ruamel.yaml import YAML

from genarm.data.dvc import data_version
from genarm.intake import held

pytestmark = pytest.mark.slow

RUN = """
import sys
from pathlib import Path
from genarm.system import env
from pathlib import Path
env.prepare(Path.cwd())
from genarm.flows import refresh
refresh.POLL = 1
done = refresh.refresh(root=".", run=False, wait_hours=float(sys.argv[1]))
print("outcome:", done.news.outcome)
"""


def rows(flipped: int) -> bytes:
    """Forty pairs, the first of which prefer the other response."""
    sides = [("no", "yes") if n < flipped else ("yes", "no") for n in range(40)]
    made = [{"prompt": f"say {n}", "chosen": c, "rejected": r} for n, (c, r) in enumerate(sides)]
    return "".join(json.dumps(row) + "\n" for row in made).encode()


@pytest.fixture
def project(tmp_path, toy):
    """A project whose only dimension is on a site."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--quiet")
    dvc(root, "init", "--quiet")
    with site() as web:
        web.files["a.jsonl"] = rows(0)
        data = {"files": "a.jsonl", "from": f"{web.address}/a.jsonl"}
        kind = {"data": data, "judge": "length", "weight": 1}
        params = {"base": {"model": str(toy.folder), "dtype": "float32"}, "dimensions": {"kind": kind}}
        with (root / "params.yaml").open("w") as file:
            YAML().dump(params, file)
        yield root, web


def refresh(environment, root, hours: float) -> subprocess.Popen[str]:
    return start(environment | {"OMP_NUM_THREADS": "1"}, root, "-c", RUN, str(hours))


def ended(process, says: str) -> None:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and f"outcome: {says}" in output, output


def paused(server, process) -> str:
    """The id of the run that waits."""

    def found():
        assert process.poll() is None, process.communicate()
        return [run for run in ask(server, "flow_runs/filter", {}) if run["state_type"] == "PAUSED"]

    return until(found, "the run waits")[0]["id"]


def test_held_data_waits_on_the_page_of_its_run_and_at_a_shell(project, tmp_path):
    root, web = project
    with running_server(tmp_path / "home") as server:
        ended(refresh(server, root, 1), "version ")
        ended(refresh(server, root, 1), "nothing new")
        first = data_version(root)

        web.files["a.jsonl"] = rows(10)  # answered on the page: what its form sends
        waiting = refresh(server, root, 1)
        answer = {"run_input": {"take": False, "reason": "a test"}}
        ask(server, f"flow_runs/{paused(server, waiting)}/resume", answer)
        ended(waiting, "nothing new")
        assert data_version(root) == first and held.waiting(root) is None

        web.files["a.jsonl"] = rows(11)  # answered at a shell
        waiting = refresh(server, root, 1)
        paused(server, waiting)
        words = [str(Path(sys.executable).with_name("genarm")), "data", "approve", "--reason", "relabelled"]
        said = subprocess.run(words, cwd=root, env=server, text=True, capture_output=True, timeout=120)
        assert said.returncode == 0 and "approved: data version" in said.stdout, said
        ended(waiting, "nothing new")
        assert (root / "data" / "a.jsonl").read_bytes() == rows(11)

        web.files["a.jsonl"] = rows(0)  # nobody answers: the run goes on, and starts tasks again
        ended(refresh(server, root, 4 / 3600), "waits for a person: kind: 11 of 40 known pairs")
        states = {run["state_type"] for run in ask(server, "flow_runs/filter", {})}
        assert states == {"COMPLETED"} and held.waiting(root)


def test_the_form_on_the_page_of_a_run_says_what_came_in_and_takes_it(project, tmp_path):
    root, web = project
    with running_server(tmp_path / "home") as server, chromium() as browser:
        ended(refresh(server, root, 1), "version ")
        web.files["a.jsonl"] = rows(10)
        waiting = refresh(server, root, 1)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        address = server["PREFECT_API_URL"].removesuffix("/api")
        page.goto(f"{address}/runs/flow-run/{paused(server, waiting)}")
        page.get_by_role("button", name="Resume").first.click()
        page.get_by_text("10 of 40 known pairs prefer the other response now", exact=False).last.wait_for()
        page.get_by_role("switch").click()
        page.locator("textarea").fill("relabelled by hand")
        page.get_by_role("button", name="Submit").click()
        ended(waiting, "version ")
        assert (root / "data" / "a.jsonl").read_bytes() == rows(10) and held.waiting(root) is None
