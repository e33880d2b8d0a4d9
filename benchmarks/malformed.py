"""Malformed requests to every route of the server: what status they get, and whether it lives on.

    python benchmarks/malformed.py --requests 10000 --json FILE

`genarm serve` runs as a process of its own on toy models, with an API key and a store of votes. One request
of ten is drawn by schemathesis from the published schema, within it or not; the others are of the kinds of
`malformed_requests.py`. Beside the status, errors are checked for OpenAI's form. It must not happen: a status
of 500, a stream that ends with an error of the server, a request without an end, a fault in the log, or
another answer to a good request afterwards.
"""

import argparse
import http.client
import json
import re
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from malformed_requests import MOST_BODY, ROUTES, Route, requests, wire
from toy_server import ToyProject, ToyServer

from genarm.serve.keys import new_key

SECONDS = 60.0  # without a byte, after which a request counts as hung
AT_ONCE = 4
SCHEMA = "by the schema"  # the kind of what schemathesis draws
FAULT = re.compile(r"Traceback|Exception in|never retrieved")
Sent = tuple[str, Route, bytes]
Told = tuple[str, str, str, bool]  # route, kind, status or what came instead, whether an error had its form


def answered(address: tuple[str, int], sent: Sent) -> Told:
    """Send one request over a connection of its own."""
    kind, route, data = sent
    with socket.create_connection(address, timeout=SECONDS) as connection:
        try:
            connection.sendall(data)
            if kind == "cut":
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection, method=data.partition(b" ")[0].decode("latin-1"))
            answer.begin()
            body = answer.read()
        except TimeoutError:
            return route.name, kind, "hung", True
        except (http.client.HTTPException, OSError):
            return route.name, kind, "closed", True
        if answer.status == 200 and b'"type":"server_error"' in body:
            return route.name, kind, "500", False
        return route.name, kind, str(answer.status), _has_form(answer, body)


def _has_form(answer: http.client.HTTPResponse, body: bytes) -> bool:
    """Whether an error is one of OpenAI's; one that the parser of HTTP finds has no id and is plain text."""
    if answer.status < 400 or not body or not answer.getheader("x-request-id"):
        return True
    try:
        return set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    except (ValueError, KeyError, TypeError):
        return False


def by_schema(address: str, count: int, seed: int, key: str) -> Iterator[Sent]:
    """What schemathesis draws from the published schema, within it and outside it."""
    import hypothesis
    import schemathesis
    from requests import Request
    from requests.exceptions import RequestException

    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    with_body = [o for o in operations if o.method == "post"] * 3  # they have more to draw
    modes = (schemathesis.GenerationMode.NEGATIVE, schemathesis.GenerationMode.POSITIVE)
    turns = [(o, mode) for o in (*operations, *with_body) for mode in modes]
    settings = hypothesis.settings(max_examples=count // len(turns), database=None, deadline=None,
                                   phases=[hypothesis.Phase.generate],
                                   suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    for i, (operation, mode) in enumerate(turns):
        try:
            cases = _drawn(operation.as_strategy(generation_mode=mode), settings, f"{seed} {i}")
        except (hypothesis.errors.Unsatisfiable, schemathesis.errors.SchemathesisError):
            continue
        for case in cases:
            try:
                made = Request(**case.as_transport_kwargs(base_url="http://x")).prepare()
            except (RequestException, ValueError):  # what requests does not send
                continue
            body = made.body if isinstance(made.body, bytes) else (made.body or "").encode()
            route = Route(_named(case.path), str(made.method), made.path_url)
            yield SCHEMA, route, wire(route, key, body)


def _drawn(strategy: Any, settings: Any, seed: str) -> list[Any]:
    """The cases of a strategy."""
    import hypothesis

    cases: list[Any] = []

    @hypothesis.seed(seed)
    @settings
    @hypothesis.given(case=strategy)
    def keep(case: Any) -> None:
        cases.append(case)

    keep()
    return cases


def _named(path: str) -> str:
    """The route of a path of the schema."""
    pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
    return next((route.name for route in ROUTES if pattern.fullmatch(route.path)), path)


def main() -> int:
    """Print the tables; 1 where something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = ToyProject(Path(folder))
        key = new_key(Path(folder) / "keys.json", "benchmark")
        server = ToyServer(project, "--keys", "keys.json", "--max-body", str(MOST_BODY), "--watch", "0")
        try:
            drawn = list(by_schema(server.address, chosen.requests // 10, chosen.seed, key))
            comparison = asked_comparison(server.address, key)
            made = requests(chosen.requests - len(drawn), chosen.seed, key, comparison)
            told, same = besieged(server.address, [*made, *drawn], key)
            alive = server.alive
        finally:
            code, log = server.stop(), server.told
    figures = {
        "requests": len(told),
        "server_errors": sum(t[2].startswith("5") for t in told),
        "crashes": int(not alive),
        "hung": sum(t[2] == "hung" for t in told),
        "without_form": sum(not t[3] for t in told),
        "faults_in_log": len(FAULT.findall(log)),
        "other_tokens_afterwards": int(not same),
        "exit_status": code,
        "seed": chosen.seed,
    }
    figures |= {f"status_{status}": count for status, count in Counter(t[2] for t in told).items()}
    print(table(told, 0, "route"), table(told, 1, "kind"), sep="\n")
    print(*(f"{name:<26}{value}" for name, value in figures.items()), sep="\n")
    print(*(log[found.start() - 300 :][:3000] for found in [FAULT.search(log)] if found))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    bad = (
        "status_500",
        "crashes",
        "hung",
        "without_form",
        "faults_in_log",
        "other_tokens_afterwards",
        "exit_status",
    )
    return int(any(figures[name] for name in bad))


def besieged(address: str, every: Sequence[Sent], key: str) -> tuple[list[Told], bool]:
    """What each request got, and whether good requests get the same answers before and after."""
    url, before = httpx.URL(address), good_answers(address, key)
    told: list[Told] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for i, one in enumerate(pool.map(lambda sent: answered((url.host, url.port or 80), sent), every)):
            told.append(one)
            if is_fault(one):
                print(*one, every[i][2][:2000], file=sys.stderr, flush=True)
    return told, good_answers(address, key) == before


def is_fault(told: Told) -> bool:
    """Whether a request got what none may get: an error of the server, no end, or an error without form."""
    return told[2] == "hung" or told[2].startswith("5") or not told[3]


def asked_comparison(address: str, key: str) -> str:
    """The id of a comparison that waits for a vote."""
    asked = httpx.post(f"{address}/v1/comparisons", json=ROUTES[2].body, headers=_bearer(key), timeout=60)
    return str(asked.json()["id"])


def good_answers(address: str, key: str) -> list[Any]:
    """The tokens and texts of good requests; nothing where the server is gone."""
    found: list[Any] = []
    for route in ROUTES[:2]:
        body = dict(route.body or {}) | {"stream": False, "guidance_rewards": True, "max_tokens": 12}
        answer = httpx.post(
            address + route.path, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        found.append(answer.json()["choices"])
    return found


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def table(told: list[Told], by: int, name: str) -> str:
    """How often each status came, by route or by kind."""
    counts = Counter((one[by], one[2]) for one in told)
    statuses = sorted({status for _, status in counts})
    rows: list[tuple[Any, ...]] = [(name, "requests", *statuses), ("---",) * (2 + len(statuses))]
    for row in dict.fromkeys(one[by] for one in told):
        found = [counts[row, status] for status in statuses]
        rows.append((row, sum(found), *(count or "" for count in found)))
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
