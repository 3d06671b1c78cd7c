"""The tables of SAMA-Bench agree with the stored scores of two files of predictions."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shared_folders

from sama_video.bench import sama_scores
from sama_video.bench.records import prediction_from_json
from sama_video.errors import DataError
from sama_video.metrics.intervals import interval
from sama_video.metrics.similarity import exact

FOLDER = shared_folders.find_folder(
    "SAMA_BENCH_FIXTURES_DIR", shared_folders.REPOSITORY.parent / "shared" / "fixtures" / "bench_mini"
)
EXPECTED = json.loads((FOLDER / "expected_scores.json").read_text(encoding="utf-8")) if FOLDER else {}
FILES = [name for name in EXPECTED if name.endswith(".jsonl")]
NOT_OF_THE_ANSWERS = {"noise", "total_reference_with_stale_slots"}

each_file = pytest.mark.parametrize("name", FILES)
needs_folder = pytest.mark.skipif(FOLDER is None, reason="no benchmark miniatures; set SAMA_BENCH_FIXTURES_DIR")
MODES = ("reference", "strict")


@pytest.fixture(scope="module")
def predictions():
    return {
        name: [
            prediction_from_json(json.loads(line), f"{name}:{number}")
            for number, line in enumerate((FOLDER / name).read_text(encoding="utf-8").splitlines(), start=1)
        ]
        for name in FILES
    }


def rows_of(predictions, part, mode):
    chosen = [prediction for prediction in predictions if prediction.part == part]
    if part == "C":
        return [sama_scores.described_row(prediction, mode) for prediction in chosen]
    return [sama_scores.grounded_row(prediction, mode, exact) for prediction in chosen]


def compare(found, expected, where=""):
    """Every key that is expected, numbers to 1e-9, and nothing besides."""
    if isinstance(expected, dict):
        assert set(found) == set(expected) - NOT_OF_THE_ANSWERS, where
        for key in found:
            compare(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            compare(one, other, f"{where}[{place}]")
    else:
        assert type(found) is type(expected), where
        assert found == (pytest.approx(expected, abs=1e-9) if isinstance(expected, float) else expected), where


@needs_folder
@each_file
def test_part_g_has_the_stored_scores(name, predictions):
    documents = [sama_scores.grounded_document(rows_of(predictions[name], "G", mode), mode) for mode in MODES]
    compare(sama_scores.merge_documents(*documents), EXPECTED[name]["G"])


@needs_folder
@each_file
def test_part_c_has_the_stored_counts(name, predictions):
    documents = [sama_scores.described_document(rows_of(predictions[name], "C", mode), mode) for mode in MODES]
    merged = sama_scores.merge_documents(*documents)
    assert [row["question_id"] for row in merged.pop("per_question")] == [
        int(p.question_id) for p in predictions[name] if p.part == "C"
    ]
    compare(merged, EXPECTED[name]["C"])


@needs_folder
@each_file
@pytest.mark.parametrize("mode", MODES)
def test_figures_of_the_report_are_those_of_the_table(name, mode, predictions):
    rows = rows_of(predictions[name], "G", mode)
    total = EXPECTED[name]["G"]["total"]
    for measure in sama_scores.grounded_measures(rows, mode):
        plain = measure.name.removesuffix(" (questions)")
        means = total["mean_over_videos"] if plain == measure.name else total["mean_over_questions"]
        expected = total[plain] if plain in total else means[mode][plain]
        found = interval(measure.statistic)
        assert found.value == pytest.approx(expected, abs=1e-9), measure.name
        assert found.low <= found.value <= found.high, measure.name


def slots_of_questions():
    """For each question number, which of the slots of its round hold a mask."""
    found = {}
    for path in sorted((FOLDER / "sama_bench").glob("*.json")):
        if "_mask_dict_" in path.name:
            continue
        for video in json.loads(path.read_text(encoding="utf-8")):
            asked = [message for message in video["conversation"] if message["from"] == "human"]
            for message, slots in zip(asked, video["groundtruth"], strict=False):
                found[str(message["question_id"])] = [bool(slot) for slot in slots]
    return found


@needs_folder
@each_file
def test_stale_slots_give_the_scores_of_the_published_loader(name, predictions):
    slots = slots_of_questions()

    def as_loaded(prediction):
        tracks = iter(prediction.gt_tracks)
        filled = [next(tracks) if held else None for held in slots[prediction.question_id]]
        assert not list(tracks)
        return replace(prediction, gt_tracks=sama_scores.repeat_stale_slots(filled))

    loaded = [as_loaded(prediction) for prediction in predictions[name] if prediction.part == "G"]
    assert sum(len(one.gt_tracks) for one in loaded) > EXPECTED[name]["G"]["total"]["gt_masks"]
    total = sama_scores.grounded_document(rows_of(loaded, "G", "reference"), "reference")["total"]
    expected = EXPECTED[name]["G"]["total_reference_with_stale_slots"]
    compare({mean: total[mean]["reference"] for mean in expected}, expected)


def test_a_first_slot_without_a_mask_has_nothing_to_repeat():
    first, second = ({"size": [1, 1], "counts": "01"},), (None,)
    assert sama_scores.repeat_stale_slots([first, None, second, None]) == (first, first, second, second)
    with pytest.raises(DataError, match="first slot"):
        sama_scores.repeat_stale_slots([None, first])


def test_no_rows_give_tables_of_nothing():
    for mode in MODES:
        total = sama_scores.grounded_document([], mode)["total"]
        assert (total["questions"], total["answer_rate"]) == (0, 0.0)
        assert set(total["mean_over_videos"][mode].values()) == {0.0}
        assert {interval(m.statistic).value for m in sama_scores.grounded_measures([], mode)} <= {None, 0.0}


def test_documents_that_disagree_are_not_merged():
    with pytest.raises(DataError, match="disagree about 'questions': 3 and 4"):
        sama_scores.merge_documents({"total": {"questions": 3}}, {"total": {"questions": 4}})
    with pytest.raises(DataError, match="per_question"):
        sama_scores.merge_documents({"per_question": [1]}, {"per_question": [1, 2]})


@needs_folder
def test_rows_are_the_same_whatever_numbers_the_similarity_gives(predictions):
    (name, *_) = FILES
    one = next(p for p in predictions[name] if p.part == "G" and p.gt_phrases)

    def whole(a, b):
        return [[np.float64(value) for value in row] for row in exact(a, b)]

    assert sama_scores.grounded_row(one, "strict", whole) == sama_scores.grounded_row(one, "strict", exact)
