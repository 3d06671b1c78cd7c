"""Annotations of other tools become records, once, by a rule that can be read off the result."""

import shutil
from pathlib import Path

import pytest
from shared_folders import REPOSITORY

from sama_video.data.findings import Findings
from sama_video.data.formats import FORMATS
from sama_video.data.records import read_records, write_records
from sama_video.data.stores.opening import open_store
from sama_video.errors import DataError
from sama_video.train.tuning.own_data import prepare_own_data
from sama_video.train.tuning.recipes import read_recipe
from sama_video.train.tuning.settings import TuneConfig

EXAMPLE = REPOSITORY / "examples" / "own_video" / "clips"


@pytest.fixture
def two_clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for name in ("garden-00", "garden-01"):
        shutil.copytree(EXAMPLE / name, folder / name)
    return folder


def settings_for(folder: Path) -> TuneConfig:
    return read_recipe("lora-own-data", [f"data={folder}", "model=nano"]).settings()


def test_masks_with_names_become_grounding_referring_and_region_questions(two_clips: Path, tmp_path: Path) -> None:
    settings, (made,) = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    assert (made.layout, made.clips, made.objects, made.records, made.turns) == ("cvat-video", 2, 4, 2, 12)
    record = next(iter(read_records(settings.data.sources[0].path)))
    asked = sorted(turn.question for turn in record.turns)
    assert asked == [
        "Segment the beetle.",
        "Segment the blue beetle.",
        "Segment the fish.",
        "Segment the yellow fish.",
        "What is <region>?",
        "What is <region>?",
    ]
    assert all(len(turn.targets) == 1 for turn in record.turns)


def test_the_records_open_with_their_clips(two_clips: Path, tmp_path: Path) -> None:
    settings, _ = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    (source,) = settings.data.sources
    store = open_store(source.path, source.layout, root=source.root)
    record = store.record(1)
    clip = record.clip.open()
    assert (clip.num_frames, clip.height, clip.width) == (8, 128, 128)
    assert record.objects[0].num_frames == 8


def test_what_was_made_is_taken_again_until_the_files_change(two_clips: Path, tmp_path: Path) -> None:
    settings, first = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    made = Path(settings.data.sources[0].path)
    made.write_text(made.read_text())
    stamp = made.stat().st_mtime_ns
    _, again = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    assert again == first
    assert made.stat().st_mtime_ns == stamp
    shutil.copytree(EXAMPLE / "garden-02", two_clips / "garden-02")
    _, (grown,) = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    assert grown.clips == 3


@pytest.mark.parametrize("layout", ["coco", "youtube-vis", "davis", "label-studio"])
def test_every_import_format_trains(layout: str, two_clips: Path, tmp_path: Path) -> None:
    clips = list(FORMATS["cvat-video"].read(two_clips, Findings()))[:1]
    FORMATS[layout].write(clips, tmp_path / layout)
    settings, (made,) = prepare_own_data(settings_for(tmp_path / layout), tmp_path / "run")
    assert (made.layout, made.clips, made.objects) == (layout, 1, 2)
    source = settings.data.sources[0]
    record = open_store(source.path, source.layout, root=source.root).record(0)
    assert record.clip.open().frame(0).shape == (128, 128, 3)


def test_records_of_ours_are_left_alone(two_clips: Path, tmp_path: Path) -> None:
    settings, _ = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    folder = tmp_path / "ours"
    folder.mkdir()
    write_records(folder / "records.jsonl", read_records(settings.data.sources[0].path))
    given = settings_for(folder)
    unchanged, made = prepare_own_data(given, tmp_path / "other")
    assert (unchanged, made) == (given, ())
    assert not (tmp_path / "other").exists()


def test_a_broken_clip_is_counted_and_the_others_train(two_clips: Path, tmp_path: Path) -> None:
    (two_clips / "garden-01" / "garden-01.mp4").unlink()
    _, (made,) = prepare_own_data(settings_for(two_clips), tmp_path / "run")
    assert (made.clips, made.faults) == (1, {"missing_video": 1})
    assert "garden-01" in made.first_fault


def test_a_folder_without_anything_usable_says_why(two_clips: Path, tmp_path: Path) -> None:
    for name in ("garden-00", "garden-01"):
        (two_clips / name / f"{name}.mp4").unlink()
    with pytest.raises(DataError, match=r"gives no record; the first thing wrong is .*garden-00"):
        prepare_own_data(settings_for(two_clips), tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no file of coco"):
        prepare_own_data(settings_for(tmp_path / "empty"), tmp_path / "run")


def test_the_example_is_twenty_records_of_half_a_megabyte() -> None:
    size = sum(file.stat().st_size for file in EXAMPLE.rglob("*") if file.is_file())
    assert size < 600_000
    assert len(list(EXAMPLE.glob("*/annotations.xml"))) == 20
