"""The page for everybody: by keyboard, by touch, by screen reader, on a phone, in the dark."""

import pytest
from asked_page import ask, done, says
from browser import PHONES, overflow, violations

pytestmark = pytest.mark.slow
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
FOCUSED = """(() => { const at = document.activeElement;
  return [at.id || at.className.split(" ")[0] || at.type, getComputedStyle(at).outlineStyle]; })()"""


def test_the_keyboard_alone_suffices(page):
    """From the prompt to Ask, a token's numbers and a weight of the curve, by Tab, arrows and Enter."""
    page.set_viewport_size({"width": 1000, "height": 360})  # the focus scrolls
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
            page.evaluate(TWO_FRAMES)
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
        tops = page.locator("#legend b").evaluate_all(
            "all => all.map(mark => mark.getBoundingClientRect().top)"
        )
        assert len(tops) == 6 and len(set(tops)) == 1, f"the legend is one scale, in one line: {tops}"
    assert violations(page) == []
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#base .text'), '::after').animationName")
        == "none"
    )


def test_a_tap_shows_the_numbers_of_a_token_within_the_window(browser, address):
    context = browser.new_context(viewport=PHONES[1], has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".slider")
    ask(page)
    token = page.locator("#guided .token").last
    token.scroll_into_view_if_needed()
    token.tap()
    box = page.locator("#tip").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 320
    assert box["y"] >= 0 and box["y"] + box["height"] <= 640
    context.close()
