import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sama_video.app import machine
from sama_video.app.cli.main import main
from sama_video.app.cli.serve import PACKAGES
from sama_video.app.server_needs import (
    Plan,
    access_need,
    encoder_need,
    extra_need,
    folder_need,
    metrics_need,
    port_need,
    room_need,
    server_needs,
)

KEY = "k" * 40


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


def test_missing_packages_name_the_extra() -> None:
    need = extra_need(("fastapi", "uvicorn"), lambda name: name == "uvicorn")
    assert (need.met, need.told, need.fix) == (False, "lacks fastapi", "pip install 'sama-video[serve]'")
    assert extra_need(("fastapi",), lambda name: True).met


@pytest.mark.parametrize(
    ("host", "environment", "insecure", "met"),
    [
        ("127.0.0.1", {}, False, True),
        ("localhost", {}, False, True),
        ("0.0.0.0", {}, False, False),
        ("0.0.0.0", {"SAMA_API_KEY": KEY}, False, True),
        ("0.0.0.0", {}, True, True),
        ("127.0.0.1", {"SAMA_API_KEY": "short"}, False, False),
    ],
)
def test_other_machines_need_a_key(host: str, environment: dict[str, str], insecure: bool, met: bool) -> None:
    need = access_need(Plan(host=host, insecure=insecure), environment)
    assert need.met is met
    assert (need.fix is None) is met


def test_no_key_is_told() -> None:
    need = access_need(Plan(), {"SAMA_API_KEY": f"{KEY},{'o' * 20}"})
    assert "2 keys" in need.told
    assert KEY not in need.told


def test_a_port_in_use_is_not_free(taken: int) -> None:
    need = port_need("127.0.0.1", taken)
    assert not need.met
    assert f"127.0.0.1:{taken}" in need.told
    assert need.fix == "--port 0 takes a free one"


def test_a_free_port_stays_free() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    assert port_need("127.0.0.1", port).met
    assert port_need("127.0.0.1", port).met


def test_a_host_that_is_nowhere_cannot_be_listened_on() -> None:
    assert not port_need("256.1.1.1", 8000).met


def test_a_folder_is_looked_at_and_not_made(tmp_path: Path) -> None:
    need = folder_need(tmp_path / "a" / "b")
    assert (need.met, need.told) == (True, f"{tmp_path / 'a' / 'b'}, to be made")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    assert "is a file" in folder_need(tmp_path / "file" / "clips").told


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_will_not_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not folder_need(tmp_path / "clips").met


def test_a_folder_that_may_not_be_written_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert folder_need(tmp_path).told.endswith("cannot be written")


def test_room_counts_the_clips_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "clips" / "ab").mkdir(parents=True)
    (tmp_path / "clips" / "ab" / "clip").write_bytes(bytes(1 << 20))
    assert room_need(tmp_path, 1 << 20).met
    need = room_need(tmp_path / "not" / "there", 1 << 60)
    assert not need.met
    assert need.fix is not None
    assert need.fix.startswith("--quota ")


def test_overlays_need_an_encoder() -> None:
    assert encoder_need({machine.H264_ENCODER: True}).met
    assert encoder_need({machine.H264_ENCODER: False}).fix == "pip install --only-binary av av"
    assert not encoder_need({}).met


def test_figures_are_of_one_process() -> None:
    assert metrics_need({}).told == "GET /metrics"
    assert metrics_need({"SAMA_API_KEY": KEY}).told == "GET /metrics, with a key"
    assert metrics_need({"PROMETHEUS_MULTIPROC_DIR": "/tmp"}).fix == "unset PROMETHEUS_MULTIPROC_DIR"


def test_every_need_that_is_not_met_says_what_to_do(tmp_path: Path, taken: int) -> None:
    (tmp_path / "file").touch()
    plan = Plan("0.0.0.0", taken, tmp_path / "file")
    for need in server_needs(plan, (*PACKAGES, "no_such_package"), {"PROMETHEUS_MULTIPROC_DIR": "/tmp"}):
        assert need.met is (need.fix is None), need
        assert "\n" not in f"{need.told}{need.fix}"


def test_doctor_tells_of_the_server(
    capsys: pytest.CaptureFixture[str], bare_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare_environment.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    assert main(["doctor", "--json", "--port", "0", "--data", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)["server"]
    met = {row["name"]: row["met"] for row in told["needs"]}
    assert list(met) == ["packages", "access", "port", "folder", "room", "encoder", "metrics"]
    assert told["ready"] is all(met.values())
    assert met["access"]
    assert met["port"]
    assert main(["doctor", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("Server (sama serve)")
    assert "no: --host 0.0.0.0 lets other machines in, but there is no key; add --api-key FILE" in lines[at + 2]
