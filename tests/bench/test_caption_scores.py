"""Rows with texts become measures and tables; the scorer here counts words instead of starting Java."""

import pytest

from sama_video.bench.caption_scores import caption_summary
from sama_video.bench.task import Row
from sama_video.metrics.caption import CaptionScorer, CaptionScores, CorpusScores
from sama_video.metrics.intervals import interval


class LengthScorer(CaptionScorer):
    """METEOR is a tenth of a caption's words; CIDEr that times the size of the corpus; BLEU is 0.5."""

    def __init__(self):
        super().__init__()
        self.corpora = []

    def score(self, pairs, corpora=None):
        self.corpora.append([list(corpus) for corpus in corpora])
        return CaptionScores(
            tuple(self._corpus([pairs[place] for place in corpus]) for corpus in corpora), {"SPICE": "not here"}
        )

    def _corpus(self, pairs):
        meteor = tuple(len(pair.candidate.split()) / 10 for pair in pairs)
        cider = tuple(value * len(pairs) for value in meteor)
        values = {"METEOR": meteor, "CIDEr": cider, "Bleu_1": (0.5,) * len(pairs)}
        return CorpusScores({name: sum(items) / len(items) for name, items in values.items()}, values)


def row(number, video, subset, words, mode):
    texts = {"question_id": number, "candidate": " ".join(["word"] * words), "references": ["word"]}
    return Row(f"C/{number}", video, subset, mode, texts=texts)


def rows(mode):
    given = [("a", "x", 1), ("b", "y", 2), ("a", "x", 3), ("c", "y", 4)]
    return [row(number, video, subset, words, mode) for number, (video, subset, words) in enumerate(given)]


def figures(summary):
    return {
        (m.name, m.subset): interval(m.statistic).value if m.statistic else m.value
        for m in summary.measures
        if m.missing is None
    }


def test_reference_takes_each_video_as_a_corpus():
    scorer = LengthScorer()
    summary = caption_summary(rows("reference"), "reference", scorer)
    assert scorer.corpora == [[[0, 2], [1], [3]]]
    total = summary.tables["total"]
    assert total["mean_over_videos"]["reference"]["METEOR"] == pytest.approx((0.2 + 0.2 + 0.4) / 3)
    assert total["mean_over_questions"]["reference"]["METEOR"] == pytest.approx(0.25)
    assert total["mean_over_videos"]["reference"]["CIDEr"] == pytest.approx((0.4 + 0.2 + 0.4) / 3)
    found = figures(summary)
    assert found["METEOR", ""] == pytest.approx(0.8 / 3)
    assert found["CIDEr", "y"] == pytest.approx(0.3)
    assert summary.tables["per_subset"]["x"]["mean_over_videos"]["reference"]["Bleu_1"] == 0.5
    assert summary.values[2] == {"METEOR": 0.3, "CIDEr": 0.6, "Bleu_1": 0.5}


def test_strict_takes_the_whole_part_as_a_corpus_and_questions_for_intervals():
    scorer = LengthScorer()
    summary = caption_summary(rows("strict"), "strict", scorer)
    assert scorer.corpora == [[[0, 1, 2, 3], [0, 2], [1, 3]]]
    total, of_x = summary.tables["total"], summary.tables["per_subset"]["x"]
    assert total["corpus"]["strict"]["CIDEr"] == pytest.approx(1.0)
    assert of_x["corpus"]["strict"]["CIDEr"] == pytest.approx(0.4)
    # A question's own value is that of the whole part, in every table.
    assert of_x["mean_over_questions"]["strict"] == pytest.approx({"METEOR": 0.2, "CIDEr": 0.8})
    assert total["mean_over_videos"]["strict"]["METEOR"] == pytest.approx((0.2 + 0.2 + 0.4) / 3)
    found = figures(summary)
    assert found["METEOR (questions)", ""] == pytest.approx(0.25)
    assert found["METEOR (corpus)", "y"] == pytest.approx(0.3)
    assert found["Bleu_1", ""] == 0.5
    assert "Bleu_1 (questions)" not in {name for name, _ in found}


@pytest.mark.parametrize("mode", ["reference", "strict"])
def test_what_is_missing_is_told_once_with_its_reason(mode):
    summary = caption_summary(rows(mode), mode, LengthScorer())
    missing = [(m.name, m.subset, m.missing) for m in summary.measures if m.missing]
    assert missing == [("SPICE", "", "not here")]
    assert summary.tables["per_subset"]["y"]["missing"] == {"SPICE": "not here"}


@pytest.mark.parametrize("mode", ["reference", "strict"])
def test_without_a_scorer_all_metrics_are_missing_and_tables_stay_whole(mode):
    summary = caption_summary(rows(mode), mode, None)
    assert {m.missing for m in summary.measures} == {"metrics of captions were not asked for"}
    assert len(summary.measures) == 8
    assert summary.tables["total"]["mean_over_questions"] == {mode: {}}
    assert list(summary.values) == [{}] * 4


@pytest.mark.parametrize("mode", ["reference", "strict"])
def test_no_rows_give_no_figures(mode):
    summary = caption_summary([], mode, LengthScorer())
    assert (figures(summary), list(summary.values)) == ({}, [])
