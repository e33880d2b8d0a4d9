"""Addresses and text without credentials, for messages, logs and tags."""

import os
import re
from collections.abc import Iterator

HIDDEN = "***"
# Schemes in whose addresses an @ belongs to the path, as in hf://owner/name@revision, and is no login.
_WITHOUT_LOGIN = ("file", "gs", "hf", "models", "runs", "s3", "sqlite")
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_URL = re.compile(
    # A login that is not percent-encoded may hold spaces and quotes; what stands after a port is no password.
    rf"{_SCHEME}[^\s/@:'\"]*:(?!\d*(?:[\s/:'\"?#,;)\]]|$))[^\n@]*@[^\s'\"]*|{_SCHEME}[^\s'\"]*"
)
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,}"
    r"|pn[ub]_[A-Za-z0-9]{16,}|A[KS]IA[A-Z0-9]{16}|xox[a-z]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_HEADER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}", re.I)
_NAME = r"[\w-]*(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?string)"
_WEAK_NAME = (  # words that also stand for something else: `unknown token: '<s>'`
    r"(?:[\w-]*(?:access|auth|bearer|id|hf|refresh|security|session|tracking)[_-])?token"
    r"|(?:x-amz-|x-goog-)?(?:signature|credential)|sig"
)
_SETTING = re.compile(  # password=..., 'token': '...', "api_key": "...", password: ...
    rf"(?P<name>(?<![\w-])(?:(?:{_NAME}|{_WEAK_NAME})(?:=|[\"']\s*[:=]\s*)|{_NAME}:\s+))"
    rf"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s&,;'\")\]}}]+)",
    re.I,
)
_SECRET_VARIABLE = re.compile(
    r"(PASSWORD|PASSWD|SECRET|(?<!DISABLE_IMPLICIT_)TOKEN|API_KEY|ACCESS_KEY|AUTH_STRING)(_|$)"
)
_SHORTEST = 8  # characters of a secret that is looked for by its value: a shorter one may be a common word


def redact(text: str) -> str:
    """A text without the logins and queries of its URLs, without tokens, and without secrets it names.

    What this process's environment holds as a password, token or key is removed wherever it stands.
    """
    for secret, shown in _secrets():
        text = text.replace(secret, shown)
    text = _URL.sub(lambda match: redact_url(match[0]), text)
    text = _TOKEN.sub(HIDDEN, _HEADER.sub(rf"\1 {HIDDEN}", text))
    return _SETTING.sub(lambda match: match["name"] + HIDDEN, text)


def redact_url(url: str) -> str:
    """A URL without `user:password@` and without its query, which may hold a signature.

    Where it is not certain what belongs to a password that is not percent-encoded, more is removed, not less.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url.partition("?")[0]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme.partition("+")[0].lower() in _WITHOUT_LOGIN and ":" not in authority:
        return scheme + separator + rest.partition("?")[0]
    searched = rest
    if "@" not in authority and (":" not in authority or re.fullmatch(r"[^:@]*:\d*", authority)):
        searched = rest.partition("?")[0]  # a port, or digits of a password with a slash in it
    elif authority.startswith("[") and "@" not in authority:
        searched = authority  # an IPv6 address
    without_login = rest[searched.rfind("@") + 1 :]
    return scheme + separator + re.split(r"[?#]", without_login, maxsplit=1)[0]


def _secrets() -> Iterator[tuple[str, str]]:
    """What the environment holds that must not be shown, the longest first, and what takes its place."""
    found: dict[str, str] = {}
    for name, value in os.environ.items():
        if "@" in value and re.match(_SCHEME, value) and (shown := redact_url(value)) != value:
            found[value] = shown
        elif len(value) >= _SHORTEST and _SECRET_VARIABLE.search(name.upper()) and value[0] != "/":
            found[value] = HIDDEN
    return iter(sorted(found.items(), key=lambda item: -len(item[0])))
