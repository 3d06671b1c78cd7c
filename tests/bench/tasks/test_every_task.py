"""What holds of every benchmark that comes as files: counts, samples, and answers that are right or empty."""

import json
import re
from itertools import groupby

import pytest

from sama_video.bench.task import TaskOptions
from sama_video.bench.tasks import TASKS
from sama_video.data.sources import verified
from sama_video.dialogue.markup import REGION_TAG
from sama_video.errors import ConfigError
from sama_video.regions.shapes import check_region
from sama_video.video import stills

FROM_FILES = tuple(name for name in TASKS if not name.startswith(("synth", "refcoco+", "refcocog")))
"""RefCOCO+ and RefCOCOg are RefCOCO under other names."""

COUNTS = {
    "sama-bench-g": "sama_bench",
    "sama-bench-c": "sama_bench",
    "mevis-valid-u": "mevis_valid_u",
    "mevis-valid": "mevis_valid",
    "ref-youtube-vos": "ref_youtube_vos_valid",
    "gcg": "gcg",
    "region-caption": "region_caption",
    "videorefer-d": "videorefer_bench_d",
    "videorefer-q": "videorefer_bench_q",
    "pixelqa": "videorefer_bench_q",
}
NOT_COUNTS = {"videos", "tracks", "table", "target_areas", "expression_order"}
"""Keys of the expected file that describe rather than count, where they hold no number."""

each_task = pytest.mark.parametrize("name", FROM_FILES)


@pytest.mark.parametrize("name", COUNTS)
def test_check_counts_what_is_expected_and_finds_no_fault(bench, name: str) -> None:
    opened = bench(name)
    report = opened.report
    expected = opened.expected[COUNTS[name]]
    wanted = {
        key: value for key, value in expected.items() if not (key in NOT_COUNTS and isinstance(value, list | dict))
    }
    assert {key: report.counts.get(key) for key in wanted} == wanted
    assert report.faults == {}
    json.dumps(report.counts)


def test_check_counts_the_companions_of_the_training_data(bench) -> None:
    davis, revos, refcoco, sav = (bench(name) for name in ("ref-davis17", "revos", "refcoco", "ref-sav"))
    expected = davis.expected
    for opened, key in ((davis, "davis17"), (revos, "revos")):
        counts = opened.report.counts
        assert {name: counts[name] for name in ("videos", "expressions")} == {
            name: expected[key]["valid"][name] for name in ("videos", "expressions")
        }
    found, wanted = refcoco.report.counts, expected["refcoco"]["refcoco"]
    asked = [row for row in wanted["table"] if row["split"] != "train"]
    assert {key: found[key] for key in ("images", "annotations", "refs", "sentences")} == {
        key: wanted[key] for key in ("images", "annotations", "refs", "sentences")
    }
    assert found["questions"] == sum(row["sentences"] for row in asked)
    assert sum(part["refs"] for part in found["per_subset"].values()) == len(asked)
    frames = sum(video["annotated_frames"] for video in expected["sav_videos"].values())
    assert sav.report.counts["frames"] == frames


@each_task
def test_counted_questions_are_the_samples(bench, name: str) -> None:
    opened = bench(name)
    counts = opened.report.counts
    questions = counts["questions_" + name[-1]] if name.startswith("sama-bench") else counts["questions"]
    assert len(opened.samples()) == questions


@each_task
def test_samples_have_names_of_their_own_and_come_video_by_video(bench, name: str) -> None:
    samples = bench(name).samples()
    assert len({sample.sample_id for sample in samples}) == len(samples) > 0
    videos = [video for video, _ in groupby(sample.video for sample in samples)]
    assert len(videos) == len(set(videos))


@each_task
def test_regions_answer_the_tags_and_lie_in_the_frames(bench, name: str) -> None:
    for sample in bench(name).samples():
        clip = sample.open_clip()
        assert sample.question.count(REGION_TAG) == len(sample.regions)
        assert [region.frame for region in sample.regions] == sample.prompt.get("frames", [])
        for region in sample.regions:
            check_region(region, num_frames=clip.num_frames, height=clip.height, width=clip.width)
        assert all(0 <= frame_idx < clip.num_frames for frame_idx in sample.frames or ())


@each_task
def test_reference_tracks_fit_the_clip(bench, name: str) -> None:
    for sample in bench(name).samples():
        clip = sample.open_clip()
        for track in sample.reference_tracks():
            assert len(track) == clip.num_frames
            assert all(rle is None or rle["size"] == [clip.height, clip.width] for rle in track)


@each_task
def test_samples_are_the_same_each_time_and_can_be_json(bench, name: str) -> None:
    def told(sample):
        return sample.sample_id, sample.question, sample.regions, dict(sample.prompt), sample.frames, dict(sample.facts)

    opened = bench(name)
    first, second = ([told(sample) for sample in opened.samples(prompt_frame="fixed_seed")] for _ in range(2))
    assert first == second
    for *_, prompt, frames, facts in first:
        assert json.loads(json.dumps([prompt, frames, facts])) == [prompt, None if frames is None else [*frames], facts]


@each_task
def test_listing_samples_decodes_no_more_than_one_picture_a_video(bench, name: str, monkeypatch) -> None:
    read: list[object] = []
    plain = stills.read_image
    monkeypatch.setattr(stills, "read_image", lambda content: read.append(content) or plain(content))
    samples = bench(name).samples(bench(name).folder)
    assert len(read) <= len({sample.video for sample in samples})


@each_task
def test_the_folder_or_the_one_that_holds_it_may_be_named(bench, name: str) -> None:
    opened = bench(name)
    names = [sample.sample_id for sample in opened.samples()]
    assert [sample.sample_id for sample in opened.samples(opened.folder.parent)] == names
    assert [sample.sample_id for sample in opened.samples(opened.root)] == names


@each_task
def test_a_folder_without_the_benchmark_is_refused_in_one_line_that_says_what_was_looked_for(
    bench, name: str, tmp_path
) -> None:
    task = bench(name).task
    for data in (tmp_path, tmp_path / "nowhere", None):
        with pytest.raises(ConfigError) as caught:
            list(task.samples(data, TaskOptions()))
        told = str(caught.value)
        assert "\n" not in told
        assert any(need in told for need in task.needs)
        assert "--data" in told
        with pytest.raises(ConfigError, match=re.escape("--data")):
            task.check(data)


RIGHT = {
    "sama-bench-g": ("miou_over_gt", "miou_over_max", "recall", "precision", "f1"),
    "mevis-valid-u": ("J&F", "J", "F", "answer_rate"),
    "ref-davis17": ("J&F", "J", "F", "J&F (annotators)", "J (annotators)", "F (annotators)"),
    "revos": ("J&F", "J", "F", "A", "R"),
    "ref-sav": ("J&F", "J", "F"),
    "refcoco": ("cIoU", "gIoU", "P@0.5", "P@0.9"),
    "gcg": ("miou_over_gt", "miou_over_max", "recall", "precision", "f1"),
    "videorefer-q": ("accuracy",),
    "pixelqa": ("accuracy", "J", "F (region)", "J&F (region)"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_score_1_in_strict_mode(bench, right_answers, name: str) -> None:
    opened = bench(name)
    scores = opened.score(right_answers(opened))
    assert {figure: scores.value(figure) for figure in RIGHT[name]} == pytest.approx(dict.fromkeys(RIGHT[name], 1.0))


@pytest.mark.parametrize("name", RIGHT)
def test_measures_of_subsets_are_those_of_their_questions_alone(bench, right_answers, name: str) -> None:
    opened = bench(name)
    answers = right_answers(opened)
    whole = opened.score(answers)
    for subset in {answer.subset for answer in answers} - {""}:
        part = opened.score([answer for answer in answers if answer.subset == subset])
        for figure in RIGHT[name]:
            if (figure, subset) in whole.measures and (part.measure(figure).missing is None):
                assert whole.value(figure, subset) == part.value(figure)


@pytest.mark.parametrize("name", FROM_FILES)
@pytest.mark.parametrize("mode", ["reference", "strict"])
def test_empty_answers_are_scored_without_a_crash_and_no_answers_are_missing(bench, name: str, mode) -> None:
    opened = bench(name)
    if mode not in opened.task.modes:
        pytest.skip(f"{name} has no {mode} mode")
    scores = opened.score([opened.answer(sample) for sample in opened.samples()], mode)
    for name_of_rate in ("answer_rate", "accuracy"):
        if (name_of_rate, "") in scores.measures:
            assert scores.value(name_of_rate) == 0
    nothing = opened.score([], mode)
    assert all(measure.missing or measure.statistic is not None for measure in nothing.measures.values())


def test_check_uses_the_loaders_own_verification(bench, monkeypatch) -> None:
    """A picture that cannot be decoded is found by the check, with its reason."""
    opened = bench("mevis-valid-u")

    def broken(path):
        raise stills.VideoError(f"{path} is not an image")

    monkeypatch.setattr(verified, "read_image", broken)
    report = opened.task.check(opened.folder)
    assert set(report.faults) == {"unreadable_frame"}
    assert report.counts["videos"] == 0
