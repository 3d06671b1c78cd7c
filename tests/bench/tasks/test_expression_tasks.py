"""Referring expressions in videos: what counts as the answer, and how each protocol adds up."""

import json
import shutil
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_video.bench.task import TaskOptions
from sama_video.bench.tasks.davis_annotators import labelled
from sama_video.errors import DataError
from sama_video.metrics.expressions import ExpressionScores
from sama_video.regions.rle import area, decode, encode

ON_SERVER = ("mevis-valid", "ref-youtube-vos")


def test_targets_are_the_union_of_their_instances(bench) -> None:
    opened = bench("mevis-valid-u")
    found = {}
    for sample in opened.samples():
        tracks = sample.reference_tracks()
        masks = [[rle for rle in frame if rle is not None] for frame in zip(*tracks, strict=True)]
        found[sample.sample_id] = [int(np.any([decode(rle) for rle in frame], axis=0).sum()) for frame in masks]
    assert found == opened.expected["mevis_valid_u"]["target_areas"]


def test_expressions_come_in_text_order(bench) -> None:
    samples = bench("mevis-valid-u").samples()
    for video, order in bench("mevis-valid-u").expected["mevis_valid_u"]["expression_order"].items():
        assert [sample.question_id for sample in samples if sample.video == video] == order
    for video, group in groupby(bench("ref-davis17").samples(), key=lambda sample: sample.video):
        ids = [sample.question_id for sample in group]
        assert ids == sorted(ids), video


def test_an_expression_that_asks_stays_as_it_is_and_others_become_a_request(bench) -> None:
    questions = [sample.question for sample in bench("mevis-valid-u").samples()]
    assert any(question.endswith("?") and not question.startswith("Please") for question in questions)
    assert all(question.endswith("?") or question.startswith("Please segment ") for question in questions)
    assert not any(".." in sample.question for sample in bench("ref-sav").samples())


def test_only_the_first_mask_of_an_answer_counts(bench, right_answers) -> None:
    opened = bench("mevis-valid-u")
    right = right_answers(opened)[0]
    nothing = (None,) * len(right.pred_tracks[0])
    first, second = (
        replace(right, pred_tracks=tracks) for tracks in ((*right.pred_tracks, nothing), (nothing, *right.pred_tracks))
    )
    for mode in ("reference", "strict"):
        assert opened.score([first], mode).value("J&F") == 1.0
        assert opened.score([second], mode).value("J&F") == 0.0


def test_an_answer_without_a_mask_is_right_where_nothing_is_visible(bench) -> None:
    """Frames without the object count 1 for an empty mask, so an object that leaves lends some score to silence."""
    opened = bench("ref-sav")
    leaving = [
        sample
        for sample in opened.samples()
        if any(rle is None or not area(rle) for track in sample.reference_tracks() for rle in track)
    ]
    if not leaving:
        pytest.skip("every object is visible throughout")
    sample = leaving[0]
    (track,) = sample.reference_tracks()
    hidden = sum(rle is None or not area(rle) for rle in track)
    assert opened.score([opened.answer(sample)]).value("J") == pytest.approx(hidden / len(track))


def test_totals_are_rounded_as_the_script_prints_them_by_reference_alone(bench) -> None:
    opened = bench("mevis-valid-u")
    row = opened.score([opened.answer(opened.samples()[0])]).rows[0]
    third = replace(row, values={"J": 1 / 3, "F": 2 / 3, "J&F": 0.5})
    totals = {
        mode: opened.sum_up([replace(third, mode=mode)], mode).document["totals"][mode]
        for mode in ("reference", "strict")
    }
    assert totals["reference"] == pytest.approx({"J": 0.3333, "F": 0.6667, "J&F": 0.5}, abs=1e-12)
    assert totals["strict"] == {"J": 1 / 3, "F": 2 / 3, "J&F": 0.5}


@pytest.mark.parametrize("name", ON_SERVER)
def test_sets_on_a_server_have_no_figures_but_say_why(bench, name: str) -> None:
    opened = bench(name)
    track = (None,) * opened.samples()[0].open_clip().num_frames
    scores = opened.score([opened.answer(opened.samples()[0], "It is [SEG].", (track,))])
    for figure in ("J&F", "J", "F"):
        assert scores.measure(figure).value is None
        assert "scored by the competition's server" in scores.measure(figure).missing
    assert scores.value("answer_rate") == 1.0
    assert all(sample.reference_tracks() == () for sample in opened.samples())


@pytest.mark.parametrize("name", ON_SERVER)
def test_facts_are_what_a_submission_is_made_of(bench, name: str) -> None:
    opened = bench(name)
    pngs = 0
    for sample in opened.samples():
        clip = sample.open_clip()
        assert (sample.facts["height"], sample.facts["width"]) == (clip.height, clip.width)
        assert len(sample.facts["frames"]) == clip.num_frames
        assert not any(frame.endswith(".jpg") for frame in sample.facts["frames"])
        assert sample.sample_id == f"{sample.video}/{sample.facts['expression_id']}"
        pngs += clip.num_frames
    key = {"mevis-valid": "mevis_valid", "ref-youtube-vos": "ref_youtube_vos_valid"}[name]
    assert pngs == opened.expected[key]["submission_pngs"]


def test_masks_that_are_missing_stop_the_run(bench, tmp_path: Path) -> None:
    root = Path(shutil.copytree(bench("mevis-valid-u").folder, tmp_path / "mevis"))
    path = root / "valid_u" / "mask_dict.json"
    masks = json.loads(path.read_text())
    masks.pop(next(iter(masks)))
    path.write_text(json.dumps(masks))
    task = bench("mevis-valid-u").task
    assert task.check(root).faults["missing_annotation"] >= 1
    with pytest.raises(DataError, match="missing_annotation"):
        [sample.reference_tracks() for sample in task.samples(root, TaskOptions())]


class TestReVOS:
    """The three types, and arithmetic on bytes."""

    def test_overall_is_the_mean_of_two_types_whatever_their_numbers(self, bench, right_answers) -> None:
        opened = bench("revos")
        rows = opened.score(right_answers(opened)).rows
        types = {row.subset: row for row in rows}
        right, wrong = (
            types["referring"],
            replace(types["reasoning"], values=dict.fromkeys(types["reasoning"].values, 0.0)),
        )
        many = [replace(right, sample_id=f"r{idx}") for idx in range(3)]
        scores = opened.sum_up([*many, wrong, types["no target"]])
        assert scores.value("J&F") == 0.5
        assert scores.document["totals"]["strict"]["overall"]["j"] == 0.5

    def test_without_one_of_the_types_there_is_no_overall_figure(self, bench, right_answers) -> None:
        opened = bench("revos")
        answers = [answer for answer in right_answers(opened) if answer.subset == "referring"]
        scores = opened.score(answers)
        assert scores.measure("J&F").missing
        assert scores.value("J&F", "referring") == 1.0

    def test_a_right_answer_disagrees_with_bytes_of_255_by_reference(self, bench, right_answers) -> None:
        """Q24: where masks are stored as 255, a true positive is no equal pixel."""
        opened = bench("revos")
        by_bytes, by_masks = (opened.score(right_answers(opened), mode) for mode in ("reference", "strict"))
        assert by_masks.value("A") == 1.0
        assert by_bytes.value("A_reference_255") < 1.0

    def test_a_false_pixel_costs_255_of_the_foreground_by_reference(self, bench, right_answers) -> None:
        opened = bench("revos")
        single = (answer for answer in right_answers(opened) if len(answer.gt_tracks) == 2)
        answer = next(answer for answer in single if answer.subset == "referring")
        *_, foreground = answer.gt_tracks
        mask = decode(answer.pred_tracks[0][0])
        y, x = next(zip(*np.nonzero(~decode(foreground[0])), strict=True))
        mask[y, x] = True
        track = (encode(mask), *answer.pred_tracks[0][1:])
        one = replace(answer, pred_tracks=(track,))
        part = 1 / area(foreground[0])
        frames = len(track)
        assert opened.score([one], "strict").value("R", "referring") == pytest.approx(1 - part / frames)
        cost = min(255 * part, 1) / frames
        expected = round(100 * (1 - cost), 2) / 100
        totals = opened.score([one], "reference").document["totals"]["reference"]["referring"]
        assert totals["r"] == pytest.approx(expected, abs=1e-4)

    def test_every_question_carries_the_videos_foreground(self, bench) -> None:
        opened = bench("revos")
        foreground = json.loads((opened.folder / "mask_dict_foreground.json").read_text())
        for sample in opened.samples():
            *_, last = sample.reference_tracks()
            stored = foreground[sample.video]["masks_rle"]
            assert [0 if rle is None else area(rle) for rle in last] == [area(rle) for rle in stored]


def videos(answers):
    return dict.fromkeys(answer.video for answer in answers)


class TestRefDavis17:
    """Two protocols on the same answers."""

    @pytest.fixture
    def answers(self, bench, right_answers):
        return right_answers(bench("ref-davis17"))

    def test_each_object_has_an_expression_of_each_annotator(self, bench) -> None:
        for sample in bench("ref-davis17").samples():
            assert sample.facts["annotator"] == int(sample.question_id) % 4

    def test_void_pixels_cost_something_by_expression_and_nothing_by_annotator(self, bench, answers) -> None:
        void = [answer for answer in answers if any(answer.gt_tracks[1])]
        if not void:
            pytest.skip("there are no void pixels")
        filled = []
        for answer in void:
            track = tuple(
                encode(decode(rle) | decode(hole)) if hole is not None and rle is not None else rle
                for rle, hole in zip(answer.pred_tracks[0], answer.gt_tracks[1], strict=True)
            )
            filled.append(replace(answer, pred_tracks=(track,)))
        scores = bench("ref-davis17").score(filled)
        assert scores.value("J") < 0.9
        assert scores.value("J (annotators)") == pytest.approx(1.0, abs=0.01)

    def test_objects_are_matched_and_not_named_by_annotator(self, bench, answers) -> None:
        """Two expressions answered with each other's object are both wrong, but the picture of labels is right."""
        objects = {
            video: sorted({one.facts["object"] for one in answers if one.video == video}) for video in videos(answers)
        }
        several = [video for video, names in objects.items() if len(names) > 1]
        if not several:
            pytest.skip("no video has two objects")
        first, second = objects[several[0]][:2]
        other = {first: second, second: first}
        tracks = {(one.video, one.facts["object"], one.facts["annotator"]): one.pred_tracks for one in answers}
        swapped = [
            replace(one, pred_tracks=tracks[one.video, other[one.facts["object"]], one.facts["annotator"]])
            if one.video == several[0] and one.facts["object"] in other
            else one
            for one in answers
        ]
        scores = bench("ref-davis17").score(swapped)
        assert scores.value("J&F") < 0.9
        assert scores.value("J&F (annotators)") == pytest.approx(1.0)

    def test_annotators_are_averaged_after_their_objects_are_pooled(self, bench, answers) -> None:
        """One object forgotten by one annotator costs its share of the objects, and that its share of annotators."""
        lost = next(one for one in answers if all(rle is not None and area(rle) for rle in one.gt_tracks[0]))
        objects = len({(one.video, one.facts["object"]) for one in answers})
        annotators = len({one.facts["annotator"] for one in answers})
        forgotten = [replace(one, pred_tracks=()) if one is lost else one for one in answers]
        expected = 1 - 1 / (objects * annotators)
        assert bench("ref-davis17").score(forgotten).value("J (annotators)") == pytest.approx(expected)

    def test_an_object_whose_first_question_failed_is_left_out(self, bench, answers) -> None:
        first = answers[0]
        left = [one for one in answers if one is not first]
        assert bench("ref-davis17").score(left).value("J (annotators)") == pytest.approx(1.0)
        alone = [one for one in answers if one.facts["annotator"] == 1]
        assert bench("ref-davis17").score(alone).measure("J (annotators)").missing

    def test_a_pixel_has_one_label_and_the_first_object_keeps_it(self) -> None:
        a, b = np.zeros((2, 4, 6), dtype=bool)
        a[:, :4], b[:, 2:] = True, True
        first, second = labelled([(encode(a), None), (encode(b), encode(b))])
        assert area(first[0]) == 16
        assert (decode(second[0]) == (b & ~a)).all()
        assert second[1] == encode(b)

    def test_a_missing_picture_of_labels_is_told(self, bench, tmp_path: Path) -> None:
        root = Path(shutil.copytree(bench("ref-davis17").folder, tmp_path / "davis17"))
        labels = sorted((root / "valid" / "Annotations").rglob("*.png"))
        labels[0].unlink()
        Image.new("L", (3, 3)).save(labels[-1])
        report = bench("ref-davis17").task.check(root)
        assert report.faults == {"missing_file": 1, "mask_size_mismatch": 1}


def test_rows_hold_the_scores_of_the_metrics_room(bench, right_answers) -> None:
    opened = bench("mevis-valid-u")
    row = opened.score(right_answers(opened)[:1]).rows[0]
    assert ExpressionScores(row.values["J"], row.values["F"]) == ExpressionScores(1.0, 1.0)
