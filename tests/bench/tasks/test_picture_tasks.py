"""Pictures: referring expressions, grounded captions and captions of regions, with the oddities of each script."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sama_video.bench.task import TaskOptions
from sama_video.bench.tasks import load_task
from sama_video.regions.rle import area, encode
from sama_video.regions.shapes import Mask


def empty_like(answer):
    height, width = answer.gt_tracks[0][0]["size"]
    return ((encode(np.zeros((height, width), dtype=bool)),),)


class TestRefCoco:
    def test_there_is_a_question_for_each_sentence_of_the_evaluated_splits(self, bench) -> None:
        opened = bench("refcoco")
        table = opened.expected["refcoco"]["refcoco"]["table"]
        wanted = {}
        for row in table:
            if row["split"] in opened.task.splits:
                wanted[row["split"]] = wanted.get(row["split"], 0) + row["sentences"]
        samples = opened.samples()
        assert {split: sum(sample.subset == split for sample in samples) for split in wanted} == wanted
        assert all(sample.question.startswith("Please segment ") for sample in samples)

    def test_an_answer_without_a_mask_leaves_the_reference_ciou_and_counts_in_the_rest(
        self, bench, right_answers
    ) -> None:
        """Q26."""
        opened = bench("refcoco")
        right = right_answers(opened)[:2]
        answers = [right[0], replace(right[1], pred_tracks=())]
        by_reference, strict = (opened.score(answers, mode) for mode in ("reference", "strict"))
        assert by_reference.value("cIoU") == 1.0
        assert by_reference.value("gIoU") == pytest.approx(0.5)
        areas = [area(answer.gt_tracks[0][0]) for answer in answers]
        assert strict.value("cIoU") == areas[0] / sum(areas)
        assert strict.value("gIoU") == strict.value("P@0.5") == 0.5
        assert strict.value("answer_rate") == 0.5

    def test_an_empty_mask_is_an_answer(self, bench, right_answers) -> None:
        opened = bench("refcoco")
        right = right_answers(opened)[:2]
        answers = [right[0], replace(right[1], pred_tracks=empty_like(right[1]))]
        areas = [area(answer.gt_tracks[0][0]) for answer in answers]
        assert opened.score(answers, "reference").value("cIoU") == areas[0] / sum(areas)

    def test_precision_at_thresholds_is_strict_only(self, bench, right_answers) -> None:
        scores = bench("refcoco").score(right_answers(bench("refcoco")), "reference")
        assert not any(name.startswith("P@") for name, _ in scores.measures)

    def test_overlapping_polygons_have_a_hole_by_reference(self, bench) -> None:
        """Q27; also among the objects of the training split, where the miniature has them."""
        opened = bench("refcoco")
        task = load_task("refcoco")
        task.splits = ("train", *task.splits)
        samples = list(task.samples(opened.folder, TaskOptions()))
        holed = [sample for sample in samples if len(sample.reference_tracks()) > 1]
        if not holed:
            pytest.skip("no polygons of one object overlap")
        for sample in holed:
            true, with_hole = sample.reference_tracks()
            assert area(with_hole[0]) < area(true[0])
            answer = opened.answer(sample, "It is [SEG].", (true,))
            assert opened.score([answer], "strict").value("gIoU") == 1.0
            assert opened.score([answer], "reference").value("gIoU") < 1.0

    def test_a_split_by_other_people_is_another_benchmark(self) -> None:
        assert load_task("refcocog").splits == ("val", "test")
        assert "refcoco+" in load_task("refcoco+").names

    def test_totals_are_kept_by_split(self, bench, right_answers) -> None:
        answers = right_answers(bench("refcoco"))
        totals = bench("refcoco").score(answers).document["totals"]["strict"]
        assert totals == {answer.subset: {"cIoU": 1.0, "gIoU": 1.0, "unanswered": 0} for answer in answers}


class TestImageGcg:
    def test_phrases_are_taken_from_the_answer_with_their_case(self, bench, right_answers) -> None:
        opened = bench("gcg")
        shouting = [
            replace(answer, pred_text="".join(f"<p> {phrase.upper()} </p> [SEG]" for phrase in answer.gt_phrases))
            for answer in right_answers(opened)
        ]
        as_written = opened.score(shouting, similarity=lambda a, b: [[float(x == y) for y in b] for x in a])
        assert as_written.value("recall") == 0.0
        assert opened.score(shouting).value("recall") == 1.0

    def test_average_precision_counts_a_wrong_mask_and_stands_under_reference_alone(self, bench, right_answers) -> None:
        opened = bench("gcg")
        right = right_answers(opened)
        assert opened.score(right, "reference").value("AP50") == pytest.approx(1.0)
        worse = [replace(right[0], pred_tracks=(*empty_like(right[0]), *right[0].pred_tracks)), *right[1:]]
        assert opened.score(worse, "reference").value("AP50") < 1.0
        assert ("AP50", "") not in opened.score(right).measures

    def test_a_missed_mask_costs_nothing_by_reference(self, bench, right_answers) -> None:
        opened = bench("gcg")
        one = next(answer for answer in right_answers(opened) if len(answer.gt_tracks) > 1)
        half = replace(one, pred_tracks=one.pred_tracks[:1])
        assert opened.score([half], "reference").value("miou") == 1.0
        assert opened.score([half], "strict").value("miou_over_gt") == 1 / len(one.gt_tracks)

    def test_both_splits_are_asked_where_both_are_there(self, bench, tmp_path: Path) -> None:
        opened = bench("gcg")
        root = Path(shutil.copytree(opened.folder, tmp_path / "gcg"))
        for part in ("mask", "caption"):
            path = root / "annotations" / "val_test" / f"val_gcg_coco_{part}_gt.json"
            shutil.copy(path, path.with_name(f"test_gcg_coco_{part}_gt.json"))
        samples = list(opened.task.samples(root, TaskOptions()))
        count = len(opened.samples())
        assert [sample.subset for sample in samples] == ["val"] * count + ["test"] * count
        assert len({sample.sample_id for sample in samples}) == 2 * count


class TestRegionCaption:
    def test_the_region_is_shown_by_its_mask_with_all_its_captions(self, bench) -> None:
        opened = bench("region-caption")
        table = opened.expected["region_caption"]["table"]
        for sample in opened.samples():
            (region,) = sample.regions
            assert isinstance(region, Mask)
            assert area(region.mask) == table[sample.sample_id]["area"]
            assert len(sample.facts["captions"]) == table[sample.sample_id]["references"]
            assert sample.ground is False

    def test_the_reference_cleaning_spoils_words_and_the_strict_one_does_not(self, bench) -> None:
        """Q28."""
        opened = bench("region-caption")
        answer = opened.answer(opened.samples()[0], "region1 shows: a dish for my sister")
        texts = {mode: opened.score([answer], mode).rows[0].texts["candidate"] for mode in ("reference", "strict")}
        assert texts == {"reference": "a dh for my ster", "strict": "a dish for my sister"}

    def test_captions_not_asked_for_are_missing_with_the_reason(self, bench, right_answers) -> None:
        scores = bench("region-caption").score(right_answers(bench("region-caption")))
        assert scores.measure("METEOR").missing == "metrics of captions were not asked for"

    @pytest.mark.slow
    def test_the_whole_set_is_one_corpus_with_several_references(self, bench, right_answers) -> None:
        from sama_video.metrics.caption import CaptionScorer

        if (why := CaptionScorer().unavailable()) is not None:
            pytest.skip(why)
        opened = bench("region-caption")
        second = [replace(answer, pred_text=answer.facts["captions"][-1]) for answer in right_answers(opened)]
        with CaptionScorer() as scorer:
            scores = opened.score(second, captions=scorer)
        assert scores.value("METEOR") == pytest.approx(1.0, abs=0.01)
        assert scores.value("CIDEr") > 1.0
        assert scores.measure("CIDEr").statistic is not None


def test_a_broken_file_is_told_with_its_place(bench, tmp_path: Path) -> None:
    for name, file in (("gcg", "annotations/val_test/val_gcg_coco_mask_gt.json"), ("refcoco", "instances.json")):
        opened = bench(name)
        root = Path(shutil.copytree(opened.folder, tmp_path / name))
        path = root / file
        path.write_text(path.read_text()[:-20])
        report = opened.task.check(root)
        assert report.faults == {"json_error": 1}
        assert report.rows[0]["file"] == file
    region = bench("region-caption")
    root = Path(shutil.copytree(region.folder, tmp_path / "region_caption"))
    path = root / "refcocog" / "finetune_refcocog_val_with_mask.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["segmentation"] = [{"size": [120, 160], "counts": "broken"}]
    path.write_text(json.dumps(document))
    assert region.task.check(root).faults == {"bad_rle": 1}
