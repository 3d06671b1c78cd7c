"""The record of one answer (spec bench, 1.8) and its JSON, both ways.

Records of other programs have the fields of the specification; ours add what a later step needs: task, facts, dialogue,
turn, key and error.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sama_video.bench.task import Json, Prediction, Track
from sama_video.errors import DataError, RegionError
from sama_video.regions.rle import Rle, as_rle

PARTS: Final = {"sama-bench-g": "G", "sama-bench-c": "C"}
"""Letter under which a benchmark's answers are recorded; other benchmarks go by their name."""


def part_of(task: str) -> str:
    """The `part` of a benchmark's records."""
    return PARTS.get(task, task)


def prediction_to_json(prediction: Prediction) -> dict[str, Json]:
    """One line of a run."""
    p = prediction
    return {
        "id": p.sample_id,
        "key": p.key,
        "error": p.error,
        "task": p.task,
        "part": p.part,
        "subset": p.subset,
        "video": p.video,
        "question_id": p.question_id,
        "dialogue": p.dialogue,
        "turn": p.turn_idx,
        "question": p.question,
        "history": [list(turn) for turn in p.history],
        "gt_text": p.gt_text,
        "pred_text": p.pred_text,
        "gt_phrases": list(p.gt_phrases),
        "pred_phrases": list(p.pred_phrases),
        "gt_masks": [list(track) for track in p.gt_tracks],
        "pred_masks": [list(track) for track in p.pred_tracks],
        "pred_scores": list(p.pred_scores),
        "note": p.note,
        "frames": list(p.frames),
        "prompt": dict(p.prompt),
        "facts": dict(p.facts),
        "model": p.model,
        "model_hash": p.model_hash,
        "data_hash": p.data_hash,
        "code_version": p.code_version,
        "seed": p.seed,
        "seconds": p.seconds,
    }


def prediction_from_json(value: Json, where: str, *, masks: bool = True, trusted: bool = False) -> Prediction:
    """Read a line.

    Args:
        where: File and line, for messages.
        masks: Whether its masks are wanted; without them none is read.
        trusted: The line is one of ours, whose masks were checked when it was written.

    Raises:
        DataError: A field is missing or is not what it should be.
    """
    row = _Row(value, where)
    tracks = row.trusted_tracks if trusted else row.tracks
    return Prediction(
        sample_id=row.required("id", str),
        task=row.optional("task", str, ""),
        part=row.optional("part", str, ""),
        subset=row.optional("subset", str, ""),
        video=row.optional("video", str, ""),
        question_id=str(row.optional("question_id", str | int, "")),
        question=row.optional("question", str, ""),
        gt_text=row.optional("gt_text", str, ""),
        gt_phrases=row.texts("gt_phrases"),
        gt_tracks=tracks("gt_masks") if masks else (),
        pred_text=row.optional("pred_text", str | None, None),
        pred_phrases=row.texts("pred_phrases"),
        pred_tracks=tracks("pred_masks") if masks else (),
        pred_scores=row.scores("pred_scores", of="pred_masks") if masks else (),
        note=row.optional("note", str, ""),
        history=row.history(),
        frames=row.numbers("frames"),
        prompt=row.optional("prompt", Mapping | None, None) or {},
        dialogue=row.optional("dialogue", str, ""),
        turn_idx=row.optional("turn", int, 0),
        facts=row.optional("facts", Mapping, {}),
        model=row.optional("model", str, ""),
        model_hash=row.optional("model_hash", str, ""),
        data_hash=row.optional("data_hash", str, ""),
        code_version=row.optional("code_version", str, ""),
        seed=row.optional("seed", int | None, None) or 0,
        seconds=float(row.optional("seconds", int | float | None, None) or 0.0),
        key=row.optional("key", str, ""),
        error=row.optional("error", str | None, None),
    )


class _Row:
    """A record while it is being read."""

    def __init__(self, value: Json, where: str) -> None:
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: a record is a JSON object, not a {type(value).__name__}.")
        self.value = value
        self.where = where

    def required(self, key: str, kind: Any) -> Any:
        if key not in self.value:
            raise DataError(f"{self.where}: the record has no {key!r}; give each answer its {key!r}.")
        return self.optional(key, kind, None)

    def optional(self, key: str, kind: Any, default: Json) -> Any:
        found = self.value.get(key, default)
        if isinstance(found, bool) or not isinstance(found, kind):
            self._refuse(key, f"is {_shown(found)}")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._list(key)
        for text in found:
            if not isinstance(text, str):
                self._refuse(key, f"holds {_shown(text)}, which is no text")
        return tuple(found)

    def numbers(self, key: str) -> tuple[int, ...]:
        found = self._list(key)
        for number in found:
            if isinstance(number, bool) or not isinstance(number, int):
                self._refuse(key, f"holds {_shown(number)}, which is no frame index")
        return tuple(found)

    def scores(self, key: str, *, of: str) -> tuple[float, ...]:
        """One number for each mask, or none at all."""
        found = self._list(key)
        for number in found:
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                self._refuse(key, f"holds {_shown(number)}, which is no number")
        if found and len(found) != len(self._list(of)):
            self._refuse(key, f"has {len(found)} numbers for {len(self._list(of))} {of}")
        return tuple(float(number) for number in found)

    def history(self) -> tuple[tuple[str, str], ...]:
        """Earlier turns as pairs of question and answer; objects with these two keys are read as well."""
        pairs: list[tuple[str, str]] = []
        for turn in self._list("history"):
            pair: Any = [turn.get("question"), turn.get("answer")] if isinstance(turn, Mapping) else turn
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
                self._refuse("history", f"holds {_shown(turn)}, which is no pair of question and answer")
            pairs.append((pair[0], pair[1]))
        return tuple(pairs)

    def tracks(self, key: str) -> tuple[Track, ...]:
        return self._tracks(key, self._checked_mask)

    def trusted_tracks(self, key: str) -> tuple[Track, ...]:
        return self._tracks(key, lambda mask, where: mask)

    def _tracks(self, key: str, read: Callable[[Any, str], Rle]) -> tuple[Track, ...]:
        tracks = []
        for index, track in enumerate(self._list(key)):
            if not isinstance(track, list):
                self._refuse(key, f"holds {_shown(track)} instead of a list with a mask or null for each frame")
            where = f"{self.where}: {key}[{index}]"
            tracks.append(tuple(None if mask is None else read(mask, where) for mask in track))
        return tuple(tracks)

    def _checked_mask(self, mask: Any, where: str) -> Rle:
        try:
            return as_rle(mask)
        except RegionError as error:
            raise DataError(f"{where}: {error}") from error

    def _list(self, key: str) -> list[Any]:
        found = self.value.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            self._refuse(key, f"is {_shown(found)}, which is no list")
        return list(found)

    def _refuse(self, key: str, problem: str) -> None:
        raise DataError(f"{self.where}: {key} {problem}; write it as spec bench 1.8 has it.")


def same_tracks(tracks: Sequence[Track]) -> list[Json]:
    """Tracks as JSON that is equal where they are: what a hash of them is made of."""
    return [[None if mask is None else [list(mask["size"]), mask["counts"]] for mask in track] for track in tracks]


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
