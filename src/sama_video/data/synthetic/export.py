"""A folder of diagnostic clips: records, the benchmark's questions, and a file set in SAMA-Bench's layout.

    OUT/synth.json                      what the folder holds, so that a later run goes on with the same
    OUT/records.jsonl                   one dialogue record a clip, see `records`
    OUT/exam/questions.jsonl            the benchmark's questions with what a right answer says, one line a clip
    OUT/sama_bench/...                  format "frames": JPEG frames, question file and mask file as SAMA-Bench has them
    OUT/clips/NAME.mp4                  format "mp4"

A clip is written whole or not at all: frames under a hidden name that is changed at the end, then its two lines. A run
that was killed goes on after the last clip that has both; until all are there, the lines stand in `.partial` files.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool
from PIL import Image

from sama_video.data.records import DialogueRecord, FileClip, RecordTurn, read_records
from sama_video.data.synthetic.bench_layout import QUESTION_FILE, write_bench_files
from sama_video.data.synthetic.diagnostic import WORLD_VERSION, DiagnosticWorld, region_at
from sama_video.data.synthetic.levels import FPS, Split, seeds_of
from sama_video.data.synthetic.painting import Painted
from sama_video.data.synthetic.questions import Question, Talk, exam_of, talk_of
from sama_video.data.synthetic.story import Story, story_of
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.video.writer import write_video

Json: TypeAlias = Any
Format = Literal["frames", "mp4"]

SETTINGS, RECORDS, QUESTIONS = "synth.json", "records.jsonl", "exam/questions.jsonl"
SCHEMA: Final = "sama-synth/1"
BENCH_FRAMES: Final = "sama_bench/mevis/val_u/JPEGImages"
"""Where frames are: SAMA-Bench tells its sources apart by their folders, and this one has the plainest layout."""

_QUALITY: Final = 95
_LICENCE: Final = "Apache-2.0"


@dataclass(frozen=True)
class SynthSettings:
    """What a folder of clips holds.

    Attributes:
        run: Which run of the split, see `levels.seeds_of`.
        sprites, backgrounds: Hashes of the folders of pictures; None without one.
    """

    level: int
    split: Split
    run: int
    size: tuple[int, int]
    format: Format
    sprites: str | None = None
    backgrounds: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The form of `synth.json`."""
        return {
            "schema": SCHEMA,
            "world": WORLD_VERSION,
            "level": self.level,
            "split": self.split,
            "seed": self.run,
            "height": self.size[0],
            "width": self.size[1],
            "format": self.format,
            "sprites": self.sprites,
            "backgrounds": self.backgrounds,
        }

    def clip_name(self, seed: int) -> str:
        """A clip's name: unique over levels, splits and seeds."""
        return f"{self.split}-{self.level}-{seed}"


@dataclass(frozen=True)
class SynthReport:
    """What a run wrote.

    Attributes:
        clips: How many the folder holds now.
        added: How many of them this run made.
    """

    clips: int
    added: int


def write_synth(
    out: Path, settings: SynthSettings, world: DiagnosticWorld, clips: int, advance: Callable[[int], None]
) -> SynthReport:
    """Write clips that are not there yet; the folder holds at least `clips` of them afterwards.

    Args:
        advance: Told how many clips are done more; those that were there already are told at once.

    Raises:
        DataError: The folder holds clips of other settings.
    """
    seeds = seeds_of(settings.split, settings.run, clips)
    _claim(out, settings)
    lines = _Lines(out)
    there = lines.resume(clips)
    advance(min(there, clips))
    for number, seed in enumerate(seeds[there:], start=there):
        record, questions = _write_clip(out, settings, world, seed)
        lines.append(number, record.to_json(), questions)
        advance(1)
    lines.finish()
    if settings.format == "frames" and not (out / "sama_bench" / QUESTION_FILE).exists():
        write_bench_files(out / "sama_bench", _told(out, settings, world))
    return SynthReport(max(there, clips), max(0, clips - there))


def _claim(out: Path, settings: SynthSettings) -> None:
    """Make the folder this run's, or check that it is."""
    path, wanted = out / SETTINGS, settings.to_json()
    try:
        if not path.exists():
            _replace(path, json.dumps(wanted, indent=1) + "\n")
            return
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read or written ({error}); give another folder.") from error
    for key, value in wanted.items():
        if not isinstance(found, dict) or found.get(key) != value:
            has = found.get(key) if isinstance(found, dict) else None
            raise DataError(
                f"{out} holds clips with {key} {has!r}, not {value!r}; give another --out, or the same {key}."
            )


class _Lines:
    """The two files of lines, kept at the same number of clips."""

    def __init__(self, out: Path) -> None:
        self.paths = (out / RECORDS, out / QUESTIONS)
        self.partials = tuple(path.with_name(f"{path.name}.partial") for path in self.paths)
        self.bench = out / "sama_bench" / QUESTION_FILE
        self.begun = False

    def resume(self, clips: int) -> int:
        """How many clips are there; what was cut off in the middle is taken back."""
        for path in self.paths:
            path.parent.mkdir(exist_ok=True)
        whole = min(_count_lines(path) for path in self.paths)
        if whole >= clips and not any(path.exists() for path in self.partials):
            return whole
        if not all(path.exists() for path in self.partials):
            for path, partial in zip(self.paths, self.partials, strict=True):
                partial.unlink(missing_ok=True)
                if path.exists():
                    shutil.copyfile(path, partial)
                else:
                    partial.touch()
        self.begun = True
        count = min(_count_lines(path) for path in self.partials)
        for path in self.partials:
            _cut_lines(path, count)
        return count

    def append(self, number: int, *values: Mapping[str, Json]) -> None:
        """Add one clip; what is added is on the disk before the next one begins."""
        for path, value in zip(self.partials, values, strict=True):
            with path.open("ab") as file:
                file.write(_line(value))
                file.flush()
                os.fsync(file.fileno())

    def finish(self) -> None:
        """Give the files their names; a question set of fewer clips goes first, so that it is made anew."""
        if self.begun:
            self.bench.unlink(missing_ok=True)
            for path, partial in zip(self.paths, self.partials, strict=True):
                partial.replace(path)


def _count_lines(path: Path) -> int:
    """Whole lines of a file; none where there is no file."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _cut_lines(path: Path, count: int) -> None:
    with path.open("rb+") as file:
        for _ in range(count):
            file.readline()
        file.truncate(file.tell())


def _line(value: Mapping[str, Json]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _write_clip(
    out: Path, settings: SynthSettings, world: DiagnosticWorld, seed: int
) -> tuple[DialogueRecord, dict[str, Json]]:
    """One clip's frames on disk, and its two lines."""
    name = settings.clip_name(seed)
    drawn = world.paint(seed)
    path = write_frames(drawn, out, name) if settings.format == "frames" else _write_mp4(drawn, out, name)
    story = story_of(drawn.episode, world.assets)
    talk = talk_of(story)
    record = record_of(drawn, talk, name, path)
    by_actor = {idx: f"obj{place + 1}" for place, idx in enumerate(talk.order)}
    questions = {
        "id": name,
        "clip": record.clip.to_json(),
        "fps": FPS,
        "seed": seed,
        "objects": [by_actor[idx] for idx in range(len(by_actor))],
        "questions": [question.to_json() for question in exam_of(story)],
    }
    return record, questions


def write_frames(drawn: Painted, out: Path, name: str) -> str:
    """Frames as JPEG files in a folder that appears when it is whole; gives its path below `out`."""
    relative = f"{BENCH_FRAMES}/{name}"
    folder = out / relative
    partial = folder.with_name(f".{name}.partial")
    if folder.exists():
        return relative
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number, frame in enumerate(drawn.frames):
        Image.fromarray(frame).save(partial / f"{number:05d}.jpg", quality=_QUALITY, subsampling=0)
    partial.replace(folder)
    return relative


def _write_mp4(drawn: Painted, out: Path, name: str) -> str:
    (out / "clips").mkdir(exist_ok=True)
    # From "veryfast" on, x264 plans its bits over several frames, by which it does not always give the same bytes.
    write_video(out / "clips" / f"{name}.mp4", iter(drawn.frames), fps=FPS, crf=14, preset="superfast")
    return f"clips/{name}.mp4"


def record_of(drawn: Painted, talk: Talk, name: str, path: str) -> DialogueRecord:
    """A painted clip and its dialogue as a record; objects are named in the order in which the dialogue meets them."""
    names = {idx: f"obj{place + 1}" for place, idx in enumerate(talk.order)}
    masks = drawn.masks
    return DialogueRecord(
        record_id=name,
        clip=FileClip(path, len(drawn.frames), *drawn.frames.shape[1:3]),
        objects=tuple(Masklet.from_masks(names[idx], masks[idx]) for idx in talk.order),
        turns=tuple(_record_turn(question, names, masks, drawn.episode.seed) for question in talk.turns),
        source="synth",
        licence=_LICENCE,
        facts={names[idx]: {"label": drawn.episode.actors[idx].look.shape} for idx in talk.order},
    )


def _record_turn(
    question: Question,
    names: Mapping[int, str],
    masks: Bool[np.ndarray, "objects frames height width"],
    seed: int,
) -> RecordTurn:
    regions = tuple(
        RegionPrompt(region_at(pointed, masks[pointed.object_idx, pointed.frame], seed), names[pointed.object_idx])
        for pointed in question.regions
    )
    targets = tuple(tuple(names[idx] for idx in group) for group in question.targets)
    return RecordTurn(question.text, regions, question.answer, targets)


def _told(out: Path, settings: SynthSettings, world: DiagnosticWorld) -> Iterator[tuple[DialogueRecord, Talk, Story]]:
    """All records with the dialogue and the story that they were made of."""
    prefix = settings.clip_name(0).removesuffix("0")
    for record in read_records(out / RECORDS):
        story = world.story(int(record.record_id.removeprefix(prefix)))
        yield record, talk_of(story), story
