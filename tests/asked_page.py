"""What the tests of the page do with it: ask, wait for its words, and read a token's numbers."""

import re

from playwright.sync_api import expect

IDLE = "#stop[aria-disabled=true]"


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


def tip_of(page, side, i):
    """The numbers that the pointer brings up, by word."""
    page.locator(f"{side} .token").nth(i).hover()
    words, values = page.locator("#tip dt").all_inner_texts(), page.locator("#tip dd").all_inner_texts()
    return dict(zip(words, (value.replace("−", "-") for value in values), strict=True))
