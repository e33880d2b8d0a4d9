"""Malformed requests of every kind to every route: a status that says so, no 500, and the server lives on."""

import random
import sys
from pathlib import Path

import pytest
from served_toys import running

from genarm.serve.keys import Key, Keys, new_key, read_keys
from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, found beside one another

from malformed import asked_comparison, besieged, by_schema, is_fault
from malformed_requests import MOST_BODY, OF_ALL, OF_BODIES, ROUTES, requests

TURN = len(OF_ALL) * len(ROUTES) + 4 * len(OF_BODIES) * sum(route.body is not None for route in ROUTES)


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> tuple[str, list[Key]]:
    """A key, and what a server knows of it."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    return new_key(file, "test"), read_keys(file)


@pytest.fixture(scope="module")
def address(lineup, store, key):
    settings = ServeSettings(max_body=MOST_BODY, max_tokens=12, body_seconds=0.5)
    with running(Service(lineup, settings, Keys(key[1]), store)) as at:
        yield at


def test_every_kind_meets_every_route_and_a_seed_gives_the_same_bytes():
    first, again, other = (list(requests(TURN, seed, "key", "id")) for seed in (0, 0, 1))
    assert first == again != other
    met = {(kind, route.name) for kind, route, _ in first}
    assert met == {(kind, r.name) for r in ROUTES for kind in (OF_ALL | OF_BODIES if r.body else OF_ALL)}


@pytest.mark.parametrize("count", [60, pytest.param(10 * TURN, marks=pytest.mark.slow)])
def test_no_request_is_a_fault_and_good_ones_get_the_same_tokens_as_before(address, key, count):
    every = list(requests(10 * TURN, 0, key[0], asked_comparison(address, key[0])))
    told, same = besieged(address, random.Random(0).sample(every, count), key[0])
    assert same and not [one for one in told if is_fault(one)]
    statuses = {status for *_, status, _ in told}
    assert {"200", "400", "404", "closed"} <= statuses, "the kinds are what they say"


@pytest.mark.slow
def test_what_the_schema_allows_and_what_it_does_not(address, key):
    told, same = besieged(address, list(by_schema(address, 400, 0, key[0])), key[0])
    assert same and not [one for one in told if is_fault(one)] and len(told) > 200
