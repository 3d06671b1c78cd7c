"""VideoRefer-Bench and PixelQA: what is pointed at, letters read with and without sense, a judge's dimensions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sama_video.bench.parsing import VIDEOREFER_DIMENSIONS
from sama_video.bench.task import TaskOptions
from sama_video.bench.tasks.pixelqa import PROMPTS
from sama_video.errors import DataError
from sama_video.regions.rle import area, box_of, decode
from sama_video.regions.shapes import Box, Mask, Points

Q, D = "VideoRefer-Bench-Q.json", "VideoRefer-Bench-D.json"


def changed(bench, name: str, tmp_path: Path, file: str, edit) -> Path:
    root = Path(shutil.copytree(bench(name).folder, tmp_path / "copy"))
    document = json.loads((root / file).read_text())
    edit(document)
    (root / file).write_text(json.dumps(document))
    return root


@pytest.mark.parametrize(
    ("name", "key"), [("videorefer-d", "videorefer_bench_d"), ("videorefer-q", "videorefer_bench_q")]
)
def test_objects_are_shown_by_their_masks_on_the_prescribed_frame(bench, name: str, key: str) -> None:
    opened = bench(name)
    for sample in opened.samples():
        row = opened.expected[key]["table"][sample.question_id]
        assert all(isinstance(region, Mask) for region in sample.regions)
        areas = [area(region.mask) for region in sample.regions]
        assert areas == (row["areas_at_frame_idx"] if "areas_at_frame_idx" in row else [row["area_at_frame_idx"]])
        assert {region.frame for region in sample.regions} == {int(row["frame_idx"])}
        assert sample.ground is False


def test_an_object_absent_from_that_frame_is_shown_on_the_nearest_that_has_it(bench, tmp_path: Path) -> None:
    def edit(rows):
        for row in rows:
            first = min(row["annotation"][0], key=int)
            row["frame_idx"] = first
            row["annotation"][0][first] = {"segmentation": None}

    opened = bench("videorefer-d")
    root = changed(bench, "videorefer-d", tmp_path, D, edit)
    rows = {str(row["id"]): row for row in json.loads((root / D).read_text())}
    samples = opened.samples(root)
    for sample in samples:
        entries = rows[sample.question_id]["annotation"][0].items()
        assert sample.regions[0].frame == min(int(key) for key, entry in entries if entry["segmentation"])
        assert sample.prompt["absent"] == [0]
    report = opened.task.check(root)
    assert report.faults == {}
    assert report.notes["prompt_not_visible"] == len(samples)


def test_an_object_that_is_never_visible_is_a_fault(bench, tmp_path: Path) -> None:
    def edit(rows):
        for entry in rows[0]["annotation"][0].values():
            entry["segmentation"] = None

    root = changed(bench, "videorefer-d", tmp_path, D, edit)
    assert bench("videorefer-d").task.check(root).faults == {"prompt_never_visible": 1}
    sample = next(bench("videorefer-d").task.samples(root, TaskOptions()))
    assert (sample.regions, sample.prompt["never_visible"]) == ((), [0])


def test_masks_beyond_the_clip_are_a_fault(bench, tmp_path: Path) -> None:
    def edit(rows):
        rows[0]["annotation"][0]["999"] = {"segmentation": None}

    root = changed(bench, "videorefer-q", tmp_path, Q, edit)
    assert bench("videorefer-q").task.check(root).faults == {"track_length_mismatch": 1}


class TestDescriptions:
    def test_dimensions_are_means_over_the_items_that_have_them_and_the_total_their_mean(
        self, bench, right_answers
    ) -> None:
        opened = bench("videorefer-d")
        answers = right_answers(opened)
        full = dict(zip(VIDEOREFER_DIMENSIONS, (5.0, 4.0, 3.0, 2.0), strict=True))
        part = {VIDEOREFER_DIMENSIONS[0]: 3.0}
        judge = {answers[0].sample_id: full, answers[1].sample_id: part}
        scores = opened.score(answers, judge=judge, judge_name="a judge")
        assert [scores.value(name) for name in VIDEOREFER_DIMENSIONS] == [4.0, 4.0, 3.0, 2.0]
        assert scores.value("total") == 13 / 4
        assert scores.measure("total").unit == "0-5"
        assert scores.document["judged"] == {"scored": 2, "unscored": len(answers) - 2}

    def test_without_a_judge_all_figures_are_missing_with_the_reason(self, bench, right_answers) -> None:
        scores = bench("videorefer-d").score(right_answers(bench("videorefer-d")))
        for name in ("total", *VIDEOREFER_DIMENSIONS):
            assert "no judge" in scores.measure(name).missing

    def test_a_dimension_nobody_scored_leaves_no_total(self, bench, right_answers) -> None:
        opened = bench("videorefer-d")
        answers = right_answers(opened)
        judge = {answers[0].sample_id: {VIDEOREFER_DIMENSIONS[0]: 3.0}}
        scores = opened.score(answers, judge=judge, judge_name="a judge")
        assert scores.value(VIDEOREFER_DIMENSIONS[0]) == 3.0
        assert scores.measure("total").missing
        assert scores.measure("total").value is None


class TestChoices:
    def test_prompt_ends_with_options_and_the_request_for_a_letter(self, bench) -> None:
        sample = bench("videorefer-q").samples()[0]
        options = " ".join(sample.facts["options"])
        assert sample.question.endswith(f" {options}. Answer with the option's letter from the given choices directly.")

    @pytest.mark.parametrize(
        ("reply", "by_reference", "strict"),
        [
            ("({right}) something", 1, 1),
            ("{right}) something", 1, 1),
            ("The answer is {right}.", 0, 1),
            ("{lower}", 1, 1),
            ("", 0, 0),
            (".", 0, 0),
            ("{right} or {wrong}", 1, 0),
        ],
    )
    def test_letters_are_read_by_the_scripts_rule_and_with_sense(self, bench, reply, by_reference, strict) -> None:
        opened = bench("videorefer-q")
        sample = opened.samples()[0]
        right = sample.facts["answer"]
        wrong = next(letter for letter in "DCB" if letter != right)
        answer = opened.answer(sample, reply.format(right=right, lower=right.lower(), wrong=wrong))
        assert opened.score([answer], "reference").value("accuracy") == by_reference
        assert opened.score([answer], "strict").value("accuracy") == strict

    def test_an_answer_that_names_no_option_is_wrong_and_told_apart(self, bench) -> None:
        opened = bench("videorefer-q")
        answers = [opened.answer(sample, "I do not know.") for sample in opened.samples()]
        scores = opened.score(answers)
        assert scores.value("accuracy") == 0.0
        assert scores.value("unreadable_rate") == 1.0

    def test_types_are_subsets(self, bench, right_answers) -> None:
        opened = bench("videorefer-q")
        types = opened.expected["videorefer_bench_q"]["types"]
        known = next(iter(types))
        answers = [
            answer if answer.subset == known else replace(answer, pred_text="") for answer in right_answers(opened)
        ]
        scores = opened.score(answers)
        assert {name: scores.value("accuracy", name) for name in types} == {
            name: float(name == known) for name in types
        }
        assert scores.value("accuracy") == types[known] / sum(types.values())

    def test_tags_and_objects_that_differ_are_refused(self, bench, tmp_path: Path) -> None:
        root = changed(bench, "videorefer-q", tmp_path, Q, lambda rows: rows[0].update(Question="What is it?"))
        assert bench("videorefer-q").task.check(root).faults == {"region_count_mismatch": 1}
        with pytest.raises(DataError, match="region_count_mismatch"):
            list(bench("videorefer-q").task.samples(root, TaskOptions()))

    def test_an_answer_that_is_no_option_is_refused(self, bench, tmp_path: Path) -> None:
        root = changed(bench, "videorefer-q", tmp_path, Q, lambda rows: rows[0].update(Answer="(Z) nothing"))
        assert bench("videorefer-q").task.check(root).faults == {"schema_error": 1}


class TestPixelQa:
    def test_every_question_is_asked_with_each_kind_of_prompt(self, bench) -> None:
        samples = bench("pixelqa").samples()
        assert [sample.subset for sample in samples[: len(PROMPTS)]] == list(PROMPTS)
        kinds = {subset: {type(r) for s in samples if s.subset == subset for r in s.regions} for subset in PROMPTS}
        assert kinds["point"] == {Points}
        assert kinds["box"] == {Box}
        assert kinds["mixed"] <= {Points, Box}

    def test_boxes_bound_the_mask_and_points_are_on_it(self, bench) -> None:
        opened = bench("pixelqa")
        for sample in opened.samples():
            row = opened.expected["videorefer_bench_q"]["table"][sample.question_id]
            tracks = sample.reference_tracks()
            for region, track, box in zip(sample.regions, tracks, row["boxes_at_frame_idx"], strict=True):
                assert list(box_of(track[region.frame])) == box
                if isinstance(region, Box):
                    assert list(region.xyxy) == box
                else:
                    ((x, y),) = region.xy
                    assert decode(track[region.frame])[int(y), int(x)]

    def test_prompts_depend_on_the_seed_alone(self, bench) -> None:
        opened = bench("pixelqa")
        drawn = [[sample.regions for sample in opened.samples(seed=seed)] for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_a_sample_says_that_the_tracks_are_those_of_its_regions(self, bench) -> None:
        for sample in bench("pixelqa").samples():
            assert sample.facts["tracks"] == "regions"
            assert sample.ground is True
            assert len(sample.reference_tracks()) == len(sample.regions)

    def test_masks_are_averaged_over_the_objects_of_all_questions(self, bench, right_answers) -> None:
        opened = bench("pixelqa")
        boxes = [answer for answer in right_answers(opened) if answer.subset == "box"]
        answers = [
            replace(answer, pred_tracks=answer.pred_tracks[:1]) if len(answer.gt_tracks) == 2 else answer
            for answer in boxes
        ]
        objects = sum(len(answer.gt_tracks) for answer in boxes)
        lost = sum(len(answer.gt_tracks) == 2 for answer in boxes)
        assert opened.score(answers).value("J") == pytest.approx(1 - lost / objects)

    def test_a_letter_that_cannot_be_read_is_wrong_and_told_apart(self, bench) -> None:
        """The script takes the first word; marks of masks are no part of an answer."""
        opened = bench("pixelqa")
        sample = opened.samples()[0]
        letter = sample.facts["answer"]
        replies = ((f"{letter}) white", 1, 0), (f"<p> {letter} </p> [SEG]", 1, 0), (f"Option {letter}", 0, 1))
        for reply, right, unreadable in replies:
            scores = opened.score([opened.answer(sample, reply)], "reference")
            assert (scores.value("accuracy"), scores.value("unreadable_rate")) == (right, unreadable)

    def test_empty_against_empty_is_nothing_by_reference_and_right_by_the_strict_rule(
        self, bench, right_answers
    ) -> None:
        opened = bench("pixelqa")
        answer = next(answer for answer in right_answers(opened) if len(answer.gt_tracks) == 1)
        nothing = ((None,) * len(answer.gt_tracks[0]),)
        empty = replace(answer, gt_tracks=nothing, pred_tracks=nothing)
        assert opened.score([empty], "reference").value("J") == 0.0
        assert opened.score([empty], "strict").value("J") == 1.0

    def test_frames_that_nobody_annotated_are_not_judged(self, bench, tmp_path: Path) -> None:
        def edit(rows):
            for key in [key for key in rows[0]["annotation"][0] if int(key) % 2]:
                del rows[0]["annotation"][0][key]

        root = changed(bench, "pixelqa", tmp_path, Q, edit)
        opened = bench("pixelqa")
        whole, cut = opened.samples()[0], opened.samples(root)[0]
        assert cut.facts["annotated"] == whole.facts["annotated"][::2]
        answer = opened.answer(cut, "B", whole.reference_tracks())
        assert opened.score([answer]).value("J") == 1.0
