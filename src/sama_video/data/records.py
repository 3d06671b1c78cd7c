"""DialogueRecord: one training example of any source, with JSON Lines in and out and errors that name file and line.

    {"schema": "sama-record/2", "id", "task", "clip", "objects", "turns", "source", "licence",
     "provenance": {...}, "facts": {"obj1": {...}}}

A dialogue about nothing but words has `"clip": null`; only such a record is written as `sama-record/3`, so that older
installations read all that they can. `sama-record/1` has no task, provenance and facts, no time spans in turns, and
masklets in the form of a session; it is read as well. `stores.parquet` keeps the same records in Parquet.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from sama_video.data.record_clips import ClipReference, FileClip, NoClip, SceneClip, clip_from_json
from sama_video.data.stores.json_values import (
    Scalar,
    checked_keys,
    checked_list,
    checked_scalars,
    checked_span,
    checked_text,
)
from sama_video.data.stores.masks import masklet_from_json, masklet_to_json
from sama_video.data.synthetic.language import SyntheticTurn
from sama_video.data.synthetic.world import SyntheticClip
from sama_video.dialogue.markup import SEG, check_tags
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError, SamaError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, Points, Region, check_region

__all__ = [
    "SCHEMA",
    "SCHEMA_FAMILY",
    "TASKS",
    "ClipReference",
    "DialogueRecord",
    "FileClip",
    "NoClip",
    "RecordTurn",
    "SceneClip",
    "Task",
    "read_records",
    "record_from_synthetic",
    "task_of",
    "write_records",
]

SCHEMA: Final = "sama-record/2"
"""Written into every record with a clip; a record of a version that is not known is refused, not guessed at."""

SCHEMA_1: Final = "sama-record/1"
SCHEMA_3: Final = "sama-record/3"
"""Written into a record without a clip, which version 2 does not have."""

SCHEMAS: Final = (SCHEMA_1, SCHEMA, SCHEMA_3)
SCHEMA_FAMILY: Final = "sama-record/"
"""How the schema of every version begins."""

Task: TypeAlias = Literal["referring", "grounding", "temporal", "dialogue", "caption", "vqa"]
"""What a record teaches: words for a region, masks for words, times, a talk of several turns, words for the whole clip,
short answers."""

TASKS: Final[tuple[Task, ...]] = get_args(Task)


@dataclass(frozen=True)
class RecordTurn:
    """One question and the answer to learn.

    Attributes:
        question: Text with one `<region>` tag per entry of `regions`.
        regions: What the question points at, and the object that is there.
        answer: Text with phrases and `[SEG]` tokens.
        targets: For each `[SEG]` in order, the objects whose masks together it stands for.
        spans: Stretches of the clip that the turn is about, start and end in seconds.
    """

    question: str
    regions: tuple[RegionPrompt, ...]
    answer: str
    targets: tuple[tuple[str, ...], ...]
    spans: tuple[tuple[float | int, float | int], ...] = ()

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Objects of the regions and targets, each once."""
        named = (prompt.object_id for prompt in self.regions)
        return tuple(dict.fromkeys((*named, *(one for ids in self.targets for one in ids))))

    def to_json(self) -> dict[str, object]:
        """The form of one entry of a record's `turns`; spans are left out where there are none."""
        row: dict[str, object] = {
            "question": self.question,
            "regions": [prompt.to_json() for prompt in self.regions],
            "answer": self.answer,
            "targets": [list(ids) for ids in self.targets],
        }
        return row | {"spans": [list(span) for span in self.spans]} if self.spans else row


@dataclass(frozen=True)
class DialogueRecord:
    """A clip, its objects and a dialogue about them; building one checks that its parts agree.

    Attributes:
        record_id: Unique within its source.
        clip: Where the pixels come from; `clip.open()` gives them, but for `NoClip`.
        objects: One masklet per object, over all frames of the clip.
        turns: The dialogue in order.
        source: Name of the data set.
        licence: SPDX identifier, or the words of the data set's own terms.
        task: What it teaches.
        provenance: What it came from, by name: file, record, annotator, model, prompt version, seed, time.
        facts: What else is known of an object, by its id: label, annotation id.
    """

    record_id: str
    clip: ClipReference
    objects: tuple[Masklet, ...]
    turns: tuple[RecordTurn, ...]
    source: str
    licence: str
    task: Task = "dialogue"
    provenance: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    facts: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known = {masklet.object_id for masklet in self.objects}
        if len(known) != len(self.objects):
            raise DataError(f"record {self.record_id!r} gives the same object twice; each object has one masklet.")
        if self.objects and isinstance(self.clip, NoClip):
            raise DataError(f"record {self.record_id!r} has objects and no clip; give the clip that they are in.")
        for masklet in self.objects:
            _check_masklet(masklet, self.clip)
        if not self.turns:
            raise DataError(f"record {self.record_id!r} has no turns; give at least one question and answer.")
        if self.task not in TASKS:
            raise DataError(f"record {self.record_id!r} has the task {self.task!r}; tasks are {', '.join(TASKS)}.")
        if not known.issuperset(self.facts):
            raise DataError(f"record {self.record_id!r} has facts of an object that is not there; give its masklet.")
        for number, turn in enumerate(self.turns, start=1):
            try:
                _check_turn(turn, self.clip, known)
            except SamaError as error:
                raise DataError(f"turn {number}: {error}") from error

    @property
    def schema(self) -> str:
        """The oldest version that has all of this record."""
        return SCHEMA_3 if isinstance(self.clip, NoClip) else SCHEMA

    def to_json(self) -> dict[str, object]:
        """The form of one line of a record file. The task comes early, where an index finds it without parsing."""
        row: dict[str, object] = {
            "schema": self.schema,
            "id": self.record_id,
            "task": self.task,
            "clip": self.clip.to_json(),
            "objects": [masklet_to_json(masklet) for masklet in self.objects],
            "turns": [turn.to_json() for turn in self.turns],
            "source": self.source,
            "licence": self.licence,
        }
        if self.provenance:
            row["provenance"] = dict(self.provenance)
        return row | {"facts": {name: dict(facts) for name, facts in self.facts.items()}} if self.facts else row

    @classmethod
    def from_json(cls, value: object, root: Path | None = None) -> "DialogueRecord":
        """Read the form of one line of a record file.

        Args:
            value: Of any version.
            root: What the clip's path is relative to.
        """
        schema = value.get("schema") if isinstance(value, Mapping) else None
        common = ("schema", "id", "clip", "objects", "turns", "source", "licence")
        if schema == SCHEMA_1:
            row = checked_keys(value, "record", common)
            read_masklet = Masklet.from_json
        else:
            row = checked_keys(value, "record", common, ("task", "provenance", "facts"))
            read_masklet = masklet_from_json
        if schema not in SCHEMAS:
            raise DataError(
                f"record has the schema {schema!r}, this version reads {', '.join(SCHEMAS)}; convert the file."
            )
        numbered = enumerate(checked_list(row["turns"], "turns"), start=1)
        turns = tuple(_turn_from_json(item, f"turn {number}") for number, item in numbered)
        facts = _mapping(row.get("facts", {}), "facts")
        return cls(
            record_id=checked_text(row["id"], "id"),
            clip=NoClip() if schema == SCHEMA_3 and row["clip"] is None else clip_from_json(row["clip"], root),
            objects=tuple(read_masklet(item) for item in checked_list(row["objects"], "objects")),
            turns=turns,
            source=checked_text(row["source"], "source"),
            licence=checked_text(row["licence"], "licence"),
            task=_task(row["task"]) if "task" in row else task_of(turns),
            provenance=checked_scalars(row.get("provenance", {}), "provenance"),
            facts={name: checked_scalars(item, f"facts of {name}") for name, item in facts.items()},
        )

    def below(self, root: Path) -> "DialogueRecord":
        """The record with its clip named relative to a folder, to be written to a file there.

        Raises:
            DataError: The clip lies elsewhere.
        """
        return replace(self, clip=self.clip.below(root)) if isinstance(self.clip, FileClip) else self


def task_of(turns: Sequence[RecordTurn]) -> Task:
    """What turns teach, as far as they show it: for records that do not say."""
    if any(turn.spans for turn in turns):
        return "temporal"
    if all(turn.regions and not turn.targets for turn in turns):
        return "referring"
    if all(turn.targets and not turn.regions for turn in turns):
        return "grounding"
    return "dialogue" if len(turns) > 1 or turns[0].targets else "vqa"


def read_records(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Iterator[DialogueRecord]:
    """Records of a JSON Lines file, one at a time; a DataError names the file and the line at fault.

    Args:
        path: The file.
        root: What paths of clips are relative to; the file's folder if not given.
    """
    base = Path(path).parent if root is None else Path(root)
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read_line(line, f"{os.fspath(path)}, line {number}", base)
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror}; give a readable JSON Lines file of records.") from error


def write_records(path: str | os.PathLike[str], records: Iterable[DialogueRecord]) -> int:
    """Write records as JSON Lines and say how many; the file appears under its name only when it is whole."""
    target = Path(path)
    partial = target.with_name(f"{target.name}.partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8") as out:
            for record in records:
                out.write(json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
                count += 1
        partial.replace(target)
    except OSError as error:
        raise DataError(f"{target}: {error.strerror}; choose a file in a folder that can be written.") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def record_from_synthetic(
    clip: SyntheticClip, turns: Sequence[SyntheticTurn], rng: np.random.Generator
) -> DialogueRecord:
    """A synthetic clip and dialogue as a record; object i of the clip becomes `obj{i + 1}`.

    Args:
        clip: Frames and ground truth.
        turns: Dialogue about this clip.
        rng: Chooses for each region the frame and whether it is a point, a box or a mask.
    """
    scene = clip.scene
    names = [f"obj{i + 1}" for i in range(len(clip.objects))]
    return DialogueRecord(
        record_id=f"synthetic-{scene.seed}",
        clip=SceneClip(
            scene.seed, scene.num_objects, scene.level, scene.seconds, tuple(clip.times.tolist()), clip.frames.shape[1]
        ),
        objects=tuple(Masklet.from_masks(name, masks) for name, masks in zip(names, clip.masks, strict=True)),
        turns=tuple(
            RecordTurn(
                turn.question,
                tuple(RegionPrompt(_point_at(clip, i, rng), names[i]) for i in turn.region_objects),
                turn.answer,
                tuple((names[i],) for i in turn.seg_objects),
            )
            for turn in turns
        ),
        source="synthetic",
        licence="Apache-2.0",
    )


def _point_at(clip: SyntheticClip, object_idx: int, rng: np.random.Generator) -> Region:
    frames = clip.visible_frames(object_idx)
    frame_idx = frames[int(rng.integers(len(frames)))]
    mask = clip.masks[object_idx, frame_idx]
    rows, columns = np.nonzero(mask)
    form = int(rng.integers(3))
    if form == 0:
        chosen = int(rng.integers(len(rows)))
        return Points(frame_idx, xy=[(float(columns[chosen]), float(rows[chosen]))])
    if form == 1:
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return Box(frame_idx, xyxy=tuple(float(edge) for edge in edges))
    return Mask(frame_idx, mask=mask)


def _check_masklet(masklet: Masklet, clip: ClipReference) -> None:
    if (masklet.num_frames, masklet.height, masklet.width) != (clip.num_frames, clip.height, clip.width):
        raise DataError(
            f"masklet {masklet.object_id} has {masklet.num_frames} frames of {masklet.height}x{masklet.width}, "
            f"but the clip has {clip.num_frames} of {clip.height}x{clip.width} (height x width); "
            "give one mask for each frame, of its size."
        )


def _check_turn(turn: RecordTurn, clip: ClipReference, known: set[str]) -> None:
    check_tags(turn.question, len(turn.regions))
    if turn.answer.count(SEG) != len(turn.targets):
        raise DataError(
            f"the answer has {turn.answer.count(SEG)} {SEG}, but there are targets for {len(turn.targets)}; "
            f"give one target for each {SEG}."
        )
    for prompt in turn.regions:
        check_region(prompt.region, num_frames=clip.num_frames, height=clip.height, width=clip.width)
    if any(not ids for ids in turn.targets):
        raise DataError(f"a target names no object; a phrase without a mask has no {SEG}.")
    for start, end in turn.spans:
        if not 0 <= start <= end < float("inf"):
            raise DataError(f"the span {start} to {end} is no stretch of time; give start and end in seconds, from 0.")
    for name in turn.object_ids:
        if name not in known:
            raise DataError(f"object {name!r} is not among the record's objects; give its masklet or correct the name.")


def _read_line(line: bytes, place: str, root: Path) -> DialogueRecord:
    try:
        return DialogueRecord.from_json(json.loads(line), root)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
        raise DataError(f"{place}: not a JSON document ({error}); write one record per line.") from error
    except SamaError as error:
        raise DataError(f"{place}: {error}") from error


def _turn_from_json(value: object, name: str) -> RecordTurn:
    row = checked_keys(value, name, ("question", "regions", "answer", "targets"), ("spans",))
    regions = checked_list(row["regions"], f"{name}: regions")
    targets = checked_list(row["targets"], f"{name}: targets")
    spans = checked_list(row.get("spans", []), f"{name}: spans")
    return RecordTurn(
        checked_text(row["question"], f"{name}: question"),
        tuple(RegionPrompt.from_json(item, f"{name}: region") for item in regions),
        checked_text(row["answer"], f"{name}: answer"),
        tuple(
            tuple(checked_text(item, f"{name}: target") for item in checked_list(ids, f"{name}: target"))
            for ids in targets
        ),
        tuple(checked_span(item, f"{name}: span") for item in spans),
    )


def _task(value: object) -> Task:
    for task in TASKS:
        if value == task:
            return task
    raise DataError(f"task is {value!r}; tasks are {', '.join(TASKS)}.")


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is a {type(value).__name__}; give a JSON object.")
    return value
