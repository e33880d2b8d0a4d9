"""A challenger in service, with a real server and registry: promoted, stopped, taken up again, refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import httpx
import pytest
from canary_project import canary_project, two_versions, verdict
from scipy import stats
from served_toys import ASKED, running, wait
from toy_arms import make_arm
from typer.testing import CliRunner

from genarm import registry
from genarm.canary.ending import end
from genarm.canary.judging import CanaryJudge
from genarm.cli.main import app
from genarm.errors import DataError
from genarm.evaluation.canary import standing
from genarm.models import resolve
from genarm.models.arm import read_card, write_card
from genarm.pipeline.project import Project
from genarm.registry.canaries import canaries, open_canary, outcomes, to_try
from genarm.serve.opening import Opener
from genarm.serve.service import Service
from genarm.serve.watcher import Watcher
from genarm.system.files import write_rows
from genarm.types import CanaryOutcome, Responses
from genarm.watch.status import status

CHAT = "/v1/chat/completions"


@pytest.fixture
def project(toy, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return canary_project(tmp_path, toy.folder)


@pytest.fixture
def versions(project, arms) -> tuple[int, int]:
    """The champion and the challenger of `kind`."""
    return two_versions(project, arms["kind"], arms["newer"])


def opened(project) -> tuple[Service, Watcher]:
    """A server as `genarm serve` makes it, after the first look of its watcher."""
    opener = Opener(project, {}, slots=4)
    service = Service(opener.open(opener.wanted()))
    watcher = Watcher(service, opener, seconds=3600)
    watcher.look()
    return service, watcher


class Asking:
    """Requests of many people from two threads until it is left; every one must be answered."""

    def __init__(self, address: str) -> None:
        self.address, self.stop, self.number = address, threading.Event(), count()
        self.seen: list[int] = []
        self.pool = ThreadPoolExecutor(2)

    def __enter__(self):
        self.futures = [self.pool.submit(self._ask) for _ in range(2)]
        return self

    def _ask(self) -> None:
        while not self.stop.is_set():
            number = next(self.number)
            hello = [{"role": "user", "content": f"hello {number}"}]
            answer = httpx.post(
                self.address + CHAT, json=ASKED | {"messages": hello, "user": f"person {number}"}, timeout=60
            )
            assert answer.status_code == 200, answer.text
            self.seen.append(answer.json()["genarm"]["versions"]["kind"])

    def until(self, true) -> None:
        wait(lambda: true() or any(future.done() for future in self.futures))

    def __exit__(self, *_) -> None:
        self.stop.set()
        for future in self.futures:
            future.result()
        self.pool.shutdown()


@pytest.mark.slow
def test_a_better_challenger_is_promoted_while_requests_flow_and_a_restart_goes_on(project, versions):
    first, second = versions
    store, judge = registry.connect(project.root), CanaryJudge(project)
    verdict(project, 0)
    service, watcher = opened(project)
    [canary] = canaries(store, "kind")
    assert service.lineup.versions == {"kind": first} and service.running.trial == canary.trial
    with running(service) as address, Asking(address) as asking:
        asking.until(lambda: len(list(project.layout.canary.rglob("*.json"))) >= 3 and len(asking.seen) > 40)
        share = asking.seen.count(second)
        low, high = stats.binom.interval(0.9999, len(asking.seen), 0.4)
        assert low <= share <= high
        watcher.look()
        look = judge.look()
        assert not look.ended and look.outcomes >= 3, look.line
    before = look.outcomes
    known = {row.id for rows in outcomes(store, canary).values() for row in rows}
    assert len(known) == before and not known & {f.stem for f in project.layout.canary.rglob("*.json")}
    [shown] = [line.on_trial for line in status(project.root).champions if line.dimension == "kind"]
    assert shown.in_service.startswith(f"in service since {canary.since[:10]}, win rate ")

    verdict(project, 1)
    service, watcher = opened(Project(project.root))  # the server starts anew
    assert service.running.before.given > 0 and service.running.own == Responses()
    judge = CanaryJudge(Project(project.root))
    with running(service) as address, Asking(address) as asking:
        while not look.ended:
            asking.until(lambda: any(project.layout.canary.rglob("*.json")))
            look = judge.look()
        assert f"version {second}, promote" in look.line and look.outcomes > before
        assert watcher.look() and service.running is None and service.lineup.versions == {"kind": second}
        done = len(asking.seen)
        asking.until(lambda: len(asking.seen) > done + 6)
        assert set(asking.seen[done + 3 :]) == {second}
    version = store.version("kind", second)
    assert version.aliases == ("champion",) and version.tags["genarm.promoted_by"] == "canary"
    assert version.tags["genarm.promoted_weight"] == "1.5"
    [canary] = canaries(store, "kind")
    assert canary.outcome == "promote" and "shown to be above 0.5" in canary.reason
    run = store.client.get_run(version.tags["genarm.decision_run"])
    assert run.data.tags["genarm.actor"] == "canary" and run.data.tags["genarm.canary_run"] == canary.run
    assert run.data.metrics["win_rate_n"] == look.outcomes
    store.rollback("kind", "too curt")
    assert store.champions(["kind"])["kind"].version == first
    assert watcher.look() and service.lineup.versions == {"kind": first} and service.running is None


@pytest.mark.slow
def test_a_harmful_one_is_stopped_blocked_and_not_tried_again(project, versions):
    first, second = versions
    store, judge = registry.connect(project.root), CanaryJudge(project)
    verdict(project, -1)
    service, watcher = opened(project)
    with running(service) as address, Asking(address) as asking:
        look = judge.look()
        while not look.ended:
            asking.until(lambda: any(project.layout.canary.rglob("*.json")))
            look = judge.look()
        assert f"version {second}, reject" in look.line and "shown to be below 0.5" in look.line
        assert watcher.look() and service.running is None
        done = len(asking.seen)
        asking.until(lambda: len(asking.seen) > done + 6)
        assert set(asking.seen[done + 3 :]) == {first} and second in asking.seen[:done]
    version = store.version("kind", second)
    assert version.tags["genarm.blocked"].startswith("stopped in service: win rate")
    assert version.aliases == () and store.champions(["kind"])["kind"].version == first
    assert to_try(store, "kind") is None and judge.look().outcomes == 0
    store.register(
        "kind", project.root / ".cache/serve/kind" / _folder(project, second), weight=2.0, metrics={}
    )
    service, _ = opened(Project(project.root))
    assert service.running is None and "no challenger" in judge.look().line


def _folder(project, number: int) -> str:
    """The folder of a version as a server fetched it; fetched again where it was tidied away."""
    store = registry.connect(project.root)
    opener = Opener(project, {}, slots=1)
    champion = store.version("kind", number).champion()
    folder = opener.folder("kind", champion)
    store.fetch("kind", champion, folder)
    return folder.name


@pytest.mark.slow
def test_what_fails_is_stopped_by_the_server_itself_and_people_may_judge(project, versions):
    """Another server's counts are before ours; a person's verdicts come as rows."""
    _, second = versions
    store, judge = registry.connect(project.root), CanaryJudge(project)
    service, watcher = opened(project)
    people = [CanaryOutcome(f"prompt {i}", 1.0, "people") for i in range(5)]
    assert judge.look(people).outcomes == 5 and judge.look(people).outcomes == 5
    with pytest.raises(DataError, match=r"outcome 'x' has challenger = 2\.0"):
        judge.look([CanaryOutcome("x", 2.0)])
    for _ in range(3):
        service.running.count("challenger", None, 0.1, failed=True)
    assert watcher.look() and service.running is None
    [canary] = canaries(store, "kind")
    assert canary.outcome == "reject" and canary.reason.startswith("3 of 3 responses failed")
    assert store.version("kind", second).tags["genarm.blocked"]
    assert "no challenger is on trial" in judge.look(people).line


@pytest.mark.slow
def test_one_that_does_not_fit_is_told_and_a_new_one_takes_its_place(
    project, arms, toy, versions, tmp_path_factory
):
    first, second = versions
    store = registry.connect(project.root)
    service, watcher = opened(project)
    assert service.running.trial.challenger.version == second
    misfit = make_arm(tmp_path_factory.mktemp("misfit"), resolve(str(toy.folder)), toy.model, seed=9)
    write_card(misfit, replace(read_card(misfit), dimension="kind", model_weights_sha256="0" * 64))
    third = store.register("kind", misfit, metrics={})
    assert watcher.look() and service.running is None and service.lineup.versions == {"kind": first}
    assert service.refused["kind"]["version"] == third
    assert not watcher.look() and service.refused["kind"]["version"] == third
    store.register("kind", arms["newer"], weight=0.7, metrics={})
    assert watcher.look() and service.running.trial.challenger.weight == 0.7 and not service.refused
    assert not watcher.look()
    CanaryJudge(project).look()
    assert [c.outcome for c in canaries(store, "kind")].count("overtaken") == 2


@pytest.mark.slow
def test_the_judge_by_its_command_with_verdicts_of_people_and_the_end_by_hand(project, versions, monkeypatch):
    monkeypatch.chdir(project.root)
    rows = [CanaryOutcome(f"prompt {i}", 1.0, "people") for i in range(3)]
    write_rows(project.root / "people.jsonl", rows)

    def said(*words: str) -> str:
        done = CliRunner().invoke(app, ["canary", *words])
        assert done.exit_code == 0, done.output
        return done.output

    for _ in range(2):
        told = said("judge", "--once", "--outcomes", "people.jsonl")
        assert "version 2 goes on: win rate 1.00 [0.1" in told and "n=3" in told
    service, watcher = opened(project)
    assert service.running
    assert "version 2 is tried no more" in said("stop", "--reason", "holiday")
    assert watcher.look() and service.running is None
    assert "version 2, hold: stopped by hand: holiday" in said("judge", "--once")
    assert not registry.connect(project.root).version("kind", 2).tags.get("genarm.blocked")


@pytest.mark.slow
def test_two_that_end_a_trial_at_once_record_one_decision_and_tell_it_once(project, versions, monkeypatch):
    """Both have read the trial as open, and counted differently; the second was killed before its end."""
    _, second = versions
    store = registry.connect(project.root)
    canary = open_canary(store, to_try(store, "kind"), CanaryJudge(project).config.model_dump_json())
    told = []
    monkeypatch.setattr("genarm.canary.ending.events.decided", lambda *_, **__: told.append(1))
    failing = [standing({}, Responses(n, n, 0), CanaryJudge(project).config) for n in (4, 3)]
    assert failing[0].reason != failing[1].reason
    with monkeypatch.context() as killed:
        killed.setattr("genarm.canary.ending.end_canary", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            end(project, store, canary, failing[0])
    told.clear()
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda found: end(project, store, canary, found), failing))
    assert any(f"version {second}, reject: {failing[0].reason}" in line for line in said), said
    experiment = store.client.get_experiment_by_name("genarm/decisions").experiment_id
    [run] = store.client.search_runs([experiment])
    assert run.data.tags["genarm.canary_run"] == canary.run and told == [1]
    [ended] = canaries(store, "kind")
    assert (ended.outcome, ended.reason) == ("reject", failing[0].reason)
    assert "has ended the trial" in end(project, store, canary, failing[1])
