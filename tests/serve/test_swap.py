"""A promotion while the server runs: new requests get the new version, open ones keep theirs, none fails."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from filelock import FileLock
from served_toys import ASKED, HELLO, own, promoted, running, wait
from toy_arms import make_arm

from genarm import registry
from genarm.errors import ConfigError
from genarm.models import resolve
from genarm.models.arm import read_card, write_card
from genarm.serve.lineup import ServedArm
from genarm.serve.opening import Opener, read_pins
from genarm.serve.service import Service
from genarm.serve.watcher import Watcher
from genarm.types import Champion

CHAT = "/v1/chat/completions"


def test_a_swap_under_load_fails_no_request(opened):
    """Requests come from four threads while versions change; each is wholly one version's answer."""
    old, new = opened(), opened("newer", 4)
    wanted = {3: own(old).text, 4: own(new).text}
    assert wanted[3] != wanted[4]
    service, stop, seen = Service(old), threading.Event(), []

    def ask(address):
        while not stop.is_set():
            answer = httpx.post(address + CHAT, json=ASKED | {"messages": HELLO}, timeout=60)
            assert answer.status_code == 200
            got = answer.json()
            seen.append(version := got["genarm"]["versions"]["kind"])
            assert got["choices"][0]["message"]["content"] == wanted[version]

    with running(service) as address, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, address) for _ in range(4)]
        for lineup in (new, old, new):
            before = len(seen)
            wait(lambda before=before: len(seen) > before + 4 or any(f.done() for f in asking))
            service.swap(lineup)
        before = len(seen)
        wait(lambda: len(seen) > before + 4 or any(f.done() for f in asking))
        stop.set()
        for future in asking:
            future.result()
    assert set(seen) == {3, 4} and seen[-1] == 4


@pytest.mark.slow
def test_the_champions_are_followed(project, arms, toy, tmp_path_factory):
    """Promotion, a version that does not fit, rollback; an open stream ends with what it began with."""
    store = registry.connect(project.root)
    first = promoted(store, arms["kind"])
    opener = Opener(project, {}, slots=4)
    service = Service(opener.open(opener.wanted()))
    old, watcher = service.lineup, Watcher(service, opener, seconds=3600)
    assert old.models() == ["base", "guided", f"guided:kind@{first}"] and not watcher.look()
    body = ASKED | {"messages": HELLO, "max_tokens": 200, "ignore_eos": True, "stream": True}
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        with client.stream("POST", CHAT, json=body) as stream:
            lines = (line for line in stream.iter_lines() if line)
            assert json.loads(next(lines)[6:])["genarm"]["versions"] == {"kind": first}
            second = promoted(store, arms["newer"])
            assert watcher.look() and service.lineup.versions == {"kind": second}
            answer = client.post(CHAT, json=ASKED | {"messages": HELLO})
            text = own(service.lineup, weights={"kind": 1.0}).text
            assert answer.json()["choices"][0]["message"]["content"] == text
            assert answer.headers["x-genarm-versions"] == f"kind={second}"
            deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line != "data: [DONE]"]
        want = own(old, weights={"kind": 1.0}, max_new_tokens=200, ignore_eos=True)
        assert "".join(delta.get("content", "") for delta in deltas) == want.text
        misfit = make_arm(tmp_path_factory.mktemp("misfit"), resolve(str(toy.folder)), toy.model, seed=9)
        write_card(misfit, replace(read_card(misfit), dimension="kind", model_weights_sha256="0" * 64))
        third = promoted(store, misfit)
        assert not watcher.look() and not watcher.look()
        [arm] = client.get("/v1/arms").json()["data"]
        assert arm["version"] == second and arm["refused"]["version"] == third
        assert 'genarm_swaps_total{outcome="refused"} 1.0' in client.get("/metrics").text
        promoted(store, None, first)
        assert watcher.look() and service.lineup.versions == {"kind": first} and not service.refused
        assert [f.name.partition("-")[0] for f in (project.root / ".cache/serve/kind").iterdir()] == [
            str(first)
        ]
    pinned = Opener(project, {"kind": second}, slots=4).wanted()
    assert pinned["kind"].champion.version == second and pinned["kind"].pinned


@pytest.mark.slow
def test_a_version_on_trial_is_served_beside_the_one_in_use(project, arms, toy, tmp_path_factory):
    """By its own name and as it is tried; one that does not fit keeps nothing else from being followed."""
    store = registry.connect(project.root)
    first = promoted(store, arms["kind"])
    second = store.register("kind", arms["newer"], weight=0.5, metrics={})
    opener = Opener(project, {}, slots=4, trial=True)
    service = Service(opener.open(opener.wanted()))
    names = [f"guided:kind@{first}", f"guided:kind@{second}"]
    assert service.lineup.models() == ["base", "guided", *names]
    assert service.lineup.versions == {"kind": first}
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        texts, told = [], []
        for model in ("guided", *names):
            body = ASKED | {"messages": HELLO, "model": model, "guidance_rewards": True}
            answer = client.post(CHAT, json=body).json()
            texts.append(answer["choices"][0]["message"]["content"])
            told.append((answer["genarm"]["versions"], answer["genarm"]["weights"]))
            assert all(list(r["arms"]) == ["kind"] for r in answer["choices"][0]["guidance_rewards"])
        assert texts[0] == texts[1] != texts[2]
        assert told == [({"kind": first}, {"kind": 1.0})] * 2 + [({"kind": second}, {"kind": 0.5})]
        rows = client.get("/v1/arms").json()["data"]
        assert [(a["version"], a["trial"], a["weight"]) for a in rows] == [
            (first, False, 1.0),
            (second, True, 0.5),
        ]
    watcher = Watcher(service, opener, seconds=3600)
    misfit = make_arm(tmp_path_factory.mktemp("misfit"), resolve(str(toy.folder)), toy.model, seed=9)
    write_card(misfit, replace(read_card(misfit), dimension="kind", model_weights_sha256="0" * 64))
    store.register("kind", misfit, metrics={})
    assert not watcher.look() and service.lineup.models() == ["base", "guided", *names]
    promoted(store, None, second)
    assert watcher.look() and service.lineup.models() == ["base", "guided", names[1]]


def test_nothing_is_tidied_while_another_server_of_the_folder_loads(project):
    champion = Champion(1, "m", "0" * 64, 1.0)
    opener = Opener(project, {}, slots=1)
    mine, other = opener.folder("kind", champion), opener.folder("kind", replace(champion, version=2))
    mine.mkdir(parents=True)
    other.mkdir()
    tidying = threading.Thread(target=opener.tidy, args=({"kind": ServedArm("kind", champion)},))
    with FileLock(project.root / ".cache/serve/.lock"):
        tidying.start()
        tidying.join(0.3)
        assert tidying.is_alive() and other.exists()
    tidying.join()
    assert mine.exists() and not other.exists()


@pytest.mark.parametrize("text", ["kind", "kind=", "kind=x", "kind=0", "kimd=1", "kind=-1"])
def test_a_pin_that_cannot_be_read_is_named(text):
    with pytest.raises(ConfigError, match=f"cannot pin '{text}'"):
        read_pins([text], ["kind", "curt"])
