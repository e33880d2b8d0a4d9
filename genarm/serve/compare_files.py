"""The page at `/compare`: the files of the folder `compare_page`, under a policy that allows nothing else."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from genarm.serve.errors import ApiError

FOLDER = Path(__file__).with_name("compare_page")
INDEX = "index.html"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",  # text of models cannot become markup
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


def add_compare_page(app: FastAPI) -> None:
    """Serve the page to everybody: it holds no data, and asks for a key itself."""
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}

    def send(name: str) -> Response:
        if name not in files:  # a look-up, so that no path leads out of the folder
            raise ApiError(404, "there is nothing at this address")
        kind = f"{TYPES[Path(name).suffix]}; charset=utf-8"
        return Response(files[name], headers={**HEADERS, "content-type": kind})

    @app.get("/compare", include_in_schema=False)
    async def index() -> Response:
        return send(INDEX)

    @app.get("/compare/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        return send(name)
