"""What the page keeps, shares and says: links, history, keys, refusals, promotions while it is open."""

import json
import re

import pytest
from asked_page import ask, says
from playwright.sync_api import expect
from served_toys import running

from genarm.serve.keys import Keys, new_key, read_keys
from genarm.serve.lineup import Lineup
from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings

pytestmark = pytest.mark.slow


def test_a_link_restores_what_was_asked_and_tells_the_server_nothing(page, context, address):
    page.fill("#prompt", "<img src=x onerror=alert(1)> & more\nlines #2")
    page.locator("#weight-kind").fill("1.2")
    page.fill("#temperature", "0.55")
    page.fill("#seed", "77")
    page.click("#share")
    expect(page).to_have_url(re.compile("#prompt="))
    urls, other = [], context.new_page()
    other.on("request", lambda request: urls.append((request.url, request.post_data)))
    other.goto(page.url)
    other.wait_for_selector(".slider")
    assert other.input_value("#prompt") == page.input_value("#prompt")
    assert [other.input_value(f"#{n}") for n in ("seed", "temperature", "weight-kind", "weight-curt")] == [
        "77", "0.55", "1.2", "0.4",
    ]  # fmt: skip
    assert not [url for url in urls if "onerror" in str(url).split("#")[0] or "completions" in url[0]]
    other.goto(address + "/#seed=-1&temperature=NaN&max_tokens=1e9&weight.kind=1e99&weight.x=1&y=2")
    other.reload()
    other.wait_for_selector(".slider")
    assert [other.input_value(f"#{n}") for n in ("seed", "max_tokens", "weight-kind")] == ["1", "128", "0.8"]


def test_the_history_holds_the_answers_until_it_is_cleared(page):
    ask(page, prompt="first <b>one</b>")
    text = page.inner_text("#guided .text")
    ask(page, prompt="second", seed=6)
    page.reload()
    page.wait_for_selector(".slider")
    assert page.locator("#entries .asked").all_inner_texts() == ["second", "first <b>one</b>"]
    page.locator("#entries button").nth(1).click()
    expect(page.locator("#prompt")).to_have_value(re.compile("^first"))
    assert page.inner_text("#guided .text") == text and page.input_value("#seed") == "5"
    page.click("#clear")
    assert page.locator("#entries li").count() == 0 and page.evaluate("localStorage.length") == 0


def test_a_key_is_asked_for_and_refusals_are_told_in_words(context, opened, tmp_path):
    path = tmp_path / "keys.json"
    key = new_key(path, "team")
    path.write_text(json.dumps([row | {"requests_per_minute": 3} for row in json.loads(path.read_text())]))
    service = Service(opened(), ServeSettings(max_open=4), Keys(read_keys(path)))
    page = context.new_page()
    with running(service) as address:
        page.goto(address)
        page.wait_for_selector("#key:visible")
        assert page.inner_text("#alert") == "The server asks for an API key."
        page.keyboard.type("wrong")  # the field has the focus
        page.keyboard.press("Enter")
        says(page, "does not know", "#alert")
        page.fill("#key-text", key)
        page.keyboard.press("Enter")
        page.wait_for_selector(".slider")
        ask(page)
        page.click("#share")
        stored = page.evaluate("JSON.stringify([localStorage, location.href])")
        assert key not in stored and page.evaluate("sessionStorage.getItem('genarm.key')") == key
        page.keyboard.press("Control+Enter")
        says(page, "Not answered")
        told = page.locator(".trouble").all_inner_texts()
        assert any("Too many requests" in t and "3 times a minute" in t and "Try again in" in t for t in told)
        service.keys, service.open = Keys([]), 4
        page.keyboard.press("Control+Enter")
        says(page, "busy", "#base .trouble")
        service.open = 0
    page.keyboard.press("Control+Enter")
    says(page, "cannot be reached", "#base .trouble")


def test_a_promotion_while_the_page_is_open_is_met_and_told(context, opened):
    """The answer names the new version, then the page does; a base without champions has one side."""
    service, page = Service(opened()), context.new_page()
    with running(service) as address:
        page.goto(address)
        page.wait_for_selector(".slider")
        page.locator("#weight-curt").fill("0.2")
        page.select_option("#colour", "the reward of kind")
        service.swap(opened("newer", 4))
        service.refused = {"curt": {"version": 9, "reason": "it fits another base"}}
        ask(page)
        assert "kind version 4 at 0.8" in page.inner_text("#guided footer")
        says(page, "kind version 4 and curt version 1", "#served")
        says(page, "Version 9 of curt cannot be served: it fits another base", "#served")
        assert page.input_value("#weight-curt") == "0.2"
        assert page.input_value("#colour") == "the reward of kind"
        service.refused = {}
        service.swap(Lineup(service.lineup.decoder, "toy", {}))
        page.reload()
        says(page, "guided by nothing yet", "#served")
        ask(page)
        assert page.locator("#base .token").count() and page.locator("#guided").is_hidden()
        assert page.locator("#strength").is_hidden()
