"""Names of files and what is printed are UTF-8, whatever the locale says."""

import os
import sys

SWITCH = "PYTHONUTF8"


def ensure_utf8() -> None:
    """Start this command again in Python's UTF-8 mode where names would be read in another encoding.

    Python does so by itself in the locale C, unless `PYTHONUTF8=0` forbids it. DVC then fails in a folder
    whose name holds more than ASCII. The processes that a command starts inherit the mode.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get(SWITCH) != "1":
        os.environ[SWITCH] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if stream.encoding.lower() != "utf-8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # as PYTHONIOENCODING=ascii asks for
