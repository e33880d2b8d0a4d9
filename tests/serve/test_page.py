"""The page's files: what is served, with which headers, and nothing beside it."""

import re
import tomllib
from pathlib import Path

import httpx
import pytest

from genarm.serve import page_routes
from genarm.serve.keys import Key, Keys
from genarm.serve.service import Service

FOLDER = Path(page_routes.__file__).with_name("page")
FILES = sorted(path.name for path in FOLDER.iterdir())
ROOT = Path(__file__).parents[2]


def test_the_index_is_the_page(client):
    answer = client.get("/")
    assert answer.status_code == 200 and answer.content == (FOLDER / "index.html").read_bytes()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_under_the_policy(client, name):
    path = FOLDER / name
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200 and answer.content == path.read_bytes()
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(types[path.suffix])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    none = {"default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"}
    ours = {"script-src", "style-src", "connect-src", "img-src"}
    expected = dict.fromkeys(none, "'none'") | dict.fromkeys(ours, "'self'")
    assert policy == expected | {"require-trusted-types-for": "'script'"}


def test_what_has_not_changed_is_not_sent_again(client):
    etag = client.get("/page/main.js").headers["etag"]
    again = client.get("/page/main.js", headers={"if-none-match": etag})
    assert again.status_code == 304 and not again.content
    head = client.head("/")
    assert head.status_code == 200 and not head.content and int(head.headers["content-length"]) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "/page/", "/page/app.py", "/page/../app.py", "/page/..%2fapp.py", "/page/%2e%2e/app.py",
        "/page/%2e%2e%2fapp.py", "/page/..%5capp.py", "/page//etc/passwd", "/page/%2fetc%2fpasswd",
        "/page/main.js%00", "/page/main.js/", "/page/....//app.py", "/index.html", "/page",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(address, path):
    """Sent as it stands: a client would tidy the dots away."""
    url = httpx.URL(address).copy_with(raw_path=path.encode())
    with httpx.Client() as client:
        answer = client.send(httpx.Request("GET", url))
    assert answer.status_code in (307, 404) and b"import" not in answer.content
    if answer.status_code == 307:  # a slash too many
        assert httpx.get(answer.headers["location"]).status_code in (200, 404)


def test_the_page_needs_no_key_but_the_versions_do(lineup):
    from starlette.testclient import TestClient

    from genarm.serve.app import create_app

    service = Service(lineup, keys=Keys([Key("team", "0" * 64)]))
    client = TestClient(create_app(service))
    assert client.get("/").status_code == client.get("/page/main.js").status_code == 200
    assert client.get("/v1/arms").status_code == 401


def test_the_versions_tell_what_the_page_needs(client, lineup, service):
    told = client.get("/v1/arms").json()
    assert sorted(told) == ["base", "context", "data", "defaults", "identity", "object", "trial"]
    assert told["defaults"] == {
        "temperature": service.settings.temperature,
        "max_tokens": service.settings.max_tokens,
    }
    assert told["context"] == lineup.decoder.context
    wanted = ["dimension", "guidance", "model", "pinned", "refused", "trial", "version", "weight"]
    wanted = sorted([*wanted, "adapter_sha256"])  # whoever compares answers knows a version by its hash
    assert [sorted(arm) for arm in told["data"]] == [wanted, wanted]


def test_nothing_in_the_files_is_inline_or_from_elsewhere():
    """No markup made of strings, no handler or style in the HTML, no address but the SVG namespace."""
    index = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*src=)", index)
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
    for name in FILES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(markup, text)
        assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_every_file_of_the_page_is_named_by_another_and_packed():
    texts = {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES}
    for name in set(FILES) - {"index.html"}:
        assert any(name in text for other, text in texts.items() if other != name), name
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    assert "page/*" in packed
