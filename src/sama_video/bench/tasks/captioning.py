"""Caption metrics of a task's rows as evaluations of pictures have them: one corpus, and one of each subset."""

from collections.abc import Sequence
from typing import Final

from sama_video.bench.caption_scores import NOT_WANTED, unit_of
from sama_video.bench.measures import missing, videos_of
from sama_video.bench.task import Measure, Mode, Row, ScoreTools
from sama_video.metrics.caption import METRICS, CaptionPair
from sama_video.metrics.intervals import by_key, mean_over_questions

MEANS: Final = ("ROUGE_L", "CIDEr")
"""Metrics whose value for a corpus is the mean over its captions, words weighed by the whole corpus."""


def corpus_measures(rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> tuple[Measure, ...]:
    """Caption metrics of all rows as one corpus, and of each subset as one, as evaluations of pictures have them."""
    if tools.captions is None:
        return missing(METRICS, mode, NOT_WANTED)
    subsets = by_key(row.subset for row in rows)
    scopes = {"": list(range(len(rows)))} | (subsets if len(subsets) > 1 else {})
    pairs = [CaptionPair(str(row.texts["candidate"]), tuple(row.texts["references"])) for row in rows]
    found = tools.captions.score(pairs, [places for places in scopes.values() if places])
    measures: list[Measure] = []
    for (subset, places), scores in zip(scopes.items(), found.corpora, strict=False):
        videos = videos_of([rows[place] for place in places])
        for name, value in scores.corpus.items():
            if name in MEANS:
                measures.append(
                    Measure(name, mode, subset, mean_over_questions(videos, scores.items[name]), unit=unit_of(name))
                )
            else:
                measures.append(Measure(name, mode, subset, value=value, unit=unit_of(name)))
    gaps = [measure for name, why in found.missing.items() for measure in missing([name], mode, why)]
    return (*measures, *gaps)
