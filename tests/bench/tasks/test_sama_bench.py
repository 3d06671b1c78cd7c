"""SAMA-Bench: its questions are those of the stored records, its scores those of the stored scores."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sama_video.bench.records import prediction_from_json
from sama_video.bench.sama_scores import merge_documents
from sama_video.bench.task import TaskOptions
from sama_video.dialogue.markup import INTERLEAVED_REQUEST
from sama_video.errors import DataError
from sama_video.regions.rle import area, encode
from sama_video.regions.shapes import Box, Mask

PARTS = {"G": "sama-bench-g", "C": "sama-bench-c"}
NOT_OF_THE_ANSWERS = {"noise", "total_reference_with_stale_slots"}
each_part = pytest.mark.parametrize("part", PARTS)


def records(root: Path, name: str) -> dict[str, dict]:
    rows = [json.loads(line) for line in (root / name).read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row for row in rows}


@pytest.fixture
def copied(bench, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bench("sama-bench-g").folder, tmp_path / "sama_bench"))


def change(path: Path, edit) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


@each_part
def test_samples_are_the_stored_records_in_their_order(bench, part: str) -> None:
    opened = bench(PARTS[part])
    stored = [row for row in records(opened.root, "predictions_oracle.jsonl").values() if row["part"] == part]
    samples = opened.samples()
    assert [sample.sample_id for sample in samples] == [row["id"] for row in stored]
    for sample, row in zip(samples, stored, strict=True):
        assert sample.question.replace("<region>", "<mask>") == row["question"]
        assert [sample.video, sample.subset, sample.question_id] == [
            row["video"],
            row["subset"],
            str(row["question_id"]),
        ]
        assert {key: sample.prompt[key] for key in row["prompt"]} == row["prompt"]
        assert list(sample.frames) == row["frames"]
        assert [sample.reference_text, list(sample.reference_phrases)] == [row["gt_text"], row["gt_phrases"]]
        assert [
            [None if rle is None or not area(rle) else rle for rle in track] for track in sample.reference_tracks()
        ] == [[None if rle is None or not area(rle) else rle for rle in track] for track in row["gt_masks"]]


@each_part
@pytest.mark.parametrize("name", ["predictions_oracle.jsonl", "predictions_noisy.jsonl"])
def test_stored_answers_get_the_stored_scores_with_no_other_keys(bench, part: str, name: str) -> None:
    opened = bench(PARTS[part])
    expected = json.loads((opened.root / "expected_scores.json").read_text(encoding="utf-8"))[name][part]
    answers = [
        prediction_from_json(row, row["id"]) for row in records(opened.root, name).values() if row["part"] == part
    ]
    documents = [opened.score(answers, mode).document[part] for mode in ("reference", "strict")]
    compare(merge_documents(*documents), expected)


def compare(found, expected, where: str = "") -> None:
    if isinstance(expected, dict):
        wanted = {key: value for key, value in expected.items() if key not in NOT_OF_THE_ANSWERS}
        # Part C's lists of questions are our addition.
        assert set(found) - {"per_question"} == set(wanted) - {"per_question"}, where
        for key in wanted:
            compare(found[key], wanted[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, pair in enumerate(zip(found, expected, strict=True)):
            compare(*pair, f"{where}[{place}]")
    else:
        assert found == (pytest.approx(expected, abs=1e-9) if isinstance(expected, float) else expected), where


def test_measures_are_the_figures_of_the_document(bench) -> None:
    opened = bench("sama-bench-g")
    name = "predictions_noisy.jsonl"
    expected = json.loads((opened.root / "expected_scores.json").read_text(encoding="utf-8"))[name]["G"]
    answers = [
        prediction_from_json(row, row["id"]) for row in records(opened.root, name).values() if row["part"] == "G"
    ]
    for mode in ("reference", "strict"):
        scores = opened.score(answers, mode)
        for subset, table in [("", expected["total"]), *expected["per_subset"].items()]:
            for figure, value in table["mean_over_videos"][mode].items():
                assert scores.value(figure, subset) == pytest.approx(value, abs=1e-9)
                pooled = table["mean_over_questions"][mode][figure]
                assert scores.value(f"{figure} (questions)", subset) == pytest.approx(pooled, abs=1e-9)
            assert scores.value("answer_rate", subset) == pytest.approx(table["answer_rate"])


def test_turns_are_numbered_as_they_are_asked_and_scored_by_turn(bench, right_answers) -> None:
    opened = bench("sama-bench-g")
    samples = opened.samples()
    for video in {sample.video for sample in samples}:
        turns = [sample for sample in samples if sample.video == video]
        assert [sample.turn_idx for sample in turns] == list(range(len(turns)))
        assert {sample.dialogue for sample in turns} == {video}
    scores = opened.score(right_answers(opened), "reference")
    first = [row for row in scores.rows if row.turn_idx == 0]
    assert scores.value("miou (questions)", "turn 1") == sum(row.values["miou"] for row in first) / len(first)


def test_a_region_is_a_box_in_chat_and_an_outline_in_captions(bench) -> None:
    assert {type(region) for sample in bench("sama-bench-g").samples() for region in sample.regions} == {Box}
    assert {type(region) for sample in bench("sama-bench-c").samples() for region in sample.regions} == {Mask}


def test_without_the_give_away_only_the_suffix_is_gone(bench) -> None:
    opened = bench("sama-bench-g")
    told, untold = opened.samples(), opened.samples(give_away=False)
    changed = 0
    for one, other in zip(told, untold, strict=True):
        assert one.question in (other.question, other.question + INTERLEAVED_REQUEST)
        assert [one.regions, one.reference_text] == [other.regions, other.reference_text]
        changed += one.question != other.question
    expected = opened.expected["sama_bench"]["total"]
    carried = sum("segmentation masks." in sample.question for sample in untold)
    assert changed == expected["rounds_kept"] - expected["rounds_without_seg"] - carried > 0


def test_a_text_without_masks_is_told_apart_from_no_answer(bench) -> None:
    opened = bench("sama-bench-g")
    samples = opened.samples()
    texts = ["Only words."] * 5 + [""] * (len(samples) - 5)
    scores = opened.score([opened.answer(sample, text) for sample, text in zip(samples, texts, strict=True)])
    assert scores.value("text_only_rate") == 5 / len(samples)
    assert scores.value("answer_rate") == 0


def test_frame_0_is_used_where_it_shows_the_object_and_said_where_not(bench) -> None:
    for sample in bench("sama-bench-g").samples(prompt_frame="frame_0"):
        absent = sample.prompt.get("absent", [])
        for place, frame_idx in enumerate(sample.prompt["frames"]):
            assert (frame_idx == 0) != (place in absent)
        assert sample.prompt["rule"] == "frame_0"


def test_a_seeded_frame_is_one_of_the_first_five_sampled_and_depends_on_the_seed(bench) -> None:
    opened = bench("sama-bench-g")
    drawn = []
    for seed in range(3):
        samples = opened.samples(prompt_frame="fixed_seed", seed=seed)
        for sample in samples:
            for place, frame_idx in enumerate(sample.prompt["frames"]):
                assert frame_idx in sample.frames[:5] or place in sample.prompt.get("absent", [])
        drawn.append([sample.prompt["frames"] for sample in samples])
    assert drawn[0] != drawn[1] != drawn[2]


def test_an_object_that_no_frame_shows_leaves_the_question_to_be_refused_by_the_model(copied: Path, bench) -> None:
    """The question stays one of the benchmark's; that it cannot be asked is recorded where it is asked."""
    samples = {sample.sample_id: sample for sample in bench("sama-bench-g").samples()}
    path = copied / "Mevis_mask_dict_val.json"
    seen = next(sample for sample in samples.values() if len(sample.regions) == 1 and sample.subset == "mevis")
    record = next(row for row in json.loads((copied / "mevis.json").read_text()) if row["video"] == seen.video)
    asked = [message.get("question_id") for message in record["conversation"][::2]]
    hidden = str(record["obj_masks"][asked.index(int(seen.question_id))][0])
    change(path, lambda masks: masks.update({hidden: [None] * len(masks[hidden])}))
    found = {sample.sample_id: sample for sample in bench("sama-bench-g").samples(copied)}[seen.sample_id]
    assert found.regions == ()
    assert found.prompt["never_visible"] == [0]
    assert found.prompt["frame"] == 0
    assert bench("sama-bench-g").task.check(copied).notes["prompt_not_visible"] == 1


def test_tracks_that_end_early_and_small_masks_fit_the_frames(bench) -> None:
    expected = bench("sama-bench-g").expected["sama_bench"]["tracks"]
    for sample in bench("sama-bench-c").samples():
        size = sample.regions[0].mask["size"]
        assert [size] == [[clip.height, clip.width] for clip in [sample.open_clip()]]
        stored = [track for track in expected.values() if sample.video.endswith(track["video"].lstrip("0"))]
        assert area(sample.regions[0].mask) in {track["area_at_frame_size"][sample.prompt["frame"]] for track in stored}


def test_a_part_that_is_missing_stops_the_run_and_is_told_by_the_check(copied: Path, bench) -> None:
    for path in copied.glob("VidSTG_*.json"):
        if "mask" not in path.name:
            path.unlink()
    task = bench("sama-bench-g").task
    with pytest.raises(DataError, match="vidstg"):
        list(task.samples(copied, TaskOptions()))
    assert task.check(copied).faults == {"missing_file": 1}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("VidSTG_mask_dict_val_updated.json", "missing_file"), ("VidSTG/val", "missing_video")],
)
def test_what_is_missing_stops_the_run_and_is_told_by_the_check(copied: Path, bench, name: str, reason: str) -> None:
    found = copied / name
    found.rename(copied / "elsewhere")
    task = bench("sama-bench-g").task
    with pytest.raises(DataError, match=reason):
        list(task.samples(copied, TaskOptions()))
    assert reason in task.check(copied).faults


def test_rounds_that_the_benchmark_drops_are_no_faults(bench) -> None:
    report = bench("sama-bench-g").report
    dropped = bench("sama-bench-g").expected["sama_bench"]["dropped"]
    assert report.faults == {}
    assert {reason: report.notes[reason] for reason in dropped} == dropped
    assert len([row for row in report.rows if row["reason"] in dropped]) == sum(dropped.values())


def test_a_question_without_a_number_is_refused(copied: Path, bench) -> None:
    change(copied / "mevis.json", lambda rows: rows[0]["conversation"][0].pop("question_id"))
    with pytest.raises(DataError, match="has no number"):
        list(bench("sama-bench-g").task.samples(copied, TaskOptions()))


def test_average_precision_is_called_an_extension_and_is_missing_without_confidences(bench, right_answers) -> None:
    scores = bench("sama-bench-g").score(right_answers(bench("sama-bench-g")))
    measure = scores.measure("AP50 (extension)")
    assert measure.value is None
    assert "confidence" in measure.missing


def test_a_missed_mask_costs_nothing_by_reference_and_half_by_the_strict_rule(bench, right_answers) -> None:
    """Q5: what is missed does not enter the mean."""
    opened = bench("sama-bench-g")
    whole = next(answer for answer in right_answers(opened) if len(answer.gt_tracks) == 2)
    half = replace(whole, pred_tracks=whole.pred_tracks[:1])
    assert opened.score([half], "reference").value("miou") == 1.0
    assert opened.score([half], "strict").value("miou_over_gt") == 0.5


def test_masks_without_phrases_leave_the_reference_recall_alone(bench, right_answers) -> None:
    """Q6: the question drops out of the reference recall, and counts as missed in the strict one."""
    opened = bench("sama-bench-g")
    whole = [answer for answer in right_answers(opened) if len(answer.gt_tracks) == 1][:2]
    answers = [whole[0], replace(whole[1], pred_phrases=())]
    assert opened.score(answers, "reference").value("recall (questions)") == 1.0
    assert opened.score(answers, "strict").value("recall (questions)") == 0.5


def test_an_absence_foretold_is_nothing_by_reference_and_right_by_the_strict_rule(bench, right_answers) -> None:
    """Q4."""
    opened = bench("sama-bench-g")
    one = next(answer for answer in right_answers(opened) if len(answer.gt_tracks) == 1)
    nothing = ((None,) * len(one.gt_tracks[0]),)
    foretold = replace(one, gt_tracks=nothing, pred_tracks=nothing)
    assert opened.score([foretold], "reference").value("miou") == 0.0
    assert opened.score([foretold], "strict").value("miou_over_gt") == 1.0


def test_a_judges_scores_are_means_of_those_it_gave(bench, right_answers) -> None:
    opened = bench("sama-bench-c")
    answers = right_answers(opened)
    judge = {answers[0].sample_id: {"clair": 0.5}, answers[1].sample_id: {"clair": 1.0}}
    scores = opened.score(answers, "strict", judge=judge, judge_name="a judge")
    assert scores.value("clair") == 0.75
    assert scores.document["judged"] == {"scored": 2, "unscored": len(answers) - 2}
    assert opened.score(answers, "strict").measure("clair").missing


@pytest.mark.slow
def test_caption_metrics_are_scored_by_video_and_as_one_corpus(bench, right_answers) -> None:
    from sama_video.metrics.caption import CaptionScorer

    if (why := CaptionScorer().unavailable()) is not None:
        pytest.skip(why)
    opened = bench("sama-bench-c")
    answers = right_answers(opened)
    with CaptionScorer() as scorer:
        by_video, corpus = (opened.score(answers, mode, captions=scorer) for mode in ("reference", "strict"))
        lone = opened.score(answers[:1], "reference", captions=scorer)
    assert by_video.value("Bleu_4") == pytest.approx(1.0)
    assert corpus.value("METEOR (corpus)") == pytest.approx(1.0, abs=0.01)
    assert lone.value("CIDEr") == 0.0, "a corpus of one has no words that tell it from others (Q10)"


def test_precision_needs_the_belief_in_each_mask(bench, right_answers) -> None:
    opened = bench("sama-bench-g")
    answers = right_answers(opened)
    assert "confidence" in str(opened.score(answers).measure("mAP (extension)").missing)
    sure = [replace(one, pred_scores=tuple(0.5 for _ in one.pred_tracks)) for one in answers]
    assert opened.score(sure).value("mAP (extension)") == pytest.approx(1.0)
    at = next(idx for idx, one in enumerate(sure) if one.pred_tracks)
    empty = tuple(None for _ in sure[at].pred_tracks[0])
    extra = (*sure[at].pred_tracks, empty)
    trusted, doubted = (
        [*sure[:at], replace(sure[at], pred_tracks=extra, pred_scores=(*sure[at].pred_scores, belief)), *sure[at + 1 :]]
        for belief in (0.9, 0.1)
    )
    assert opened.score(doubted).value("AP50 (extension)") == pytest.approx(1.0)
    assert opened.score(trusted).value("AP50 (extension)") < 1.0


def test_an_empty_mask_is_a_mask_of_the_answer(bench) -> None:
    opened = bench("sama-bench-g")
    sample = next(sample for sample in opened.samples() if sample.subset == "mevis")
    clip = sample.open_clip()
    empty = ((encode(clip.frame(0)[..., 0] > 255),) * clip.num_frames,)
    assert opened.score([opened.answer(sample, "text", empty)]).value("answer_rate") == 1.0
