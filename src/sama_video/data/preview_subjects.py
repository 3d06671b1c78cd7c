"""Records of every layout in the one form that a preview shows: objects with tracks, words tied to them, findings."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sama_video.data.clips import ClipOnDisk, FrameClip
from sama_video.data.findings import FaultError, Finding, Place
from sama_video.data.json_items import parse
from sama_video.data.licences import TERMS
from sama_video.data.mask_files import Track
from sama_video.data.records import DialogueRecord, RecordTurn
from sama_video.data.sources.expression_videos import Expression, ExpressionVideo
from sama_video.data.sources.layouts import Layout
from sama_video.data.sources.refcoco import RefObject, RefPicture
from sama_video.data.sources.sama import SamaVideo
from sama_video.data.sources.sama_turns import REGION_SLOT, SamaDescription, SamaTurn
from sama_video.dialogue.markup import ObjectTag, parse_answer, split_question
from sama_video.errors import SamaError, SamaWarning, VideoError
from sama_video.regions.rle import area
from sama_video.regions.shapes import ObjectRef, Region
from sama_video.video.clip import Clip

MAX_OBJECTS: Final = 48
MAX_TURNS: Final = 24
MAX_SPANS: Final = 4
MAX_CHARACTERS: Final = 3000
"""Longer texts are cut, so that no record can make the page grow without end."""

WordKind: TypeAlias = Literal["plain", "phrase", "region"]


@dataclass(frozen=True)
class Words:
    """Some words; a phrase stands for its objects' masks together, a region for what a question points at.

    Attributes:
        objects: Places in the subject's objects; none for a phrase without a mask.
    """

    text: str
    kind: WordKind = "plain"
    objects: tuple[int, ...] = ()


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, numbered as in the record; `moments` says which stretches of the clip they mean."""

    number: int
    question: tuple[Words, ...]
    answer: tuple[Words, ...]
    moments: str = ""


@dataclass(frozen=True)
class Text:
    """A description or expression, the objects that it means, and what it is headed by besides these."""

    text: str
    objects: tuple[int, ...]
    heading: str = ""


@dataclass(frozen=True)
class SeenObject:
    """An object with its masks; `track` is None where they cannot be used.

    Attributes:
        label: Short; drawn on the pictures.
        hint: What else the data set calls it.
    """

    label: str
    hint: str
    track: Track | None


@dataclass(frozen=True)
class Pointer:
    """What a question points at: an object, and where on which frame, if the record says so."""

    number: int
    object_place: int
    region: Region | None = None


@dataclass(frozen=True)
class Subject:
    """A record to be shown.

    Attributes:
        open_clip: Gives the frames; None for a record that is dropped.
        task: What the record teaches, where it says so.
        texts_name: What the texts are, as a heading.
        left_out: Turns, texts and objects that are not shown, in words.
        findings: Faults and notes of this record.
    """

    title: str
    layout: str
    source: str
    licence: str
    task: str = ""
    open_clip: Callable[[], Clip] | None = None
    objects: tuple[SeenObject, ...] = ()
    turns: tuple[Exchange, ...] = ()
    texts: tuple[Text, ...] = ()
    texts_name: str = "Descriptions"
    pointers: tuple[Pointer, ...] = ()
    left_out: str = ""
    findings: tuple[Finding, ...] = ()


def dropped(layout: Layout, findings: Sequence[Finding]) -> Subject:
    """A record of which nothing can be used."""
    title = findings[0].record if findings and findings[0].record else "a record"
    return Subject(title, _name(layout), "", "", findings=tuple(findings))


def sama_subject(layout: Layout, video: SamaVideo, findings: Sequence[Finding]) -> Subject:
    """A record of SAMA-239K or SAMA-Bench."""
    benchmark = layout.kind == "sama_bench"
    told = [*findings, *_absent_frames(video.clip, video.place)]
    shown = video.annotation_ids[:MAX_OBJECTS]
    numbers = {known: video.anno_map.index(known) for known in shown}
    objects = tuple(
        SeenObject(f"obj{numbers[known]}", f"annotation {known}", _loaded(video.track, known, told)) for known in shown
    )
    places = {known: place for place, known in enumerate(shown)}
    turns = video.turns[:MAX_TURNS]
    texts = video.descriptions[:MAX_TURNS]
    pointers = [_pointers(turn.round_idx, turn.region_ids, places) for turn in turns]
    subject = Subject(
        title=video.video,
        layout=_name(layout),
        source=video.source,
        licence=f"videos: {TERMS[video.source].licence}; {TERMS['SAMA-Bench' if benchmark else 'SAMA-239K'].licence}",
        open_clip=video.clip.open,
        objects=objects,
        turns=tuple(_sama_turn(turn, places) for turn in turns),
        texts=tuple(
            Text(cut(text.text), _known([text.annotation_id], places), f"obj{text.object_number}") for text in texts
        ),
        pointers=tuple(pointer for group in pointers for pointer in group),
        left_out=_left_out(
            objects=len(video.annotation_ids) - len(shown),
            turns=len(video.turns) - len(turns),
            descriptions=len(video.descriptions) - len(texts),
        ),
    )
    return replace(subject, findings=(*told, *_hidden(subject, video.place, is_fault=not benchmark)))


def expression_subject(layout: Layout, split: str, video: ExpressionVideo, findings: Sequence[Finding]) -> Subject:
    """A video of an expression set; annotations with one track are one object, as several expressions mean it."""
    told = [*findings, *_absent_frames(video.clip, video.place)]
    expressions = video.expressions[:MAX_TURNS]
    objects: list[SeenObject] = []
    places: dict[str, int] = {}
    for annotation_id, name in _meant(expressions):
        if annotation_id in places:
            continue
        track = _loaded(video.track, annotation_id, told)
        same = next((place for place, one in enumerate(objects) if track is not None and one.track == track), None)
        if same is not None:
            places[annotation_id] = same
            objects[same] = replace(objects[same], hint=cut(f"{objects[same].hint}, {annotation_id}", 80))
        elif len(objects) < MAX_OBJECTS:
            places[annotation_id] = len(objects)
            objects.append(SeenObject(name, f"annotation {annotation_id}", track))
    return Subject(
        title=video.video,
        layout=f"{layout.name}, {split}",
        source=layout.kind,
        licence=TERMS[layout.kind].licence,
        open_clip=video.clip.open,
        objects=tuple(objects),
        texts=tuple(_expression(one, places) for one in expressions),
        texts_name="Expressions",
        left_out=_left_out(expressions=len(video.expressions) - len(expressions)),
        findings=tuple(told),
    )


def refcoco_subject(layout: Layout, found: RefPicture) -> Subject:
    """A picture of RefCOCO and the sentences for its objects."""
    told: list[Finding] = []
    shown = found.objects[:MAX_OBJECTS]
    tracks = [_loaded(_track_of(one), one.annotation_id, told) for one in shown]
    sentences = [(place, one.split, words.raw) for place, one in enumerate(shown) for words in one.sentences]
    return Subject(
        title=f"image {found.image_id}, {found.picture.path.name}",
        layout=_name(layout),
        source="refcoco",
        licence=TERMS["refcoco"].licence,
        open_clip=found.picture.open,
        objects=tuple(
            SeenObject(one.annotation_id, f"ref {one.ref_id}, {one.split}", track)
            for one, track in zip(shown, tracks, strict=True)
        ),
        texts=tuple(Text(cut(raw), (place,), split) for place, split, raw in sentences[:MAX_TURNS]),
        texts_name="Sentences",
        left_out=_left_out(objects=len(found.objects) - len(shown), sentences=len(sentences) - MAX_TURNS),
        findings=tuple(told),
    )


def record_subject(layout: Layout, line: bytes, place: Place) -> Subject:
    """One line of a record file of ours."""
    try:
        record = DialogueRecord.from_json(parse(line, place.file, place.record, 0), layout.path)
    except FaultError as error:
        return dropped(layout, [error.finding])
    except SamaError as error:
        return dropped(layout, [place.fault("schema_error", str(error)).finding])
    name = Path(place.file).name
    return dialogue_subject(record, name if layout.name == "." else f"{layout.name}, {name}")


def dialogue_subject(record: DialogueRecord, layout: str) -> Subject:
    """A record of ours, or one that was made of a data set's entry."""
    shown = record.objects[:MAX_OBJECTS]
    places = {masklet.object_id: number for number, masklet in enumerate(shown)}
    turns = record.turns[:MAX_TURNS]
    return Subject(
        title=record.record_id,
        layout=layout,
        source=record.source,
        licence=record.licence,
        open_clip=record.clip.open,
        task=record.task,
        objects=tuple(SeenObject(one.object_id, _hint(record, one.object_id), one.rles) for one in shown),
        turns=tuple(_record_turn(number, turn, places) for number, turn in enumerate(turns)),
        pointers=tuple(
            Pointer(number, places[prompt.object_id], None if isinstance(prompt.region, ObjectRef) else prompt.region)
            for number, turn in enumerate(turns)
            for prompt in turn.regions
            if prompt.object_id in places
        ),
        left_out=_left_out(objects=len(record.objects) - len(shown), turns=len(record.turns) - len(turns)),
    )


def answer_words(raw: str, targets: Sequence[tuple[int, ...]]) -> tuple[Words, ...]:
    """An answer's words; each phrase with the objects of its mask token."""
    parsed = parse_answer(raw)
    words: list[Words] = []
    done = 0
    for phrase in sorted(parsed.phrases, key=lambda phrase: phrase.start):
        if phrase.start < done or not phrase.text:
            continue
        meant = targets[phrase.seg] if phrase.seg is not None and phrase.seg < len(targets) else ()
        words += [Words(parsed.text[done : phrase.start]), Words(phrase.text, "phrase", meant)]
        done = phrase.end
    words.append(Words(parsed.text[done:]))
    # A mask that belongs to no phrase is still part of the answer.
    words += [Words("", "phrase", targets[seg]) for seg in parsed.loose_segs if seg < len(targets)]
    return tuple(one for one in words if one.text or one.objects)


def cut(text: str, characters: int = MAX_CHARACTERS) -> str:
    """Text of bounded length, with an ellipsis where it goes on.

    >>> cut("a long story", 6)
    'a long…'
    """
    return text if len(text) <= characters else f"{text[:characters].rstrip()}…"


def _sama_turn(turn: SamaTurn, places: Mapping[str, int]) -> Exchange:
    question: list[Words] = []
    pieces = turn.question.split(REGION_SLOT)
    for number, piece in enumerate(pieces):
        question.append(Words(cut(piece)))
        if number < len(turn.region_ids) and number + 1 < len(pieces):
            question.append(Words("", "region", _known([turn.region_ids[number]], places)))
    targets = [_known(ids, places) for ids in turn.target_ids]
    return Exchange(turn.round_idx, tuple(question[:MAX_OBJECTS]), answer_words(cut(turn.answer), targets))


def _description(text: SamaDescription, places: Mapping[str, int]) -> Text:
    meant = _known([text.annotation_id], places)
    return Text(cut(text.text), meant, "" if meant else f"obj{text.object_number}")


def _record_turn(number: int, turn: RecordTurn, places: Mapping[str, int]) -> Exchange:
    question = []
    for piece in split_question(cut(turn.question)):
        if isinstance(piece, str):
            question.append(Words(piece))
            continue
        name = piece.object_id if isinstance(piece, ObjectTag) else turn.regions[piece.region_idx].object_id
        question.append(Words("" if name in places else name, "region", _known([name], places)))
    targets = [_known(ids, places) for ids in turn.targets]
    moments = ", ".join(f"{start:g}-{end:g} s" for start, end in turn.spans[:MAX_SPANS])
    return Exchange(number, tuple(question), answer_words(cut(turn.answer), targets), moments)


def _hint(record: DialogueRecord, object_id: str) -> str:
    label = record.facts.get(object_id, {}).get("label", "")
    return label if isinstance(label, str) else ""


def _expression(one: Expression, places: Mapping[str, int]) -> Text:
    kinds = {0: "referring", 1: "reasoning", 2: "no target"}
    heading = one.expression_id if one.type_id is None else f"{one.expression_id}, {kinds.get(one.type_id, 'other')}"
    return Text(cut(" / ".join((one.text, *one.short_texts[:3]))), _known(one.annotation_ids, places), heading)


def _meant(expressions: Sequence[Expression]) -> Iterable[tuple[str, str]]:
    """Each annotation that is meant, and a short name: the set's own number of the object where it has one."""
    for one in expressions:
        numbered = len(one.object_ids) == len(one.annotation_ids)
        for place, annotation_id in enumerate(one.annotation_ids):
            yield annotation_id, one.object_ids[place] if numbered else annotation_id


def _pointers(number: int, annotation_ids: Sequence[str], places: Mapping[str, int]) -> list[Pointer]:
    return [Pointer(number, places[known]) for known in dict.fromkeys(annotation_ids) if known in places]


def _known(names: Iterable[str], places: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(places[name] for name in names if name in places))


def _track_of(one: RefObject) -> Callable[[str], Track]:
    return lambda _: (one.mask(),)


def _loaded(load: Callable[[str], Track], annotation_id: str, told: list[Finding]) -> Track | None:
    """A track, or None and why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SamaWarning)
            return load(annotation_id)
    except FaultError as error:
        if error.finding not in told:
            told.append(error.finding)
    except (VideoError, SamaWarning) as error:
        finding = FaultError("unreadable_video", "the clip", f"annotation {annotation_id}", str(error)).finding
        told.append(finding)
    return None


def _absent_frames(clip: ClipOnDisk, place: Place) -> list[Finding]:
    absent = [path for path in clip.paths if not path.is_file()] if isinstance(clip, FrameClip) else []
    if not absent:
        return []
    more = f", and {len(absent) - 1} more" if len(absent) > 1 else ""
    detail = f"frame {absent[0].name} is not there{more}"
    return [FaultError("missing_frame", str(absent[0]), place.record, detail).finding]


def _hidden(subject: Subject, place: Place, *, is_fault: bool) -> list[Finding]:
    """A finding for each object that is pointed at and visible on no frame."""
    reason = "prompt_never_visible" if is_fault else "prompt_not_visible"
    found = []
    for number in dict.fromkeys(pointer.object_place for pointer in subject.pointers):
        one = subject.objects[number]
        if one.track is not None and not any(rle is not None and area(rle) for rle in one.track):
            detail = f"{one.label} ({one.hint}) is pointed at and visible on no frame"
            found.append(Finding(place.file, place.record, reason, detail, is_fault))
    return found


def _name(layout: Layout) -> str:
    """Where a layout lies below the folder that was given; the folder's own name for the folder itself."""
    return layout.path.resolve().name if layout.name == "." else layout.name


def _left_out(**counts: int) -> str:
    return ", ".join(f"{count} more {what}" for what, count in counts.items() if count > 0)
