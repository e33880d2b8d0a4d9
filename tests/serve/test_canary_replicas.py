"""Two servers of one registry and one store of votes: they agree on every person's side, and on the end."""

from contextlib import ExitStack

import httpx
import pytest
from canary_project import canary_project, two_versions, verdict
from served_process import served
from served_toys import ASKED, wait

from genarm import registry
from genarm.canary.judging import CanaryJudge
from genarm.pipeline.project import Project
from genarm.registry.canaries import canaries

PEOPLE = 30


@pytest.fixture
def project(toy, tmp_path, monkeypatch) -> Project:
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    made = canary_project(tmp_path, toy.folder)
    with (tmp_path / "params.yaml").open("a") as file:
        file.write("feedback: {store: votes.db}\n")
    return Project(made.root)


def version_of(replica: httpx.Client, person: int, question: str) -> int:
    body = ASKED | {"messages": [{"role": "user", "content": question}], "user": f"person {person}"}
    answer = replica.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["genarm"]["versions"]["kind"])


def sides(replicas: list[httpx.Client], question: str) -> list[list[int]]:
    """The version that answers each person, by replica."""
    return [[version_of(r, n, f"{question} {n}") for n in range(PEOPLE)] for r in replicas]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_two_replicas_agree_on_the_challenger_and_on_its_end(project, arms, tmp_path, sign):
    first, second = two_versions(project, arms["kind"], arms["newer"])
    store = registry.connect(project.root)
    verdict(project, sign)
    with ExitStack() as held:
        starting = [served(project.root, tmp_path / f"{n}.log", "--watch", "0.5") for n in "ab"]
        replicas = [
            held.enter_context(httpx.Client(base_url=held.enter_context(one).address, timeout=120))
            for one in starting
        ]
        wait(lambda: all(second in row for row in sides(replicas, "before")))
        one, other = sides(replicas, "hello")
        assert one == other and set(one) == {first, second}
        [canary] = canaries(store, "kind")
        vote_on_the_other(replicas)

        judge = CanaryJudge(project)
        look, round_ = judge.look(), 0
        while not look.ended:
            assert [set(row) <= {first, second} for row in sides(replicas, f"round {round_}")] == [True, True]
            look, round_ = judge.look(), round_ + 1
        stays = second if sign > 0 else first
        wait(lambda: all(served_version(r) == stays for r in replicas))
        wait(lambda: sides(replicas, "after") == [[stays] * PEOPLE] * 2)
    [ended] = canaries(store, "kind")
    assert (ended.run, ended.outcome) == (canary.run, "promote" if sign > 0 else "reject")
    assert bool(store.version("kind", second).tags.get("genarm.blocked")) is (sign < 0)
    assert store.champions(["kind"])["kind"].version == stays
    for log in ("a.log", "b.log"):
        assert (
            "Traceback" not in (tmp_path / log).read_text()
            and "cannot be" not in (tmp_path / log).read_text()
        )


def served_version(replica: httpx.Client) -> int:
    [arm] = [a for a in replica.get("/v1/arms").json()["data"] if a["dimension"] == "kind"]
    return int(arm["version"])


def vote_on_the_other(replicas: list[httpx.Client]) -> None:
    """What one replica asked is answered at the other, once."""
    asked = {"prompt": "hello", "dimension": "kind", "user": "u", "consent": True}
    made = replicas[0].post("/v1/comparisons", json=asked).json()
    votes = [
        r.post(f"/v1/comparisons/{made['id']}", json={"choice": "a", "user": "u"}) for r in replicas[::-1]
    ]
    assert [vote.status_code for vote in votes] == [200, 409]
