"""`GET /`: the page and its files, read once from the package, so that no name from outside becomes a path."""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sama_video.app.server.problems import ApiError

PAGE_FOLDER = Path(__file__).parent / "page"
INDEX = "index.html"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asset:
    """One file of the page."""

    content: bytes
    media_type: str
    etag: str


def read_assets(folder: Path) -> dict[str, Asset]:
    """Every file of the page by its name below `/assets/`; `index.html` is the page itself."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): _asset(path) for path in paths if path.suffix not in (".py", ".pyc")}


def page_router(folder: Path = PAGE_FOLDER) -> APIRouter:
    """The endpoints of the page."""
    assets = read_assets(folder)
    router = APIRouter(include_in_schema=False)

    def answer(name: str, request: Request) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise ApiError(404, "there is no such page; the page is at /.")
        headers = {"Cache-Control": "no-cache", "ETag": asset.etag, "Content-Security-Policy": PAGE_POLICY}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    @router.get("/")
    async def index(request: Request) -> Response:
        return answer(INDEX, request)

    @router.get("/assets/{name:path}")
    async def asset(name: str, request: Request) -> Response:
        return answer(name.removeprefix("assets/"), request)

    return router


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
