"""Checked drafts as records, and back: tags become regions in questions, and phrases with masks in answers.

A subject gives up to two records: its dialogue, and its descriptions as questions about one region each. How and where
a question points follows from the seed, the subject and the place, so it is the same in every run.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

import numpy as np

from sama_video.annotate.case import Subject
from sama_video.annotate.drafts import TASK_TYPES, Draft, DraftTurn, TaskType
from sama_video.annotate.tags import question_objects, read_answer, write_phrase
from sama_video.data.building.draws import Draws
from sama_video.data.building.wording import describe_question
from sama_video.data.records import DialogueRecord, RecordTurn
from sama_video.data.stores.json_values import Scalar
from sama_video.dialogue.markup import PHRASE_END, REGION_TAG, SEG, parse_answer, render_answer
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import area, decode
from sama_video.regions.shapes import Box, Mask, Points, Region

DIALOGUE, DESCRIPTIONS = "dialogue", "descriptions"
TURN_KINDS: Final = "turn_kinds"
"""Key of a record's provenance: the kind of each turn, parted by commas."""

_PHRASE_TAGS: Final = re.compile(rf"{re.escape(PHRASE_END)}\s*<obj[0-9]+>(?:\s*<obj[0-9]+>)*")
_CLEAR: Final = 0.5  # of an object's largest area, from which on a frame shows enough of it to be pointed at


def to_records(
    subject: Subject, draft: Draft, provenance: Mapping[str, Scalar], seed: int
) -> tuple[DialogueRecord, ...]:
    """The records of one subject.

    Args:
        draft: Checked.
        provenance: Model, prompt version, time and what else is known of where the texts come from.
        seed: Chooses how questions point.

    Raises:
        DataError: The draft names an object that the subject has not, or one that is never visible.
    """
    turns = tuple(_turn(subject, turn, place, seed) for place, turn in enumerate(draft.turns))
    described = tuple(_description(subject, name, text, seed) for name, text in draft.descriptions.items())
    records = []
    if turns:
        kinds = {TURN_KINDS: ",".join(turn.task for turn in draft.turns)}
        records.append(_record(subject, DIALOGUE, turns, {**provenance, **kinds}, seed))
    if described:
        records.append(_record(subject, DESCRIPTIONS, described, provenance, seed))
    return tuple(records)


def from_records(records: Sequence[DialogueRecord]) -> Draft:
    """The draft that `to_records` made records of.

    Raises:
        DataError: A record is none of those.
    """
    descriptions: dict[str, str] = {}
    turns: list[DraftTurn] = []
    for record in records:
        part = record.provenance.get("part")
        if part == DESCRIPTIONS:
            descriptions |= {turn.regions[0].object_id: turn.answer for turn in record.turns}
        elif part == DIALOGUE:
            turns += _turns_of(record)
        else:
            raise DataError(f"record {record.record_id!r} was not made of a draft; its provenance has no part.")
    return Draft(descriptions, tuple(turns))


def point_at(masklet: Masklet, draws: Draws) -> Region:
    """A click, a box or a mask on a frame that shows much of an object.

    Raises:
        DataError: No frame shows it.
    """
    areas = {frame: area(rle) for frame, rle in enumerate(masklet.rles) if rle is not None}
    if not areas:
        raise DataError(f"{masklet.object_id} is visible on no frame, so no question can point at it; leave it out.")
    most = max(areas.values())
    frame = draws.choice([frame for frame, size in areas.items() if size >= _CLEAR * most])
    rle = masklet.rles[frame]
    assert rle is not None
    form = draws.choice(("point", "box", "mask"))
    if form == "mask":
        return Mask(frame, mask=rle)
    box = masklet.box(frame)
    assert box is not None
    return Box(frame, xyxy=box) if form == "box" else _click(frame, decode(rle), draws)


def _click(frame: int, mask: np.ndarray, draws: Draws) -> Points:
    """A pixel well inside a mask, where it has an inside."""
    wide = np.pad(mask, 1)
    inner = mask & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    rows, columns = np.nonzero(inner if inner.any() else mask)
    chosen = draws.below(len(rows))
    return Points(frame, xy=[(int(columns[chosen]) + 0.5, int(rows[chosen]) + 0.5)])


def _turn(subject: Subject, turn: DraftTurn, place: int, seed: int) -> RecordTurn:
    draws = Draws("point", seed, subject.subject_id, DIALOGUE, place)
    names = question_objects(turn.question)
    question = turn.question
    for name in names:
        question = question.replace(f"<{name}>", REGION_TAG, 1)
    answer, targets = _marked(turn.answer)
    regions = tuple(RegionPrompt(point_at(_masklet(subject, name), draws), name) for name in names)
    return RecordTurn(question, regions, answer, targets, turn.spans)


def _description(subject: Subject, object_id: str, text: str, seed: int) -> RecordTurn:
    draws = Draws("point", seed, subject.subject_id, DESCRIPTIONS, object_id)
    question = describe_question("video", draws)
    return RecordTurn(question, (RegionPrompt(point_at(_masklet(subject, object_id), draws), object_id),), text, ())


def _marked(answer: str) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """A draft's answer with the marks of records, and the objects of each mask token."""
    targets = tuple(phrase.object_ids for phrase in read_answer(answer).phrases)
    parsed = parse_answer(_PHRASE_TAGS.sub(f"{PHRASE_END} {SEG}", answer))
    if parsed.problems or parsed.num_seg != len(targets):
        raise DataError(f"answer {answer[:80]!r} is not as checked drafts are; check it before it becomes a record.")
    return render_answer(parsed.text, [(phrase.start, phrase.end) for phrase in parsed.phrases]), targets


def _masklet(subject: Subject, object_id: str) -> Masklet:
    thing = subject.thing(object_id)
    if thing is None or thing.masklet is None:
        raise DataError(f"subject {subject.subject_id} has no masklet of {object_id}; check the draft and track first.")
    return thing.masklet


def _record(
    subject: Subject, part: str, turns: tuple[RecordTurn, ...], provenance: Mapping[str, Scalar], seed: int
) -> DialogueRecord:
    """A record with the objects that its turns are about."""
    used = {name for turn in turns for name in turn.object_ids}
    things = [thing for thing in subject.things if thing.object_id in used]
    own: dict[str, Scalar] = {"subject": subject.subject_id, "part": part, "point_seed": seed}
    return DialogueRecord(
        record_id=f"{subject.subject_id}-{part}",
        clip=subject.clip,
        objects=tuple(_masklet(subject, thing.object_id) for thing in things),
        turns=turns,
        source=subject.source,
        licence=subject.licence,
        task="dialogue" if part == DIALOGUE else "referring",
        provenance={**subject.provenance, **provenance, **own},
        facts={thing.object_id: {"label": thing.label} for thing in things if thing.label},
    )


def _turns_of(record: DialogueRecord) -> list[DraftTurn]:
    kinds = str(record.provenance.get(TURN_KINDS, "")).split(",")
    if len(kinds) != len(record.turns) or any(kind not in TASK_TYPES for kind in kinds):
        raise DataError(f"record {record.record_id!r} does not name the kind of each turn; give {TURN_KINDS}.")
    return [_draft_turn(turn, cast(TaskType, kind)) for turn, kind in zip(record.turns, kinds, strict=True)]


def _draft_turn(turn: RecordTurn, task: TaskType) -> DraftTurn:
    question = turn.question
    for region in turn.regions:
        question = question.replace(REGION_TAG, f"<{region.object_id}>", 1)
    parsed, pieces, done = parse_answer(turn.answer), [], 0
    for phrase in parsed.phrases:
        assert phrase.seg is not None, "records made of drafts ground every phrase"
        pieces += [parsed.text[done : phrase.start], write_phrase(phrase.text, turn.targets[phrase.seg])]
        done = phrase.end
    return DraftTurn(question, "".join([*pieces, parsed.text[done:]]), task, turn.spans)
