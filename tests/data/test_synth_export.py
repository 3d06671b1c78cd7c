"""A folder of diagnostic clips: read back as records and as SAMA-Bench, the same bytes always, killed at any moment."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_video.data.findings import Findings
from sama_video.data.records import DialogueRecord, FileClip, read_records
from sama_video.data.sources.sama import read_sama_bench
from sama_video.data.synthetic import export
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.export import QUESTIONS, RECORDS, SynthReport, SynthSettings, write_synth
from sama_video.data.synthetic.levels import seeds_of
from sama_video.data.synthetic.questions import Question
from sama_video.dialogue.markup import POOLED_SLOT, SEG
from sama_video.errors import DataError
from sama_video.regions.rle import decode
from sama_video.regions.shapes import Box, Mask, Points
from sama_video.video.reader import open_video

SIZE = (48, 64)
SETTINGS = SynthSettings(1, "val", 3, SIZE, "frames")
WORLD = DiagnosticWorld(1, SIZE)


def write(out: Path, clips: int, settings: SynthSettings = SETTINGS) -> SynthReport:
    out.mkdir(exist_ok=True)
    return write_synth(out, settings, WORLD, clips, lambda steps: None)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "out"
    assert write(out, 3) == SynthReport(3, 3)
    return out


def test_records_are_read_back_with_the_pixels_and_masks_of_their_seeds(folder):
    records = list(read_records(folder / RECORDS))
    assert [record.record_id for record in records] == [f"val-1-{seed}" for seed in seeds_of("val", 3, 3)]
    for record, seed in zip(records, seeds_of("val", 3, 3), strict=True):
        painted, order = WORLD.paint(seed), WORLD.talk(seed).order
        assert isinstance(record.clip, FileClip)
        clip = open_video(folder / record.clip.path, fps_for_stills=10)
        assert clip.num_frames == record.clip.num_frames == len(painted.frames)
        frames = clip.frames(range(clip.num_frames)).astype(int)
        assert np.abs(frames - painted.frames).mean() < 3  # JPEG at quality 95
        for masklet, idx in zip(record.objects, order, strict=True):
            np.testing.assert_array_equal(masklet.masks, painted.masks[idx])


def test_regions_of_records_point_at_their_objects(folder):
    forms = set()
    for record in read_records(folder / RECORDS):
        masklets = {masklet.object_id: masklet for masklet in record.objects}
        for prompt in (prompt for turn in record.turns for prompt in turn.regions):
            region, masklet = prompt.region, masklets[prompt.object_id]
            assert isinstance(region, Points | Box | Mask)
            assert region.frame is not None
            forms.add(type(region))
            if isinstance(region, Points):
                x, y = region.xy[0]
                assert masklet.mask(region.frame)[int(y), int(x)]
            elif isinstance(region, Box):
                assert region.xyxy == masklet.box(region.frame)
            else:
                np.testing.assert_array_equal(region.dense(), masklet.mask(region.frame))
    assert len(forms) >= 2


def test_question_set_has_the_layout_of_sama_bench(folder):
    """Read as the specification says, without our reader."""
    root = folder / "sama_bench"
    videos = json.loads((root / "mevis.json").read_text())
    tracks = json.loads((root / "Mevis_mask_dict_val.json").read_text())
    records = list(read_records(folder / RECORDS))
    assert len(videos) == len(records)
    question_ids, description_ids = [], []
    for video, record in zip(videos, records, strict=True):
        files = sorted((root / video["video"]).iterdir())
        assert [file.name for file in files] == [f"{name}.jpg" for name in video["frames"]]
        with Image.open(files[0]) as picture:
            assert picture.size == (video["width"], video["height"])
        humans, answers = video["conversation"][::2], video["conversation"][1::2]
        assert {message["from"] for message in humans} == {"human"}
        assert {message["from"] for message in answers} == {"gpt"}
        assert len(humans) == len(record.turns)
        for human, answer, asked, wanted, turn in zip(
            humans, answers, video["obj_masks"], video["groundtruth"], record.turns, strict=True
        ):
            assert human["value"].count(POOLED_SLOT) == len(asked)
            assert "<obj" not in human["value"]
            assert answer["value"].count(SEG) == len(wanted)
            assert answer["value"] == turn.answer
            assert all(slot and set(slot) <= set(video["anno_map"]) for slot in wanted)
            assert set(asked) <= set(video["anno_map"])
            question_ids.append(human["question_id"])
        for place, masklet in enumerate(record.objects):
            track = tracks[str(video["anno_map"][place])]
            assert len(track) == len(video["frames"])
            for frame, rle in enumerate(track):
                mask = np.zeros(SIZE, bool) if rle is None else decode(rle)
                np.testing.assert_array_equal(mask, masklet.mask(frame))
        assert set(video["description"]) == set(video["description_id"])
        assert all(text[0].isupper() and text.endswith(".") for text in video["description"].values())
        description_ids += list(video["description_id"].values())
    assert len(set(question_ids)) == len(question_ids)
    assert len(set(description_ids)) == len(description_ids)
    assert len(tracks) == sum(len(video["anno_map"]) for video in videos)


def test_reader_of_the_official_layout_keeps_every_round(folder):
    findings = Findings()
    videos = list(read_sama_bench(folder / "sama_bench", findings))
    records = list(read_records(folder / RECORDS))
    assert not findings.faults
    assert [len(video.turns) for video in videos] == [len(record.turns) for record in records]


def test_exam_is_stored_with_the_clips(folder):
    lines = [json.loads(line) for line in (folder / QUESTIONS).read_text().splitlines()]
    for line, seed in zip(lines, seeds_of("val", 3, 3), strict=True):
        stored = [Question.from_json(value, "here") for value in line["questions"]]
        assert [q.to_json() for q in stored] == [q.to_json() for q in WORLD.exam(seed)]


def test_same_settings_write_the_same_bytes(folder, tmp_path):
    write(tmp_path / "again", 3)
    assert content(tmp_path / "again") == content(folder)


def test_more_clips_are_added_and_fewer_leave_all_in_place(folder, tmp_path):
    out = tmp_path / "out"
    assert write(out, 1) == SynthReport(1, 1)
    assert write(out, 3) == SynthReport(3, 2)
    assert content(out) == content(folder)
    assert write(out, 2) == SynthReport(3, 0)
    assert content(out) == content(folder)


class Killed(BaseException):
    """What ends a process in the middle of anything."""


def killed_after(steps: int, function: Callable) -> Callable:
    left = [steps]

    def wrapper(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return function(*args, **options)

    return wrapper


@pytest.mark.parametrize(
    ("name", "steps"),
    [("_line", 0), ("_line", 1), ("_line", 3), ("write_frames", 1), ("write_bench_files", 0), ("record_of", 2)],
)
def test_killed_run_goes_on_without_losing_or_doubling_a_clip(folder, tmp_path, monkeypatch, name, steps):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(export, name, killed_after(steps, getattr(export, name)))
        with pytest.raises(Killed):
            write(out, 3)
    write(out, 3)
    assert content(out) == content(folder)


def test_torn_line_and_half_a_folder_of_frames_are_made_anew(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(export, "_line", killed_after(4, export._line))
        with pytest.raises(Killed):
            write(out, 3)
    partial = out / f"{RECORDS}.partial"
    whole = partial.read_bytes()
    partial.write_bytes(whole + whole[:300])
    frames = out / export.BENCH_FRAMES
    shutil.rmtree(frames / "val-1-1030002")
    (frames / ".val-1-1030002.partial").mkdir()
    (frames / ".val-1-1030002.partial" / "00000.jpg").write_bytes(b"half")
    write(out, 3)
    assert content(out) == content(folder)


def test_folder_of_other_clips_is_refused_and_left_alone(folder):
    before = content(folder)
    for other, message in (
        (replace(SETTINGS, level=2), "level 1, not 2"),
        (replace(SETTINGS, run=4), "seed 3, not 4"),
        (replace(SETTINGS, sprites="abc"), "sprites None, not 'abc'"),
        (replace(SETTINGS, format="mp4"), "format 'frames', not 'mp4'"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            write(folder, 4, other)
        assert "\n" not in str(caught.value)
    assert content(folder) == before


def test_damaged_settings_are_refused(tmp_path):
    (tmp_path / "synth.json").write_text("{")
    with pytest.raises(DataError, match=r"synth\.json"):
        write(tmp_path, 1)


def test_clips_can_be_videos(tmp_path):
    settings = replace(SETTINGS, format="mp4")
    assert write(tmp_path, 2, settings) == SynthReport(2, 2)
    records: list[DialogueRecord] = list(read_records(tmp_path / RECORDS))
    for record, seed in zip(records, seeds_of("val", 3, 2), strict=True):
        assert isinstance(record.clip, FileClip)
        clip = open_video(tmp_path / record.clip.path)
        assert (clip.num_frames, clip.height, clip.width) == (record.clip.num_frames, *SIZE)
        assert clip.average_fps == pytest.approx(10)
        assert np.abs(clip.frame(0).astype(int) - WORLD.paint(seed).frames[0]).mean() < 8
    assert not (tmp_path / "sama_bench").exists()
    before = content(tmp_path)
    again = tmp_path / "again"
    write(again, 2, settings)
    assert {name: before[name] for name in content(again)} == content(again)
