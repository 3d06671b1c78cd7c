"""The synthetic benchmark: the project's diagnostic world at one of its three levels, with nothing to download.

Clips and questions follow from seeds of the held-out split; a folder written by `sama data synth` can take their place.
Answers are judged against what is true of the clip: any text counts that names the right word and no other.
`docs/synth.md` has the formulas.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar, Final

from sama_video.bench.measures import mean
from sama_video.bench.parsing import phrases
from sama_video.bench.task import (
    CheckReport,
    Json,
    Measure,
    Mode,
    Prediction,
    Row,
    Sample,
    ScoreTools,
    Summary,
    Task,
    TaskOptions,
    Track,
)
from sama_video.bench.tasks.synth_scores import ANSWERED, PARTS, SCORE, score_answer
from sama_video.data.records import DialogueRecord, FileClip, read_records
from sama_video.data.synthetic.diagnostic import WORLD_VERSION, DiagnosticWorld, painted, region_at
from sama_video.data.synthetic.export import QUESTIONS, RECORDS, SCHEMA, SETTINGS
from sama_video.data.synthetic.levels import FPS, seeds_of
from sama_video.data.synthetic.questions import FAMILIES, Pointed, Question
from sama_video.errors import ConfigError, DataError
from sama_video.metrics.intervals import mean_of
from sama_video.regions.rle import encode, union
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video

CLIPS: Final = 200
SIZE: Final = (256, 256)


@dataclass(frozen=True)
class _Asked:
    """One clip with its questions, wherever it comes from.

    Attributes:
        seed: Chooses the pixel of a click.
        mask: One object's mask on one frame.
        track: One object's masks.
    """

    name: str
    seed: int
    questions: tuple[Question, ...]
    open_clip: Callable[[], Clip]
    mask: Callable[[int, int], Json]
    track: Callable[[int], Track]


class Synth(Task):
    """Level 2, the level that is meant by "the synthetic benchmark"."""

    name = "synth"
    title = "The project's synthetic world, level 2; needs no download"
    version = WORLD_VERSION
    headline = (SCORE, "J&F", "accuracy")
    needs_data = False
    modes: tuple[Mode, ...] = ("strict",)
    level: ClassVar[int] = 2

    def check(self, data: Path | None) -> CheckReport:
        """Read all questions, and of a folder every record and the first frame of every clip."""
        counts: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        rows: list[Mapping[str, str | None]] = []
        try:
            for clip in self._clips(data, TaskOptions()):
                if data is not None:
                    clip.open_clip().frame(0)
                counts["videos"] += 1
                counts["questions"] += len(clip.questions)
                counts.update(question.family for question in clip.questions)
        except DataError as error:
            faults["unreadable"] += 1
            rows.append({"file": str(data), "record": None, "reason": "unreadable", "detail": str(error)})
        return CheckReport(self.name, dict(counts), dict(faults), {}, tuple(rows))

    def samples(self, data: Path | None, options: TaskOptions) -> Iterator[Sample]:
        """All questions, clip by clip; without a history, follow-ups are put so that they can be asked alone."""
        for clip in self._clips(data, options):
            for number, question in enumerate(clip.questions):
                yield _sample(clip, number, question, is_alone=options.history == "single")

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        """The figures of the question's family, see `synth_scores`."""
        facts = prediction.facts
        values = score_answer(prediction)
        return Row(
            prediction.sample_id,
            prediction.video,
            prediction.subset,
            mode,
            prediction.turn_idx,
            values,
            texts={"kind": facts["kind"], "new_pair": facts["expect"]["new_pair"]},
        )

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        """Each family by itself and by kind, and the unweighted mean of the families' scores."""
        measures = [measure for family in FAMILIES for measure in _family_measures(rows, family, mode)]
        scores = [m.statistic for m in measures if m.name == SCORE and m.subset in FAMILIES and m.statistic is not None]
        total = (
            Measure(SCORE, mode, statistic=mean_of(scores)) if scores else Measure(SCORE, mode, missing="no question")
        )
        asked = Counter(row.subset for row in rows)
        return Summary((total, *measures), {"synth": {"level": self.level, "questions": dict(asked)}})

    def _clips(self, data: Path | None, options: TaskOptions) -> Iterator[_Asked]:
        if data is not None:
            yield from _clips_of_folder(data, self.level)
            return
        world = DiagnosticWorld(self.level, SIZE)
        for seed in seeds_of("test", options.seed, CLIPS):
            yield _drawn_clip(world, seed)


class SynthMiddle(Synth):
    """Level 2 by its number."""

    name = "synth-2"


class SynthEasy(Synth):
    """Level 1."""

    name = "synth-1"
    title = "The project's synthetic world, level 1 (easier)"
    level = 1


class SynthHard(Synth):
    """Level 3."""

    name = "synth-3"
    title = "The project's synthetic world, level 3 (harder)"
    level = 3


def _sample(clip: _Asked, number: int, question: Question, *, is_alone: bool) -> Sample:
    text, pointed = question.text, question.regions
    if is_alone and question.alone is not None:
        text, pointed = question.alone
    wants_masks = question.expect["rule"] == "mask"
    return Sample(
        sample_id=f"{clip.name}/{number}",
        video=clip.name,
        subset=question.family,
        question_id=str(number),
        open_clip=clip.open_clip,
        question=text,
        regions=tuple(region_at(p, clip.mask(p.object_idx, p.frame), clip.seed) for p in pointed),
        prompt=_prompt(pointed),
        ground=question.ground,
        reference_text=question.answer,
        reference_phrases=phrases(question.answer),
        reference_tracks=partial(_tracks, clip, question.targets if wants_masks else ()),
        dialogue=f"{clip.name}/{question.thread}" if question.thread else "",
        turn_idx=question.turn,
        facts={"kind": question.kind, "expect": dict(question.expect)},
    )


def _prompt(pointed: Sequence[Pointed]) -> dict[str, Json]:
    if not pointed:
        return {}
    return {"frame": pointed[0].frame, "kind": pointed[0].form, "frames": [each.frame for each in pointed]}


def _tracks(clip: _Asked, targets: Sequence[Sequence[int]]) -> tuple[Track, ...]:
    """The masks of each target; one of several objects is their union."""
    return tuple(_united([clip.track(idx) for idx in group]) for group in targets)


def _united(tracks: Sequence[Track]) -> Track:
    if len(tracks) == 1:
        return tracks[0]
    frames = ([rle for rle in masks if rle is not None] for masks in zip(*tracks, strict=True))
    return tuple(union(masks) if masks else None for masks in frames)


def _drawn_clip(world: DiagnosticWorld, seed: int) -> _Asked:
    name = f"test-{world.level}-{seed}"
    return _Asked(
        name,
        seed,
        world.exam(seed),
        partial(_drawn_frames, world, seed, name),
        lambda idx, frame: _drawn_masks(world, seed)[idx, frame],
        lambda idx: tuple(encode(mask) if mask.any() else None for mask in _drawn_masks(world, seed)[idx]),
    )


def _drawn_frames(world: DiagnosticWorld, seed: int, name: str) -> Clip:
    return Clip.from_frames(painted(world, seed).frames, fps=FPS, source=name)


@lru_cache(maxsize=4)
def _drawn_masks(world: DiagnosticWorld, seed: int) -> Json:
    return world.masks(seed)


def _clips_of_folder(data: Path, level: int) -> Iterator[_Asked]:
    """The clips of a folder that `sama data synth` wrote."""
    _check_settings(data, level)
    try:
        lines = (data / QUESTIONS).open("rb")
    except OSError as error:
        raise DataError(
            f"{data / QUESTIONS}: {error.strerror}; write the folder again with sama data synth."
        ) from error
    with lines:
        for number, record in enumerate(read_records(data / RECORDS), start=1):
            yield _stored_clip(data, record, lines.readline(), f"{data / QUESTIONS}, line {number}")


def _check_settings(data: Path, level: int) -> None:
    """Refuse a folder that holds no clips of this level."""
    try:
        settings = json.loads((data / SETTINGS).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--data {data} has no readable {SETTINGS}; give a folder of sama data synth.") from error
    if not isinstance(settings, dict) or settings.get("schema") != SCHEMA:
        raise DataError(f"{data / SETTINGS} is not of {SCHEMA}; write the folder again with sama data synth.")
    held = settings.get("level")
    if held != level:
        raise ConfigError(f"--data {data} holds level {held}, not {level}; its benchmark is synth-{held}.")


def _stored_clip(data: Path, record: DialogueRecord, line: bytes, place: str) -> _Asked:
    try:
        value = json.loads(line)
        questions = tuple(Question.from_json(item, place) for item in value["questions"])
        name, seed, objects = str(value["id"]), int(value["seed"]), [str(each) for each in value["objects"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}: not a line of questions ({error!r}); write the folder again.") from error
    if name != record.record_id or not isinstance(record.clip, FileClip):
        raise DataError(f"{place} is about {name}, but the record is {record.record_id}; write the folder again.")
    masklets = {masklet.object_id: masklet for masklet in record.objects}
    by_actor = [masklets[object_id] for object_id in objects]
    return _Asked(
        name,
        seed,
        questions,
        partial(open_video, data / record.clip.path, fps_for_stills=FPS),
        lambda idx, frame: by_actor[idx].mask(frame),
        lambda idx: by_actor[idx].rles,
    )


def _family_measures(rows: Sequence[Row], family: str, mode: Mode) -> Iterator[Measure]:
    own = [row for row in rows if row.subset == family]
    if not own:
        yield Measure(SCORE, mode, family, missing="no question")
        return
    for key in (SCORE, *PARTS[family], ANSWERED):
        if any(row.values.get(key) is not None for row in own):
            yield mean(own, key, mode, subset=family)
    groups: dict[str, list[Row]] = {}
    for row in own:
        groups.setdefault(f"{family}: {row.texts['kind']}", []).append(row)
        if family == "dialogue":
            groups.setdefault(f"{family}: turn {row.turn_idx + 1}", []).append(row)
        if family in ("attribute", "grounding"):
            groups.setdefault(f"{family}: {'new' if row.texts['new_pair'] else 'known'} pairs", []).append(row)
    if len(groups) > 1:
        yield from (mean(groups[name], SCORE, mode, subset=name) for name in sorted(groups))
