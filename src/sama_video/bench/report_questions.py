"""The questions of a run as a report shows them: texts with their phrases, scores, and the few that get pictures."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sama_video.bench.report import Report
from sama_video.bench.report_pictures import Illustration
from sama_video.bench.store import Question
from sama_video.bench.task import Mode, Prediction, Row
from sama_video.dialogue.markup import parse_answer

LONGEST = 2000
"""Characters of a text that the page shows; a model that runs on for ever must not make it unreadable."""


@dataclass(frozen=True)
class Piece:
    """Some words of an answer.

    Attributes:
        phrase: Whether they are marked as a phrase.
        mask_idx: Which of the answer's masks is theirs; None for a phrase without one, and for plain words.
    """

    text: str
    phrase: bool = False
    mask_idx: int | None = None


@dataclass(frozen=True)
class Said:
    """One question, what was answered, and what that was worth.

    Attributes:
        turn_idx: Position in its dialogue; None where the benchmark has none.
        reference: Empty where the benchmark has none.
        scores: By mode and metric, as a reader sees them.
        main: By mode, the metric that the question is sorted by and its value in the unit that is shown.
        error: Why there is no answer.
    """

    sample_id: str
    video: str
    subset: str
    turn_idx: int | None
    question: str
    answer: tuple[Piece, ...]
    reference: tuple[Piece, ...]
    scores: Mapping[Mode, Mapping[str, str]] = field(default_factory=dict)
    main: Mapping[Mode, tuple[str, float | int]] = field(default_factory=dict)
    error: str | None = None

    @property
    def where(self) -> str:
        """Its name and its place in the benchmark."""
        turn = "" if self.turn_idx is None else f"turn {self.turn_idx + 1}"
        return " · ".join(part for part in (self.sample_id, self.subset, turn) if part)


@dataclass(frozen=True)
class Shown:
    """A question with its masks drawn."""

    said: Said
    illustration: Illustration


def shortened(question: str) -> str:
    """A question as far as it is shown."""
    return question[:LONGEST]


def pieces_of(text: str) -> tuple[Piece, ...]:
    """An answer in words and phrases, without its marks.

    >>> [piece.text for piece in pieces_of("<p> The star </p> [SEG] moves.")]
    ['The star', ' moves.']
    """
    answer = parse_answer(text)
    pieces, done = [], 0
    for phrase in answer.phrases:
        if phrase.start > done:
            pieces.append(Piece(answer.text[done : phrase.start]))
        if phrase.text:
            pieces.append(Piece(phrase.text, phrase=True, mask_idx=phrase.seg))
        done = max(done, phrase.end)
    if done < len(answer.text):
        pieces.append(Piece(answer.text[done:]))
    return _cut(pieces)


def said_of(report: Report, predictions: Iterable[Prediction]) -> tuple[Said, ...]:
    """Every question of a run in the order of the benchmark, those without an answer too; masks are not needed."""
    stored = {one.sample_id: one for one in predictions}
    rows: dict[str, list[Row]] = {}
    for row in report.rows:
        rows.setdefault(row.sample_id, []).append(row)
    return tuple(_said(report, one, stored.get(one.sample_id), rows.get(one.sample_id, ())) for one in report.asked)


def _said(report: Report, asked: Question, prediction: Prediction | None, rows: Sequence[Row]) -> Said:
    heading = asked.sample_id, asked.video, asked.subset, asked.turn_idx if report.has_dialogues else None
    if prediction is None:
        return Said(*heading, question="", answer=(), reference=(), error="not asked yet")
    leading = {row.mode: report.main_score(row) for row in rows}
    return Said(
        *heading,
        question=shortened(prediction.question),
        answer=pieces_of(prediction.pred_text or ""),
        reference=pieces_of(prediction.gt_text),
        scores={row.mode: {name: report.shown(name, value) for name, value in row.values.items()} for row in rows},
        main={mode: found for mode, found in leading.items() if found is not None},
        error=prediction.error,
    )


def pick(
    said: Sequence[Said], modes: Sequence[Mode], count: int, masked: Collection[str] = ()
) -> dict[str, tuple[Said, ...]]:
    """The questions to show with pictures, under headings that say why; each is picked once.

    Half of them are the worst, half lie around the median, by the last of the modes: `strict` where there is one, since
    what was missed costs nothing in the other. Of a benchmark whose questions have no scores, the first are shown.

    Args:
        masked: Questions that have masks to show; where there are some, only those are picked.
    """
    mode = modes[-1] if modes else None
    said = [one for one in said if one.sample_id in masked] or said
    ranked = [one for one in said if mode in one.main]
    if mode is None or not ranked:
        answered = tuple(one for one in said if one.error is None)[:count]
        return {"First answers (their questions have no scores)": answered} if answered else {}
    ranked.sort(key=lambda one: one.main[mode][1])  # stable: ties stay in the order of the benchmark
    num_worst = (count + 1) // 2
    worst, rest = ranked[:num_worst], ranked[num_worst:]
    start = max(0, min(len(ranked) // 2 - num_worst - count // 4, len(rest) - count // 2))
    by = f"by {ranked[0].main[mode][0]}, {mode}"
    median = rest[start : start + count // 2]
    picked = {f"Worst questions {by}": tuple(worst), f"Median questions {by}": tuple(median)}
    return {heading: group for heading, group in picked.items() if group}


def _cut(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    kept: list[Piece] = []
    room = LONGEST
    for piece in pieces:
        if len(piece.text) > room:
            return (*kept, Piece(piece.text[:room] + " … (cut)", piece.phrase, piece.mask_idx))
        kept.append(piece)
        room -= len(piece.text)
    return tuple(kept)
