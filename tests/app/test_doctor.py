import json
from pathlib import Path

import pytest

from sama_video.app import machine
from sama_video.app.cli import doctor
from sama_video.app.cli.main import main
from sama_video.app.fit import GIB, PRESET_SIZES, fit, needed_bytes


def test_doctor_tells_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "sama-doctor/1"
    assert told["packages"]["torch"]
    assert told["codecs"]["libx264"] is True
    assert told["cores"] >= 1
    assert told["devices"][-1]["name"] == "cpu"
    assert {row["preset"] for row in told["fits"]} == {"nano", "sama-1b", "sama-4b", "sama-8b"}


def test_doctor_tells_people_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    for word in ("torch", "cpu", "libx264", "sama-8b on cpu", "GiB"):
        assert word in told


def diagnosis(**changed: object) -> doctor.Diagnosis:
    found: dict[str, object] = {
        "packages": {"torch": "2.13.0"},
        "bonus": {"flash_attn": None},
        "extras": (),
        "cores": 2,
        "memory_bytes": None,
        "devices": (machine.Device("cuda:0", "a card", 24 * GIB, True), machine.Device("cpu", "x86_64", None, True)),
        "quantize": {"int8": None, "int4": None},
        "codecs": {"libx264": True},
        "programs": {},
        "fits": (),
    }
    return doctor.Diagnosis(**{**found, **changed})  # type: ignore[arg-type]


def test_what_is_missing_names_its_install_command() -> None:
    found = diagnosis(
        packages={"av": None}, extras=(machine.Extra("train", ("peft",)),), programs={"java": None}, codecs={}
    )
    assert [(row.what, row.install) for row in found.missing] == [
        ("av", "pip install sama-video"),
        ("peft", "pip install 'sama-video[train]'"),
        ("java", "your system's package manager"),
    ]


def test_a_whole_machine_lacks_nothing() -> None:
    assert diagnosis().missing == ()


def test_unknown_memory_is_said_to_be_unknown() -> None:
    assert any("unknown memory" in line for line in doctor.as_lines(diagnosis()))


def test_quantisation_tells_why_not() -> None:
    cpu = machine.Device("cpu", "x86_64", None, True)
    assert doctor._quantisation([cpu]) == {"int8": "needs a CUDA device", "int4": "needs a CUDA device"}


@pytest.mark.parametrize("size", PRESET_SIZES, ids=lambda size: size.name)
def test_fewer_bits_need_less(size) -> None:
    needs = [needed_bytes(size, precision) for precision in ("float32", "bfloat16", "int8", "int4")]
    assert needs == sorted(needs, reverse=True)


def test_a_preset_needs_more_than_its_weights() -> None:
    for size in PRESET_SIZES:
        assert needed_bytes(size, "bfloat16") > 2 * size.parameters


@pytest.mark.parametrize(
    ("name", "precision", "gib", "fits"),
    [("sama-8b", "bfloat16", 16, False), ("sama-8b", "bfloat16", 24, True), ("sama-8b", "int4", 16, True)],
)
def test_cards_hold_what_they_can(name: str, precision: str, gib: int, fits: bool) -> None:
    size = next(size for size in PRESET_SIZES if size.name == name)
    assert fit(size, precision, device="cuda:0", memory_bytes=gib * GIB).fits is fits


def test_decoder_is_part_of_the_preset() -> None:
    assert all(0 < size.decoder_weights < size.parameters for size in PRESET_SIZES)


def test_control_group_bounds_the_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1048576\n")
    assert machine._control_group_limit(str(limit)) == 2**20
    limit.write_text("max\n")
    assert machine._control_group_limit(str(limit)) is None
    assert machine._control_group_limit(str(tmp_path / "gone")) is None


def test_absent_package_has_no_version() -> None:
    assert machine.version_of("no-such-package-at-all") is None
    assert machine.importable("no_such_package_at_all") is False
