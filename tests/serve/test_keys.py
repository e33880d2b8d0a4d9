"""Keys by hash, and what each may do."""

import json

import httpx
import pytest
from served_toys import ASKED, HELLO, running

from genarm.errors import ConfigError, DataError
from genarm.serve.errors import ApiError
from genarm.serve.keys import Keys, new_key, read_keys
from genarm.serve.service import Service

CHAT = "/v1/chat/completions"
GOOD = ASKED | {"messages": HELLO, "max_tokens": 1}


def limited(path, **limits):
    """The keys of a file, all with these limits."""
    rows = [row | limits for row in json.loads(path.read_text())]
    path.write_text(json.dumps(rows))
    return read_keys(path)


def test_only_a_known_key_is_served_and_the_file_has_no_key(lineup, tmp_path):
    path = tmp_path / "keys.json"
    key = new_key(path, "team")
    assert key not in path.read_text()
    with running(Service(lineup, keys=Keys(read_keys(path)))) as address:
        for header in ({}, {"authorization": "Bearer no"}, {"authorization": key}):
            answer = httpx.post(address + CHAT, json=GOOD, headers=header)
            assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
            assert httpx.get(address + "/v1/models", headers=header).status_code == 401
        assert httpx.get(address + "/health").status_code == 200
        good = {"authorization": f"Bearer {key}"}
        assert httpx.post(address + CHAT, json=GOOD, headers=good, timeout=60).status_code == 200


def test_a_key_has_its_requests_a_minute_and_its_open_ones(tmp_path):
    path, now = tmp_path / "keys.json", [0.0]
    header = f"Bearer {new_key(path, 'team')}"
    keys = Keys(limited(path, requests_per_minute=2), clock=lambda: now[0])
    caller = keys.caller(header)
    for second in (0, 30):
        now[0] = second
        with keys.admitted(caller):
            pass
    with pytest.raises(ApiError, match="2 times a minute") as caught, keys.admitted(caller):
        pass
    assert caught.value.status == 429 and int(caught.value.headers["Retry-After"]) in (30, 31)
    now[0] = 60.5
    with keys.admitted(caller):
        pass
    keys = Keys(limited(path, requests_per_minute=None, open_requests=1))
    caller = keys.caller(header)
    with keys.admitted(caller), pytest.raises(ApiError, match="1 requests open"), keys.admitted(caller):
        pass
    with keys.admitted(caller):
        pass


@pytest.mark.parametrize("text", ["{", "[]", '[{"name": "a", "sha256": "abc"}]', '[{"name": "a"}]'])
def test_a_file_of_keys_that_is_wrong_is_named(tmp_path, text):
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises((ConfigError, DataError), match="keys.json"):
        read_keys(tmp_path / "keys.json")


def test_two_keys_need_two_names(tmp_path):
    new_key(tmp_path / "keys.json", "a")
    with pytest.raises(ConfigError, match="'a' already"):
        new_key(tmp_path / "keys.json", "a")
