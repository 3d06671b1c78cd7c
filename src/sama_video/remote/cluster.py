"""Joining a Ray cluster and counting what it has, in the same way wherever work is spread over machines."""

import socket
from collections.abc import Mapping
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


def one_worker_each(ray: Any) -> int:
    """One worker for each GPU, or for each machine with a processor where there is no GPU."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    return gpus or max(1, len(machines(ray)))


def machines(ray: Any) -> list[Mapping[str, float]]:
    """What each machine has that is alive and has a processor to give."""
    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [resources for resources in alive if resources.get("CPU", 0) >= 1]
