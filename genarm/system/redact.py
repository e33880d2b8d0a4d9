"""Addresses as they may be shown: without user name, password and query."""

import re

# A password may itself hold a slash, which ends the host part early; so after a colon everything up to the
# last @ of the word counts as user name and password.
_LOGIN = re.compile(r"""(?<=://)(?:[^/@\s'"]*:[^\s'"]*|[^/@\s'"]+)@""")
# The path of a URL may stand alone: urllib3 reports `with url: /path?query`.
_QUERY = re.compile(r"""((?:://|\s/)[^\s'"?]*)\?[^\s'"]*""")


def redact(text: str) -> str:
    """A text with `user:password@` and the query removed from every URL in it."""
    return _QUERY.sub(r"\1", _LOGIN.sub("", text))
