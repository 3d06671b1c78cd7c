from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_world import SIDE, drawn_clips, square_masklet

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.inputs.records import RecordInput
from sama_video.annotate.probing import ProbeSettings, look_hash, measure, probe
from sama_video.annotate.selecting import SelectSettings, allowed_licence, duplicates, select_all
from sama_video.annotate.stages import Dropped, Kept
from sama_video.data.findings import Findings
from sama_video.data.records import FileClip
from sama_video.errors import ConfigError
from sama_video.video.writer import write_video

LOOSE = SelectSettings(duplicate_bits=None)
NO_HASH = "0" * 64


def shots(*values: int, frames: int = 10) -> np.ndarray:
    """Shots of one colour with a pattern, each of so many frames."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(0, 40, (SIDE, SIDE, 3))
    shot = [np.clip(np.full((SIDE, SIDE, 3), value) + pattern, 0, 255) for value in values]
    return np.repeat(np.stack(shot), frames, axis=0).astype(np.uint8)


def clip_of(folder: Path, pixels: np.ndarray) -> Subject:
    write_video(folder / "a.mp4", iter(pixels), fps=10, crf=10)
    masklet = square_masklet("obj1", [(0, 0, 16, 16)] * len(pixels))
    clip = FileClip("a.mp4", len(pixels), SIDE, SIDE, root=folder)
    return Subject("a", clip, (Thing("obj1", masklet),), "set", "MIT")


def probed(folder: Path, pixels: np.ndarray) -> dict[str, Any]:
    result = probe(clip_of(folder, pixels), ProbeSettings())
    assert isinstance(result, Kept)
    return dict(result.payload)


def test_a_probe_finds_length_cuts_and_sizes(tmp_path: Path) -> None:
    found = probed(tmp_path, shots(10, 200, 90))
    assert (found["frames"], found["seconds"], found["licence"]) == (30, 3.0, "MIT")
    assert found["cuts"] == [1.0, 2.0]
    assert found["objects"]["obj1"] == {"visible": 30, "frames": 30, "area": 0.0625, "largest": 0.0625}
    assert len(found["hash"]) == 64
    assert found["content"] == clip_of(tmp_path, shots(10, 200, 90)).clip.open().sha256


def test_a_slow_change_is_no_cut(tmp_path: Path) -> None:
    assert probed(tmp_path, shots(*range(10, 130, 4), frames=1))["cuts"] == []


def test_a_clip_that_cannot_be_read_is_dropped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    clip = FileClip("a.mp4", 3, SIDE, SIDE, root=tmp_path)
    result = probe(
        Subject("a", clip, (Thing("obj1", square_masklet("obj1", [(0, 0, 4, 4)] * 3)),), "s", "l"), ProbeSettings()
    )
    assert isinstance(result, Dropped)
    assert result.reason == "unreadable_video"
    gone = FileClip("b.mp4", 3, SIDE, SIDE, root=tmp_path)
    result = probe(
        Subject("b", gone, (Thing("obj1", square_masklet("obj1", [(0, 0, 4, 4)] * 3)),), "s", "l"), ProbeSettings()
    )
    assert isinstance(result, Dropped)
    assert result.reason == "missing_video"


def row(**changes: Any) -> dict[str, Any]:
    objects = {"obj1": {"visible": 20, "frames": 20, "area": 0.05, "largest": 0.06}}
    usual = {"seconds": 3.0, "cuts": [], "contrast": 30.0, "licence": "MIT", "objects": objects, "hash": NO_HASH}
    return {**usual, **changes}


def stats(**changes: Any) -> dict[str, Any]:
    return {"visible": 20, "frames": 20, "area": 0.05, "largest": 0.06, **changes}


@pytest.mark.parametrize(
    ("found", "settings", "reason"),
    [
        (row(seconds=0.1), LOOSE, "too_short"),
        (row(seconds=9999.0), LOOSE, "too_long"),
        (row(cuts=[1, 2, 3]), LOOSE, "too_many_shots"),
        (row(contrast=0.5), LOOSE, "nothing_to_see"),
        (row(licence="CC-BY-NC-4.0"), SelectSettings(refused_licences=("*-NC-*",)), "licence"),
        (row(licence="MIT"), SelectSettings(licences=("CC-*",)), "licence"),
        (row(objects={"obj1": stats(area=0.00001)}), LOOSE, "too_few_objects"),
        (row(), SelectSettings(objects=(2, 5)), "too_few_objects"),
    ],
)
def test_clips_are_dropped_by_reason(found: dict[str, Any], settings: SelectSettings, reason: str) -> None:
    result = select_all({"a": found}, settings)["a"]
    assert isinstance(result, Dropped)
    assert result.reason == reason


def test_objects_are_left_out_by_reason_and_the_largest_stay() -> None:
    objects = {
        "obj1": stats(),
        "obj2": stats(visible=1),
        "obj3": stats(area=0.99),
        "obj4": stats(area=0.0001),
        "obj5": stats(area=0.2),
        "obj6": stats(area=0.1),
        "obj7": None,
    }
    result = select_all({"a": row(objects=objects)}, SelectSettings(objects=(1, 2)))["a"]
    assert isinstance(result, Kept)
    assert result.payload["things"] == ["obj5", "obj6"]
    assert result.payload["lost"] == {
        "obj2": "hardly_visible",
        "obj3": "too_large",
        "obj4": "too_small",
        "obj1": "too_many_objects",
        "obj7": "too_many_objects",
    }


def test_of_clips_that_look_alike_the_first_by_name_stays_in_any_order() -> None:
    rows = {"c": row(), "a": row(hash="f" * 64), "b": row(hash="0" * 63 + "3"), "d": row(hash="0" * 32 + "f" * 32)}
    for order in (list(rows), list(rows)[::-1]):
        results = select_all({name: rows[name] for name in order}, SelectSettings(duplicate_bits=2))
        assert [name for name, result in sorted(results.items()) if isinstance(result, Kept)] == ["a", "b", "d"]
        assert results["c"] == Dropped("duplicate", "looks like b")


def test_duplicates_are_those_that_comparing_all_pairs_finds() -> None:
    rng = np.random.default_rng(5)
    base = [int.from_bytes(rng.bytes(32), "big") for _ in range(20)]
    hashes = {
        f"{n:03d}": base[n % 20] ^ sum(1 << int(bit) for bit in rng.choice(256, n % 12, False)) for n in range(100)
    }
    found = duplicates(hashes, 8)
    kept: list[str] = []
    slow = {}
    for name in sorted(hashes):
        near = [other for other in kept if (hashes[name] ^ hashes[other]).bit_count() <= 8]
        if near:
            slow[name] = near[0]
        else:
            kept.append(name)
    assert found == slow
    assert len(found) > 20


def test_drawn_clips_are_no_duplicates_and_a_copy_is() -> None:
    source = RecordInput(drawn_clips() / "records.jsonl")
    rows = [source.load(row.locator) for row in source.listed(Findings())]
    results = [probe(subject, ProbeSettings()) for subject in [*rows, rows[0]]]
    payloads = {f"{n}": result.payload for n, result in enumerate(results) if isinstance(result, Kept)}
    chosen = select_all(payloads, SelectSettings(visible_frames=1))
    assert [type(chosen[name]) for name in sorted(chosen)] == [Kept, Kept, Kept, Dropped]


def test_a_hash_is_of_looks_not_of_small_noise() -> None:
    pixels = shots(100)[0]
    noisy = np.clip(pixels.astype(int) + np.random.default_rng(1).integers(-2, 3, pixels.shape), 0, 255)
    assert (look_hash(pixels) ^ look_hash(noisy.astype(np.uint8))).bit_count() <= 6
    assert (look_hash(pixels) ^ look_hash(np.ascontiguousarray(pixels[:, ::-1]))).bit_count() > 16


def test_licences_match_by_pattern() -> None:
    assert allowed_licence("MIT", (), ())
    assert not allowed_licence("no licence stated", ("CC-*", "MIT"), ())
    assert not allowed_licence("cc-by-nc-sa-4.0, research", (), ("*-NC-*",))


def test_a_hidden_object_has_no_area() -> None:
    hidden = square_masklet("obj1", [None, (0, 0, 8, 8), None])
    assert measure(hidden) == {"visible": 1, "frames": 3, "area": 0.015625, "largest": 0.015625}
    assert measure(square_masklet("obj1", [None, None]))["area"] == 0


@pytest.mark.parametrize("wrong", [{"duplicate_bits": 40}, {"objects": (5, 2)}, {"object_area": (-1, 1)}])
def test_impossible_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SelectSettings(**wrong)
