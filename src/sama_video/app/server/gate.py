"""What every request passes: who may come in, how much it may bring, headers that protect, a line in the log."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sama_video.app.server.connection import Caller
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError, GoneError, as_api_error, as_response
from sama_video.app.server.settings import ServerSettings, is_loopback

LOG = logging.getLogger(__name__)
CLIENT_CLOSED = 499
"""How a request is logged whose client hung up."""

SLOW_SECONDS: Final = 30.0
"""How long the next piece of a body may take to come."""

FORM_BYTES: Final = 1 << 16
"""What the other fields of an upload, and the borders between them, may take."""

OPEN_PATHS = ("/", "/health", "/openapi.json")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


@dataclass
class _Passage:
    """What is known of one request on its way."""

    id: str
    since: float
    status: int = CLIENT_CLOSED
    began: bool = False


class Gate:
    """Middleware around everything.

    Args:
        stopping: Whether new requests are refused.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ServerSettings, metrics: Metrics, stopping: Callable[[], bool]
    ) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        passage = _Passage(uuid.uuid4().hex, time.monotonic())
        sending = _with_headers(send, passage)
        try:
            limited = self._let_in(scope, receive)
            await self.app(scope, limited, sending)
        except (GoneError, asyncio.CancelledError):
            passage.status = CLIENT_CLOSED
            if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
        except Exception as error:
            told = as_api_error(error)
            if told.status == 500:
                LOG.error("request failed", exc_info=error, extra={"told": {"request": passage.id}})
            if not passage.began:
                await as_response(told)(scope, receive, sending)
        finally:
            self._note(scope, passage)

    def _let_in(self, scope: Scope, receive: Receive) -> Receive:
        """Check what can be told from the head of a request; gives the reader of its body, which counts.

        Raises:
            ApiError: It may not come in.
        """
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        self._check_host(headers)
        _check_origin(headers, method)
        client = scope.get("client")
        address = client[0] if client else "local"
        holder = None if path in OPEN_PATHS or path.startswith("/assets/") else self._holder(headers)
        queued_as = holder if holder is not None and len(self.settings.keys.digests) > 1 else address
        scope.setdefault("state", {})["caller"] = Caller(holder or "anybody", queued_as)
        if self.stopping() and path != "/health":
            retry = {"Retry-After": "5", "Connection": "close"}
            raise ApiError(
                503, "the server is about to stop; send it again in a moment.", code="stopping", headers=retry
            )
        most = self._check_body(headers, path, method)
        return _counted(receive, most)

    def _check_host(self, headers: Headers) -> None:
        """A page elsewhere may let its own name point to this machine; without keys only known names will do."""
        if self.settings.keys or self.settings.insecure:
            return
        given = headers.get("host", "").lower()
        name = given[1:].partition("]")[0] if given.startswith("[") else given.partition(":")[0]
        if not is_loopback(name) and name not in self.settings.allowed_hosts:
            raise ApiError(
                403, "the server was called by a name that is not its own; call it by 127.0.0.1 or localhost, or start "
                "it with --allow-host.", code="host",
            )  # fmt: skip

    def _holder(self, headers: Headers) -> str:
        keys = self.settings.keys
        if not keys:
            return "anybody"
        scheme, _, given = headers.get("authorization", "").partition(" ")
        holder = keys.holder(given.strip()) if scheme.lower() == "bearer" else None
        if holder is None:
            raise ApiError(
                401,
                "this server needs a key, and none that it knows came; send Authorization: Bearer KEY.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return holder

    def _check_body(self, headers: Headers, path: str, method: str) -> int:
        """Check kind and stated length of a body; gives how long it may be."""
        limits = self.settings.limits
        is_upload = path == "/v1/files"
        most = limits.file_bytes + FORM_BYTES if is_upload else limits.request_bytes
        if method in SAFE_METHODS or method == "DELETE":
            most = FORM_BYTES
        elif method == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            wanted = "multipart/form-data" if is_upload else "application/json"
            if kind != wanted:
                raise ApiError(415, f"the content type is {_shown(kind)}, but this takes {wanted}; send that.")
        stated = headers.get("content-length", "0")
        if stated.isdecimal() and int(stated[:20]) > most:
            raise _too_large(most)
        return most

    def _note(self, scope: Scope, passage: _Passage) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        seconds = time.monotonic() - passage.since
        method = scope["method"] if scope["method"] in (*SAFE_METHODS, "POST", "DELETE") else "other"
        self.metrics.requests.labels(method, route, str(passage.status)).inc()
        self.metrics.request_seconds.labels(route).observe(seconds)
        told = {
            "request": passage.id,
            "method": method,
            "route": route,
            "status": passage.status,
            "seconds": round(seconds, 4),
            "client": scope.get("state", {}).get("caller", Caller("nobody", "unknown")).client,
        }
        LOG.info("request", extra={"told": told})


def _check_origin(headers: Headers, method: str) -> None:
    """A page elsewhere may send forms and uploads here without asking; browsers say where such come from."""
    origin = headers.get("origin")
    if origin is None or method in SAFE_METHODS:
        return
    if origin.partition("://")[2] != headers.get("host"):
        raise ApiError(403, "the request comes from a page of another site, which this server does not serve.")


def _counted(receive: Receive, most: int) -> Receive:
    """Read a body of bounded length, whatever it said of itself, that keeps coming."""
    total, whole = 0, False

    async def counting() -> Message:
        nonlocal total, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the rest of the request did not come; send it again.") from None
        total += len(message.get("body", b""))
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        if total > most:
            # Whoever reads a body takes only this kind of error as it is.
            raise HTTPException(413, str(_too_large(most)))
        return message

    return counting


def _with_headers(send: Send, passage: _Passage) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            passage.status, passage.began = message["status"], True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Request-Id"] = passage.id
        await send(message)

    return sending


def _too_large(most: int) -> ApiError:
    return ApiError(
        413, f"the request has more than {most} bytes, which is this server's limit; send less.", code="too_large"
    )


def _shown(kind: str) -> str:
    return repr(kind[:60]) if kind else "missing"
