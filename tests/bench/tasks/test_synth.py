"""The synthetic benchmark: right answers score 1, others what their formula says; from seeds and from folders."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sama_video.bench.task import Measure, Prediction, Sample, ScoreTools, Summary, Task, TaskOptions, Track
from sama_video.bench.tasks import load_task
from sama_video.bench.tasks.synth import SIZE
from sama_video.bench.tasks.synth_scores import score_answer
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.export import SynthSettings, write_synth
from sama_video.data.synthetic.levels import SEEDS
from sama_video.data.synthetic.questions import FAMILIES
from sama_video.dialogue.markup import check_tags
from sama_video.errors import ConfigError, DataError
from sama_video.metrics.intervals import interval
from sama_video.metrics.similarity import exact
from sama_video.regions.rle import encode

TOOLS = ScoreTools(exact, "exact")


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, ...]:
    return tuple(islice(load_task("synth").samples(None, TaskOptions()), 130))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    size = (64, 64)
    write_synth(out, SynthSettings(2, "test", 0, size, "frames"), DiagnosticWorld(2, size), 3, lambda steps: None)
    return out


def answered(sample: Sample, text: str, tracks: tuple[Track, ...] = ()) -> Prediction:
    return Prediction(
        sample_id=sample.sample_id,
        task="synth",
        part="synth",
        subset=sample.subset,
        video=sample.video,
        question_id=sample.question_id,
        question=sample.question,
        gt_text=sample.reference_text,
        gt_phrases=sample.reference_phrases,
        gt_tracks=sample.reference_tracks(),
        pred_text=text,
        pred_tracks=tracks,
        prompt=sample.prompt,
        dialogue=sample.dialogue,
        turn_idx=sample.turn_idx,
        facts=json.loads(json.dumps(dict(sample.facts))),
    )


def right(sample: Sample) -> Prediction:
    return answered(sample, sample.reference_text, sample.reference_tracks())


def summary(task: Task, predictions: Sequence[Prediction]) -> Summary:
    return task.summarise([task.score_question(each, "strict", TOOLS) for each in predictions], "strict", TOOLS)


def values(measures: Sequence[Measure]) -> Iterator[tuple[str, str, float | None]]:
    for measure in measures:
        yield measure.name, measure.subset, interval(measure.statistic).value if measure.statistic else None


def one(samples: Sequence[Sample], family: str, kind: str | None = None) -> Sample:
    return next(each for each in samples if each.subset == family and kind in (None, each.facts["kind"]))


def test_right_answers_score_one_in_every_family(samples):
    figures = list(values(summary(load_task("synth"), [right(sample) for sample in samples]).measures))
    assert {subset for name, subset, _ in figures if name == "score"} >= {"", *FAMILIES}
    assert {value for _, _, value in figures} == {1.0}
    names = {(name, subset) for name, subset, _ in figures}
    for expected in (
        ("IoU", "click"),
        ("J", "click"),
        ("IoU", "box"),
        ("J&F", "track"),
        ("accuracy", "attribute"),
        ("score", "attribute: color"),
        ("mIoU", "grounding"),
        ("J&F", "grounding"),
        ("score", "dialogue: turn 1"),
        ("score", "dialogue: turn 2"),
        ("score", "dialogue: turn 3"),
        ("tIoU", "temporal"),
        ("accuracy", "not-there"),
        ("accuracy", "ambiguous"),
        ("accuracy", "counting"),
        ("object F1", "caption"),
    ):
        assert expected in names


def test_silence_scores_nothing_and_is_counted_as_unreadable(samples):
    figures = list(values(summary(load_task("synth"), [answered(sample, "") for sample in samples]).measures))
    by_family = {subset: value for name, subset, value in figures if name == "score" and subset in FAMILIES}
    assert by_family["click"] == by_family["box"] == 0.0
    for family in ("attribute", "motion", "temporal", "counting", "comparison", "events", "caption"):
        assert by_family[family] == 0.0
    readable = {subset: value for name, subset, value in figures if name == "readable"}
    assert readable["attribute"] == readable["caption"] == 0.0


def test_score_is_the_plain_mean_of_the_families(samples):
    mixed = [right(s) if s.subset in ("click", "color", "events") else answered(s, "no") for s in samples]
    figures = list(values(summary(load_task("synth"), mixed).measures))
    families = [value for name, subset, value in figures if name == "score" and subset in FAMILIES]
    total = next(value for name, subset, value in figures if (name, subset) == ("score", ""))
    assert total == pytest.approx(np.mean([value for value in families if value is not None]))


def test_samples_are_repeatable_ordered_and_of_the_held_out_split(samples):
    again = tuple(islice(load_task("synth").samples(None, TaskOptions()), len(samples)))
    assert [(s.sample_id, s.question, s.regions, s.facts) for s in again] == [
        (s.sample_id, s.question, s.regions, s.facts) for s in samples
    ]
    videos = [sample.video for sample in samples]
    assert videos == sorted(videos, key=videos.index)
    assert len({sample.sample_id for sample in samples}) == len(samples)
    assert all(int(video.split("-")[2]) in SEEDS["test"] for video in videos)
    other = next(load_task("synth").samples(None, TaskOptions(seed=1)))
    assert other.video == "test-2-10000"
    for sample in samples:
        check_tags(sample.question, len(sample.regions))
    clip = samples[0].open_clip()
    assert (clip.height, clip.width) == SIZE
    assert len(samples[0].reference_tracks()[0]) == clip.num_frames


def test_follow_ups_are_asked_alone_without_a_history_and_with_it_as_they_are(samples):
    talked = islice(load_task("synth").samples(None, TaskOptions(history="self")), len(samples))
    followed = 0
    for alone, told in zip(samples, talked, strict=True):
        assert (alone.sample_id, alone.dialogue, alone.turn_idx) == (told.sample_id, told.dialogue, told.turn_idx)
        if alone.turn_idx == 0:
            assert alone.question == told.question
            continue
        followed += 1
        assert alone.regions
        assert not told.regions
    assert followed > 5


def test_levels_are_tasks_of_their_own():
    for name, level in (("synth-1", 1), ("synth-2", 2), ("synth-3", 3)):
        task = load_task(name)
        assert task.name == name
        assert next(task.samples(None, TaskOptions())).video == f"test-{level}-0"
        assert task.modes == ("strict",)


def test_clicks_are_scored_on_their_frame_and_through_the_clip(samples):
    sample = one(samples, "click")
    (true,) = sample.reference_tracks()
    frame = sample.prompt["frame"]
    only_there: Track = tuple(rle if idx == frame else None for idx, rle in enumerate(true))
    found = score_answer(answered(sample, "It.", (only_there,)))
    assert found["IoU"] == found["score"] == 1.0
    assert found["J"] == pytest.approx(
        (sum(rle is None for rle in true) + 1) / len(true) if true[frame] else 0.0, abs=1 / len(true)
    )
    other: Track = tuple(None if idx == frame else rle for idx, rle in enumerate(true))
    assert score_answer(answered(sample, "It.", (other,)))["IoU"] == 0.0


def test_only_the_first_mask_of_an_answer_counts(samples):
    sample = one(samples, "grounding")
    (true,) = sample.reference_tracks()
    nothing: Track = (None,) * len(true)
    assert score_answer(answered(sample, "Two.", (true, nothing)))["mIoU"] == 1.0
    assert score_answer(answered(sample, "Two.", (nothing, true)))["mIoU"] == 0.0


def test_tracks_leave_out_the_frame_that_was_given(samples):
    sample = one(samples, "track")
    (true,) = sample.reference_tracks()
    given = sample.prompt["frame"]
    height, width = next((rle["size"][0], rle["size"][1]) for rle in true if rle is not None)
    wrong = encode(np.ones((height, width), dtype=bool))
    spoilt: Track = tuple(wrong if idx == given else rle for idx, rle in enumerate(true))
    assert score_answer(answered(sample, "It.", (spoilt,)))["J&F"] == 1.0


def test_absence_must_be_said_and_nothing_may_be_shown(samples):
    some_track = one(samples, "click").reference_tracks()[0]
    checked = set()
    for sample in samples:
        expect = sample.facts["expect"]
        if sample.subset != "not-there":
            continue
        checked.add((expect["want"], expect["asks_mask"]))
        is_absent = expect["want"]
        assert score_answer(answered(sample, "There is no such thing."))["accuracy"] == float(is_absent)
        assert score_answer(answered(sample, "No.", (some_track,)))["accuracy"] == 0.0
        assert score_answer(answered(sample, "Sure.", (some_track,)))["accuracy"] == float(not is_absent)
        silent = score_answer(answered(sample, ""))
        if expect["asks_mask"]:
            assert (silent["accuracy"], silent["readable"]) == (float(is_absent), 1.0)
        else:
            assert (silent["accuracy"], silent["readable"]) == (0.0, 0.0)
    assert len(checked) == 4


def test_times_are_scored_by_their_overlap(samples):
    sample = one(samples, "temporal")
    first, last = sample.facts["expect"]["want"]
    half = score_answer(answered(sample, f"from {first} s to {(first + last) / 2} s"))
    assert half["tIoU"] == pytest.approx(0.5)
    assert half["R@0.5"] == 1.0
    assert score_answer(answered(sample, "from 90 s to 91 s"))["tIoU"] == 0.0


def test_any_wording_counts_that_names_the_right_word(samples):
    sample = one(samples, "attribute", "size")
    word = sample.facts["expect"]["want"]["size"][0]
    other = {"small": "large", "large": "small"}[word]
    synonym = {"small": "tiny", "large": "big"}[word]
    assert score_answer(answered(sample, f"I would call it {synonym}."))["accuracy"] == 1.0
    assert score_answer(answered(sample, f"{other}"))["accuracy"] == 0.0
    assert score_answer(answered(sample, f"{word} or {other}"))["accuracy"] == 0.0


def test_folder_gives_the_questions_of_its_seeds_with_its_own_frames(folder, samples):
    task = load_task("synth")
    stored = list(task.samples(folder, TaskOptions()))
    drawn = [sample for sample in samples if sample.video in {each.video for each in stored}]
    assert [(s.sample_id, s.question, s.facts) for s in stored] == [(s.sample_id, s.question, s.facts) for s in drawn]
    assert {value for _, _, value in values(summary(task, [right(s) for s in stored]).measures)} <= {1.0, None}
    clip = stored[0].open_clip()
    assert (clip.height, clip.width) == (64, 64)
    assert clip.average_fps == 10
    assert len(stored[0].reference_tracks()[0]) == clip.num_frames


def test_check_counts_what_there_is(folder):
    report = load_task("synth").check(folder)
    assert report.counts["videos"] == 3
    assert report.counts["questions"] == sum(report.counts.get(family, 0) for family in FAMILIES)
    assert not report.faults


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda out: (out / "synth.json").unlink(), ConfigError, "no readable synth.json"),
        (lambda out: (out / "synth.json").write_text('{"schema": "other"}'), DataError, "not of sama-synth/1"),
        (lambda out: (out / "exam" / "questions.jsonl").unlink(), DataError, "questions.jsonl"),
        (lambda out: (out / "exam" / "questions.jsonl").write_text("{}\n"), DataError, "line 1"),
        (lambda out: (out / "exam" / "questions.jsonl").write_text(""), DataError, "line 1"),
    ],
)
def test_damaged_folder_is_refused(folder, tmp_path, damage, error, message):
    copy = tmp_path / "copy"
    (copy / "exam").mkdir(parents=True)
    for name in ("synth.json", "records.jsonl", "exam/questions.jsonl"):
        (copy / name).write_bytes((folder / name).read_bytes())
    damage(copy)
    with pytest.raises(error, match=message) as caught:
        list(load_task("synth").samples(copy, TaskOptions()))
    assert "\n" not in str(caught.value)


def test_folder_of_another_level_names_its_benchmark(folder):
    with pytest.raises(ConfigError, match=r"holds level 2, not 3; its benchmark is synth-2"):
        list(load_task("synth-3").samples(folder, TaskOptions()))


def test_answer_without_text_is_read_as_an_empty_one(samples):
    sample = one(samples, "counting")
    assert score_answer(replace(answered(sample, ""), pred_text=None)) == {
        "score": 0.0,
        "accuracy": 0.0,
        "readable": 0.0,
    }
