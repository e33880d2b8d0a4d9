"""People compare a version on trial with the champion: blindly, at a share, and their votes decide."""

import random
from dataclasses import replace

import httpx
import pytest
from canary_project import canary_project, two_versions
from feedback_toys import HOUR, NOW, compared
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from served_toys import own, running, trial_of
from sqlalchemy import select

from genarm import registry
from genarm.canary.judging import CanaryJudge
from genarm.canary.votes import outcomes
from genarm.config import CanaryConfig, FeedbackConfig
from genarm.errors import ConfigError
from genarm.feedback.comparison import Answer, Vote
from genarm.feedback.schema import comparisons
from genarm.feedback.store import Store
from genarm.feedback.summary import standing
from genarm.pipeline.project import Project
from genarm.registry.canaries import canaries
from genarm.serve.lineup import ServedArm
from genarm.serve.opening import Opener
from genarm.serve.service import Service
from genarm.serve.watcher import Watcher
from genarm.types import CanaryOutcome, Champion, Responses, Trial

ASK = "/v1/comparisons"
GOOD = {
    "prompt": "hello",
    "dimension": "kind",
    "user": "u",
    "consent": True,
    "max_tokens": 12,
    "temperature": 1,
}
TRIAL = Trial("kind", Champion(4, "m", "a", 1.5), Champion(3, "m", "b", 0.8))
RULE, BOUNDS = CanaryConfig(dimension="kind", max_votes=3), FeedbackConfig(store="f.db")


@pytest.fixture
def served(both, store, tmp_path):
    """A client of a server with a trial, and the service."""
    service = Service(both[0], store=store)
    service.swap(both[0], trial_of(both, tmp_path, service, compared=0.5))
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client, service


def voted(client, made, choice="a"):
    return client.post(f"{ASK}/{made['id']}", json={"choice": choice, "user": "u"}).json()


def test_both_versions_answer_at_their_weights_and_nothing_tells_which_is_which(served, both, store):
    """Not after the vote either: who knows would learn to tell them, or erase what they do not like."""
    client, service = served
    made = client.post(ASK, json=GOOD | {"against": "champion"}).json()
    usual = client.post(ASK, json=GOOD | {"against": "without"}).json()
    assert [*made] == [*usual] and [*made["a"]] == [*usual["a"]]
    told = voted(client, made)
    assert told == {
        "id": made["id"],
        "object": "vote",
        "choice": "a",
        "preferred": None,
        "a": None,
        "b": None,
    }
    *_, kept = store.votes("kind")
    asked = kept.comparison
    assert (asked.trial, asked.a.text, asked.b.text) == (both[1].key, made["a"]["text"], made["b"]["text"])
    challenger, champion = (asked.a, asked.b) if asked.guided == "a" else (asked.b, asked.a)
    assert challenger.versions == {"kind": 4, "curt": 1} and champion.versions == {"kind": 3, "curt": 1}
    assert challenger.weights == {"kind": 1.5, "curt": 0.4} and champion.weights == {"kind": 0.8, "curt": 0.4}
    arms, seed = {"kind@4": 1.5, "curt": 0.4}, challenger.seed
    assert challenger.text == own(both[0], weights=arms, guidance={}, seed=seed).text
    guidance, seed = {"kind": "contrast", "curt": "sum"}, champion.seed
    assert champion.text == own(both[0], guidance=guidance, seed=seed).text
    assert service.running.own == Responses(1, 0, 0)  # what fails or loops here stops it, too


def test_a_share_of_the_comparisons_that_name_no_other_side_is_of_the_trial(served):
    client, _ = served

    def on_trial(**asked) -> bool:
        told = voted(client, client.post(ASK, json=GOOD | {"max_tokens": 1} | asked).json())
        return told["a"] is None

    found = sum(on_trial() for _ in range(40))
    assert stats.binomtest(found, 40).pvalue > 1e-6
    for asked in ({"against": "base"}, {"against": "without"}, {"weight": 2.0}, {"dimension": "curt"}):
        assert not any(on_trial(**asked) for _ in range(8))


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"dimension": "curt"}, 409, "no version of 'curt' is on trial"),
        ({"dimension": "kimd"}, 400, "'kimd' is not served"),
        ({"weight": 0.5}, 400, "has a weight of its own, so leave it out"),
    ],
)
def test_what_cannot_be_compared_with_the_champion_is_refused(served, asked, status, told):
    client, service = served
    answer = client.post(ASK, json=GOOD | {"against": "champion"} | asked)
    assert answer.status_code == status and told in answer.json()["error"]["message"]
    service.running.why = "3 of 3 responses failed"
    answer = client.post(ASK, json=GOOD | {"against": "champion"})
    assert answer.status_code == 409 and answer.json()["error"]["code"] == "no_trial"
    told = voted(client, client.post(ASK, json=GOOD).json())
    assert {len(told[side]["versions"]) for side in "ab"} == {1, 2}


def test_a_version_that_is_served_on_trial_has_no_part_in_usual_comparisons(both, store):
    lineup, trial = both
    shown = ServedArm("kind", trial.challenger, trial=True)
    service = Service(replace(lineup, arms={**lineup.arms, shown.numbered: shown}), store=store)
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        told = voted(client, client.post(ASK, json=GOOD).json())
    assert {told[side]["versions"].get("kind") for side in "ab"} == {3, None}


def vote(
    number: int, user: str = "u", choice: str = "a", seconds: float = 60, at: float = NOW, **more
) -> Vote:
    """A vote on version 4, which is side A, against version 3."""
    sides = {
        "a": Answer("yes " * 9, {"kind": 1.5}, {"kind": 4}, 7, trial=TRIAL.key),
        "b": Answer("no " * 9, {"kind": 0.8}, {"kind": 3}, 8, trial=TRIAL.key),
    }
    asked = compared(f"{number:032x}", user, **sides | {"created": at - seconds} | more)
    return Vote(number, asked, choice, "", at)


def counted(votes, rule=RULE) -> list[float]:
    return [row.challenger for row in outcomes(votes, TRIAL, rule, BOUNDS)]


def test_votes_count_for_the_side_of_the_challenger_and_ties_half():
    votes = [vote(i, f"p{i}", choice) for i, choice in enumerate(("a", "b", "tie"))]
    assert counted(votes) == [1.0, 0.0, 0.5]
    swapped = {"a": votes[0].comparison.b, "b": votes[0].comparison.a, "guided": "b"}
    assert counted([vote(9, choice="a", **swapped), vote(10, choice="b", **swapped)]) == [0.0, 1.0]
    assert [row.id for row in outcomes(votes, TRIAL, RULE, BOUNDS)] == [v.comparison.id for v in votes]


def test_votes_beyond_a_bound_and_of_another_trial_do_not_count():
    a, other = vote(0).comparison.a, replace(TRIAL, champion=replace(TRIAL.champion, guidance="contrast"))
    others = [
        vote(1, a=replace(a, trial="")),
        vote(2, a=replace(a, trial=other.key)),
        vote(3, seconds=0.5),  # 63 characters
    ]
    assert counted(others) == []
    assert counted([vote(i, at=NOW + 100 * i) for i in range(9)]) == [1.0] * 3
    many = RULE.model_copy(update={"max_votes": 100})
    assert counted([vote(i, at=NOW + i) for i in range(9)], many) == [1.0] * BOUNDS.max_per_minute


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_a_vote_never_changes_which_earlier_ones_count(seed, count):
    """So the test may be looked at after every vote."""
    drawn = random.Random(seed)
    at, votes = NOW, []
    for i in range(count):
        at += drawn.choice([-20, 0.5, 5, 30, HOUR])  # clocks of several servers
        votes.append(
            vote(i, drawn.choice("pqr"), drawn.choice(["a", "b", "tie"]), drawn.choice([0.5, 60]), at)
        )
    whole = counted(votes, RULE.model_copy(update={"max_votes": 5}))
    for upto in range(count):
        part = counted(votes[:upto], RULE.model_copy(update={"max_votes": 5}))
        assert whole[: len(part)] == part


def test_a_vote_without_consent_counts_and_one_that_is_too_fast_does_not(tmp_path):
    """Its texts are deleted with it, and their length is kept."""
    clock = [NOW]
    store = Store(BOUNDS, tmp_path, clock=lambda: clock[0])
    for number, seconds in enumerate((60, 0.5)):
        asked = replace(vote(number).comparison, consent=False, created=clock[0], expires=clock[0] + HOUR)
        store.ask(asked)
        clock[0] += seconds
        store.vote(asked.id, "anybody", "u", "a", "")
    found = list(store.votes("kind"))
    store.close()
    assert [v.comparison.a.text for v in found] == ["", ""] and counted(found) == [1.0]


def test_the_standing_tells_them_apart(tmp_path):
    store = Store(FeedbackConfig(store="f.db"), tmp_path, clock=lambda: NOW)
    for one in (vote(1), vote(2, choice="tie")):
        store.ask(replace(one.comparison, expires=NOW + HOUR))
        store.vote(one.comparison.id, "anybody", "u", one.choice, "")
    [kind] = standing(store, ["kind"])
    store.close()
    assert (kind.votes, kind.on_trial, kind.ties, kind.guided_share) == (2, 2, 0, None)


def test_a_share_of_comparisons_needs_a_store(tmp_path, toy):
    project = canary_project(tmp_path, toy.folder)
    text = (project.root / "params.yaml").read_text().replace("judged: 1.0", "judged: 0, compared: 1.0")
    (project.root / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match="compared is 1, and feedback.store names no store"):
        Project(tmp_path).params  # noqa: B018


def side_of_challenger(store: Store, id: str) -> str:
    """What nobody is told before the vote."""
    with store.database.reading() as connection:
        return connection.execute(select(comparisons.c.guided).where(comparisons.c.id == id)).scalar_one()


@pytest.mark.slow
def test_people_alone_promote_a_challenger(tmp_path, toy, arms, monkeypatch):
    """A real server, registry and store: ten people always prefer the challenger, whichever side it is on."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    project = canary_project(tmp_path, toy.folder)
    text = (tmp_path / "params.yaml").read_text().replace("judged: 1.0", "judged: 0, compared: 1.0")
    (tmp_path / "params.yaml").write_text(text + "feedback: {store: f.db, max_speed: 1000000}\n")
    project = Project(tmp_path)
    first, second = two_versions(project, arms["kind"], arms["newer"])
    votes, judge, looks = Store(project.params.feedback, tmp_path), CanaryJudge(project), []
    opener = Opener(project, {}, slots=4)
    service = Service(opener.open(opener.wanted()), store=votes)
    watcher = Watcher(service, opener, seconds=3600)
    watcher.look()
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        for number in range(60):
            asked = GOOD | {"prompt": f"say {number}", "user": f"person {number % 10}"}
            made = client.post(ASK, json=asked).json()
            better = side_of_challenger(votes, made["id"])
            choice = {"choice": better, "user": asked["user"]}
            client.post(f"{ASK}/{made['id']}", json=choice).raise_for_status()
            if number % 5 == 4:
                looks.append(judge.look())
                if looks[-1].ended:
                    break
        assert f"version {second}, promote" in looks[-1].line, looks[-1].line
        assert watcher.look() and service.lineup.versions == {"kind": second} and service.running is None
    votes.close()
    [canary] = canaries(registry.connect(tmp_path), "kind")
    assert canary.outcome == "promote"
    assert first != second and looks[-1].outcomes == number + 1


@pytest.mark.slow
def test_the_judge_goes_on_where_votes_cannot_be_read(tmp_path, toy, arms, monkeypatch, caplog):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("GENARM_FEEDBACK_SALT", raising=False)
    project = canary_project(tmp_path, toy.folder)
    with (tmp_path / "params.yaml").open("a") as file:
        file.write("feedback: {store: f.db, hash_users: true}\n")
    project = Project(project.root)
    two_versions(project, arms["kind"], arms["newer"])
    judge, outcome = CanaryJudge(project), CanaryOutcome("elsewhere", 1.0, "people")
    assert [judge.look([outcome]).outcomes for _ in range(2)] == [1, 1]
    [line] = [r.message for r in caplog.records if "votes of people are not read" in r.message]
    assert "GENARM_FEEDBACK_SALT" in line
