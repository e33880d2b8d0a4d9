"""The page at `/compare` in a real Chromium: asked, voted by keyboard, revealed, erased; text stays text."""

import re

import pytest
from browser import PHONES, chromium, overflow, violations
from playwright.sync_api import expect
from served_toys import running, trial_of

from genarm.serve.service import Service

pytestmark = pytest.mark.slow
ANSWERED = re.compile("You prefer the (guided|other) answer. Thank you.|A tie. Thank you.")


@pytest.fixture(scope="module")
def address(lineup, store):
    with running(Service(lineup, store=store)) as at:
        yield at


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser, address):
    context = browser.new_context()
    made, errors = context.new_page(), []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda message: message.type == "error" and errors.append(message.text))
    made.goto(f"{address}/compare")
    expect(made.locator("#dimension option")).to_have_count(2)
    yield made
    context.close()
    assert not errors


def ask(page, prompt="hello"):
    page.fill("#prompt", prompt)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answers")).to_be_visible(timeout=60_000)
    expect(page.locator("[data-choice=a]")).to_be_enabled()


@pytest.mark.parametrize(("key", "choice"), [("a", "a"), ("b", "b"), ("t", "tie")])
def test_a_vote_by_the_keyboard_reveals_the_sides(page, store, key, choice):
    page.check("#consent")
    ask(page, "<b>bold</b> & <script>alert(1)</script>")
    assert page.locator("#side-a").inner_text() == page.locator("#side-b").inner_text() == ""
    page.keyboard.press(key)
    expect(page.locator("#told")).to_have_text(ANSWERED)
    *_, vote = store.votes("kind")
    assert (vote.choice, vote.comparison.consent) == (choice, True)
    assert page.locator("#text-a").text_content() == vote.comparison.a.text
    for side in "ab":
        guided = "kind@3" in page.locator(f"#side-{side}").inner_text()
        assert guided == (vote.comparison.guided == side)
    assert "<b>bold</b>" in vote.comparison.prompt[0]["content"]


def test_in_a_trial_the_page_does_not_tell_which_was_which(browser, both, store, tmp_path):
    service = Service(both[0], store=store)
    service.swap(both[0], trial_of(both, tmp_path, service, compared=1.0))
    with running(service) as at:
        page, errors = browser.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{at}/compare")
        expect(page.locator("#dimension option")).to_have_count(2)
        ask(page)
        page.keyboard.press("b")
        expect(page.locator("#told")).to_have_text(re.compile("which was which is not told. Thank you."))
        assert page.locator("#side-a").inner_text() == page.locator("#side-b").inner_text() == ""
        page.close()
    *_, vote = store.votes("kind")
    assert (vote.choice, vote.comparison.trial) == ("b", both[1].key) and not errors


def test_letters_of_a_reason_do_not_vote_and_erasure_takes_another_name(page, store):
    ask(page)
    before = store.mark("kind")[0]
    page.locator("#reason").press_sequentially("tab")
    assert store.mark("kind")[0] == before
    page.click("[data-choice=tie]")
    expect(page.locator("#told")).to_have_text(ANSWERED)
    *_, vote = store.votes("kind")
    assert vote.reason == "tab" and not vote.comparison.consent and vote.comparison.a.text == ""
    name = page.locator("#user").inner_text()
    assert name == vote.comparison.user
    page.click("#erase")
    expect(page.locator("#erased")).to_contain_text("Deleted: 1")
    assert page.locator("#user").inner_text() != name and store.mark("kind")[0] == before


def test_it_is_accessible_and_fits_a_phone(page):
    ask(page)
    assert violations(page) == []
    for size in PHONES:
        page.set_viewport_size(size)
        assert overflow(page) <= 0
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
