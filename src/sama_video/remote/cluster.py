"""Joining a Ray cluster, in the same way and with the same error wherever work is spread over machines."""

import socket
from typing import Any, Final

from sama_video.errors import ConfigError

_CONNECT_SECONDS: Final = 10


def join_cluster(ray: Any, address: str) -> None:
    """Join a cluster, or start one; nobody at an address is found out in seconds, for which Ray takes minutes.

    Args:
        ray: The module, so that it is imported only where it is wanted.

    Raises:
        ConfigError: There is no such cluster.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit():
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"--ray {address}: no cluster answers there ({line}); start one, or use --ray local."
        ) from error
