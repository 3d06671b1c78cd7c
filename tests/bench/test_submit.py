"""A submission holds exactly what the server expects, or is not written."""

import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_folders import REPOSITORY, need_folder

from sama_video.app.cli.main import main
from sama_video.bench.records import prediction_to_json
from sama_video.bench.sharding import Shard
from sama_video.bench.store import Question, RunFolder, RunInfo
from sama_video.bench.submit import check_archive, pack, png
from sama_video.bench.task import Prediction, TaskOptions
from sama_video.bench.tasks import load_task
from sama_video.errors import ConfigError, DataError
from sama_video.regions.rle import encode

HEIGHT, WIDTH = 6, 9
NAMES = ("00000", "00005.jpg", "00010")


def mask(x: int, height: int = HEIGHT) -> np.ndarray:
    drawn = np.zeros((height, WIDTH), bool)
    drawn[1:4, x : x + 2] = True
    return drawn


def answers() -> list[Prediction]:
    """Two videos with two expressions each: masks, no mask, a short track, two masks."""
    one, other = encode(mask(1)), encode(mask(5))
    tracks = {"0": ((one, None, other),), "1": (), "2": ((other,),), "10": ((other, other, other), (one, one, one))}
    return [
        Prediction(
            sample_id=f"{video}/{expression}",
            task="mevis-valid",
            part="mevis-valid",
            subset="",
            video=video,
            question_id=expression,
            question="Please segment it.",
            gt_text="",
            gt_phrases=(),
            gt_tracks=(),
            pred_text="[SEG]",
            pred_tracks=tracks[expression],
            facts={"expression_id": expression, "frames": list(NAMES), "height": HEIGHT, "width": WIDTH},
        )
        for video, expression in (("va", "0"), ("va", "1"), ("vb", "2"), ("vb", "10"))
    ]


def stored(folder: Path, given: list[Prediction], task: str = "mevis-valid", **options: object) -> RunFolder:
    made = RunFolder(folder)
    asked = [Question(one.sample_id, one.video, one.subset, 0) for one in answers()]
    made.create(RunInfo(task, 1, "m", "h", "d", {"limit": None, **options}, "c", 0), asked)
    with made.writer(Shard()) as writer:
        for one in given:
            writer.append(prediction_to_json(one))
    return made


def read(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_every_frame_of_every_expression_is_a_picture_of_zeros_and_255(tmp_path: Path) -> None:
    submission = pack(stored(tmp_path / "run", answers()), tmp_path / "new" / "out.zip")
    found = read(tmp_path / "new" / "out.zip")
    assert list(found)[:4] == ["va/0/00000.png", "va/0/00005.png", "va/0/00010.png", "va/1/00000.png"]
    assert (len(found), submission.pngs, submission.expressions, submission.videos) == (12, 12, 4, 2)
    assert all(picture.shape == (HEIGHT, WIDTH) and picture.dtype == np.uint8 for picture in found.values())
    np.testing.assert_array_equal(found["va/0/00000.png"], mask(1) * np.uint8(255))
    assert not found["va/0/00005.png"].any()
    assert not found["va/1/00010.png"].any()  # no mask in the answer
    assert not found["vb/2/00005.png"].any()  # after the end of its track
    np.testing.assert_array_equal(found["vb/10/00010.png"], mask(5) * np.uint8(255))  # the first of two masks


def test_ref_youtube_vos_has_its_folder_at_the_root(tmp_path: Path) -> None:
    pack(stored(tmp_path / "run", answers(), "ref-youtube-vos"), tmp_path / "out.zip")
    assert next(iter(read(tmp_path / "out.zip"))) == "Annotations/va/0/00000.png"


def test_equal_answers_give_equal_bytes_in_whatever_order_they_came(tmp_path: Path) -> None:
    first = pack(stored(tmp_path / "a", answers()), tmp_path / "a.zip")
    second = pack(stored(tmp_path / "b", answers()[::-1]), tmp_path / "b.zip")
    assert first.sha256 == second.sha256
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_the_fingerprint_is_kept_with_the_run(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run", answers())
    submission = pack(folder, tmp_path / "out.zip")
    kept = json.loads((folder.path / "submission.json").read_text())
    assert kept == submission.to_json()
    assert (kept["schema"], kept["file"], len(kept["sha256"])) == ("sama-submission/1", "out.zip", 64)


def refused(tmp_path: Path, given: list[Prediction], why: str, task: str = "mevis-valid", **options: object) -> None:
    folder = stored(tmp_path / "run", given, task, **options)
    with pytest.raises((DataError, ConfigError), match=why) as refusal:
        pack(folder, tmp_path / "out.zip")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out.zip").exists()
    assert not (folder.path / "submission.json").exists()


def test_an_answer_that_is_missing_or_failed_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "a", answers()[:3], "no answer to 1 of 4 questions, such as vb/10; run sama bench run again")
    broken = [*answers()[:3], replace(answers()[3], pred_text=None, error="it broke")]
    refused(tmp_path / "b", broken, "vb/10 failed .it broke.")


def test_masks_of_another_size_or_length_are_refused(tmp_path: Path) -> None:
    large = replace(answers()[0], pred_tracks=((encode(mask(1, height=7)), None, None),))
    refused(tmp_path / "a", [large, *answers()[1:]], "va/0: the mask of frame 00000 is 9x7, the video 9x6")
    long = replace(answers()[0], pred_tracks=((None,) * 4,))
    refused(tmp_path / "b", [long, *answers()[1:]], "va/0 has masks of 4 frames, but va has 3")


def test_names_that_leave_the_archive_are_refused(tmp_path: Path) -> None:
    for name in ("..", "a/b", ""):
        facts = {**answers()[0].facts, "expression_id": name}
        refused(
            tmp_path / (name or "x").replace("/", "-"), [replace(answers()[0], facts=facts), *answers()[1:]], "name"
        )


def test_a_benchmark_without_a_server_and_a_run_cut_short_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "a", answers(), "revos has no server; only mevis-valid and ref-youtube-vos", "revos")
    refused(tmp_path / "b", answers(), "limited to the first 4", limit=4)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out .* cannot be written"):
        pack(stored(tmp_path / "run", answers()), tmp_path / "file" / "out.zip")


@dataclass
class Spoil:
    """Writes an archive anew with some of its files changed."""

    source: Path

    def __call__(self, **files: bytes | None) -> Path:
        path = self.source.with_name("spoilt.zip")
        with zipfile.ZipFile(self.source) as old, zipfile.ZipFile(path, "w") as new:
            kept = {name: old.read(name) for name in old.namelist()}
            for name, content in {**kept, **files}.items():
                if content is not None:
                    new.writestr(name, content)
        return path


@pytest.fixture
def archive(tmp_path: Path) -> tuple[RunFolder, Spoil]:
    folder = stored(tmp_path / "run", answers())
    pack(folder, tmp_path / "out.zip")
    return folder, Spoil(tmp_path / "out.zip")


def test_an_archive_as_packed_passes_the_check(archive: tuple[RunFolder, Spoil]) -> None:
    folder, spoil = archive
    assert check_archive(folder, spoil.source).to_json() == json.loads((folder.path / "submission.json").read_text())


def test_the_check_finds_what_is_missing_too_much_or_wrong(archive: tuple[RunFolder, Spoil]) -> None:
    folder, spoil = archive
    name = "va/0/00000.png"
    rgb, grey = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(rgb, "PNG")
    Image.new("L", (WIDTH, HEIGHT), 7).save(grey, "PNG")
    wrong = {
        "lacks 1 files, such as va/0/00000.png": {name: None},
        "besides what is expected, 1 files, such as extra.txt": {"extra.txt": b"x"},
        "is 9x7 of mode L": {name: png(mask(1, height=7))},
        "of mode RGB": {name: rgb.getvalue()},
        "values 0 and 255": {name: grey.getvalue()},
        "is no readable PNG": {name: b"nothing"},
        "bytes, too many": {name: b"\0" * (1 << 17)},
    }
    for why, files in wrong.items():
        with pytest.raises(DataError, match=why):
            check_archive(folder, spoil(**files))
    spoil.source.write_bytes(b"no zip")
    with pytest.raises(DataError, match="no readable zip"):
        check_archive(folder, spoil.source)


@pytest.mark.parametrize(("task", "pngs", "first"), [
    ("mevis-valid", 88, "9b00a1f2c3d4/0/00000.png"),
    ("ref-youtube-vos", 54, "Annotations/3f6d21b0aa/0/00000.png"),
])  # fmt: skip
def test_the_miniatures_give_whole_submissions(
    task: str, pngs: int, first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = REPOSITORY.parent / "shared" / "fixtures" / "bench_mini"
    data = need_folder("SAMA_BENCH_FIXTURES_DIR", beside)
    samples = load_task(task).samples(data, TaskOptions())
    rows = [{"id": sample.sample_id, "pred_text": "There is none.", "pred_masks": []} for sample in samples]
    (tmp_path / "none.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    words = ["--data", str(data), "--out", str(tmp_path / "run")]
    assert main(["bench", "run", task, "--model", f"file:{tmp_path / 'none.jsonl'}", *words]) == 0
    capsys.readouterr()
    packed = ["bench", "submit", str(tmp_path / "run"), "--data", str(data)]
    assert main([*packed, "--out", str(tmp_path / "out.zip"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pngs"], told["expressions"]) == (pngs, len(rows))
    assert next(iter(read(tmp_path / "out.zip"))) == first
    assert main([*packed, "--check", str(tmp_path / "out.zip")]) == 0
    assert told["sha256"] in capsys.readouterr().out
    assert main([*packed, "--out", "a.zip", "--check", "b.zip"]) == 2
    assert main(packed) == 0
    assert (tmp_path / "run" / "submission.zip").read_bytes() == (tmp_path / "out.zip").read_bytes()
    assert "--out ZIP" in capsys.readouterr().err
