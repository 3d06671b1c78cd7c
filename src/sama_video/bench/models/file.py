"""Answers made elsewhere: a file with one record a line (spec bench, 1.8), joined to questions by their ids.

A record needs `id` and `pred_text`; `pred_phrases` follow from the text where they are left out, and `pred_masks` are
none. What else a record says of its question is used only where the benchmark's own files are not at hand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_video.bench.keys import file_hash
from sama_video.bench.lines import LinePlace, read_line, read_lines
from sama_video.bench.models import Outcome, failed
from sama_video.bench.models.spec_options import refuse_unused
from sama_video.bench.parsing import phrases
from sama_video.bench.records import part_of, prediction_from_json
from sama_video.bench.task import Json, Prediction, Sample, TaskOptions
from sama_video.errors import ConfigError, DataError
from sama_video.video.clip import Clip

PREFIX = "file:"
NOT_GIVEN = "no prediction given"
REFERENCES = ("video", "subset", "gt_text", "gt_phrases", "gt_masks")
"""What a record must say where the benchmark's files are not at hand."""


def open_model(spec: str, *, seed: int = 0, **options: Any) -> "FileModel":
    """The answers that a file holds; the seed is the benchmark's alone.

    Raises:
        ConfigError: There is no such file, or options of a model that runs were given.
    """
    refuse_unused(spec, options)
    return FileModel(Records.of(path_of(spec)))


def path_of(spec: str) -> Path:
    """The file that a spec names.

    Raises:
        ConfigError: It names none.
    """
    path = Path(spec.removeprefix(PREFIX))
    if not path.is_file():
        raise ConfigError(f"--model {spec} names no file; give file: and the path of a JSONL file of predictions.")
    return path


@dataclass(frozen=True)
class Heading:
    """What a record is about, kept in memory for each."""

    place: LinePlace
    part: str
    video: str


@dataclass(frozen=True)
class Records:
    """A file of records: where each one stands, so that one is read at a time.

    Attributes:
        headings: By id, in the order of the file.
    """

    path: Path
    headings: Mapping[str, Heading]

    @classmethod
    def of(cls, path: Path) -> "Records":
        """Read a file once, to know what is in it.

        Raises:
            DataError: A line is no record, or two have one id.
        """
        headings: dict[str, Heading] = {}
        for place, row in read_lines(path, growing=False):
            record = prediction_from_json(row, str(place), masks=False)
            if record.sample_id in headings:
                raise DataError(f"{place}: a second record of {record.sample_id}; give one answer to each question.")
            headings[record.sample_id] = Heading(place, record.part, record.video)
        return cls(path, headings)

    def of_task(self, task: str) -> list[str]:
        """Ids of the records that belong to a benchmark: those of its part, and those that tell none.

        Raises:
            DataError: There is none.
        """
        own = [sample_id for sample_id, heading in self.headings.items() if heading.part in ("", part_of(task))]
        if not own:
            parts = ", ".join(sorted({heading.part for heading in self.headings.values()})) or "nothing"
            raise DataError(
                f"{self.path} has no record of {task} (part {part_of(task)}), only of: {parts}; "
                "name the benchmark that the records belong to."
            )
        return own

    def by_video(self, task: str) -> list[str]:
        """Ids of a benchmark's records, those of one video together, videos in the order of the file."""
        groups: dict[str, list[str]] = {}
        for sample_id in self.of_task(task):
            groups.setdefault(self.headings[sample_id].video, []).append(sample_id)
        return [sample_id for group in groups.values() for sample_id in group]

    def read(self, sample_id: str) -> tuple[Prediction, Mapping[str, Json]]:
        """One record with its masks, and the line as it stands."""
        place = self.headings[sample_id].place
        with self.path.open("rb") as file:
            row = read_line(file, place)
        return prediction_from_json(row, str(place)), row


class FileModel:
    """Answers in a file under test.

    Attributes:
        name: As the report calls it; the folder does not matter.
        revision: Hash of the file.
    """

    def __init__(self, records: Records) -> None:
        self.records = records
        self.name = f"{PREFIX}{records.path.name}"
        self.revision = file_hash(records.path)

    def check_questions(self, task: str, sample_ids: Iterable[str]) -> None:
        """Refuse a file with answers to questions that the benchmark does not ask."""
        asked = set(sample_ids)
        unknown = [sample_id for sample_id in self.records.of_task(task) if sample_id not in asked]
        if unknown:
            shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
            raise DataError(
                f"{self.records.path} has {len(unknown)} records with ids that {task} does not ask ({shown}); "
                "take them out, or name the benchmark and the data that they belong to."
            )

    def answer(
        self, samples: Sequence[Sample], options: TaskOptions, known: Mapping[str, Prediction]
    ) -> Iterator[Outcome]:
        """The file's answers to one video's questions; one it does not have is a failure."""
        for sample in samples:
            if sample.sample_id in known:
                continue
            try:
                yield self._outcome(sample.sample_id)
            except DataError as error:
                yield failed(sample, error)

    def _outcome(self, sample_id: str) -> Outcome:
        if sample_id not in self.records.headings:
            raise DataError(NOT_GIVEN)
        record, row = self.records.read(sample_id)
        if record.pred_text is None:
            raise DataError(record.error or NOT_GIVEN)
        return Outcome(
            sample_id,
            record.pred_text,
            phrases(record.pred_text) if row.get("pred_phrases") is None else record.pred_phrases,
            record.pred_tracks,
            record.frames,
            record.seconds,
            record.history,
            scores=record.pred_scores,
            note=record.note,
        )


@dataclass(frozen=True)
class RecordSource:
    """A benchmark's questions and references as the records themselves give them, where its files are not at hand."""

    path: Path
    task: str

    def __call__(self) -> Iterator[Sample]:
        """The questions, those of one video together.

        Raises:
            DataError: A record has no references.
        """
        records = Records.of(self.path)
        for sample_id in records.by_video(self.task):
            record, row = records.read(sample_id)
            lacking = [key for key in REFERENCES if key not in row]
            if lacking:
                raise DataError(
                    f"{records.headings[sample_id].place}: the record has no {', '.join(lacking)}; "
                    "give the benchmark's files with --data."
                )
            yield _sample(record, records)


def _sample(record: Prediction, records: Records) -> Sample:
    sample_id = record.sample_id

    def no_clip() -> Clip:
        raise DataError(f"{records.path} holds no pictures; give the benchmark's files with --data.")

    return Sample(
        sample_id=sample_id,
        video=record.video,
        subset=record.subset,
        question_id=record.question_id,
        open_clip=no_clip,
        question=record.question,
        prompt=record.prompt,
        reference_text=record.gt_text,
        reference_phrases=record.gt_phrases,
        reference_tracks=lambda: records.read(sample_id)[0].gt_tracks,
        dialogue=record.dialogue,
        turn_idx=record.turn_idx,
        facts=record.facts,
    )
