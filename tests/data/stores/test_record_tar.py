"""Records in WebDataset shards: read from where they lie, whatever a shard's maker put into it."""

import io
import json
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sama_video.data.checking import CheckReport, check_folder
from sama_video.data.describing import describe
from sama_video.data.findings import FaultError, Findings
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.tar import TarClip, TarStore
from sama_video.errors import DataError
from sama_video.video import write_video

SIDE = 32


def row(name: str, clip: Mapping[str, Any]) -> dict[str, Any]:
    turn = {"question": "What is there?", "regions": [], "answer": "A dog.", "targets": []}
    whole = {"height": SIDE, "width": SIDE, **clip}
    return {
        "schema": "sama-record/2",
        "id": name,
        "task": "vqa",
        "clip": whole,
        "objects": [],
        "turns": [turn],
        "source": "mine",
        "licence": "MIT",
    }


def picture(shade: int, side: int = SIDE) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), shade, np.uint8)).save(out, "PNG")
    return out.getvalue()


def film(folder: Path) -> bytes:
    pixels = np.zeros((3, SIDE, SIDE, 3), np.uint8)
    write_video(folder / "film.mp4", iter(pixels), fps=10)
    return (folder / "film.mp4").read_bytes()


def text(*rows: Any) -> bytes:
    return json.dumps(list(rows), separators=(",", ":")).encode()


def shard(path: Path, members: list[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return path


def frames_sample(name: str, *ids: str) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    names = [f"{name}.{number:05d}.png" for number in range(3)]
    rows = [row(one, {"path": name, "frames": 3, "names": names}) for one in ids]
    return [(f"{name}.json", text(*rows)), *((one, picture(80 * n)) for n, one in enumerate(names))]


def checked(folder: Path) -> CheckReport:
    report = CheckReport(Findings(base=folder))
    check_folder(folder, report, lambda _: None)
    return report


def test_films_and_frames_are_read_from_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    long = "x" * 150  # takes a header of its own
    members = [
        (f"{long}.json", text(row("a", {"path": f"{long}.mp4", "frames": 3}))),
        (f"{long}.mp4", film(tmp_path / "f")),
    ]
    shard(tmp_path / "d" / "a-00000.tar", [*members, *frames_sample("walk", "b", "c")])
    shard(tmp_path / "d" / "a-00001.tar", frames_sample("run", "d"))
    store = open_store(tmp_path / "d")
    assert isinstance(store, TarStore)
    assert [one.record_id for one in store] == ["a", "b", "c", "d"]
    again = pickle.loads(pickle.dumps(store))
    assert [again.task(n) for n in range(len(again))] == ["vqa"] * 4
    first, walk = store.record(0).clip, store.record(2).clip
    assert first.open().num_frames == 3
    opened = walk.open()
    assert [int(opened.frame(n)[0, 0, 0]) for n in (2, 0)] == [160, 0]
    assert len(opened.sha256) == 64
    assert isinstance(walk, TarClip)
    assert [name for name, _ in walk.files()] == ["walk.00000.png", "walk.00001.png", "walk.00002.png"]
    with pytest.raises(DataError, match="copy it out of the shard"):
        walk.below(tmp_path)
    with pytest.raises(IndexError):
        store.record(4)
    report = checked(tmp_path / "d")
    assert (report.records, report.turns_kept, report.findings.faults) == (4, 4, {})
    (part,) = describe(tmp_path / "d", Findings())
    assert part.counts == {"records": 4, "turns": 4, "tracks": 0}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a-00000.tar", "a-00001.tar", "d", "f", "film.mp4"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_clip_is_taken_out_of_its_shard_under_a_name_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "f").mkdir()
    members = [("a.json", text(row("a", {"path": "a.mp4", "frames": 3}))), ("a.mp4", film(tmp_path / "f"))]
    shard(tmp_path / "d" / "a-00000.tar", [*members, *frames_sample("b", "b")])
    clip = next(one.clip for one in open_store(tmp_path / "d") if one.record_id == name)
    assert isinstance(clip, TarClip)
    own = clip.unpack(tmp_path / "out", "clips/own")
    assert own.path == ("clips/own.mp4" if name == "a" else "clips/own")
    assert own.names == (() if name == "a" else ("00000.png", "00001.png", "00002.png"))
    assert np.array_equal(own.open().frame(2), clip.open().frame(2))


def odd(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def test_hostile_members_reach_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(film(tmp_path))
    outside = {"path": "../secret.mp4", "frames": 3}
    absolute = {"path": str(tmp_path / "secret.mp4"), "frames": 3}
    linked = {"path": "c.mp4", "frames": 3}
    folder = tmp_path / "d"
    shard(
        folder / "a-00000.tar",
        [
            ("a.json", text(row("a", outside))),
            ("../../a.mp4", b"x"),
            ("b.json", text(row("b", absolute))),
            ("c.json", text(row("c", linked))),
            odd("c.mp4", tarfile.SYMTYPE, str(tmp_path / "secret.mp4")),
            odd("d.json", tarfile.LNKTYPE, "/etc/passwd"),
            odd("e.json", tarfile.FIFOTYPE),
            ("f.json", text(row("f", {"path": "../f", "frames": 1, "names": ["../f.png"]}))),
            *frames_sample("good", "g"),
        ],
    )
    report = checked(folder)
    assert report.records == 5
    assert report.turns_kept == 1
    assert dict(report.findings.faults) == {"missing_video": 1, "schema_error": 3}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a-00000.tar", "d", "film.mp4", "secret.mp4"]


def test_damaged_samples_are_told_and_the_others_kept(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    lone = frames_sample("lone", "l")[1:]
    short = frames_sample("short", "s")[:-1]
    broken = [*frames_sample("broken", "b")[:-1], ("broken.00002.png", b"no picture")]
    shard(
        folder / "a-00000.tar",
        [
            *frames_sample("good", "g"),
            *lone,
            *short,
            *broken,
            ("cut.json", b'[{"schema"'),
            ("object.json", b'{"schema":"sama-record/2"}'),
            ("wrong.json", b"[5]"),
        ],
    )
    report = checked(folder)
    assert report.turns_kept == 1
    assert dict(report.findings.faults) == {
        "missing_file": 1,
        "missing_frame": 1,
        "unreadable_video": 1,
        "json_error": 1,
        "schema_error": 2,
    }
    told = {(one.reason, one.record) for one in report.findings.rows}
    assert ("missing_frame", "sample short, record 0") in told
    assert ("missing_file", "sample lone") in told


def test_a_shard_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    whole = shard(folder / "a-00000.tar", frames_sample("walk", "b"))
    shard(folder / "a-00001.tar", frames_sample("run", "d"))
    whole.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(FaultError, match="the shard cannot be read"):
        open_store(folder)
    report = checked(folder)
    assert (report.turns_kept, dict(report.findings.faults)) == (1, {"schema_error": 1})


def test_a_shard_that_changes_while_in_use_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "d" / "a-00000.tar", frames_sample("walk", "b", "c"))
    store = open_store(path)
    assert store.record(0).record_id == "b"
    shard(path, frames_sample("walk", "b"))
    with pytest.raises(DataError, match="changed while it was in use"):
        store.record(1)


def test_other_tars_are_no_records(tmp_path: Path) -> None:
    shard(tmp_path / "d" / "sav_000.tar", [("a.mp4", b"x" * 9000)])
    with pytest.raises(DataError, match="no data set that is known"):
        checked(tmp_path / "d")
