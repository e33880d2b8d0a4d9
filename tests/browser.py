"""A real Chromium for the tests of pages; whoever has none is told how to get it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONES = {"width": 390, "height": 800}, {"width": 320, "height": 640}


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright: the system's Chromium, or else the one that playwright has installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)), None) or playwright.chromium.executable_path
        if not os.path.exists(found):
            pytest.skip("needs Chromium: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],  # Chromium refuses to run as root otherwise
        )
        yield browser
        browser.close()


def overflow(page: Any) -> int:
    """How many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def violations(page: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA, contrast included."""
    from axe_playwright_python.sync_playwright import Axe

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = Axe().run(
        page, options={"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]}
    )
    return [
        f"{v['id']}: {node['target']} {node['failureSummary']}"
        for v in found.response["violations"]
        for node in v["nodes"]
    ]
