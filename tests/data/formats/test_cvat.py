"""CVAT for video 1.1: run lengths, key frames and what lies between them, groups, and hostile files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sama_video.data.clips import VideoClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats import FORMATS, ReadOptions
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.data.formats.cvat_masks import read_cvat_mask, write_cvat_mask
from sama_video.regions.rle import decode, encode
from sama_video.video.writer import write_video

SIZE = (20, 30)
META = """<meta><task><id>5</id><name>street 1</name><size>{size}</size><mode>interpolation</mode>
<start_frame>{start}</start_frame><stop_frame>9</stop_frame><frame_filter>{step}</frame_filter>
<labels><label><name>car</name></label></labels>
<original_size><width>30</width><height>20</height></original_size></task></meta>"""


def document(tracks: str, *, size: int = 6, start: int = 0, step: str = "") -> str:
    meta = META.format(size=size, start=start, step=step)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{tracks}</annotations>'


def track(shapes: str, number: int = 0, more: str = "", label: str = "car") -> str:
    return f'<track id="{number}" label="{label}" source="manual" {more}>{shapes}</track>'


def box(frame: int, edges: tuple[float, ...], outside: int = 0, keyframe: int = 1, more: str = "") -> str:
    x0, y0, x1, y1 = edges
    where = f'xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"'
    return f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" {where} z_order="0" {more}/>'


def mask(frame: int, rle: str, left: int, top: int, width: int, height: int, outside: int = 0, inner: str = "") -> str:
    where = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    seen = f'frame="{frame}" keyframe="1" outside="{outside}" occluded="0" z_order="0"'
    return f'<mask {seen} rle="{rle}" {where}>{inner}</mask>'


@pytest.fixture
def folder(tmp_path, pictures) -> Path:
    pictures(tmp_path / "images", [f"frame_{frame:06d}.PNG" for frame in range(6)], SIZE)
    return tmp_path


def read(folder: Path, text: str, findings: Findings, options: ReadOptions | None = None) -> list[AnnotatedClip]:
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    return list(FORMATS["cvat-video"].read(folder, findings, options))


def test_a_mask_is_placed_by_its_box(folder):
    # Rows of the box: .XX / X.. - as CVAT draws it, background first.
    shapes = mask(2, "1, 3, 2", 4, 5, 3, 2) + mask(3, "1, 3, 2", 4, 5, 3, 2, outside=1)
    (clip,) = read(folder, document(track(shapes)), Findings(strict=True))
    assert (clip.name, clip.num_frames, clip.size) == ("street 1", 6, SIZE)
    (one,) = clip.objects
    assert one.masklet.visible_frames == (2,)
    assert np.argwhere(one.masklet.mask(2)).tolist() == [[5, 5], [5, 6], [6, 4]]


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(lambda mask: mask.any()))
def test_run_lengths_come_back(drawn):
    place = Place("a.xml")
    form = write_cvat_mask(encode(drawn))
    where = tuple(int(form[name]) for name in ("left", "top", "width", "height"))
    found = read_cvat_mask(form["rle"], where, drawn.shape, place)
    assert found is not None
    assert (decode(found) == drawn).all()


def test_run_lengths_are_those_of_cvat():
    drawn = np.zeros((4, 6), bool)
    drawn[1, 2:5] = drawn[2, 3] = True
    assert write_cvat_mask(encode(drawn)) == {
        "rle": "0, 3, 1, 1, 1",
        "left": "2",
        "top": "1",
        "width": "3",
        "height": "2",
    }


def test_boxes_between_key_frames_move_in_a_straight_line_and_stay_at_the_end(folder):
    shapes = box(0, (0, 0, 4, 4)) + box(4, (8, 4, 12, 10))
    findings = Findings(strict=True)
    (clip,) = read(folder, document(track(shapes)), findings)
    (one,) = clip.objects
    expected = [(0, 0, 4, 4), (2, 1, 6, 5), (4, 2, 8, 7), (6, 3, 10, 8), (8, 4, 12, 10), (8, 4, 12, 10)]
    # 5.5 and 8.5 are between pixels: the pixel whose centre is on the lower edge is not covered.
    assert [one.masklet.box(frame) for frame in range(6)] == expected
    assert one.is_box_only
    assert findings.notes == {"interpolated_shapes": 1, "boxes_only": 1}


def test_an_outside_shape_ends_a_track_until_the_next(folder):
    shapes = box(0, (0, 0, 4, 4)) + box(1, (0, 0, 4, 4), outside=1) + box(4, (5, 5, 9, 9)) + box(6, (5, 5, 9, 9), 1)
    (clip,) = read(folder, document(track(shapes)), Findings(strict=True))
    assert clip.objects[0].masklet.visible_frames == (0, 4, 5)


def test_listed_frames_are_taken_as_they_are(folder):
    shapes = box(0, (0, 0, 4, 4)) + box(1, (9, 9, 12, 12), keyframe=0) + box(2, (2, 2, 6, 6)) + box(3, (2, 2, 6, 6), 1)
    findings = Findings(strict=True)
    (clip,) = read(folder, document(track(shapes)), findings)
    assert clip.objects[0].masklet.box(1) == (9, 9, 12, 12)
    assert "interpolated_shapes" not in findings.notes


def test_a_box_turns_about_its_middle(folder):
    shapes = box(0, (10, 8, 16, 10), more='rotation="90.0"') + box(1, (10, 8, 16, 10), 1)
    (clip,) = read(folder, document(track(shapes)), Findings(strict=True))
    assert clip.objects[0].masklet.box(0) == (12, 6, 14, 12)


def test_polygons_are_filled_and_stay_but_never_guessed(folder):
    still = '<polygon frame="{0}" keyframe="1" outside="{1}" points="2.00,2.00;8.00,2.00;8.00,6.00;2.00,6.00"/>'
    moved = '<polygon frame="3" keyframe="1" outside="0" points="3.00,2.00;9.00,2.00;9.00,6.00;3.00,6.00"/>'
    stays = track(still.format(0, 0) + still.format(2, 0) + still.format(4, 1))
    jumps = track(still.format(0, 0) + moved, 1)
    findings = Findings()
    (clip,) = read(folder, document(stays + jumps), findings)
    (one,) = clip.objects
    assert one.masklet.visible_frames == (0, 1, 2, 3)
    assert one.masklet.box(0) == (2, 2, 8, 6)
    assert not one.box_frames
    assert findings.faults == {"keyframe_gap": 1}


def test_masks_are_not_carried_on(folder):
    shapes = mask(0, "0, 4", 0, 0, 2, 2) + mask(4, "0, 4", 1, 1, 2, 2)
    (clip,) = read(folder, document(track(shapes)), Findings(strict=True))
    assert clip.objects[0].masklet.visible_frames == (0, 4)


def test_groups_and_attributes_tie_masks_together(folder):
    named = '<attribute name="object">obj7</attribute><attribute name="text"> the old\n car </attribute>'
    tracks = (
        track(mask(0, "0, 4", 0, 0, 2, 2), 0, 'group_id="3"')
        + track(mask(1, "0, 4", 5, 5, 2, 2), 1, 'group_id="3"')
        + track(mask(1, "0, 4", 9, 9, 2, 2), 2, 'group_id="3"')
        + track(mask(0, "0, 1", 7, 7, 1, 1, inner=named), 3)
        + track(mask(5, "0, 1", 8, 8, 1, 1, inner=named), 4)
        + track(mask(0, "0, 1", 1, 1, 1, 1), 5)
    )
    (clip,) = read(folder, document(tracks), Findings(strict=True))
    assert [one.object_id for one in clip.objects] == ["obj1", "obj2", "obj7"]
    group, alone, named_one = clip.objects
    assert (group.masklet.visible_frames, group.masklet.mask(1).sum()) == ((0, 1), 8)
    assert alone.masklet.visible_frames == (0,)
    assert (named_one.text, named_one.masklet.visible_frames) == ("the old car", (0, 5))


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (mask(0, "1, 2", 0, 0, 2, 2), "bad_rle"),
        (mask(0, "1, -2, 5", 0, 0, 2, 2), "bad_rle"),
        (mask(0, "", 0, 0, 2, 2), "bad_rle"),
        (mask(0, "9" * 10**6, 0, 0, 2, 2), "bad_rle"),
        (mask(0, "0, 4", 29, 0, 2, 2), "mask_size_mismatch"),
        (mask(0, "0, 4", 0, 0, 2 * 10**8, 2), "mask_size_mismatch"),
        (mask(0, "0, 4", "x", 0, 2, 2), "schema_error"),
        (mask(6, "0, 4", 0, 0, 2, 2), "track_length_mismatch"),
        (mask(-1, "0, 4", 0, 0, 2, 2), "schema_error"),
        (mask(0, "0, 4", 0, 0, 2, 2) * 2, "repeated_id"),
        (mask(0, "0, 4", 0, 0, 2, 2) + box(1, (0, 0, 1, 1)), "schema_error"),
        (box(0, (4, 4, 2, 6)), "bad_box"),
        (box(0, ("nan", 4, 8, 6)), "bad_box"),
        (box(0, ("1e9", 4, 8, 6)), "bad_box"),
        ('<box frame="0" keyframe="1" outside="0"/>', "missing_key"),
        ('<polygon frame="0" keyframe="1" outside="0" points="1,1;2,2"/>', "bad_rle"),
        ('<polygon frame="0" keyframe="1" outside="0" points="1,1;2,x"/>', "bad_box"),
        ('<points frame="0" keyframe="1" outside="0" points="1,1"/>', "unsupported_shape"),
        ('<skeleton frame="0" keyframe="1"><points frame="0" points="1,1"/></skeleton>', "unsupported_shape"),
    ],
)
def test_a_damaged_track_is_dropped_with_its_reason(folder, shapes, reason):
    findings = Findings()
    tracks = track(shapes) + track(box(0, (1, 1, 3, 3)), 1)
    (clip,) = read(folder, document(tracks), findings)
    assert findings.faults == {reason: 1}
    assert [one.object_id for one in clip.objects] == ["obj2"]


def test_a_label_must_be_words(folder):
    findings = Findings()
    read(folder, document(track(box(0, (1, 1, 3, 3)), label="[SEG]") + track(box(0, (1, 1, 3, 3)), label="")), findings)
    assert findings.faults == {"bad_label": 2}


LAUGHS = """<?xml version="1.0"?><!DOCTYPE annotations [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<annotations><meta><task><name>&b;</name></task></meta></annotations>"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "unsafe_xml"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', "unsafe_xml"),
        ("<annotations><meta></annotations>", "xml_error"),
        ("<annotations>&undefined;</annotations>", "xml_error"),
        ("", "xml_error"),
        ("<svg/>", "schema_error"),
        ("<annotations><version>1.1</version></annotations>", "missing_key"),
        ("<annotations><track id='0' label='car'></track><meta/></annotations>", "missing_key"),
        ("<annotations><meta><project><id>1</id></project></meta></annotations>", "schema_error"),
        ("<annotations><meta/><meta/></annotations>", "schema_error"),
        ("<annotations><meta/><image id='0'/></annotations>", "schema_error"),
        ("<annotations>" + "<a>" * 100 + "</a>" * 100 + "</annotations>", "schema_error"),
        (document("", size=7), "track_length_mismatch"),
        (document("").replace("<height>20<", "<height>21<"), "mask_size_mismatch"),
        (document("").replace("<size>6<", "<size>many<"), "schema_error"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_fault(folder, text, reason):
    findings = Findings()
    (folder / "a.xml").write_text(text, encoding="utf-8")
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    assert list(FORMATS["cvat-video"].read(folder / "annotations.xml", findings)) == []
    assert findings.faults == {reason: 1}
    with pytest.raises(FaultError):
        list(FORMATS["cvat-video"].read(folder / "annotations.xml", Findings(strict=True)))


def test_frames_of_a_task_with_a_step_are_counted_from_its_start(folder):
    text = document(
        track(box(10, (1, 1, 3, 3)) + box(13, (2, 2, 4, 4)) + box(16, (0, 0, 1, 1), 1)), start=10, step="step=3"
    )
    (clip,) = read(folder, text, Findings(strict=True))
    assert [clip.objects[0].masklet.box(frame) for frame in range(3)] == [(1, 1, 3, 3), (2, 2, 4, 4), None]
    findings = Findings()
    read(folder, text.replace('frame="13"', 'frame="12"'), findings)
    assert findings.faults == {"schema_error": 1}


def test_the_video_of_a_task_is_found_beside_its_file(tmp_path):
    write_video(tmp_path / "street.mp4", np.zeros((11, 20, 30, 3), np.uint8), fps=8)
    text = document(track(box(8, (1, 1, 3, 3))), size=3, step="step=4")
    text = text.replace("<mode>", "<source>street.mp4</source><mode>")
    (clip,) = read(tmp_path, text, Findings(strict=True))
    assert clip.clip == VideoClip(tmp_path / "street.mp4", every=4)
    assert clip.objects[0].masklet.visible_frames == (2,)
    (again,) = read(tmp_path, text, Findings(strict=True), ReadOptions(media=tmp_path / "street.mp4"))
    assert again.clip == clip.clip
    for wrong, reason in (("../street.mp4", "unsafe_path"), ("other.mp4", "missing_video")):
        findings = Findings()
        assert read(tmp_path, text.replace("street.mp4", wrong), findings) == []
        assert findings.faults == {reason: 1}
    findings = Findings()
    assert read(tmp_path, text.replace("<start_frame>0", "<start_frame>4"), findings) == []
    assert findings.faults == {"track_length_mismatch": 1}


def test_written_masks_are_tracks_of_one_frame(make_clip, tmp_path):
    clip = make_clip(num_frames=3, labels=("car", "bus"))
    FORMATS["cvat-video"].write([clip], tmp_path / "out")
    text = (tmp_path / "out" / "walk" / "annotations.xml").read_text(encoding="utf-8")
    assert text.count("<track ") == sum(len(one.masklet.visible_frames) for one in clip.objects)
    assert '<attribute name="text">the "old" one, über 5 &lt; 6</attribute>' in text
    assert "DOCTYPE" not in text
