"""`sama doctor`: what this machine has, what is missing, how to get it, and which presets fit."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from sama_video import __version__
from sama_video.app import machine
from sama_video.app.cli.output import Output, output_option
from sama_video.app.cli.serve import PACKAGES
from sama_video.app.fit import BYTES_PER_DECODER_WEIGHT, FORMULA, GIB, PRESET_SIZES, Fit, fit
from sama_video.app.server_needs import Need, Plan, server_needs

WHAT_PROGRAMS_DO = {"java": "reference caption metrics of the benchmarks", "chromium": "tests of the web page"}


@dataclass(frozen=True)
class Missing:
    """Something this machine lacks: what for, and how to get it."""

    what: str
    needed_for: str
    install: str


@dataclass(frozen=True)
class Diagnosis:
    """All that `sama doctor` finds out."""

    packages: dict[str, str | None]
    bonus: dict[str, str | None]
    extras: tuple[machine.Extra, ...]
    cores: int
    memory_bytes: int | None
    devices: tuple[machine.Device, ...]
    quantize: dict[str, str | None]
    codecs: dict[str, bool]
    programs: dict[str, str | None]
    fits: tuple[Fit, ...]
    server: tuple[Need, ...] = ()

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What could be installed, the necessary first."""
        rows = [
            Missing(name, "everything", f"pip install {machine.DISTRIBUTION}")
            for name, version in self.packages.items()
            if version is None
        ]
        if self.codecs and not self.codecs[machine.H264_ENCODER]:
            rows.append(Missing(machine.H264_ENCODER, "writing overlay.mp4", "pip install --only-binary av av"))
        for extra in self.extras:
            if extra.missing:
                rows.append(Missing(", ".join(extra.missing), f"the extra {extra.name}", extra.install))
        for precision, reason in self.quantize.items():
            if reason is not None and self.devices and self.devices[0].name.startswith("cuda"):
                rows.append(Missing("bitsandbytes", f"--quantize {precision}", "pip install bitsandbytes"))
        for name, path in self.programs.items():
            if path is None:
                rows.append(Missing(name, WHAT_PROGRAMS_DO[name], "your system's package manager"))
        return tuple(rows)


def diagnose(plan: Plan) -> Diagnosis:
    """Look at the machine; takes as long as importing torch does.

    Args:
        plan: How the server would be started.
    """
    devices = machine.devices()
    quantize = _quantisation(devices)
    return Diagnosis(
        packages={name: machine.version_of(name) for name in machine.BASE_PACKAGES},
        bonus={name: machine.version_of(name) for name in machine.BONUS_PACKAGES},
        extras=machine.extras(),
        cores=machine.cores(),
        memory_bytes=machine.memory_bytes(),
        devices=devices,
        quantize=quantize,
        codecs=machine.video_codecs(),
        programs=machine.programs(),
        fits=_fits(devices),
        server=server_needs(plan, PACKAGES, os.environ),
    )


def _quantisation(devices: Sequence[machine.Device]) -> dict[str, str | None]:
    """Give, for int8 and int4, None where they work and otherwise the reason why not."""
    reason = None
    if not any(device.name.startswith("cuda") for device in devices):
        reason = "needs a CUDA device"
    elif not (machine.importable("bitsandbytes") or machine.importable("torchao")):
        reason = "needs bitsandbytes or torchao"
    return dict.fromkeys(BYTES_PER_DECODER_WEIGHT, reason)


def _fits(devices: Sequence[machine.Device]) -> tuple[Fit, ...]:
    """Estimate every preset on every device at the precisions that make sense there."""
    return tuple(
        fit(size, precision, device=device.name, memory_bytes=device.memory_bytes)
        for device in devices
        if device.memory_bytes is not None
        for size in PRESET_SIZES
        for precision in _precisions(device)
    )


def _precisions(device: machine.Device) -> tuple[str, ...]:
    half = "bfloat16" if device.bfloat16 else "float16"
    return (half, *BYTES_PER_DECODER_WEIGHT) if device.name.startswith("cuda") else ("float32", half)


@click.command(name="doctor")
@click.option("--host", default=Plan.host, show_default=True, help="Address that sama serve would listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=Plan.port, show_default=True, help="And its port.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="And its folder of clips.")
@click.option("--insecure", is_flag=True, help="Whether it would let other machines in without a key.")
@output_option
def command(host: str, port: int, data: Path | None, insecure: bool, output: Output) -> None:
    """Tell what this machine has, what is missing and how to get it, which presets fit, and whether it can serve.

    What is missing is no failure: the exit code is 0.
    """
    diagnosis = diagnose(Plan(host, port, data, insecure))
    output.document(as_document(diagnosis))
    for line in as_lines(diagnosis):
        output.line(line)


def as_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Give the diagnosis as `--json` prints it."""
    return {
        "schema": "sama-doctor/1",
        "sama_video": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": diagnosis.cores,
        "memory_bytes": diagnosis.memory_bytes,
        "packages": {**diagnosis.packages, **diagnosis.bonus},
        "extras": {
            extra.name: {"installed": not extra.missing, "missing": list(extra.missing), "install": extra.install}
            for extra in diagnosis.extras
        },
        "devices": [asdict(device) for device in diagnosis.devices],
        "attention": {"sdpa": True, "flash_attn": diagnosis.bonus["flash_attn"] is not None},
        "quantize": {
            precision: {"available": reason is None, "reason": reason}
            for precision, reason in diagnosis.quantize.items()
        },
        "codecs": diagnosis.codecs,
        "programs": diagnosis.programs,
        "fits": [asdict(row) for row in diagnosis.fits],
        "fits_formula": FORMULA,
        "server": {
            "ready": all(row.met for row in diagnosis.server),
            "needs": [asdict(row) for row in diagnosis.server],
        },
        "missing": [asdict(row) for row in diagnosis.missing],
    }


def as_lines(diagnosis: Diagnosis) -> list[str]:
    """Give the diagnosis for people."""
    memory = "unknown memory" if diagnosis.memory_bytes is None else f"{_gib(diagnosis.memory_bytes)} of memory"
    return [
        f"sama {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"{diagnosis.cores} cores, {memory}",
        *_section("Packages", _versions(diagnosis.packages) + _versions(diagnosis.bonus, "not installed, not needed")),
        *_section(
            "Extras",
            [(row.name, f"lacks {', '.join(row.missing)}" if row.missing else "installed") for row in diagnosis.extras],
        ),
        *_section("Video", [(name, "yes" if present else "no") for name, present in diagnosis.codecs.items()]),
        *_section("Programs", [(name, path or "not found") for name, path in diagnosis.programs.items()]),
        *_section("Devices", [(device.name, _describe(device)) for device in diagnosis.devices]),
        *_section("Quantisation", [(name, reason or "available") for name, reason in diagnosis.quantize.items()]),
        *_section("Presets (estimated, not measured)", _fit_rows(diagnosis.fits)),
        f"  needs = {FORMULA}",
        *_section("Server (sama serve)", [(row.name, _state(row)) for row in diagnosis.server]),
        *_section("Missing", [(row.what, f"for {row.needed_for}: {row.install}") for row in diagnosis.missing]),
    ]


def _versions(packages: dict[str, str | None], absent: str = "not installed") -> list[tuple[str, str]]:
    return [(name, version or absent) for name, version in packages.items()]


def _state(need: Need) -> str:
    return need.told if need.met else f"no: {need.told}; {need.fix}"


def _describe(device: machine.Device) -> str:
    memory = "unknown memory" if device.memory_bytes is None else _gib(device.memory_bytes)
    return f"{device.description}, {memory}, {'bfloat16' if device.bfloat16 else 'no bfloat16'}"


def _fit_rows(fits: Sequence[Fit]) -> list[tuple[str, str]]:
    """One row for a preset on a device, its precisions side by side."""
    rows: dict[str, list[str]] = {}
    for row in fits:
        verdict = "fits" if row.fits else "too big"
        rows.setdefault(f"{row.preset} on {row.device}", []).append(
            f"{row.precision} {_gib(row.needs_bytes)} {verdict}"
        )
    return [(name, ", ".join(cells)) for name, cells in rows.items()]


def _section(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    """A title and aligned rows below it; nothing when there are none."""
    width = max((len(name) for name, _ in rows), default=0)
    return ["", title, *(f"  {name:<{width}}  {text}" for name, text in rows)] if rows else []


def _gib(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB"
