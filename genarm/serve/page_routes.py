"""The pages: the files of `page` and `compare_page`, read once, under a policy that allows nothing else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from genarm.serve.errors import ApiError

FOLDER = Path(__file__).with_name("page")
COMPARE = Path(__file__).with_name("compare_page")
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"  # text of models cannot become markup
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # asked for each time; 304 where it has not changed
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent."""

    data: bytes
    headers: Mapping[str, str]


def read_files(folder: Path) -> dict[str, PageFile]:
    """The files of a page by name. Raises KeyError for a suffix without a content type."""
    return {path.name: _read(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _read(path: Path) -> PageFile:
    data = path.read_bytes()
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return PageFile(data, {**HEADERS, "content-type": TYPES[path.suffix], "etag": etag})


def sent(files: Mapping[str, PageFile], request: Request, name: str) -> Response:
    """A file of a page. Raises ApiError where it has none of that name."""
    if (file := files.get(name)) is None:  # a look-up, so that no path leads out of the folder
        raise ApiError(404, "there is nothing at this address")
    if request.headers.get("if-none-match") == file.headers["etag"]:
        return Response(status_code=304, headers=dict(file.headers))
    return Response(file.data, headers=dict(file.headers))


def add_page(app: FastAPI) -> None:
    """The page that asks base and guided, at `/`."""
    _add(app, FOLDER, "/", "/page/{name}")


def add_compare_page(app: FastAPI) -> None:
    """The page on which people compare two responses, at `/compare`; it uses files of the other one."""
    _add(app, COMPARE, "/compare", "/compare/{name}")


def _add(app: FastAPI, folder: Path, at: str, parts: str) -> None:
    """Serve a page to everybody: all of it is in the package, and it asks for a key itself."""
    files = read_files(folder)

    @app.api_route(at, methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return sent(files, request, INDEX)

    @app.api_route(parts, methods=["GET", "HEAD"], include_in_schema=False)
    async def part(request: Request, name: str) -> Response:
        return sent(files, request, name)
