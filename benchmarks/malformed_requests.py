"""Malformed requests of every kind, as bytes on the wire, by a fixed seed."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any
from urllib.parse import quote

COMPARISON = "0" * 32  # in a path, in place of a real one
HELLO = [{"role": "user", "content": "hello"}]
MOST_BODY = 1 << 16  # `--max-body` of the server, so that too long bodies are cheap


@dataclass(frozen=True)
class Route:
    """A way into the server, and a body that is right, where it takes one."""

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None


ROUTES = [
    Route("chat completions", "POST", "/v1/chat/completions",
          {"model": "guided", "messages": HELLO, "max_tokens": 2, "temperature": 1, "top_p": 0.9, "seed": 5,
           "n": 1, "guidance": {"kind": 0.5}, "stop": ["x"], "stream": False, "logprobs": True}),
    Route("completions", "POST", "/v1/completions",
          {"model": "guided", "prompt": [1, 2, 30], "max_tokens": 2, "temperature": 1, "top_k": 5, "seed": 5,
           "n": 2, "guidance": {"curt": 0.5}, "stream": True, "logprobs": 2, "guidance_rewards": True}),
    Route("comparisons", "POST", "/v1/comparisons",
          {"dimension": "kind", "user": "u", "consent": True, "messages": HELLO, "weight": 1.5,
           "against": 0.2, "temperature": 1, "top_p": 0.5, "top_k": 3, "max_tokens": 1}),
    Route("vote", "POST", f"/v1/comparisons/{COMPARISON}", {"choice": "a", "user": "u", "reason": "short"}),
    Route("erasure", "DELETE", "/v1/feedback/users/nobody"),
    Route("models", "GET", "/v1/models"),
    Route("one model", "GET", "/v1/models/guided:curt@1"),
    Route("arms", "GET", "/v1/arms"),
    Route("metrics", "GET", "/metrics"),
    Route("health", "GET", "/health"),
    Route("ready", "GET", "/ready"),
    Route("schema", "GET", "/openapi.json"),
    Route("page", "GET", "/"),
    Route("part of the page", "GET", "/page/main.js"),
    Route("page of comparisons", "GET", "/compare"),
    Route("a part of it", "GET", "/compare/compare.js"),
    Route("nothing", "GET", "/v1/nothing"),
]  # fmt: skip
Draw = random.Random
Headers = Sequence[tuple[bytes, bytes]]
Kind = Callable[[Draw, Route, str], bytes]  # the last is an API key that is right

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 17, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e-300, 5e-324, 1e308, "", "x",
    "\0", "kind", "NaN", "1", "ü" * 300, [], [[]], [None], [1, "a"], ["a", [1]], {}, {"": {}}, {"kind": -1},
    {"kind": 5e-324}, {"kind": 1e6}, {"kind": "1"}, {"kimd": 1}, {"a" * 300: 1}, [{}] * 3000, "y" * 5000,
    [260, 263, 264], [0] * 600,
]  # fmt: skip
NUMBERS = [b"NaN", b"-Infinity", b"Infinity", b"1e999", b"-1e999", b"9" * 5000, b"1e-9999", b"0x10", b"01",
           b"1.", b".5", b"--1", b"1_000", b"\xd9\xa1", b"1e", b"0.1e-320"]  # fmt: skip


def wire(route: Route, key: str, body: bytes = b"", headers: Headers = (), without: bytes = b"") -> bytes:
    """A request with a right key and a right length, unless `headers` replace them or it goes `without`."""
    usual = [(b"Host", b"x"), (b"Authorization", b"Bearer " + key.encode()),
             (b"Content-Type", b"application/json"), (b"Connection", b"close")]  # fmt: skip
    if body or route.method == "POST":
        usual.append((b"Content-Length", str(len(body)).encode()))
    replaced = {name.lower() for name, _ in headers} | {without.lower()}
    kept = [header for header in usual if header[0].lower() not in replaced]
    line = f"{route.method} {route.path} HTTP/1.1".encode("utf-8", "surrogateescape")
    return b"\r\n".join([line, *(name + b": " + value for name, value in [*kept, *headers]), b"", body])


def good(route: Route, key: str) -> bytes:
    """The request as it should be."""
    return wire(route, key, b"" if route.body is None else _bytes(route.body))


def _bytes(body: Any) -> bytes:
    return json.dumps(body).encode()


def _body(draw: Draw, route: Route) -> dict[str, Any]:
    """A copy of the route's body; of another route's, where it takes none."""
    return dict(json.loads(_bytes(route.body or draw.choice(ROUTES[:4]).body)))


def cut(draw: Draw, route: Route, key: str) -> bytes:
    """A body that ends too early: with its length, or while more is announced, or in the headers."""
    body = _bytes(_body(draw, route))
    if draw.random() < 0.5:
        return wire(route, key, body[: draw.randrange(len(body))])
    whole = wire(route, key, body)
    return whole[: draw.randrange(len(whole))]


def damaged(draw: Draw, route: Route, key: str) -> bytes:
    """Bytes changed, dropped and put in."""
    body = bytearray(_bytes(_body(draw, route)))
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(body))
        body[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 2))
    return wire(route, key, bytes(body))


def huge(draw: Draw, route: Route, key: str) -> bytes:
    """A body, a text, a list, a path or a header that is too long."""
    body, size = _body(draw, route), draw.choice((MOST_BODY - 999, MOST_BODY + 1, 4 * MOST_BODY))
    which = draw.randrange(4)
    if which == 0:
        path = f"{route.path}?{'q' * size}" if draw.random() < 0.5 else f"{route.path}/{'p' * size}"
        return wire(replace(route, path=path), key)
    if which == 1:
        return wire(route, key, headers=[(b"X-Long", b"v" * size)])
    field = draw.choice(list(body))
    body[field] = draw.choice(("t" * size, [1] * (size // 3), {str(i): i for i in range(size // 12)}))
    text = _bytes(body)
    if which == 2:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (text[:9], text[9:])) + b"0\r\n\r\n"
        return wire(route, key, b"", [(b"Transfer-Encoding", b"chunked")], without=b"Content-Length") + chunks
    return wire(route, key, text)


def wrong_field(draw: Draw, route: Route, key: str) -> bytes:
    """A field too many, too few, misspelt, or with a value of another type or size."""
    body = _body(draw, route)
    for _ in range(draw.randint(1, 3)):
        field = draw.choice(list(body) or ["model"])
        which = draw.randrange(6)
        if which == 0:
            body[draw.choice((field + "s", "", "\0", "__proto__", "temprature", "k" * 500))] = 1
        elif which == 1:
            body.pop(field, None)
        else:
            body[field] = draw.choice(VALUES)
    return wire(route, key, _bytes(body))


def unknown(draw: Draw, route: Route, key: str) -> bytes:
    """A model, an ARM, a dimension, a version or a comparison that there is not."""
    name = draw.choice(("gpt-9", "guided:kind@9", "guided:kind@", "kimd", "../x", "é", "'--"))
    body = _body(draw, route)
    body |= draw.choice(({"model": name}, {"guidance": {name: 1}}, {"dimension": name}, {"user": name},
                         {"guidance": {"kind": 1, name: float(draw.choice((0, 1)))}}))  # fmt: skip
    path = route.path.rpartition("/")[0] + "/" + quote(name, safe="") if draw.random() < 0.5 else route.path
    return wire(replace(route, path=path), key, _bytes(body))


def number(draw: Draw, route: Route, key: str) -> bytes:
    """What JSON has no number for, and numbers that nothing can hold."""
    body = _body(draw, route)
    field = draw.choice(list(body))
    body[field] = draw.choice(("@", ["@"], {"kind": "@"}, {"curt": "@"}))
    return wire(route, key, _bytes(body).replace(b'"@"', draw.choice(NUMBERS)))


def deep(draw: Draw, route: Route, key: str) -> bytes:
    """Lists and objects within each other."""
    body, depth = _body(draw, route), draw.choice((50, 129, 300, 2000, 10_000))
    body[draw.choice([*body, "metadata"])] = "@"
    before, after = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"type":', b"}]")))
    nested = before * depth + b"1" + (after * depth if draw.random() < 0.8 else b"")
    text = nested if draw.random() < 0.2 else _bytes(body).replace(b'"@"', nested)
    return wire(route, key, text)


BYTES = [b"\\ud800", b"\\udfff\\ud800", b"\\u0000", b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\\x",
         b"\\u12", b"\xf8\x88\x80\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\\uffff"]  # fmt: skip
PATHS = ["", "%00", "%ff", "%ed%a0%80", "/%2e%2e/x", "%", "\udcff", "?a=%00&a=\udcfe"]


def characters(draw: Draw, route: Route, key: str) -> bytes:
    """Lone surrogates, control characters, bytes that are no UTF-8, other encodings."""
    bad = draw.choice(BYTES)
    text = _bytes(_body(draw, route))
    if draw.random() < 0.2:
        text = text.decode().encode(draw.choice(("utf-16", "utf-32", "utf-7", "utf-8-sig")))
    places = [i for i, byte in enumerate(text) if byte == ord('"')] or [0]
    for at in sorted(draw.sample(places, min(3, len(places))), reverse=True):
        text = text[: at + 1] + bad + text[at + 1 :]
    path = route.path + draw.choice(PATHS)
    return wire(replace(route, path=path), key, text)


def duplicates(draw: Draw, route: Route, key: str) -> bytes:
    """A field twice, with another value or the same."""
    body = _body(draw, route)
    pairs = [*body.items(), *((draw.choice(list(body)), draw.choice(VALUES[:20])) for _ in range(2))]
    draw.shuffle(pairs)
    told = ", ".join(f"{json.dumps(field)}: {json.dumps(value)}" for field, value in pairs)
    return wire(route, key, f"{{{told}}}".encode())


CONTENT = [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"",
           b"multipart/form-data", b"application/json; charset=utf-16", b"\xff/\xff", b"a" * 999]  # fmt: skip


def content_type(draw: Draw, route: Route, key: str) -> bytes:
    """A body that claims to be something else, or is."""
    kind = draw.choice(CONTENT)
    headers = [(b"Content-Type", kind)]
    if draw.random() < 0.5:
        headers.append((b"Content-Encoding", draw.choice((b"gzip", b"br", b"x", b"identity, gzip"))))
    body = draw.choice(
        (_bytes(_body(draw, route)), b"a=1&b=2", b"--x\r\n\r\n\r\n--x--", b"\x1f\x8b\x08\0", b"<a/>")
    )
    return wire(route, key, body, headers)


HEADERS: dict[bytes, list[bytes]] = {
    b"Content-Length": [b"-1", b"x", b"1e3", b"9" * 40, b"0", b"+5", b"", b"5, 6", b"\xb2"],
    b"Transfer-Encoding": [b"chunked", b"gzip, chunked", b"identity", b"x"],
    b"Authorization": [b"", b"Bearer", b"Bearer \xff\xfe", b"Basic eDp4", b"Bearer " + b"k" * 9999],
    b"X-Request-Id": [b"", b"a b", b"\xff", b"i" * 999, b"<script>", b"../.."],
    b"Host": [b"", b"a, b", b"\xff", b"[", b"x:99999", b"x/../y"],
    b"Expect": [b"100-continue", b"200-ok"],
    b"If-None-Match": [b"*", b'"', b"W/\xff"],
    b"A b": [b"v"], b"\xff": [b"v"], b"": [b"v"], b"A\0": [b"v"], b" Fold": [b"v"],
    b"X-Value": [b"\0", b"\r", b"a\nb"],
}  # fmt: skip
WEBSOCKET = [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"), (b"Connection", b"Upgrade"),
             (b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA==")]  # fmt: skip


def bad_headers(draw: Draw, route: Route, key: str) -> bytes:
    """Lengths that do not fit, keys that are none, ids, and headers that are against the rules."""
    body = _bytes(_body(draw, route)) if draw.random() < 0.5 else b""
    which = draw.randrange(10)
    if which == 0:
        return wire(route, key, body, [(b"X-%d" % i, b"v") for i in range(draw.choice((5, 200, 2000)))])
    if which == 1:
        return wire(route, key, body, WEBSOCKET)
    name = draw.choice(list(HEADERS))
    return wire(route, key, body, [(name, draw.choice(HEADERS[name]))])


METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "FOO",
    "M\0",
    "",
]
VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2", "HTTP/9.9", "http/1.1", "", "HTTP/1.1 x", "ICY/1"]
OTHERS = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\0\xa5\x01\0", b"\r\n\r\n", b"\0" * 99]
TARGETS = ["{}", "http://other{}", "*", "", "//x/..", "/..%2f..%2fetc/passwd", "x", "/ /", "/\t", "{}/",
           "{}?a=1&a=2#f", "/page/..%2Fparams.yaml", "/compare/%2e%2e/page/main.js", "{}%0d%0aX: y", "http://[",
           "/%"]  # fmt: skip


def request_line(draw: Draw, route: Route, key: str) -> bytes:
    """Methods, targets and versions of HTTP that this server does not speak."""
    if draw.random() < 0.1:
        return draw.choice(OTHERS)
    version = draw.choice(VERSIONS) if draw.random() < 0.3 else "HTTP/1.1"
    line = f"{draw.choice(METHODS)} {draw.choice(TARGETS).format(route.path)} {version}"
    return line.encode() + b"\r\n" + good(route, key).partition(b"\r\n")[2]


OF_BODIES: dict[str, Kind] = {
    "bytes changed": damaged,
    "wrong fields and types": wrong_field,
    "NaN and other numbers": number,
    "nested deeply": deep,
    "fields twice": duplicates,
    "content types": content_type,
}
OF_ALL: dict[str, Kind] = {
    "cut": cut,
    "too long": huge,
    "unknown names": unknown,
    "surrogates and bytes": characters,
    "headers": bad_headers,
    "request lines": request_line,
}


def requests(count: int, seed: int, key: str, comparison: str) -> Iterator[tuple[str, Route, bytes]]:
    """So many requests, every kind to every route that it concerns in turn; of bodies four times as many."""
    with_body = [route for route in ROUTES if route.body] * 4
    turns = [
        (name, made, replace(route, path=route.path.replace(COMPARISON, comparison)))
        for routes, kinds in ((with_body, OF_BODIES), (ROUTES, OF_ALL))
        for route in routes
        for name, made in kinds.items()
    ]
    for i, (name, made, route) in zip(range(count), cycle(turns), strict=False):
        yield name, route, made(random.Random(f"{seed} {i}"), route, key)
