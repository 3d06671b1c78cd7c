"""Samples in the layouts of SAMA-239K and SAMA-Bench, so that whatever reads those reads ours.

Both tell their sources apart by the first folder of a clip's path; clips go where the source with the plainest layout
has them, as JPEG frames, whatever they come from.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias

from sama_video.annotate.case import Subject
from sama_video.annotate.publish.clip_copies import write_jpegs
from sama_video.annotate.stages import Json
from sama_video.data.records import DialogueRecord, RecordTurn
from sama_video.data.sources.sama import BENCHMARK_MASKS, RECORD_FILE, TRAINING_MASKS
from sama_video.dialogue.markup import POOLED_SLOT, ObjectTag, split_question
from sama_video.regions.masklet import Masklet

Layout: TypeAlias = Literal["sama239k", "sama_bench"]
FOLDERS: Final[Mapping[Layout, str]] = {"sama239k": "sama239k_data", "sama_bench": "sama_bench"}

_FRAMES: Final[Mapping[Layout, str]] = {
    "sama239k": "mevis/train/JPEGImages",
    "sama_bench": "mevis/val_u/JPEGImages",
}
_FILES: Final[Mapping[Layout, tuple[str, str]]] = {
    "sama239k": (RECORD_FILE, TRAINING_MASKS["mevis"]),
    "sama_bench": ("mevis.json", BENCHMARK_MASKS["mevis"]),
}

_ABSENT: Final[Mapping[Layout, tuple[str, ...]]] = {
    "sama239k": (),
    "sama_bench": ("lvvis_0.json", "ref_youtube_vos_0.json", "VidSTG_0.json"),
}
"""Question files of the other sources, empty: whoever checks the benchmark asks for one of each."""


@dataclass(frozen=True)
class Sample:
    """A subject that made it, with all that is said of it.

    Attributes:
        subject: With masklets.
        records: Its dialogue records, the clip named as in the input.
        descriptions: Text by object.
    """

    subject: Subject
    records: tuple[DialogueRecord, ...]
    descriptions: Mapping[str, str]

    @property
    def dialogue(self) -> tuple[RecordTurn, ...]:
        """The turns of all records but those that are a description each."""
        told = set(self.descriptions.values())
        return tuple(turn for record in self.records for turn in record.turns if turn.answer not in told)


def write_official(folder: Path, layout: Layout, samples: Iterable[Sample]) -> int:
    """Write a data set in an official layout into an empty folder, and say how many records it has."""
    record_file, mask_file = _FILES[layout]
    folder.mkdir(parents=True, exist_ok=True)
    numbers = _Numbers()
    count = 0
    with ExitStack() as stack:
        records, masks = (
            stack.enter_context(_Pieces(folder / name, *brackets))
            for name, brackets in ((record_file, "[]"), (mask_file, "{}"))
        )
        for sample in samples:
            clip = sample.subject.clip.open()
            try:
                stems = write_jpegs(clip, folder / _FRAMES[layout] / sample.subject.subject_id)
            finally:
                clip.close()
            ids = {masklet.object_id: numbers.next_object() for masklet in sample.subject.masklets}
            records.add(_text(_entry(sample, layout, stems, ids, numbers)))
            for masklet in sample.subject.masklets:
                masks.add(f"{_text(str(ids[masklet.object_id]))}: {_text(_track(masklet))}")
            count += 1
    for name in _ABSENT[layout]:
        (folder / name).write_text("[]\n", encoding="utf-8")
    return count


def official_turn(turn: RecordTurn, ids: Mapping[str, int]) -> tuple[str, list[int], list[list[int]]]:
    """A turn's question with its slots, the annotation of each slot, and those of each `[SEG]` of the answer.

    A known object that the question names is pointed at, for here each turn stands alone.
    """
    pointed = iter(turn.regions)
    asked: list[int] = []
    pieces: list[str] = []
    for piece in split_question(turn.question):
        if isinstance(piece, str):
            pieces.append(piece)
            continue
        asked.append(ids[piece.object_id if isinstance(piece, ObjectTag) else next(pointed).object_id])
        pieces.append(POOLED_SLOT)
    return "".join(pieces), asked, [[ids[name] for name in names] for names in turn.targets]


class _Numbers:
    """Numbers of objects and questions, from 1."""

    def __init__(self) -> None:
        self.objects = 0
        self.questions = 0

    def next_object(self) -> int:
        self.objects += 1
        return self.objects

    def next_question(self) -> int:
        self.questions += 1
        return self.questions


class _Pieces:
    """A long JSON list or object, written piece by piece."""

    def __init__(self, path: Path, opening: str, closing: str) -> None:
        self._path, self._opening, self._closing = path, opening, closing
        self._count = 0

    def __enter__(self) -> "_Pieces":
        self._file: IO[str] = self._path.open("w", encoding="utf-8")
        self._file.write(self._opening)
        return self

    def add(self, piece: str) -> None:
        self._file.write((",\n" if self._count else "\n") + piece)
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._file.write(f"\n{self._closing}\n")
        self._file.close()


def _entry(
    sample: Sample, layout: Layout, stems: list[str], ids: Mapping[str, int], numbers: _Numbers
) -> dict[str, Json]:
    subject = sample.subject
    turns = [official_turn(turn, ids) for turn in sample.dialogue]
    answers = [turn.answer for turn in sample.dialogue]
    is_bench = layout == "sama_bench"
    entry = {
        "video": f"{_FRAMES[layout]}/{subject.subject_id}",
        "video_id": subject.subject_id,
        "height": subject.clip.height,
        "width": subject.clip.width,
        "frames": stems,
        "anno_map": list(ids.values()),
        "obj_masks": [asked for _, asked, _ in turns],
        "groundtruth": [wanted for _, _, wanted in turns],
        "conversation": list(_messages([text for text, _, _ in turns], answers, numbers if is_bench else None)),
        "description": {_key(name, ids): text for name, text in sample.descriptions.items()},
    }
    if is_bench:
        entry["description_id"] = {_key(name, ids): numbers.next_question() for name in sample.descriptions}
    return entry


def _messages(questions: list[str], answers: list[str], numbers: _Numbers | None) -> Iterator[dict[str, Json]]:
    for question, answer in zip(questions, answers, strict=True):
        asked: dict[str, Json] = {"from": "human", "value": question}
        yield asked if numbers is None else asked | {"question_id": numbers.next_question()}
        yield {"from": "gpt", "value": answer}


def _key(name: str, ids: Mapping[str, int]) -> str:
    """The object's number in `anno_map`, as descriptions name it."""
    return f"<obj{list(ids).index(name)}>"


def _track(masklet: Masklet) -> list[Json]:
    return [None if rle is None else dict(rle) for rle in masklet.rles]


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
