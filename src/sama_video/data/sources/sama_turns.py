"""The rules by which SAMA's records become turns and descriptions: what is kept, what is dropped and why.

The order of the checks is that of the published loader, so that a turn which breaks two rules is counted under the same
one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.sources.talks import MEDIA_PLACEHOLDER
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, POOLED_SLOT, SEG, answer_from_record

REGION_SLOT: Final = POOLED_SLOT
"""How data files write "the next region" in a question."""

_PHRASE_MARK = re.compile(f"{re.escape(PHRASE_START)}|{re.escape(PHRASE_END)}")
_OBJECT_NUMBER = re.compile(r"obj(\d+)")


@dataclass(frozen=True)
class SamaTurn:
    """One question and its answer, which the rules keep.

    Attributes:
        question: The file's text without media placeholders; each `<mask>` stands for the next of `region_ids`.
        answer: Text with phrases and mask tokens, older spellings replaced.
        region_ids: Annotation of each `<mask>` of the question, in order.
        target_ids: For each mask token of the answer, in order, the annotations whose union it stands for; never empty.
        question_id: The benchmark's number; None in training data.
        round_idx: Position among all rounds of the record, dropped ones counted.
        num_empty_targets: Phrases for which the record lists no mask; they have no mask token and are no targets.
    """

    question: str
    answer: str
    region_ids: tuple[str, ...]
    target_ids: tuple[tuple[str, ...], ...]
    question_id: int | str | None
    round_idx: int
    num_empty_targets: int = 0

    @property
    def annotation_ids(self) -> tuple[str, ...]:
        """Every annotation that the turn needs."""
        return (*self.region_ids, *(target for ids in self.target_ids for target in ids))


@dataclass(frozen=True)
class SamaDescription:
    """A text about one object.

    Attributes:
        object_number: Position in the record's `anno_map`.
        description_id: The benchmark's number; None in training data.
    """

    object_number: int
    annotation_id: str
    text: str
    description_id: int | str | None


def read_anno_map(record: Mapping[str, object], place: Place, findings: Findings) -> tuple[str | None, ...]:
    """Annotation of each object number, None where the record says that the object has no track.

    Raises:
        FaultError: `missing_key` or `schema_error`; without the map nothing of the record can be used.
    """
    if "anno_map" not in record:
        raise place.fault("missing_key", "the record has no anno_map")
    given = record["anno_map"]
    if not isinstance(given, list) or not all(_is_id(value) for value in given):
        raise place.fault("schema_error", "anno_map is no list of numbers and texts")
    ids = tuple(None if str(value) == "-1" else str(value) for value in given)
    if None in ids:
        findings.note(
            "object_without_track", place.file, place.record, f"objects without a track (-1): {ids.count(None)}"
        )
    for annotation_id, times in Counter(ids).items():
        if annotation_id is not None and times > 1:
            detail = f"anno_map has {annotation_id} {times} times"
            findings.note("repeated_annotation_id", place.file, place.record, detail)
    if len({type(value) for value in _all_ids(record) if str(value) != "-1"}) > 1:
        findings.note("mixed_id_types", place.file, place.record, "ids are written as numbers and as text")
    return ids


def read_turns(
    record: Mapping[str, object],
    place: Place,
    known_ids: Iterable[str],
    findings: Findings,
    *,
    benchmark: bool = False,
) -> tuple[SamaTurn, ...]:
    """The turns of a record that keep every rule.

    Args:
        record: As the file has it.
        place: Names it in findings.
        known_ids: Ids of its `anno_map`.
        findings: Takes a fault for each turn dropped.
        benchmark: Keep malformed phrases, with a note: the benchmark asks its questions whatever their answers are.
    """
    messages = record.get("conversation")
    if messages is None or messages == []:
        findings.note("empty_conversation", place.file, place.record, "the record has no conversation")
        return ()
    try:
        rounds = _Rounds.of(record, place)
    except FaultError as error:
        findings.take(error)
        return ()
    if len(rounds.messages) % 2:
        findings.note("unanswered_last_message", place.file, place.record, "the last message has no answer")
    ids = frozenset(known_ids)
    turns = []
    for idx in range(len(rounds.messages) // 2):
        try:
            turn = rounds.turn(idx, place.part(f"turn {idx}"), ids, findings)
            _check_phrases(turn.answer, place.part(f"turn {idx}"), findings if benchmark else None)
            turns.append(turn)
        except FaultError as error:
            findings.take(error)
    return tuple(turns)


def read_descriptions(
    record: Mapping[str, object], place: Place, anno_map: tuple[str | None, ...], findings: Findings
) -> tuple[SamaDescription, ...]:
    """The descriptions of a record that name an object with a track, in file order."""
    texts = record.get("description")
    if texts is None or texts == {}:
        findings.note("empty_description", place.file, place.record, "the record has no description")
        return ()
    numbers = record.get("description_id") or {}
    if not isinstance(texts, Mapping) or not isinstance(numbers, Mapping):
        findings.fault("schema_error", place.file, place.record, "description or description_id is no object")
        return ()
    found = []
    for key, text in texts.items():
        try:
            found.append(_description(key, text, numbers.get(key), place.part(f"description {key}"), anno_map))
        except FaultError as error:
            findings.take(error)
    return tuple(found)


@dataclass(frozen=True)
class _Rounds:
    """The three lists that a dialogue is made of."""

    messages: list[object]
    regions: list[object]
    targets: list[object]

    @classmethod
    def of(cls, record: Mapping[str, object], place: Place) -> "_Rounds":
        lists = []
        for key in ("conversation", "obj_masks", "groundtruth"):
            if key not in record:
                raise place.fault("missing_key", f"the record has a conversation and no {key}")
            value = record[key]
            if not isinstance(value, list):
                raise place.fault("schema_error", f"{key} is a {type(value).__name__}; it should be a list")
            lists.append(value)
        return cls(*lists)

    def turn(self, idx: int, place: Place, known_ids: frozenset[str], findings: Findings) -> SamaTurn:
        """One turn, if it keeps every rule."""
        question, asker = _message(self.messages[2 * idx], place)
        answer, replier = _message(self.messages[2 * idx + 1], place)
        if (asker, replier) != ("human", "gpt"):
            raise place.fault("role_order", f"the question is from {asker!r} and the answer from {replier!r}")
        if idx >= min(len(self.regions), len(self.targets)):
            key = "obj_masks" if idx >= len(self.regions) else "groundtruth"
            raise place.fault("region_list_too_short", f"{key} has no entry for this turn")
        regions = _ids(self.regions[idx], place, "obj_masks")
        slots = _slots(self.targets[idx], place)
        targets = tuple(ids for ids in slots if ids)
        plain = answer_from_record(answer)
        if plain != answer.strip():
            findings.note("old_tag_aliases", place.file, place.record, "the answer spells its marks in the older way")
        _check_counts(question, len(regions), plain, len(targets), place)
        for annotation_id in (*regions, *(target for ids in targets for target in ids)):
            if annotation_id not in known_ids:
                raise place.fault("id_not_in_anno_map", f"annotation {annotation_id} is not in anno_map")
        asked = self.messages[2 * idx]
        question_id = _number(asked.get("question_id")) if isinstance(asked, Mapping) else None
        text = MEDIA_PLACEHOLDER.sub("", question).strip()
        return SamaTurn(text, plain, regions, targets, question_id, idx, len(slots) - len(targets))


def _check_counts(question: str, regions: int, answer: str, targets: int, place: Place) -> None:
    tags = question.count(REGION_SLOT)
    if tags != regions:
        raise place.fault("region_count_mismatch", f"the question has {tags} {REGION_SLOT}, obj_masks {regions} ids")
    segs = answer.count(SEG)
    if segs != targets:
        raise place.fault("seg_count_mismatch", f"the answer has {segs} {SEG}, groundtruth {targets} lists with ids")


def _check_phrases(answer: str, place: Place, noting: Findings | None) -> None:
    """Refuse phrases that are unbalanced, nested or empty, or only note them."""
    problem = _phrase_problem(answer)
    if problem is not None and noting is not None:
        noting.note("malformed_phrase", place.file, place.record, problem)
    elif problem is not None:
        raise place.fault("malformed_phrase", problem)


def _phrase_problem(answer: str) -> str | None:
    opened: int | None = None
    for mark in _PHRASE_MARK.finditer(answer):
        if (mark[0] == PHRASE_START) == (opened is not None):
            return f"{mark[0]} at character {mark.start()} of the answer has no partner"
        if opened is not None and not answer[opened : mark.start()].replace(SEG, "").strip():
            return f"the phrase that ends at character {mark.start()} is empty"
        opened = mark.end() if mark[0] == PHRASE_START else None
    return None if opened is None else f"the phrase that begins at character {opened} is never closed"


def _description(
    key: str, text: object, description_id: object, place: Place, anno_map: tuple[str | None, ...]
) -> SamaDescription:
    found = _OBJECT_NUMBER.search(key)
    number = int(found[1]) if found is not None and len(found[1]) < 10 else -1
    if not 0 <= number < len(anno_map):
        raise place.fault("bad_object_key", f"the key names none of the {len(anno_map)} objects of anno_map")
    annotation_id = anno_map[number]
    if annotation_id is None:
        raise place.fault("missing_annotation", f"object {number} has no track")
    if not isinstance(text, str) or not text.strip():
        raise place.fault("schema_error", "the description is no text")
    return SamaDescription(number, annotation_id, text.strip(), _number(description_id))


def _message(message: object, place: Place) -> tuple[str, object]:
    """The text of a message, and who it is from."""
    if not isinstance(message, Mapping):
        raise place.fault("schema_error", "a message is no object")
    for key in ("from", "value"):
        if key not in message:
            raise place.fault("missing_key", f"a message has no {key!r}")
    if not isinstance(message["value"], str):
        raise place.fault("schema_error", "the value of a message is no text")
    return message["value"], message["from"]


def _slots(entry: object, place: Place) -> tuple[tuple[str, ...], ...]:
    """Ids of each phrase of an answer; none for a phrase without a mask."""
    if not isinstance(entry, list):
        raise place.fault("schema_error", "groundtruth of this turn is no list of lists")
    return tuple(_ids(slot, place, "groundtruth") for slot in entry)


def _ids(entry: object, place: Place, key: str) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(_is_id(value) for value in entry):
        raise place.fault("schema_error", f"{key} of this turn is no list of ids")
    return tuple(str(value) for value in entry)


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _number(value: object) -> int | str | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _all_ids(record: Mapping[str, object]) -> Iterator[int | str]:
    """Every id that a record has anywhere, however deep its lists."""
    waiting = [record.get(key) for key in ("anno_map", "obj_masks", "groundtruth")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, int | str) and not isinstance(value, bool):
            yield value
