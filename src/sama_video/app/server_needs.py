"""What `sama serve` needs of a machine, looked at before it starts; nothing is made, kept open or loaded."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_video.app import machine
from sama_video.app.server.settings import KEY_VARIABLE, Keys, ServerSettings, default_data_folder, read_keys
from sama_video.errors import ConfigError

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
GIB = 1 << 30


@dataclass(frozen=True)
class Need:
    """One thing that the server needs.

    Attributes:
        name: Such as `port`.
        met: Whether it is there.
        told: What was found.
        fix: What to do where it is not there.
    """

    name: str
    met: bool
    told: str
    fix: str | None = None


@dataclass(frozen=True)
class Plan:
    """How the server would be started; as the options of `sama serve`."""

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path | None = None
    insecure: bool = False


def server_needs(plan: Plan, packages: Sequence[str], environment: Mapping[str, str]) -> tuple[Need, ...]:
    """Everything that the server needs, in the order in which it would miss it.

    Args:
        packages: Import names of the extra `serve`.
        environment: Such as `os.environ`.
    """
    data = plan.data or default_data_folder()
    return (
        extra_need(packages, machine.importable),
        access_need(plan, environment),
        port_need(plan.host, plan.port),
        folder_need(data),
        room_need(data, ServerSettings(data=data).quota_bytes),
        encoder_need(machine.video_codecs()),
        metrics_need(environment),
    )


def extra_need(packages: Sequence[str], importable: Callable[[str], bool]) -> Need:
    """The packages of the extra."""
    lacking = [name for name in packages if not importable(name)]
    if lacking:
        return Need("packages", False, f"lacks {', '.join(lacking)}", machine.Extra("serve", tuple(lacking)).install)
    return Need("packages", True, "the extra serve is installed")


def access_need(plan: Plan, environment: Mapping[str, str]) -> Need:
    """The rule that other machines get in only with a key. No key is ever told."""
    try:
        keys = read_keys(None, environment)
        ServerSettings(data=Path(), host=plan.host, keys=keys, insecure=plan.insecure)
    except ConfigError as error:
        told, _, fix = str(error).partition("; ")
        return Need("access", False, told, fix.rstrip("."))
    return Need("access", True, _who(plan, keys))


def _who(plan: Plan, keys: Keys) -> str:
    if keys:
        count = len(keys.digests)
        return f"{plan.host}, with {count} key{'s' if count > 1 else ''} from {KEY_VARIABLE}"
    if plan.insecure:
        return f"{plan.host}, everybody, without a key"
    return f"{plan.host}: this machine alone; another address needs --api-key FILE, {KEY_VARIABLE} or --insecure"


def port_need(host: str, port: int) -> Need:
    """The address, tried and let go of."""
    name = f"{host}:{port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            # As the server itself does; on Windows it would share a port that is in use.
            if os.name != "nt":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error)
        return Need("port", False, f"{name} cannot be listened on ({told})", "--port 0 takes a free one")
    return Need("port", True, f"{name} is free")


def folder_need(data: Path) -> Need:
    """The folder of the clips, which is made when the server starts."""
    there = _nearest(data)
    if not there.is_dir():
        return Need("folder", False, f"{data} cannot be made, for {there} is a file", "--data names another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return Need("folder", False, f"{data} cannot be written", "--data names another folder")
    return Need("folder", True, str(data) if data.exists() else f"{data}, to be made")


def room_need(data: Path, quota_bytes: int) -> Need:
    """Room for as many clips as the server would keep, with those that it has."""
    there = _nearest(data)
    free = shutil.disk_usage(there).free
    used = sum(_size(path) for path in (data / "clips").glob("*/*"))
    told = f"{free / GIB:.1f} GiB free, clips take {used / GIB:.1f} of {quota_bytes / GIB:.0f} GiB"
    if free + used < quota_bytes:
        return Need("room", False, told, f"--quota {max((free + used) // 2 >> 20, 1)}MiB, or another folder by --data")
    return Need("room", True, told)


def encoder_need(codecs: Mapping[str, bool]) -> Need:
    """What writes the overlays; a program called ffmpeg is never asked for."""
    if codecs.get(machine.H264_ENCODER):
        return Need("encoder", True, f"{machine.H264_ENCODER} in PyAV; no ffmpeg program is needed")
    told = f"PyAV here has no {machine.H264_ENCODER}, so overlays cannot be downloaded"
    return Need("encoder", False, told, "pip install --only-binary av av")


def metrics_need(environment: Mapping[str, str]) -> Need:
    """What counts for Prometheus, which keeps figures in one process unless a variable says otherwise."""
    if not machine.importable("prometheus_client"):
        return Need("metrics", False, "lacks prometheus_client", machine.Extra("serve", ()).install)
    if environment.get(MULTIPROCESS_VARIABLE):
        told = f"{MULTIPROCESS_VARIABLE} is set, but figures are those of one process"
        return Need("metrics", False, told, f"unset {MULTIPROCESS_VARIABLE}")
    return Need("metrics", True, "GET /metrics" + (", with a key" if environment.get(KEY_VARIABLE) else ""))


def _nearest(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    whole = path.absolute()
    return next(one for one in (whole, *whole.parents) if os.path.exists(one))  # also where one may not look


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a server that runs has just dropped it
        return 0
