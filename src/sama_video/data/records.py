"""DialogueRecord: one training example of any source, with JSON Lines in and out and errors that name file and line."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from sama_video.data.synthetic.language import SyntheticTurn
from sama_video.data.synthetic.scene import Level, sample_scene
from sama_video.data.synthetic.world import SyntheticClip, render
from sama_video.dialogue.markup import SEG, check_tags
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError, SamaError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, Points, Region, check_region

SCHEMA: Final = "sama-record/1"
"""Written into every record; a record of another version is refused, not guessed at."""


@dataclass(frozen=True)
class FileClip:
    """A clip on disk: a video file, an image or a folder of frames, relative to the data set's root."""

    path: str
    num_frames: int
    height: int
    width: int

    def to_json(self) -> dict[str, object]:
        """The form of a record's `clip`."""
        return {"path": self.path, "frames": self.num_frames, "height": self.height, "width": self.width}


@dataclass(frozen=True)
class SceneClip:
    """A clip painted on demand; the same values paint the same pixels."""

    seed: int
    num_objects: tuple[int, int]
    level: Level
    seconds: float
    times: tuple[float, ...]
    side: int

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def height(self) -> int:
        """Height of a frame in pixels."""
        return self.side

    @property
    def width(self) -> int:
        """Width of a frame in pixels."""
        return self.side

    def render(self) -> SyntheticClip:
        """Paint the clip."""
        scene = sample_scene(self.seed, num_objects=self.num_objects, level=self.level, seconds=self.seconds)
        return render(scene, np.asarray(self.times), self.side)

    def to_json(self) -> dict[str, object]:
        """The form of a record's `clip`."""
        return {
            "seed": self.seed,
            "num_objects": list(self.num_objects),
            "level": self.level,
            "seconds": self.seconds,
            "times": list(self.times),
            "side": self.side,
        }


ClipReference: TypeAlias = FileClip | SceneClip


@dataclass(frozen=True)
class RecordTurn:
    """One question and the answer to learn.

    Attributes:
        question: Text with one `<region>` tag per entry of `regions`.
        regions: What the question points at, and the object that is there.
        answer: Text with phrases and `[SEG]` tokens.
        targets: For each `[SEG]` in order, the objects whose masks together it stands for.
    """

    question: str
    regions: tuple[RegionPrompt, ...]
    answer: str
    targets: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, object]:
        """The form of one entry of a record's `turns`."""
        return {
            "question": self.question,
            "regions": [prompt.to_json() for prompt in self.regions],
            "answer": self.answer,
            "targets": [list(ids) for ids in self.targets],
        }


@dataclass(frozen=True)
class DialogueRecord:
    """A clip, its objects and a dialogue about them; building one checks that its parts agree.

    Attributes:
        record_id: Unique within its source.
        clip: Where the pixels come from.
        objects: One masklet per object, over all frames of the clip.
        turns: The dialogue in order.
        source: Name of the data set.
        licence: SPDX identifier, or the words of the data set's own terms.
    """

    record_id: str
    clip: ClipReference
    objects: tuple[Masklet, ...]
    turns: tuple[RecordTurn, ...]
    source: str
    licence: str

    def __post_init__(self) -> None:
        known = {masklet.object_id for masklet in self.objects}
        if len(known) != len(self.objects):
            raise DataError(f"record {self.record_id!r} gives the same object twice; each object has one masklet.")
        for masklet in self.objects:
            _check_masklet(masklet, self.clip)
        if not self.turns:
            raise DataError(f"record {self.record_id!r} has no turns; give at least one question and answer.")
        for number, turn in enumerate(self.turns, start=1):
            try:
                _check_turn(turn, self.clip, known)
            except SamaError as error:
                raise DataError(f"turn {number}: {error}") from error

    def to_json(self) -> dict[str, object]:
        """The form of one line of a record file."""
        return {
            "schema": SCHEMA,
            "id": self.record_id,
            "clip": self.clip.to_json(),
            "objects": [masklet.to_json() for masklet in self.objects],
            "turns": [turn.to_json() for turn in self.turns],
            "source": self.source,
            "licence": self.licence,
        }

    @classmethod
    def from_json(cls, value: object) -> "DialogueRecord":
        """Read the form of one line of a record file."""
        row = _checked_keys(value, "record", ("schema", "id", "clip", "objects", "turns", "source", "licence"))
        if row["schema"] != SCHEMA:
            raise DataError(
                f"record has the schema {row['schema']!r}, this version reads {SCHEMA!r}; convert the file."
            )
        turns = enumerate(_list(row["turns"], "turns"), start=1)
        return cls(
            record_id=_text(row["id"], "id"),
            clip=_clip_from_json(row["clip"]),
            objects=tuple(Masklet.from_json(item) for item in _list(row["objects"], "objects")),
            turns=tuple(_turn_from_json(item, f"turn {number}") for number, item in turns),
            source=_text(row["source"], "source"),
            licence=_text(row["licence"], "licence"),
        )


def read_records(path: str | os.PathLike[str]) -> Iterator[DialogueRecord]:
    """Records of a JSON Lines file, one at a time; a DataError names the file and the line at fault."""
    try:
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read_line(line, f"{os.fspath(path)}, line {number}")
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
    named = [prompt.object_id for prompt in turn.regions] + [name for ids in turn.targets for name in ids]
    for name in named:
        if name not in known:
            raise DataError(f"object {name!r} is not among the record's objects; give its masklet or correct the name.")


def _read_line(line: bytes, place: str) -> DialogueRecord:
    try:
        return DialogueRecord.from_json(json.loads(line))
    except ValueError as error:  # not JSON, or not UTF-8
        raise DataError(f"{place}: not a JSON document ({error}); write one record per line.") from error
    except SamaError as error:
        raise DataError(f"{place}: {error}") from error


def _clip_from_json(value: object) -> ClipReference:
    if isinstance(value, Mapping) and "seed" in value:
        row = _checked_keys(value, "clip", ("seed", "num_objects", "level", "seconds", "times", "side"))
        bounds = [_whole(item, "clip: num_objects") for item in _list(row["num_objects"], "clip: num_objects")]
        if len(bounds) != 2:
            raise DataError(f"clip: num_objects has {len(bounds)} numbers; give [fewest, most].")
        return SceneClip(
            seed=_whole(row["seed"], "clip: seed"),
            num_objects=(bounds[0], bounds[1]),
            level=_level(row["level"]),
            seconds=_number(row["seconds"], "clip: seconds"),
            times=tuple(_number(item, "clip: times") for item in _list(row["times"], "clip: times")),
            side=_whole(row["side"], "clip: side"),
        )
    row = _checked_keys(value, "clip", ("path", "frames", "height", "width"))
    return FileClip(
        _relative_path(row["path"]),
        _whole(row["frames"], "clip: frames"),
        _whole(row["height"], "clip: height"),
        _whole(row["width"], "clip: width"),
    )


def _turn_from_json(value: object, name: str) -> RecordTurn:
    row = _checked_keys(value, name, ("question", "regions", "answer", "targets"))
    targets = _list(row["targets"], f"{name}: targets")
    return RecordTurn(
        _text(row["question"], f"{name}: question"),
        tuple(RegionPrompt.from_json(item, f"{name}: region") for item in _list(row["regions"], f"{name}: regions")),
        _text(row["answer"], f"{name}: answer"),
        tuple(tuple(_text(item, f"{name}: target") for item in _list(ids, f"{name}: target")) for ids in targets),
    )


def _checked_keys(value: object, name: str, keys: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise DataError(f"{name} is a {type(value).__name__}; give a JSON object with {', '.join(keys)}.")
    for key in keys:
        if key not in value:
            raise DataError(f"{name} has no {key!r}; give {', '.join(keys)}.")
    for key in value:
        if key not in keys:
            raise DataError(f"{name} has the unknown key {key!r}; the keys are {', '.join(keys)}.")
    return value


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise DataError(f"{name} is a {type(value).__name__}; give a list.")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{name} is {value!r}; give text.")
    return value


def _relative_path(value: object) -> str:
    path = _text(value, "clip: path")
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise DataError(f"clip: path {path!r} leaves the data set; give a path relative to its root.")
    return path


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"{name} is {value!r}; give a whole number from 0.")
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise DataError(f"{name} is {value!r}; give a finite number from 0.")
    return float(value)


def _level(value: object) -> Level:
    if value == "easy" or value == "mixed" or value == "hard":
        return value
    raise DataError(f"clip: level is {value!r}; it is easy, mixed or hard.")
