"""Addresses and text without credentials, for messages, logs and tags."""

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]*")


def redact(text: str) -> str:
    """A text in which every URL has lost its login and its query."""
    return _URL.sub(lambda match: redact_url(match[0]), text)


def redact_url(url: str) -> str:
    """A URL without `user:password@` and without its query, which may hold a signature.

    Where it is not certain what belongs to a password that is not percent-encoded, more is removed, not less.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url.partition("?")[0]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" not in authority:
        searched = authority  # an @ further on belongs to the path, as in hf://owner/name@revision
    elif re.fullmatch(r"[^:@]+:\d*", authority):
        searched = rest.partition("?")[0]  # a port, or a user and digits of a password with a slash in it
    else:
        searched = rest
    return scheme + separator + rest[searched.rfind("@") + 1 :].partition("?")[0]
