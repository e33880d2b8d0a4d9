"""The page in a real browser against a real server: what it asks, shows, keeps and refuses."""

import json
import re
from itertools import groupby

import pytest
from browser import PHONES, chromium, overflow, violations
from playwright.sync_api import expect
from served_toys import running, streamed, wait

from genarm.serve.keys import Keys, new_key, read_keys
from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings

pytestmark = pytest.mark.slow
IDLE = "#stop[aria-disabled=true]"
RECORD_GROWTH = """window.growth = []; for (const side of ["base", "guided"])
  new MutationObserver((all) => all.forEach((m) => m.addedNodes.length && window.growth.push(side)))
    .observe(document.querySelector(`#${side} .text`), {childList: true})"""
TEXT = """(box) => [...box.querySelectorAll(".token")]
  .filter((token) => !token.querySelector(".end")).map((token) => token.textContent).join("")"""
FOCUSED = """(() => { const at = document.activeElement;
  return [at.id || at.className.split(" ")[0] || at.type, getComputedStyle(at).outlineStyle]; })()"""
BODY = {"messages": [{"role": "user", "content": "hello"}], "seed": 5, "temperature": 1, "max_tokens": 24}


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    made.set_default_timeout(60_000)
    yield made
    made.close()


@pytest.fixture
def page(context, address):
    """The page of the toy server; what the console says against it fails the test."""
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector(".slider")
    yield opened
    assert complaints == []


def ask(page, prompt="hello", seed=5, tokens=24):
    """Fill in, ask by the keyboard and wait for the end; the bodies that were sent, by model."""
    sent = {}
    page.on(
        "request",
        lambda r: "completions" in r.url and sent.update({r.post_data_json["model"]: r.post_data_json}),
    )
    for name, value in (("prompt", prompt), ("seed", seed), ("max_tokens", tokens)):
        page.fill(f"#{name}", str(value))
    page.focus("#prompt")
    page.keyboard.press("Control+Enter")
    done(page)
    return sent


def done(page):
    says(page, "token|Stopped|answered")
    page.wait_for_selector(IDLE)


def says(page, words, where="#status"):
    """Wait until some place of the page has these words, which are a pattern."""
    expect(page.locator(where)).to_have_text(re.compile(words), timeout=60_000)


def rewards_of(client, model, **more):
    """The API's own numbers for each token."""
    chunks = streamed(client, BODY | {"model": model, "guidance_rewards": True} | more)
    parts = [choice for chunk in chunks for choice in chunk["choices"]]
    return [token for part in parts for token in part.get("guidance_rewards", [])]


def tip_of(page, side, i):
    """The numbers that the pointer brings up, by word."""
    page.locator(f"{side} .token").nth(i).hover()
    words, values = page.locator("#tip dt").all_inner_texts(), page.locator("#tip dd").all_inner_texts()
    return dict(zip(words, (value.replace("−", "-") for value in values), strict=True))


def test_both_sides_stream_at_once_and_show_the_numbers_of_the_api(page, client):
    page.evaluate(RECORD_GROWTH)
    sent = ask(page, tokens=96)
    assert sent["base"] == BODY | {
        "model": "base",
        "stream": True,
        "guidance_rewards": True,
        "max_tokens": 96,
    }
    assert sent["guided"] == sent["base"] | {"model": "guided", "guidance": {"kind": 0.8, "curt": 0.4}}
    turns = [side for side, _ in groupby(page.evaluate("window.growth"))]
    assert len(turns) > 3, "neither side waits for the other's end"
    assert "kind version 3 at 0.8, curt version 1 at 0.4 · seed 5" in page.inner_text("#guided footer")
    for side, model in (("#base", "base"), ("#guided", "guided")):
        told = rewards_of(client, model, max_tokens=96)
        text = "".join(token["text"] for token in told)
        assert page.locator(f"{side} .text").evaluate(TEXT) == text
        i = next(i for i, token in enumerate(told) if token["text"])  # the first unit ends here
        tip = tip_of(page, side, 0)
        assert float(tip["log p, base"].split()[0]) == pytest.approx(
            sum(t["base"] for t in told[: i + 1]), abs=6e-4
        )
        if model == "guided":
            shift = sum(t["guided"] - t["base"] for t in told[: i + 1])
            kind = sum(t["arms"]["kind"] for t in told[: i + 1])
            assert float(tip["shift"]) == pytest.approx(shift, abs=6e-4)
            assert tip["reward, kind"].endswith("× 0.8")
            assert float(tip["reward, kind"].split()[0]) == pytest.approx(kind, abs=6e-4)
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_a_slider_changes_what_is_asked_and_colours_follow_the_choice(page):
    page.focus("#weight-kind")
    page.keyboard.press("Home")
    page.locator("#weight-curt").fill("0.9")
    assert ask(page)["guided"]["guidance"] == {"kind": 0, "curt": 0.9}
    colours = "els => els.map(e => e.lastElementChild.className).join()"
    before = page.locator("#guided .token").evaluate_all(colours)
    assert "up" in before or "down" in before
    page.select_option("#colour", "the reward of curt")
    assert page.locator("#guided .token").evaluate_all(colours) != before
    assert "log p under the ARM" in page.inner_text("#legend")
    page.select_option("#colour", "nothing")
    assert "up" not in page.locator("#guided .token").evaluate_all(colours)
    page.get_by_role("button", name="promoted 0.8").click()
    assert page.input_value("#weight-kind") == "0.8"


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


def test_the_keyboard_alone_suffices(page):
    """From the prompt to Ask, a token's numbers and a weight of the curve, by Tab, arrows and Enter."""
    page.focus("#prompt")
    page.keyboard.type("hello")
    page.keyboard.press("Control+Enter")
    done(page)
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        stops.append(stop[0])
        assert stop[1] != "none", f"{stop[0]} shows no focus"
        if stop[0] == "token":
            first = page.inner_text("#tip")
            page.keyboard.press("ArrowRight")
            assert page.locator("#tip").is_visible() and page.inner_text("#tip") != first
        if stop[0] == "sweep":
            page.keyboard.press("Enter")
            says(page, "6 of 6")
        if stop[0] == "radio":
            page.keyboard.press("ArrowRight")
            assert page.locator("#curve article:visible h3").inner_text() == "weight 1.2"
            break
    wanted = ["weight-kind", "plain", "weight-curt", "plain", "seed", "temperature", "max_tokens"]
    assert stops[:7] == wanted and stops.count("token") == 2 and stops[-1] == "radio"


def test_the_curve_asks_six_weights_and_draws_their_kl(page, client):
    page.fill("#prompt", "hello")
    page.fill("#seed", "5")
    page.fill("#max_tokens", "24")
    page.select_option("#swept", "curt")
    page.click("#sweep")
    says(page, "6 of 6")
    kls = [float(t) for t in page.locator("#curve .value").all_text_contents()]
    for weight, kl in zip((0, 0.2, 0.4, 0.6, 0.8, 1.0), kls, strict=True):
        body = BODY | {"model": "guided", "guidance": {"kind": 0.8, "curt": weight}, "guidance_rewards": True}
        [choice] = client.post("/v1/chat/completions", json=body).json()["choices"]
        assert kl == pytest.approx(choice["kl"], abs=6e-4)
    for i, weight in ((5, "1"), (0, "0")):
        page.locator("#curve .strip").nth(i).hover()
        shown = page.locator("#curve article:visible")
        assert shown.locator("h3").inner_text() == f"weight {weight}" and shown.locator(".token").count() > 0


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


def test_stop_ends_both_and_the_server_is_free(page, service):
    page.fill("#prompt", "hello")
    page.fill("#max_tokens", "480")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#guided .token")
    page.click("#stop")
    done(page)
    assert page.inner_text("#status") == "Stopped." or "token" in page.inner_text("#status")
    wait(lambda: service.open == 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_every_window(page, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    ask(page)
    page.click("#sweep")
    says(page, "6 of 6")
    page.locator("#guided .token").first.focus()
    assert violations(page) == [] and overflow(page) <= 0
    for size in PHONES:
        page.set_viewport_size(size)
        assert overflow(page) <= 0, size
    assert violations(page) == []
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#base .text'), '::after').animationName")
        == "none"
    )


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
