"""What is written in a format is read back from it, mask for mask."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sama_video.data.clips import FrameClip, VideoClip
from sama_video.data.findings import Findings
from sama_video.data.formats import FORMATS, ReadOptions, detect
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.video.writer import write_video

ALL = tuple(FORMATS)
OVERLAPPING = tuple(name for name in ALL if name != "davis")
OPTIONS = ReadOptions(source="mine", licence="CC-BY-4.0")  # CVAT keeps neither


def read_all(name: str, path: Path, findings: Findings | None = None) -> list[AnnotatedClip]:
    return list(FORMATS[name].read(path, findings or Findings(strict=True), OPTIONS))


def described(clip: AnnotatedClip) -> dict[str, object]:
    """All that a format should keep; where the frames lie is not part of it."""
    return {
        "name": clip.name,
        "frames": [path.name for path in clip.clip.paths] if isinstance(clip.clip, FrameClip) else clip.num_frames,
        "size": clip.size,
        "objects": {
            one.object_id: (one.label, one.text, one.box_frames, one.is_crowd, dict(one.attributes), one.masklet.rles)
            for one in clip.objects
        },
        "source": clip.source,
        "licence": clip.licence,
    }


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ALL)
def test_clips_come_back_bit_for_bit(name, make_clip, tmp_path):
    clips = [make_clip("walk", apart=name == "davis"), make_clip("run", 1, (7, 5), ("cat",), seed=3)]
    FORMATS[name].write(clips, tmp_path / "out")
    assert detect(tmp_path / "out") == FORMATS[name]
    found = {clip.name: clip for clip in read_all(name, tmp_path / "out")}
    assert set(found) == {"walk", "run"}
    for clip in clips:
        assert described(found[clip.name]) == described(clip)
        for written, original in zip(found[clip.name].clip.paths, clip.clip.paths, strict=True):
            assert written.read_bytes() == original.read_bytes()


@pytest.mark.parametrize("name", OVERLAPPING)
def test_boxes_come_back_as_boxes(name, make_clip, tmp_path):
    clip = make_clip(boxes=True)
    FORMATS[name].write([clip], tmp_path / "out")
    findings = Findings(strict=True)
    (found,) = read_all(name, tmp_path / "out", findings)
    assert described(found) == described(clip)
    assert [one.is_box_only for one in found.objects] == [False, False, False, True]
    assert findings.notes["boxes_only"] == 1
    assert "interpolated_shapes" not in findings.notes


@pytest.mark.parametrize("name", OVERLAPPING)
@pytest.mark.parametrize("seed", range(4))
def test_masks_of_any_shape_come_back(name, seed, make_clip, tmp_path):
    size = [(1, 1), (1, 300), (70, 3), (33, 40)][seed]
    clip = make_clip(num_frames=3, size=size, labels=("a", "b"), seed=seed)
    full = Masklet.from_masks("obj3", np.ones((3, *size), bool))
    one_missing = np.ones((3, *size), bool)
    one_missing[:, -1, -1] = size == (1, 1)
    last = Masklet.from_masks("obj4", one_missing)
    more = tuple(replace(clip.objects[0], masklet=masklet) for masklet in (full, last))
    clip = replace(clip, objects=(*clip.objects, *more))
    FORMATS[name].write([clip], tmp_path / "out")
    (found,) = read_all(name, tmp_path / "out")
    assert described(found) == described(clip)


@pytest.mark.parametrize("name", ALL)
def test_the_same_clips_give_the_same_bytes(name, make_clip, tmp_path):
    clip = make_clip(boxes=True)
    for out in ("first", "second"):
        FORMATS[name].write(iter([clip]), tmp_path / out)
    first = tree(tmp_path / "first")
    assert first == tree(tmp_path / "second")
    assert not any(path.startswith(".") or "/." in path for path in first)


@pytest.mark.parametrize("name", ALL)
def test_a_broken_write_leaves_nothing(name, make_clip, tmp_path):
    clip = make_clip()

    def clips():
        yield clip
        raise RuntimeError("the source ends badly")

    with pytest.raises(RuntimeError):
        FORMATS[name].write(clips(), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]


@pytest.mark.parametrize("name", ALL)
def test_two_clips_of_one_name_are_refused(name, make_clip, tmp_path):
    clip = make_clip()
    with pytest.raises(DataError, match="two clips are called"):
        FORMATS[name].write([clip, replace(clip, name="Walk")], tmp_path / "out")


@pytest.mark.parametrize("name", ALL)
def test_a_folder_in_use_is_left_alone(name, make_clip, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(DataError, match="not empty"):
        FORMATS[name].write([make_clip()], tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine.txt": b"kept"}


@pytest.mark.parametrize("name", OVERLAPPING)
def test_labels_alone_are_written_without_pictures(name, make_clip, tmp_path):
    clip = make_clip()
    FORMATS[name].write([clip], tmp_path / "out", pictures=False)
    assert not [path for path in tree(tmp_path / "out") if path.endswith((".png", ".jpg"))]
    findings = Findings()
    assert read_all(name, tmp_path / "out", findings) == []
    assert sum(findings.faults.values()) > 0


@pytest.mark.parametrize("name", ALL)
def test_an_object_that_is_never_visible_is_noted_or_kept(name, make_clip, tmp_path):
    clip = make_clip(apart=True)
    hidden = Masklet("obj9", *clip.size, (None,) * clip.num_frames, (None,) * clip.num_frames)
    clip = replace(clip, objects=(*clip.objects, replace(clip.objects[0], masklet=hidden)))
    writing, reading = Findings(), Findings()
    FORMATS[name].write([clip], tmp_path / "out", findings=writing)
    (found,) = read_all(name, tmp_path / "out", reading)
    kept = "obj9" in [one.object_id for one in found.objects]
    assert kept == (name == "youtube-vis")
    assert (reading if kept else writing).notes["object_never_visible"] == 1


@pytest.mark.parametrize("name", ALL)
def test_a_crowd_stays_a_crowd(name, make_clip, tmp_path):
    clip = make_clip(labels=("people",))
    clip = replace(clip, objects=(replace(clip.objects[0], is_crowd=True),))
    FORMATS[name].write([clip], tmp_path / "out")
    findings = Findings()
    (found,) = read_all(name, tmp_path / "out", findings)
    assert described(found) == described(clip)
    assert findings.notes["crowd_region"] == 1


@pytest.mark.parametrize("name", ALL)
def test_every_fourth_frame_of_a_video_becomes_pictures(name, make_clip, tmp_path):
    pixels = np.zeros((9, 32, 48, 3), np.uint8) + np.arange(9, dtype=np.uint8)[:, None, None, None] * 25
    write_video(tmp_path / "a.mp4", pixels, fps=8)
    clip = replace(make_clip(num_frames=3, size=(32, 48), labels=("car",)), clip=VideoClip(tmp_path / "a.mp4", every=4))
    FORMATS[name].write([clip], tmp_path / "out")
    (found,) = read_all(name, tmp_path / "out")
    assert [one.masklet.rles for one in found.objects] == [one.masklet.rles for one in clip.objects]
    means = [int(frame.mean()) for _, frame in found.open().stream()]
    assert np.allclose(means, [0, 100, 200], atol=4)


def test_formats_turn_into_each_other(make_clip, tmp_path):
    clip = make_clip(apart=True)
    previous = [clip]
    for step, name in enumerate([*ALL, ALL[0]]):
        out = tmp_path / f"step{step}"
        FORMATS[name].write(previous, out)
        previous = read_all(name, out)
    assert described(previous[0]) == described(clip)


def test_names_that_do_not_count_up_are_numbered(make_clip, pictures, tmp_path):
    clip = make_clip(num_frames=3)
    names = ("b.png", "a.png", "10.png")
    pictures(tmp_path / "mixed", names, clip.size)
    clip = replace(clip, clip=FrameClip(tmp_path, "mixed", names))
    for name in ALL:
        FORMATS[name].write([clip], tmp_path / name)
        (found,) = read_all(name, tmp_path / name, Findings())
        assert [path.name for path in found.clip.paths] == ["00000.png", "00001.png", "00002.png"]
        for written, original in zip(found.clip.paths, clip.clip.paths, strict=True):
            assert written.read_bytes() == original.read_bytes()


def test_every_format_has_one_name_and_title():
    assert all(name == one.name for name, one in FORMATS.items())
    titles = [one.title for one in FORMATS.values()]
    assert all(a != b for a, b in itertools.combinations(titles, 2))
