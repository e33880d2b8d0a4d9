"""An error of somebody's code in one line, with the line of their own code that it came from."""

import sysconfig
import traceback
from pathlib import Path

_NOT_THEIRS = (sysconfig.get_paths()["stdlib"], str(Path(__file__).parents[1]), "<")


def in_one_line(error: BaseException) -> str:
    """`ValueError: no such word (judges.py:12)`; the place is left out where it lies in no code of theirs."""
    words = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    told = f"{type(error).__name__}: {words}" if words else type(error).__name__
    place = _place(error)
    return f"{told} ({place})" if place else told


def _place(error: BaseException) -> str:
    """File and line of the innermost frame that lies neither in a library nor in genarm."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THEIRS) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""
