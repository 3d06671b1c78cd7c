"""The application behind uvicorn, which stops when asked: answers under way are finished first."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from sama_video.app.server.logs import configure_logs
from sama_video.app.server.state import ServerState
from sama_video.errors import ConfigError

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 0.05
KEEP_ALIVE_SECONDS = 15
MOST_CONNECTIONS = 1000


class DrainingServer(uvicorn.Server):
    """On the first signal new requests get 503 while answers under way are finished; on the second it stops at once."""

    def __init__(self, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config)
        self._state = state
        self._asked = False
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, or stop."""
        if self._asked or self._loop is None:
            super().handle_exit(sig, frame)
            return
        self._asked = True
        self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        workers, seconds = self._state.workers, self._state.settings.limits.stop_seconds
        LOG.info("stopping", extra={"told": dict(zip(("waiting", "running"), workers.busy, strict=True))})
        workers.drain()
        ends_at = asyncio.get_running_loop().time() + seconds
        while any(workers.busy) and asyncio.get_running_loop().time() < ends_at:
            await asyncio.sleep(LOOK_SECONDS)
        if any(workers.busy):
            await asyncio.to_thread(workers.close)
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A socket with an address of its own, which nobody reaches before the server is ready; port 0 takes a free one.

    Raises:
        ConfigError: The address cannot be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--host {host} --port {port} cannot be listened on ({told}); choose another.") from error
    return listener


def serve(app: FastAPI, listener: socket.socket, announce: Callable[[str], None]) -> None:
    """Serve until a signal says to stop.

    Args:
        announce: Told the server's address once it answers.
    """
    configure_logs()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=10,
        limit_concurrency=MOST_CONNECTIONS,
    )
    server = DrainingServer(config, app.state.sama)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve([listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(LOOK_SECONDS)
        if server.started:
            announce(f"http://{shown}:{port}")
        await serving

    _ignore_reraised(server)
    asyncio.run(run())


def _ignore_reraised(server: uvicorn.Server) -> None:
    """Uvicorn sends itself the signals it caught once more at its end; a stop that was asked for is no failure."""

    def quiet(_sig: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, quiet)
