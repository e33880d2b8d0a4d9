"""Sources behind a protocol, through fsspec: a URL is one file, an object store also a folder or a glob.

fsspec's clients read the credentials of their store from the environment: ~/.netrc, AWS_*, Google's own.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from genarm.data.labels import FILE as LABELS
from genarm.data.rows import SUFFIXES
from genarm.errors import DataError, GenarmError, Unreachable
from genarm.system.redact import redact

EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
# What stores keep of a file, the surest first; a time counts with the size.
HASHES = ("ETag", "etag", "md5Hash", "md5", "Content-MD5", "crc32c", "Digest", "sha256")
TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created")
CONNECT, SILENCE = 10, 60  # seconds until there is a connection, and between two pieces of a file
# s3fs waits for six minutes by itself: five tries of its own for each of five tries of botocore, 15 s each.
S3_SILENCE, S3_TRIES = 10, 2  # seconds, and tries of each of the two
NOT_ALLOWED, GONE, LATER = (401, 403), (404, 410), (408, 425, 429)


def listed(address: str) -> dict[str, str]:
    """The data files at an address with their marks, empty where the server keeps none.

    Raises DataError where there is nothing, or no right to read it; Unreachable where nobody answers.
    """
    with _in_words(address):
        return {name: _mark(info) for name, (_, info) in _found(address).items()}


def fetch(address: str, names: Mapping[str, str], folder: Path) -> None:
    """Fetch these files of an address into a folder. Raises as `listed`."""
    with _in_words(address):
        found, (system, _) = _found(address), _open(address)
        for name in names:
            if name not in found:
                raise FileNotFoundError(name)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(found[name][0], str(target))


def _open(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if _is_web(address):
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        # trust_env reads ~/.netrc and the proxies; a packed transfer would not have the size that is told.
        options |= {
            "client_kwargs": {"trust_env": True, "timeout": timeout},
            "headers": {"Accept-Encoding": "identity"},
        }
    elif _is_s3(address):
        tries = {"total_max_attempts": S3_TRIES, "mode": "standard"}
        options["config_kwargs"] = {"connect_timeout": CONNECT, "read_timeout": S3_SILENCE, "retries": tries}
    system, path = url_to_fs(address, **options)
    if _is_s3(address):
        system.retries = S3_TRIES
    return system, str(path)


def _found(address: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Name -> path in the store and what the store says of it."""
    system, path = _open(address)
    if _is_web(address):
        name = PurePosixPath(urlsplit(path).path).name  # without the query, which may hold a signature
        return {name: (path, system.info(path))}
    if set("*?[") & set(path):
        entries = {p: i for p, i in system.glob(path, detail=True).items() if i["type"] == "file"}
        names = {p: PurePosixPath(p).name for p in entries}
    else:
        entries = system.find(path, detail=True)
        names = {p: PurePosixPath(p).name if p == path.rstrip("/") else _below(p, path) for p in entries}
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for entry, info in sorted(entries.items()):
        name = names[entry]
        if not name.endswith(SUFFIXES) and PurePosixPath(name).name != LABELS:
            continue
        if ".." in PurePosixPath(name).parts:
            raise DataError(f"{name!r} leads out of the folder", hint="rename it in the store")
        if name in found:
            raise DataError(f"{found[name][0]} and {entry} would both be {name}", hint="name their folder")
        found[name] = entry, info
    if not entries:
        raise FileNotFoundError(address)
    return found


def _below(path: str, folder: str) -> str:
    return path.removeprefix(folder.rstrip("/")).lstrip("/")


def _mark(info: Mapping[str, Any]) -> str:
    if known := next((str(info[key]) for key in HASHES if info.get(key)), ""):
        return known
    time = next((str(info[key]) for key in TIMES if info.get(key)), "")
    return f"{info.get('size')}-{time}" if time else ""


def _is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _is_s3(address: str) -> bool:
    return address.startswith(("s3://", "s3a://"))


@contextmanager
def _in_words(address: str) -> Iterator[None]:
    try:
        yield
    except GenarmError:
        raise
    except Exception as error:  # every store's client has errors of its own
        raise _told(address, error) from None


def _told(address: str, error: Exception) -> GenarmError:
    """What a client's error means. fsspec's own for web and S3 hide the server's answer as their cause."""
    where, cause = redact(address), error.__cause__ or error
    status = _status(cause)
    scheme = address.partition("://")[0]
    if isinstance(error, ImportError) and scheme in EXTRAS:
        return DataError(f"{where} needs {EXTRAS[scheme]}", hint=f"python -m pip install {EXTRAS[scheme]}")
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return DataError(
            f"{where}: {scheme}:// is no protocol that is known", hint="https://, s3://, gs://, hf://"
        )
    if (
        status in NOT_ALLOWED
        or isinstance(error, PermissionError)
        or re.search("Credential", type(cause).__name__)
    ):
        said = f" (HTTP {status})" if status else f" ({type(cause).__name__})"
        return DataError(
            f"no right to read {where}{said}",
            hint="give this process the credentials: ~/.netrc, AWS_*, GOOGLE_APPLICATION_CREDENTIALS",
        )
    if status in GONE or (status is None and isinstance(cause, FileNotFoundError)):
        return DataError(f"nothing at {where}", hint="it was moved or deleted; the data in use stays")
    if status is None or status in LATER or status >= 500:
        said = f"HTTP {status}" if status else f"{type(cause).__name__}: {redact(str(cause))}"
        return Unreachable(f"{where} cannot be read now: {said}", hint="the data in use stays; try again")
    return DataError(f"{where} refuses: HTTP {status}", hint="check the address")


def _status(cause: BaseException) -> int | None:
    """The HTTP status of an error: of aiohttp, or of botocore, which has the answer as a mapping."""
    answer: Any = getattr(cause, "response", None)
    if isinstance(answer, Mapping):
        status: int | None = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status
    return getattr(cause, "status", None)
