"""A run on disk: what was run, what was asked, and every answer, in shards that only ever grow.

    run.json                             what was run; written once, by whoever comes first
    manifest.jsonl                       the questions in the benchmark's order
    predictions/shard-I-of-N.jsonl       answers, appended; one process at a time writes to a shard
    scores.json, per_question.jsonl      by `sama bench score`

A question that failed has a line too, with the reason; a later run asks it again. Shards of any number may lie side by
side: reading merges them in the order of the manifest.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Final

from sama_video.bench.lines import LinePlace, LineWriter, read_line, read_lines, write_whole
from sama_video.bench.lock import hold_lock
from sama_video.bench.records import prediction_from_json, prediction_to_json
from sama_video.bench.sharding import Shard
from sama_video.bench.task import Json, Prediction
from sama_video.errors import ConfigError, DataError

__all__ = [
    "Question",
    "RunFolder",
    "RunInfo",
    "RunState",
    "ShardWriter",
    "StoredLine",
    "prediction_from_json",
    "prediction_to_json",
    "read_predictions",
]

SCHEMA: Final = "sama-run/1"
RUN, MANIFEST, PREDICTIONS, LOCK = "run.json", "manifest.jsonl", "predictions", ".run.lock"
SCORES, ROWS = "scores.json", "per_question.jsonl"


@dataclass(frozen=True)
class RunInfo:
    """What a run is: two processes whose values differ never write into one folder.

    Attributes:
        model_hash: Everything that changes the model's answers.
        data_hash: Of all questions with their references.
        options: The task's options, and `limit` where only the first questions were asked.
    """

    task: str
    task_version: int
    model: str
    model_hash: str
    data_hash: str
    options: Mapping[str, Json]
    code_version: str
    seed: int

    @property
    def limit(self) -> int | None:
        """How many questions were asked, where that is not all of them."""
        limit: int | None = self.options.get("limit")
        return limit

    def to_json(self) -> dict[str, Json]:
        """The form of run.json."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class Question:
    """A line of the manifest."""

    sample_id: str
    video: str
    subset: str
    turn_idx: int

    def to_json(self) -> dict[str, Json]:
        """The form of manifest.jsonl."""
        return {"id": self.sample_id, "video": self.video, "subset": self.subset, "turn": self.turn_idx}


@dataclass(frozen=True)
class StoredLine:
    """Where a question's line stands, and why there is no answer on it, if so."""

    place: LinePlace
    error: str | None


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        questions: How many were asked.
        failed: Questions whose newest line is a failure, by reason.
        missing: Questions without a line.
        limit: How many of the benchmark's questions the run was cut to; None for all.
    """

    questions: int
    failed: Mapping[str, int]
    missing: int
    limit: int | None = None

    @property
    def answered(self) -> int:
        """Questions with an answer."""
        return self.questions - self.missing - sum(self.failed.values())

    @property
    def complete(self) -> bool:
        """Whether every question of the benchmark has an answer."""
        return self.answered == self.questions and self.limit is None

    def __str__(self) -> str:
        gaps = [f"{self.missing} not asked yet"] if self.missing else []
        gaps += [f"{count} failed ({reason})" for reason, count in self.failed.items()]
        gaps += [] if self.limit is None else [f"the run has only the first {self.limit} of the benchmark"]
        return "; ".join([f"{self.answered} of {self.questions} questions answered", *gaps])


class RunFolder:
    """A run's folder, at any stage."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.scores_path = self.path / SCORES
        self.rows_path = self.path / ROWS

    @property
    def run(self) -> RunInfo:
        """What was run.

        Raises:
            DataError: No run is there, or its file is damaged.
        """
        path = self.path / RUN
        if not path.is_file():
            raise DataError(f"{self.path} holds no run ({RUN} is missing); give a folder that sama bench run wrote.")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise DataError(f"{path} is of the form {document['schema']!r}, not {SCHEMA}; run the benchmark anew.")
            return RunInfo(**{field.name: document[field.name] for field in fields(RunInfo)})
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error!r}); run the benchmark anew into another folder.") from error

    def create(self, run: RunInfo, manifest: Sequence[Question]) -> None:
        """Start a run here, or join the one that is here.

        Raises:
            ConfigError: The folder holds another run.
        """
        self._make()
        with hold_lock(self.path / LOCK):
            if not (self.path / RUN).exists():
                lines = [json.dumps(question.to_json(), ensure_ascii=False) for question in manifest]
                write_whole(self.path / MANIFEST, "".join(f"{line}\n" for line in lines))
                # Last: a run.json tells that its manifest is whole.
                write_whole(self.path / RUN, json.dumps(run.to_json(), ensure_ascii=False, indent=2) + "\n")
        self._check_same(run)

    def _check_same(self, run: RunInfo) -> None:
        there, here = self.run.to_json(), json.loads(json.dumps(run.to_json()))
        for name, value in here.items():
            if there[name] != value:
                raise ConfigError(
                    f"--out {self.path} holds a run with {name} {_brief(there[name])}, but this one has "
                    f"{_brief(value)}; give this run a folder of its own, or go on with that one unchanged."
                )

    def manifest(self) -> tuple[Question, ...]:
        """What was asked, in the benchmark's order."""
        rows = (row for _, row in read_lines(self.path / MANIFEST))
        return tuple(Question(row["id"], row["video"], row["subset"], row["turn"]) for row in rows)

    def newest(self) -> dict[str, StoredLine]:
        """The line that counts of each question, in the order of the manifest; questions without one are left out.

        Of several lines to one question an answer goes before a failure, and a newer line before an older one.
        """
        found: dict[str, StoredLine] = {}
        for place, row in self._rows():
            if row["id"] not in found or row["error"] is None or found[row["id"]].error is not None:
                found[row["id"]] = StoredLine(place, row["error"])
        asked = [question.sample_id for question in self.manifest()]
        strange = set(found) - set(asked)
        if strange:
            raise DataError(f"{self.path} has an answer to {min(strange)}, which is not in {MANIFEST}; run it anew.")
        return {sample_id: found[sample_id] for sample_id in asked if sample_id in found}

    def places(self) -> dict[str, LinePlace]:
        """Where each question's line stands, in the order of the manifest."""
        return {sample_id: line.place for sample_id, line in self.newest().items()}

    def state(self, newest: Mapping[str, StoredLine] | None = None) -> RunState:
        """How far the run is; give it what `newest` gave, if that is at hand."""
        lines = self.newest() if newest is None else newest
        failed = Counter(line.error for line in lines.values() if line.error is not None)
        asked = len(self.manifest())
        return RunState(asked, dict(sorted(failed.items())), asked - len(lines), self.run.limit)

    def predictions(self) -> Iterator[Prediction]:
        """Every answer and failure, merged over the shards in the order of the manifest, one at a time."""
        yield from read_predictions(self.places().values())

    def answered(self) -> dict[str, Prediction]:
        """Answers so far, without their masks; failures do not count."""
        if not (self.path / RUN).exists():
            return {}
        found: dict[str, Prediction] = {}
        for place, row in self._rows():
            if row["error"] is None:
                found[row["id"]] = prediction_from_json(row, str(place), masks=False)
        return found

    @contextmanager
    def writer(self, shard: Shard) -> Iterator["ShardWriter"]:
        """The one who writes a shard's answers.

        Raises:
            ConfigError: Another process is writing that shard.
        """
        self._make()
        name = f"shard-{shard.index}-of-{shard.count}"
        refusal = (
            f"another process is answering shard {shard} of {self.path}; wait for it, or give this one another --shard."
        )
        with hold_lock(self.path / PREDICTIONS / f".{name}.lock", refusal):
            lines = LineWriter(self.path / PREDICTIONS / f"{name}.jsonl")
            try:
                yield ShardWriter(lines)
            finally:
                lines.close()

    def _make(self) -> None:
        try:
            (self.path / PREDICTIONS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--out {self.path} cannot be made a folder ({error.strerror}); name a folder that you may write to."
            ) from error

    def _rows(self) -> Iterator[tuple[LinePlace, Json]]:
        for path in sorted((self.path / PREDICTIONS).glob("shard-*-of-*.jsonl")):
            for place, row in read_lines(path):
                if not isinstance(row, dict) or not isinstance(row.get("id"), str) or "error" not in row:
                    raise DataError(f"{place} is no answer of a run; leave the files of {PREDICTIONS} as they are.")
                yield place, row


class ShardWriter:
    """Appends answers to one shard."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines
        self._video: str | None = None

    def append(self, row: Mapping[str, Json]) -> None:
        """Store one answer, as `prediction_to_json` gives it; after each video everything is on the disk."""
        if self._video not in (None, row["video"]):
            self._lines.settle()
        self._video = row["video"]
        self._lines.append(row)


def read_predictions(places: Iterable[LinePlace]) -> Iterator[Prediction]:
    """The answers at some places, one at a time."""
    with ExitStack() as stack:
        files: dict[Path, IO[bytes]] = {}
        for place in places:
            if place.path not in files:
                files[place.path] = stack.enter_context(place.path.open("rb"))
            yield prediction_from_json(read_line(files[place.path], place), str(place), trusted=True)


def _brief(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
