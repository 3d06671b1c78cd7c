"""Mask dictionaries and their indexes: one track however it is stored, and no half-written index is believed."""

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from tiny_sama import HEIGHT, WIDTH, box_rle, track

from sama_video.data import mask_index
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.mask_entries import read_mask
from sama_video.data.mask_files import FittedTracks, MaskFile, open_mask_file
from sama_video.data.mask_index import SUFFIX, Stamp, read_index
from sama_video.errors import DataError
from sama_video.regions.rle import area, as_rle, decode, encode

SIZE = (HEIGHT, WIDTH)
IDS = st.text(st.sampled_from('0123456789a"\\é𝄞\ud800\x00 /'), max_size=6)
PLACE = Place("masks.json", "annotation 1")


@pytest.fixture(autouse=True)
def _cache_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sama_video.remote.hub.cache_folder", lambda: tmp_path / "cache")


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def indexed(path: Path, **options: Any) -> MaskFile:
    return open_mask_file(path, Findings(strict=True), index_above=0, **options)


def index_beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


# Forms of a mask


def test_parts_are_united_not_added() -> None:
    left, right = box_rle(1), box_rle(4)
    both = read_mask([left, right], PLACE, size=SIZE)
    assert both is not None
    np.testing.assert_array_equal(decode(both), decode(left) | decode(right))  # type: ignore[arg-type]


def test_overlapping_polygons_are_united() -> None:
    squares = [[2, 2, 12, 2, 12, 12, 2, 12], [8, 2, 18, 2, 18, 12, 8, 12]]
    rle = read_mask([[float(number) for number in one] for one in squares], PLACE, size=SIZE)
    parts = [decode(as_rle(coco.frPyObjects([one], *SIZE)[0])) for one in squares]
    assert rle is not None
    np.testing.assert_array_equal(decode(rle), parts[0] | parts[1])
    assert area(rle) < sum(int(part.sum()) for part in parts)


def test_nothing_visible_has_two_spellings() -> None:
    assert read_mask(None, PLACE) is None
    assert read_mask([], PLACE) is None
    empty = read_mask({"size": list(SIZE), "counts": [HEIGHT * WIDTH]}, PLACE)
    assert empty is not None
    assert area(empty) == 0


@pytest.mark.parametrize("counts", ["bytes", "text", "runs"])
def test_counts_are_read_in_every_spelling(counts: str) -> None:
    mask = np.zeros(SIZE, np.bool_)
    mask[3:7, 5:9] = True
    rle = encode(mask)
    runs = [5 * HEIGHT + 3, *[4, HEIGHT - 4] * 3, 4, (WIDTH - 9) * HEIGHT + HEIGHT - 7]
    spelt = {"bytes": rle["counts"].encode(), "text": rle["counts"], "runs": runs}[counts]
    forms: set[str] = set()
    assert read_mask({"size": list(SIZE), "counts": spelt, "extra": 1}, PLACE, size=SIZE, forms=forms) == rle
    assert forms == ({"uncompressed_rle"} if counts == "runs" else set())


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"size": [4, 4], "counts": "0"}, "bad_rle"),
        ({"size": [4, 4], "counts": [17]}, "bad_rle"),
        ({"size": [4, 4], "counts": [20, -4]}, "bad_rle"),
        ({"size": [4, 4], "counts": [16.0]}, "bad_rle"),
        ({"size": [2**20, 2**20], "counts": [2**40]}, "bad_rle"),
        ({"size": "44", "counts": "0"}, "bad_rle"),
        ({"size": [4, 4], "counts": None}, "bad_rle"),
        ({"counts": "0"}, "schema_error"),
        (7, "schema_error"),
        ("4400", "schema_error"),
        ([[1, 2, 3, 4, 5]], "bad_rle"),
        ([[1, 2, 3, 4]], "bad_rle"),
        ([[1, 2, 3, 4, 5, float("nan")]], "bad_rle"),
        ([[1, 2, 3, 4, 5, float("inf")]], "bad_rle"),
        ([[1, 2, 3, 4, 5, "6"]], "bad_rle"),
        ([[0, 0] * 200_000], "bad_rle"),
        ([[[1, 2]]], "bad_rle"),
        ([None], "schema_error"),
    ],
)
def test_hostile_masks_never_reach_the_native_code(entry: object, reason: str) -> None:
    with pytest.raises(FaultError) as caught:
        read_mask(entry, PLACE, size=(4, 4))
    assert caught.value.reason == reason


def test_polygon_without_a_picture_size_is_refused() -> None:
    with pytest.raises(FaultError, match="size is not known"):
        read_mask([[0, 0, 3, 0, 3, 3]], PLACE)


# Files


@given(st.dictionaries(IDS, st.lists(st.none() | st.integers(0, 20), max_size=4), max_size=6), st.booleans())
@settings(max_examples=30)
def test_tracks_come_back_through_an_index(tmp_path_factory: Any, tracks: dict[str, Any], escaped: bool) -> None:
    path = tmp_path_factory.mktemp("masks") / "masks.json"
    content = {key: [None if left is None else box_rle(left) for left in lefts] for key, lefts in tracks.items()}
    spelt = json.dumps(content, ensure_ascii=escaped)
    if "\ud800" in spelt:
        spelt = json.dumps(content)
    path.write_bytes(spelt.encode("utf-8"))
    for masks in (indexed(path), indexed(path), open_mask_file(path, Findings())):
        assert list(masks.ids()) == list(content)
        assert len(masks) == len(content)
        for key, entries in content.items():
            assert key in masks
            assert list(masks.track(key, SIZE)) == [None if entry is None else as_rle(entry) for entry in entries]
        assert "no such id" not in masks
    assert read_index(index_beside(path), stamp_of(path)) is not None


def stamp_of(path: Path) -> Stamp:
    with path.open("rb") as stream:
        return Stamp.of(stream)


def test_last_of_two_equal_keys_counts(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(f'{{"1": [null], "1": {json.dumps(track(1))}}}')
    assert indexed(path).num_entries("1") == len(json.loads(path.read_text())["1"]) == 4


def test_list_may_be_under_a_key(tmp_path: Path) -> None:
    content = {"1": {"segmentations": track(1)}, "2": {"masks_rle": track(2)}, "3": {"mine": track(3)}, "4": track(4)}
    masks = indexed(write(tmp_path / "m.json", content), under="mine")
    assert [masks.track(key)[0] for key in "1234"] == [as_rle(box_rle(left)) for left in (1, 2, 3, 4)]


def test_small_file_gets_no_index_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", {"1": track(1)})
    assert open_mask_file(path, Findings()).num_entries("1") == 4
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]


def test_second_opening_reads_no_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.json", {"1": track(1)})
    indexed(path)

    def scan(*_args: object) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr("sama_video.data.mask_files.scan_items", scan)
    assert indexed(path).num_entries("1") == 4


def test_index_of_another_state_is_made_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", {"1": track(1)})
    masks = indexed(path)
    write(path, {"2": track(2), "1": track(3)})
    with pytest.raises(DataError, match="changes while it is in use"):
        masks.track("1")
    assert indexed(path).track("1")[0] == as_rle(box_rle(3))
    # The same size at another time.
    os.utime(path, ns=(1, 1))
    assert read_index(index_beside(path), stamp_of(path)) is None
    assert list(indexed(path).ids()) == ["2", "1"]


def test_index_of_another_version_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.json", {"1": track(1)})
    monkeypatch.setattr(mask_index, "VERSION", 0)
    indexed(path)
    monkeypatch.undo()
    assert read_index(index_beside(path), stamp_of(path)) is None


def test_partial_index_is_never_read(tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", {str(number): track(1) for number in range(5)})
    indexed(path)
    whole, stamp = index_beside(path).read_bytes(), stamp_of(path)
    for left in range(len(whole)):
        index_beside(path).write_bytes(whole[:left])
        assert read_index(index_beside(path), stamp) is None, left
    index_beside(path).write_bytes(whole)
    assert read_index(index_beside(path), stamp) is not None


def test_index_with_one_wrong_byte_is_never_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", {"1": track(1), "22": track(2)})
    masks = indexed(path)
    whole, stamp = bytearray(index_beside(path).read_bytes()), stamp_of(path)
    expected = [masks._index.find(key) for key in ("1", "22", "3")]
    for at in range(len(whole)):
        index_beside(path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = read_index(index_beside(path), stamp)
        # A wrong byte in the header may leave all that matters as it was.
        assert found is None or [found.find(key) for key in ("1", "22", "3")] == expected, at


def test_killed_build_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.json", {"1": track(1)})

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        indexed(path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]
    assert indexed(path).num_entries("1") == 4


def test_leftovers_of_a_killed_process_are_removed_when_old(tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", {"1": track(1)})
    old, young = (tmp_path / f".m.json{SUFFIX}.{name}.partial" for name in ("1-a", "2-b"))
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    yesterday = time.time() - 2 * 24 * 3600
    os.utime(old, (yesterday, yesterday))
    indexed(path)
    assert not old.exists()
    assert young.exists()


BUILD = """
import sys
from pathlib import Path
from sama_video.data.findings import Findings
from sama_video.data.mask_files import open_mask_file
sys.stdin.readline()
masks = open_mask_file(Path(sys.argv[1]), Findings(), index_above=0)
print(masks.track("7")[0]["counts"])
"""


@pytest.mark.parametrize("suffix", ["json", "pkl"])
def test_processes_may_build_at_once(tmp_path: Path, suffix: str) -> None:
    content = {str(number): track(number % 20) for number in range(200)}
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(json.dumps(content).encode() if suffix == "json" else pickle.dumps(content))
    command = [sys.executable, "-c", BUILD, str(path)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=60)[0].strip() for worker in workers]
    assert outputs == [as_rle(box_rle(7))["counts"]] * 3
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, index_beside(path).name]


@pytest.mark.skipif(os.name == "nt", reason="folders are closed to writing in another way there")
def test_cache_holds_the_index_of_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    path = write(closed / "m.json", {"1": track(1)})
    refuse_below(closed, monkeypatch)
    assert indexed(path).num_entries("1") == 4
    assert [file.name for file in closed.iterdir()] == ["m.json"]
    assert len(list((tmp_path / "cache" / "mask-index").iterdir())) == 1
    monkeypatch.setattr("sama_video.data.mask_files.scan_items", None)
    assert indexed(path).num_entries("1") == 4


def test_index_stays_in_memory_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"1": track(1)}
    paths = [write(tmp_path / "m.json", content), tmp_path / "m.pkl"]
    paths[1].write_bytes(pickle.dumps(content))
    refuse_below(tmp_path, monkeypatch)
    for path in paths:
        assert indexed(path).track("1")[0] == as_rle(box_rle(1))
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["m.json", "m.pkl"]


def refuse_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file be made below a folder; permissions would not stop an administrator's tests."""
    opened = Path.open

    def refusing(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "x" in mode and path.is_relative_to(folder):
            raise PermissionError(13, "Permission denied")
        return opened(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", refusing)


def test_open_dictionary_travels_to_other_processes(tmp_path: Path) -> None:
    masks = indexed(write(tmp_path / "m.json", {"1": track(1)}))
    copy = pickle.loads(pickle.dumps(masks))
    assert copy.track("1") == masks.track("1")


def test_track_faults_name_annotation_and_frame(tmp_path: Path) -> None:
    entries = track(1)
    entries[2] = {"size": list(SIZE), "counts": "0"}
    masks = indexed(write(tmp_path / "m.json", {"41": entries}))
    with pytest.raises(FaultError, match=r"m\.json, annotation 41, frame 2: mask counts cover 0 pixels"):
        masks.track("41")


def test_broken_track_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{"1": [null], "2": [nul]}')
    masks = indexed(path)
    assert masks.track("1") == (None,)
    with pytest.raises(FaultError, match="no JSON at byte 20") as caught:
        masks.track("2")
    assert caught.value.reason == "json_error"


def test_conversions_are_noted_once(tmp_path: Path) -> None:
    plain = {"size": list(SIZE), "counts": [HEIGHT * WIDTH]}
    path = write(tmp_path / "m.json", {"1": [plain, plain], "2": [[[0, 0, 5, 0, 5, 5]]]})
    findings = Findings()
    masks = open_mask_file(path, findings)
    for _ in range(3):
        masks.track("1", SIZE)
        masks.track("2", SIZE)
    assert findings.notes == {"uncompressed_rle": 1, "polygons": 1}


# Pickles


def pickled(tmp_path: Path, content: object, protocol: int = 4) -> Path:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("index_above", [0, 2**20])
def test_pickle_of_every_protocol(tmp_path: Path, protocol: int, index_above: int) -> None:
    as_bytes = box_rle(3) | {"counts": box_rle(3)["counts"].encode()}
    path = pickled(tmp_path, {0: [as_bytes, None, (box_rle(1), as_bytes)], "x": []}, protocol)
    for _ in range(2):
        masks = open_mask_file(path, Findings(strict=True), index_above=index_above)
        assert list(masks.ids()) == ["0", "x"]
        first, hidden, both = masks.track("0", SIZE)
        assert (first, hidden, masks.track("x")) == (as_rle(box_rle(3)), None, ())
        assert both is not None
        assert area(both) == 8 * 7


class Calls:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        return "elsewhere" if obj == 5 else None


HOSTILE = {
    "a system call": {0: Calls(os.system, "exit 1")},
    "an evaluation": {0: Calls(eval, "1")},
    "a harmless class": {0: Place("a")},
    "an array": {0: np.zeros(2)},
    "another codec": {0: Calls(__import__("_codecs").encode, "a", "rot13")},
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_makes_anything_is_refused(tmp_path: Path, name: str, protocol: int) -> None:
    with pytest.raises(FaultError) as caught:
        open_mask_file(pickled(tmp_path, HOSTILE[name], protocol), Findings())
    assert caught.value.reason == "unsafe_pickle"


def test_pickle_with_outside_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    with path.open("wb") as stream:
        Persistent(stream).dump({0: [5]})
    with pytest.raises(FaultError) as caught:
        open_mask_file(path, Findings())
    assert caught.value.reason == "unsafe_pickle"


def test_small_pickle_of_endless_content_is_refused(tmp_path: Path) -> None:
    grown: list[Any] = [None] * 100
    for _ in range(5):
        grown = [grown] * 100
    itself: list[Any] = []
    itself.append(itself)
    for content in (grown, itself):
        with pytest.raises(FaultError) as caught:
            open_mask_file(pickled(tmp_path, {0: content}), Findings())
        assert caught.value.reason == "unsafe_pickle"


@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage", b"\x80\x04K\x01.", b"\x80\x04]."])
def test_damaged_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(FaultError) as caught:
        open_mask_file(path, Findings())
    assert caught.value.reason == "schema_error"


def test_every_cut_of_a_pickle_is_refused_or_whole(tmp_path: Path) -> None:
    whole = pickle.dumps({0: track(1)})
    path = tmp_path / "m.pkl"
    for left in range(len(whole)):
        path.write_bytes(whole[:left])
        with pytest.raises(FaultError):
            open_mask_file(path, Findings())


# Fitting


@pytest.mark.parametrize(
    ("fit", "frames", "length"),
    [
        *(("exact", 4, 4), ("exact", 3, None), ("exact", 5, None), ("padded", 6, 6), ("padded", 3, None)),
        *(("benchmark", 6, 6), ("benchmark", 3, 3)),
    ],
)
def test_tracks_fit_their_clip(tmp_path: Path, fit: Any, frames: int, length: int | None) -> None:
    tracks = FittedTracks(indexed(write(tmp_path / "m.json", {"1": track(1)})), fit)
    if length is None:
        with pytest.raises(FaultError) as caught:
            tracks.fitted("1", frames, SIZE)
        assert caught.value.reason == "track_length_mismatch"
    else:
        assert len(tracks.fitted("1", frames, SIZE)) == length


def test_benchmark_masks_are_resized_to_the_pictures(tmp_path: Path) -> None:
    masks = indexed(write(tmp_path / "m.json", {"1": track(1)}))
    with pytest.raises(FaultError) as caught:
        FittedTracks(masks, "exact").fitted("1", 4, (HEIGHT * 2, WIDTH * 2))
    assert caught.value.reason == "mask_size_mismatch"
    (first, *_) = FittedTracks(masks, "benchmark").fitted("1", 4, (HEIGHT * 2, WIDTH * 2))
    assert first is not None
    small = decode(as_rle(box_rle(1)))
    np.testing.assert_array_equal(decode(first), small.repeat(2, 0).repeat(2, 1))
