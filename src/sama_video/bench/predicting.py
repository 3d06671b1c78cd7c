"""Questions -> answers: one video at a time, each answer stored before the next is asked, nothing asked twice.

A job says what is to be answered by whom; it is sent to other processes and machines as it is. Scoring is another pass
(`scoring`), which needs neither the model nor the data.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from sama_video.bench.keys import DataHash, code_version, prediction_key
from sama_video.bench.models import ChecksQuestions, ModelUnderTest, Outcome, failed
from sama_video.bench.records import part_of
from sama_video.bench.sharding import Shard
from sama_video.bench.store import Question, RunFolder, RunInfo, prediction_to_json
from sama_video.bench.task import Prediction, Sample, Task, TaskOptions, Track
from sama_video.errors import DataError

Report: TypeAlias = Callable[[int, int], None]
"""Told how many questions of a shard are over, and how many it has."""


@runtime_checkable
class ModelSource(Protocol):
    """Where a model comes from; `ModelChoice` is one."""

    @property
    def reads_clips(self) -> bool: ...

    def open(self, local_rank: int | None = None) -> ModelUnderTest: ...


@dataclass(frozen=True)
class Job:
    """What is to be answered, by whom.

    Attributes:
        data: Folder of the benchmark's files.
        limit: Ask only the first questions; such a run is never complete.
        source: Gives the samples in place of the task's own files.
    """

    task: Task
    model: ModelSource
    options: TaskOptions
    data: Path | None = None
    limit: int | None = None
    source: Callable[[], Iterator[Sample]] | None = None

    def samples(self) -> Iterator[Sample]:
        """Every sample of the benchmark, read anew."""
        return self.task.samples(self.data, self.options) if self.source is None else self.source()


class Predictor:
    """A model before a benchmark.

    Attributes:
        run: What this run is.
        manifest: Its questions.
    """

    def __init__(self, job: Job, local_rank: int | None = None) -> None:
        self.job = job
        self.model = job.model.open(local_rank)
        self.manifest, data_hash, cut = survey(job.samples(), job.limit)
        if isinstance(self.model, ChecksQuestions) and not cut:
            self.model.check_questions(job.task.name, (question.sample_id for question in self.manifest))
        self.run = RunInfo(
            task=job.task.name,
            task_version=job.task.version,
            model=self.model.name,
            model_hash=self.model.revision,
            data_hash=data_hash,
            options=asdict(job.options) | {"limit": job.limit if cut else None},
            code_version=code_version(),
            seed=job.options.seed,
        )

    def answers(self, shard: Shard, known: Mapping[str, Prediction]) -> Iterator[Prediction]:
        """Answer what of a shard is not known yet, in the benchmark's order.

        Raises:
            DataError: A known answer is to other pictures or reference masks than there are now.
        """
        for video, samples in groupby(islice(self.job.samples(), self.job.limit), key=lambda sample: sample.video):
            if shard.holds(video):
                yield from self._answer_video(list(samples), known)

    def _answer_video(self, samples: list[Sample], known: Mapping[str, Prediction]) -> Iterator[Prediction]:
        known = {sample.sample_id: known[sample.sample_id] for sample in samples if sample.sample_id in known}
        with ExitStack() as stack:
            try:
                video = _Video.open(samples, self.run, reads_clips=self.job.model.reads_clips)
                stack.callback(video.close)
            # A video that cannot be read is a gap of the run, told in its report, and no reason to leave the others.
            except Exception as error:
                for sample in samples:
                    if sample.sample_id not in known:
                        yield self._prediction(sample, failed(sample, error), (), "")
                return
            video.check(known)
            pending = {sample.sample_id: sample for sample in video.samples if sample.sample_id not in known}
            for outcome in self._outcomes(video.samples, pending, known):
                sample_id = outcome.sample_id
                references, key = video.references[sample_id], video.keys[sample_id]
                yield self._prediction(pending[sample_id], outcome, references, key)

    def _outcomes(
        self, samples: Sequence[Sample], pending: Mapping[str, Sample], known: Mapping[str, Prediction]
    ) -> Iterator[Outcome]:
        """One outcome for each pending sample, whatever the model does."""
        if not pending:
            return
        left = dict(pending)
        reason: Exception = DataError("the model gave no answer")
        try:
            for outcome in self.model.answer(samples, self.job.options, known):
                if left.pop(outcome.sample_id, None) is not None:
                    yield outcome
        # As above: recorded for each question, and the run goes on.
        except Exception as error:
            reason = error
        for sample in left.values():
            yield failed(sample, reason)

    def _prediction(self, sample: Sample, outcome: Outcome, references: tuple[Track, ...], key: str) -> Prediction:
        run = self.run
        error = outcome.error or ("the model gave no answer" if outcome.text is None else None)
        tracks = outcome.tracks
        if error is None:
            tracks, error = fitted(tracks, references)
        return Prediction(
            sample_id=sample.sample_id,
            task=run.task,
            part=part_of(run.task),
            subset=sample.subset,
            video=sample.video,
            question_id=sample.question_id,
            question=sample.question,
            gt_text=sample.reference_text,
            gt_phrases=sample.reference_phrases,
            gt_tracks=references,
            pred_text=None if error else outcome.text,
            pred_phrases=() if error else outcome.phrases,
            pred_tracks=() if error else tracks,
            pred_scores=() if error else outcome.scores,
            note=outcome.note,
            history=outcome.history,
            frames=outcome.frames,
            prompt=sample.prompt,
            dialogue=sample.dialogue,
            turn_idx=sample.turn_idx,
            facts=sample.facts,
            model=run.model,
            model_hash=run.model_hash,
            data_hash=run.data_hash,
            code_version=run.code_version,
            seed=run.seed,
            seconds=round(float(outcome.seconds), 3),
            key=key,
            error=error,
        )


@dataclass(frozen=True)
class _Video:
    """One video's samples with all that is read of it while it is asked about.

    Attributes:
        samples: Their `open_clip` gives the clip that is open already.
        references: Reference masks by sample.
        keys: Of the answers, by sample.
    """

    samples: tuple[Sample, ...]
    references: Mapping[str, tuple[Track, ...]]
    keys: Mapping[str, str]
    close: Callable[[], None]

    @classmethod
    def open(cls, samples: Sequence[Sample], run: RunInfo, *, reads_clips: bool) -> "_Video":
        pictures, close, given = "", _nothing, tuple(samples)
        if reads_clips:
            clip = samples[0].open_clip()
            pictures, close = clip.sha256, clip.close
            given = tuple(replace(sample, open_clip=lambda: clip) for sample in samples)
        references = {sample.sample_id: sample.reference_tracks() for sample in samples}
        keys = {name: prediction_key(run, name, pictures, tracks) for name, tracks in references.items()}
        return cls(given, references, keys, close)

    def check(self, known: Mapping[str, Prediction]) -> None:
        for sample_id, prediction in known.items():
            if prediction.key != self.keys[sample_id]:
                raise DataError(
                    f"the stored answer to {sample_id} is to other pictures or masks than {prediction.video} has now; "
                    "bring those back, or run into another --out."
                )


def fitted(tracks: tuple[Track, ...], references: Sequence[Track]) -> tuple[tuple[Track, ...], str | None]:
    """Predicted tracks as long as the references, an end that is left out being empty; else why they do not fit."""
    sizes = {tuple(mask["size"]) for track in references for mask in track if mask is not None}
    num_frames = max((len(track) for track in references), default=None)
    for track in tracks:
        if num_frames is not None and len(track) > num_frames:
            return (), f"a predicted track has {len(track)} frames, but the reference has {num_frames}"
        for mask in track:
            if mask is not None and sizes and tuple(mask["size"]) not in sizes:
                (height, width), known = mask["size"], sorted(sizes)[0]
                return (), f"a predicted mask is {height}x{width}, but the references are {known[0]}x{known[1]}"
    padded = (track + (None,) * (num_frames - len(track)) for track in tracks) if num_frames is not None else tracks
    return tuple(padded), None


def survey(samples: Iterable[Sample], limit: int | None) -> tuple[tuple[Question, ...], str, bool]:
    """The questions of a benchmark, the hash of them with their references, and whether `limit` left some out."""
    asked: dict[str, Question] = {}
    digest = DataHash()
    for sample in samples:
        if len(asked) == limit:
            return tuple(asked.values()), digest.hexdigest(), True
        if sample.sample_id in asked:
            raise DataError(f"two questions of the benchmark have the id {sample.sample_id}; give each one of its own.")
        asked[sample.sample_id] = Question(sample.sample_id, sample.video, sample.subset, sample.turn_idx)
        digest.add(sample)
    return tuple(asked.values()), digest.hexdigest(), False


def run_shard(job: Job, folder: RunFolder, shard: Shard, report: Report, local_rank: int | None = None) -> None:
    """Answer one shard into a run's folder, from where it was left.

    Raises:
        ConfigError: The folder holds another run, or another process answers this shard.
    """
    with folder.writer(shard) as writer:
        predictor = Predictor(job, local_rank)
        folder.create(predictor.run, predictor.manifest)
        known = folder.answered()
        done, total = progress_of(shard, predictor.manifest, known)
        report(done, total)
        for prediction in predictor.answers(shard, known):
            writer.append(prediction_to_json(prediction))
            done += 1
            report(done, total)


def progress_of(shard: Shard, manifest: Sequence[Question], known: Mapping[str, Prediction]) -> tuple[int, int]:
    """How many of a shard's questions are answered, and how many it has."""
    own = [question.sample_id for question in manifest if shard.holds(question.video)]
    return sum(sample_id in known for sample_id in own), len(own)


def _nothing() -> None:
    pass
