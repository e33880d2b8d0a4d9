"""Numbers and short texts as people write them: 0.70, 12.8, 1,234, < 0.0001; and as Markdown needs them."""

import math
import re

LEAST = 0.0001  # smaller numbers say no more than that they are small
_SCIENTIFIC = re.compile(r"(?<![\w.])-?\d(?:\.\d+)?e[+-]\d+\b")
_LONG = re.compile(r"(?<![\w.])0\.0\d{3,}\b")
_P_VALUE = re.compile(r"\bp (\d\S*) < (\d[\d.]*)")


def people(value: float | None) -> str:
    """A number without an exponent, with as many digits as say something; empty for None."""
    if value is None:
        return ""
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if value == int(value):
        return f"{int(value):,}"
    if size < LEAST:
        return f"< {LEAST:.4f}" if value > 0 else f"> -{LEAST:.4f}"
    if size >= 0.1:
        return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
    text = f"{value:.{1 - math.floor(math.log10(size))}f}"
    return text.removesuffix("0") if len(text.partition(".")[2]) > 2 else text


def count(value: int) -> str:
    """A whole number with its thousands apart: 1,234."""
    return f"{int(value):,}"


def share(value: float | None) -> str:
    """A share in per cent: 87%, 0.85%; empty for None."""
    if value is None:
        return ""
    digits = 0 if value in (0, 1) or 0.1 <= value < 0.995 else 1 if value >= 0.01 else 2
    return f"{100 * value:.{digits}f}%"


def duration(seconds: float | None) -> str:
    """47 s, 7 min 50 s, 2 h 5 min; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def typeset(reason: str) -> str:
    """A reason of the rule with signs and numbers as they are printed."""
    reason = _P_VALUE.sub(_below, reason)
    reason = _LONG.sub(lambda found: people(float(found[0])), reason)
    reason = _SCIENTIFIC.sub(lambda found: people(float(found[0])), reason)
    return reason.replace(" >= ", " ≥ ").replace(" <= ", " ≤ ")


def unbroken(text: str) -> str:
    """A reason in which no line begins or ends with a sign: `p < 0.0001` stays on one."""
    return re.sub(r" ([<>≤≥]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)


def short(value: object) -> str:
    """The first 12 digits of a hash, other text as it is. DVC ends the hash of a folder with `.dir`."""
    text = str(value)
    digits = text.removesuffix(".dir")
    return text[:12] if len(digits) >= 32 and set(digits) <= set("0123456789abcdef") else text


def fenced(text: str) -> str:
    """Text as a Markdown code block that it cannot close itself."""
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def cell(value: object) -> str:
    """Text as a cell of a Markdown table."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _below(found: re.Match[str]) -> str:
    p, limit = found[1], found[2]
    return f"p < {LEAST:.4f}, limit {limit}" if float(p) < LEAST else f"p {people(float(p))} < {limit}"
