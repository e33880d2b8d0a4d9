"""The page in a real browser against a real server: what it asks and shows is what the API says."""

from itertools import groupby

import pytest
from asked_page import ask, done, says, tip_of
from served_toys import streamed, wait

pytestmark = pytest.mark.slow
BODY = {"messages": [{"role": "user", "content": "hello"}], "seed": 5, "temperature": 1, "max_tokens": 24}
RECORD_GROWTH = """window.growth = []; for (const side of ["base", "guided"])
  new MutationObserver((all) => all.forEach((m) => m.addedNodes.length && window.growth.push(side)))
    .observe(document.querySelector(`#${side} .text`), {childList: true})"""
TEXT = """(box) => [...box.querySelectorAll(".token")]
  .filter((token) => !token.querySelector(".end")).map((token) => token.textContent).join("")"""


def rewards_of(client, model, **more):
    """The API's own numbers for each token."""
    chunks = streamed(client, BODY | {"model": model, "guidance_rewards": True} | more)
    parts = [choice for chunk in chunks for choice in chunk["choices"]]
    return [token for part in parts for token in part.get("guidance_rewards", [])]


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


def test_stop_ends_both_and_the_server_is_free(page, service):
    page.fill("#prompt", "hello")
    page.fill("#max_tokens", "480")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#guided .token")
    page.click("#stop")
    done(page)
    assert page.inner_text("#status") == "Stopped." or "token" in page.inner_text("#status")
    wait(lambda: service.open == 0)
