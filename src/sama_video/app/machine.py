"""What this machine has: Python and packages, memory and devices, codecs and programs. Looks, and changes nothing."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DISTRIBUTION = "sama-video"
BASE_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "pillow",
    "av",
    "pycocotools",
)
# Used when present, never required.
BONUS_PACKAGES = ("flash_attn", "bitsandbytes", "torchao", "psutil")
PROGRAMS = {"java": ("java",), "chromium": ("chromium", "chromium-browser", "google-chrome", "chrome")}
VIDEO_DECODERS = ("h264", "hevc", "vp9", "av1")
H264_ENCODER = "libx264"


@dataclass(frozen=True)
class Device:
    """Something a model can run on; `memory_bytes` is None where the system does not tell."""

    name: str
    description: str
    memory_bytes: int | None
    bfloat16: bool


@dataclass(frozen=True)
class Extra:
    """An optional part of the distribution, and what it still lacks here."""

    name: str
    missing: tuple[str, ...]

    @property
    def install(self) -> str:
        """The command that completes it."""
        return f"pip install '{DISTRIBUTION}[{self.name}]'"


def version_of(package: str) -> str | None:
    """Give the version of an installed distribution, None when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def importable(package: str) -> bool:
    """Tell whether a package could be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def memory_bytes() -> int | None:
    """Give the machine's RAM, or what its control group may use when that is less; None where nothing tells."""
    if importable("psutil"):
        import psutil

        total: int | None = int(psutil.virtual_memory().total)
    else:
        total = _memory_by_sysconf()
    limits = [amount for amount in (total, _control_group_limit()) if amount is not None]
    return min(limits, default=None)


def _memory_by_sysconf() -> int | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _control_group_limit(path: str = "/sys/fs/cgroup/memory.max") -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def cores() -> int:
    """Give the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def devices() -> tuple[Device, ...]:
    """Name every device that torch can use, the CPU last; empty without torch."""
    if not importable("torch"):
        return ()
    import torch

    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        card = torch.cuda.get_device_properties(index)
        # Older cards compute bfloat16 by detours, which torch would count as support.
        found.append(Device(f"cuda:{index}", card.name, card.total_memory, (card.major, card.minor) >= (8, 0)))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", torch.mps.recommended_max_memory(), True))
    found.append(Device("cpu", platform.processor() or platform.machine(), memory_bytes(), True))
    return tuple(found)


def extras() -> tuple[Extra, ...]:
    """List the distribution's extras with the packages that each still lacks; empty when run from bare sources."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or ()]
        names = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    wanted = {
        name: [
            requirement.name
            for requirement in requirements
            if requirement.marker is not None
            and requirement.marker.evaluate({"extra": name})
            and not requirement.marker.evaluate({"extra": ""})
            and requirement.name != DISTRIBUTION
        ]
        for name in names
        if name != "all"
    }
    return tuple(Extra(name, _not_installed(packages)) for name, packages in wanted.items())


def _not_installed(packages: Sequence[str]) -> tuple[str, ...]:
    return tuple(package for package in packages if version_of(package) is None)


def video_codecs() -> dict[str, bool]:
    """Tell which codecs PyAV's FFmpeg brings, by FFmpeg's names; empty without PyAV."""
    if not importable("av"):
        return {}
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    def known(name: str, mode: Literal["r", "w"]) -> bool:
        try:
            Codec(name, mode)
        except UnknownCodecError:
            return False
        return True

    return {H264_ENCODER: known(H264_ENCODER, "w")} | {name: known(name, "r") for name in VIDEO_DECODERS}


def programs() -> dict[str, str | None]:
    """Find the programs that some tests and benchmarks call; None for one that is not on the PATH."""
    return {
        name: next((path for spelling in spellings if (path := shutil.which(spelling))), None)
        for name, spellings in PROGRAMS.items()
    }
