"""docs/data.md: every example row is read as its format, and every reason that it lists exists."""

import json
import re
from pathlib import Path

import pytest

from genarm.data.formats import detect, parse
from genarm.types import Message, PreferencePair, Prompt

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = [
    (name, line)
    for name, block in re.findall(r"```json (\w+)\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_row_is_of_its_format_and_a_pair(name, line):
    row = json.loads(line)
    asked = "How was the concert?" if "concert" in line else "How was it?"
    assert detect(row) == name
    pair = parse(row, preferred="better_response_id" if name == "pku" else None)
    assert pair == PreferencePair(Prompt((Message("user", asked),)), "Wonderful!", "Loud.")


def test_every_format_has_an_example():
    assert {name for name, _ in EXAMPLES} == {"trl", "hh", "pku", "ultrafeedback"}


def test_the_reasons_are_those_of_the_code():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "genarm" / "data").glob("*.py"))
    section = PAGE.partition("## Quarantine")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    reasons = [reason for cell in rows for reason in re.findall(r"`([^`]+)`", cell)]
    assert len(reasons) == 16
    for reason in reasons:
        for part in re.split(r"\d+|\.\.\.", reason):
            assert part in code, reason
