"""The page at `/compare`: its policy allows no script or style but its own files, and they need no more."""

import re

import pytest
from served_toys import running

from genarm.config import FeedbackConfig
from genarm.feedback.store import Store
from genarm.serve.service import Service

FILES = ("compare.js", "compare.css")


@pytest.fixture(scope="module")
def address(lineup, tmp_path_factory):
    store = Store(FeedbackConfig(store="f.db"), tmp_path_factory.mktemp("votes"))
    with running(Service(lineup, store=store)) as at:
        yield at
    store.close()


def test_its_files_come_under_a_strict_policy(client):
    for path in ("/compare", *(f"/compare/{name}" for name in FILES)):
        answer = client.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/compare/nothing", "/compare/..%2Fapp.py", "/compare/index.htm"):
        assert client.get(path).status_code == 404


def test_nothing_is_inline_or_from_elsewhere_and_text_is_only_text(client):
    page = client.get("/compare").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", page)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    assert {name for name in FILES if f"compare/{name}" in page} == set(FILES)
    script = client.get("/compare/compare.js").text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", script)
    for name in re.findall(r'byId\("([\w-]+)"\)', script):
        assert f'id="{name}"' in page, name
