"""A trial in a server: the share, who stays on which side, what takes part, and what stops it at once."""

import asyncio
from dataclasses import replace

import httpx
from scipy import stats
from served_toys import ASKED, HELLO, own, running, trial_of, wait

from genarm.canary import spool
from genarm.canary.assignment import challenger_answers, fraction, is_judged
from genarm.serve.body import ChatBody, CompletionBody
from genarm.serve.service import Service
from genarm.types import Message, Prompt, Response, Responses

CHAT = "/v1/chat/completions"


def body(**fields) -> ChatBody:
    return ChatBody.model_validate(ASKED | {"messages": HELLO} | fields)


def test_the_share_of_people_is_what_is_asked_for():
    """10,000 people, and another trial meets others: about a hundredth is chosen by both."""
    people = [f"user  {i}" for i in range(10_000)]
    chosen = {who for who in people if challenger_answers("a", who, 0.1)}
    low, high = stats.binom.interval(0.999, 10_000, 0.1)
    assert low <= len(chosen) <= high
    others = {who for who in people if challenger_answers("b", who, 0.1)}
    assert len(chosen & others) <= stats.binom.ppf(0.9999, 10_000, 0.01)
    assert 0 <= fraction("") < 1 and fraction("ab", "c") != fraction("a", "bc")
    assert not is_judged("a", "p", 0.0) and is_judged("a", "p", 1.0)


def test_a_person_stays_on_one_side_and_a_key_without_persons_too(both, tmp_path):
    trial = trial_of(both, tmp_path, share=0.5)

    def side(key="", **fields):
        return trial.taking(body(**fields), key).side

    for who in ("ada", "bob", "eve"):
        assert len({side(user=who, messages=[{"role": "user", "content": str(i)}]) for i in range(9)}) == 1
    assert {side(user=str(i)) for i in range(20)} == {"champion", "challenger"}
    assert len({side("team", seed=i) for i in range(20)}) == 1
    assert {side("team", user=str(i)) for i in range(20)} == {"champion", "challenger"}
    assert {side(seed=i) for i in range(20)} == {"champion", "challenger"}
    assert side(seed=7) == side(seed=7)


def test_only_requests_at_the_promoted_weights_take_part(both, tmp_path):
    trial = trial_of(both, tmp_path, share=0.999)
    assert trial.taking(body(), "").side == "challenger"
    for fields in (
        {"guidance": {"kind": 0.3}},
        {"guidance": {}},
        {"model": "guided:kind@3"},
        {"model": "base"},
    ):
        assert trial.taking(body(**fields), "") is None
    completion = CompletionBody.model_validate({"model": "guided", "prompt": "a"})
    assert trial.taking(completion, "").side == "challenger"


def test_both_sides_answer_from_one_batch_as_the_decoder_does_and_blindly(both, tmp_path):
    """The answer names its version and nothing else that tells the sides apart; rewards are by dimension."""
    lineup, trial = both
    service = Service(lineup)
    going = trial_of(both, tmp_path, service, share=0.5)
    service.swap(lineup, going)
    want = {
        3: own(lineup, guidance={"kind": "contrast", "curt": "sum"}),
        4: own(lineup, weights={"kind@4": 1.5, "curt": 0.4}, guidance={}),
    }
    assert want[3].text != want[4].text
    seen = set()
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        for who in map(str, range(16)):
            asked = ASKED | {"messages": HELLO, "user": who, "guidance_rewards": True}
            got = client.post(CHAT, json=asked).json()
            version = got["genarm"]["versions"]["kind"]
            seen.add(version)
            [choice] = got["choices"]
            assert choice["message"]["content"] == want[version].text
            assert set(choice["guidance_rewards"][0]["arms"]) == {"kind", "curt"}
            assert set(got["genarm"]) == {"versions", "weights", "seed"}
            assert version == (4 if going.taking(body(user=who), "").side == "challenger" else 3)
        metrics = client.get("/metrics").text
        assert client.get("/v1/models").json()["data"][2]["id"] == "guided:kind@3"
    assert seen == {3, 4}
    assert 'genarm_canary_responses_total{end="ok",side="challenger"}' in metrics
    assert going.own.given + _count(metrics, "champion") == 16 and going.own.failed == 0
    assert trial.key != replace(trial, champion=replace(trial.champion, weight=0.7)).key


def _count(metrics: str, side: str) -> int:
    line = f'genarm_canary_responses_total{{end="ok",side="{side}"}} '
    return int(float(metrics.split(line)[1].split()[0]))


def test_judged_prompts_are_answered_by_the_other_side_too_and_once(both, tmp_path):
    lineup, trial = both
    service = Service(lineup)
    going = trial_of(both, tmp_path, service, share=0.5, judged=1.0)
    service.swap(lineup, going)
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        for who in ("ada", "bob"):
            client.post(CHAT, json=ASKED | {"messages": HELLO, "user": who}).raise_for_status()
            wait(lambda: list(spool.waiting(going.folder, trial.key)))
        metrics = client.get("/metrics").text
    [(file, pair)] = spool.waiting(going.folder, trial.key)
    assert 'genarm_canary_pairs_total{outcome="kept"} 1.0' in metrics
    assert pair.prompt.messages == (Message("user", "hello"),)
    assert pair.champion.text == own(lineup, guidance={"kind": "contrast", "curt": "sum"}).text
    assert pair.challenger.text == own(lineup, weights={"kind@4": 1.5, "curt": 0.4}, guidance={}).text
    assert going.folder.stat().st_mode & 0o777 == 0o700 and file.parent.name == trial.key


def test_what_is_drawn_for_the_judge_gives_way_as_soon_as_somebody_would_wait(both, tmp_path):
    """Eight slots: seven responses leave one for the judge, the eighth takes it."""

    async def crowded() -> list[bool]:
        service = Service(both[0])
        going = trial_of(both, tmp_path, service)
        service.swap(both[0], going)
        service.worker.start()
        shadow, gone = asyncio.create_task(asyncio.sleep(3600)), []
        going._shadows.add(shadow)
        asked = []
        for number in range(8):
            asked.append(service.begin(body(seed=number)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            gone.append(shadow.cancelled())
        for one in asked:
            one.end()
        await asyncio.to_thread(service.worker.stop)
        assert going.own == Responses(), "nobody's fault"
        return gone

    assert asyncio.run(crowded()) == [False] * 7 + [True]


def test_failures_and_loops_stop_the_challenger_at_once(both, tmp_path):
    """Three in a row, counted with what other servers saw; the champion's count for nothing."""
    going = trial_of(both, tmp_path, share=0.999)
    for _ in range(9):
        going.count("champion", None, 0.1, failed=True)
    for _ in range(9):
        going.count("challenger", None, 0.1, failed=False)
    assert not going.why and going.own == Responses()
    going.count("challenger", None, 0.1, failed=True)
    assert not going.why and going.taking(body(), "")
    for _ in range(2):
        going.count("challenger", None, 0.1, failed=True)
    assert going.why.startswith("3 of 3 responses failed") and going.taking(body(), "") is None
    looping = trial_of(both, tmp_path)
    looping.before = Responses(5, 0, 4)
    answer = replace(own(both[0], guidance={"kind": "contrast", "curt": "sum"}), text="a b c d " * 9)
    looping.count("challenger", answer, 0.1, failed=False)
    assert looping.own == Responses(1, 0, 1) and "5 of 6 responses exceed a limit" in looping.why


def test_pairs_are_kept_for_their_trial_up_to_a_number(tmp_path, monkeypatch):
    def pair(text: str) -> spool.Pair:
        prompt = Prompt((Message("user", text),))
        answer = Response(prompt.id, "yes", 1, "stop", -1.0, 0.1)
        return spool.Pair(prompt, answer, answer)

    monkeypatch.setattr(spool, "MOST", 2)
    assert [spool.keep(tmp_path, "a", pair(str(i))) for i in range(3)] == [True, True, False]
    assert spool.keep(tmp_path, "b", pair("other"))
    (tmp_path / "a" / "broken.json").write_text("{")
    assert [found.prompt.messages[0].content for _, found in spool.waiting(tmp_path, "b")] == ["other"]
    assert len(list(spool.waiting(tmp_path, "a"))) == 2 and not (tmp_path / "a" / "broken.json").exists()
    spool.forget_others(tmp_path, "b")
    assert [folder.name for folder in tmp_path.iterdir()] == ["b"]
