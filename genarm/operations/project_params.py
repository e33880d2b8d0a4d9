"""The parameters of a new project: the template's, with its own dimensions, base model and judges."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from genarm.judges import SCORERS
from genarm.operations.found_data import DimensionData

JUDGES = "judges.py"
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # YAML reads it as the text that it is
WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")  # and these as something else
COMMENTS = {
    "data": "its pairs: a file or glob below data/, or {files, format, preferred, columns}",
    "files": "a file or a glob below data/",
    "format": "how a row is written; by default it is recognised",
    "preferred": "the label that names the better response",
    "columns": "which columns hold the parts of a pair",
    "judge": "who rates a response: a built-in scorer, a class of judges.py, or a model",
    "weight": "how strongly the ARM guides: found by trying, or a number such as 0.3",
    "train": "what it changes of the section train; {} is nothing",
}
AT = 33  # where comments begin, as in the template


@dataclass(frozen=True, slots=True)
class NewDimension:
    """One dimension of a new project; without `data`, its files are expected under a name."""

    name: str
    data: DimensionData | None = None

    @property
    def judge(self) -> str:
        """The built-in scorer of this name, else the stand-in that is written to `judges.py`."""
        return self.name if self.name in SCORERS else f"judges:{class_name(self.name)}"

    @property
    def has_stand_in(self) -> bool:
        """Whether its judge is yet to be written."""
        return ":" in self.judge


def class_name(dimension: str) -> str:
    """The class of `judges.py` that judges a dimension: `HelpfulBase` for helpful-base, `A_1` for a-1."""
    return "".join(f"_{p}" if p[:1].isdigit() else p.capitalize() for p in dimension.split("-"))


def with_dimensions(text: str, dimensions: Sequence[NewDimension]) -> str:
    """The text of a parameter file with these dimensions in the place of its own."""
    lines = [
        f"{'dimensions:':<{AT - 1}} # what responses should get better at; each gets a reward model (ARM)"
    ]
    for index, dimension in enumerate(dimensions):
        lines.append(f"  {dimension.name}:")
        for key, value in _lines(dimension, len(dimensions)):
            line = f"{key}: {value}" if value else f"{key}:"
            # A key is explained once, where it first stands.
            comment = COMMENTS[key.strip()] if index == 0 and value else ""
            lines.append(f"{line:<{AT - 2}}  # {comment}" if comment else line)
    block = "\n".join(lines) + "\n\n"
    found, count = re.subn(r"^dimensions:.*?(?=^[^\s])", lambda _: block, text, flags=re.M | re.S)
    assert count == 1, "the template has one section of dimensions, and another after it"
    return found


def with_base(text: str, model: str) -> str:
    """The text of a parameter file with another base model."""

    def named(line: re.Match[str]) -> str:
        return f"  model: {_text(model)}".ljust(len(line[0]) - 1) + " "

    found, count = re.subn(r"^  model: \S+ +", named, text, count=1, flags=re.M)
    assert count == 1, "the template names a base model"
    return found


def _lines(dimension: NewDimension, count: int) -> list[tuple[str, str]]:
    """The keys of one dimension, indented, with their values; of a key that others stand below, none."""
    lines, data = list[tuple[str, str]](), dimension.data
    if data is None:
        lines.append(("    data", _text("**/*" if count == 1 else f"{dimension.name}*")))
    elif not data.columns and data.preferred is None:
        lines.append(("    data", _text(data.files)))
    else:
        lines += [("    data", ""), ("      files", _text(data.files))]
        if data.preferred:
            lines += [("      format", "pku"), ("      preferred", data.preferred)]
        if data.columns:
            columns = {part: _text(column) for part, column in data.columns.items()}
            lines.append(("      columns", _flow(columns)))
    return [*lines, ("    judge", _text(dimension.judge)), ("    weight", "tuned"), ("    train", "{}")]


def _flow(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"


def _text(value: str) -> str:
    """A text as YAML, quoted where it would be read as anything else."""
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    if re.fullmatch(r"[\w./-]+:[\w./-]+", value) and not value[0].isdigit():
        return value
    return json.dumps(value, ensure_ascii=False)
