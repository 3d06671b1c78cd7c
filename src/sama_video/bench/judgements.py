"""Judgements of a run's answers, beside the run: `judge/<judge>.jsonl`, one line a question in the run's order.

The replies themselves are kept by `remote.reply_store` as they come, so judging may end at any moment and go on at no
cost; this file is written whole, of the replies that there are.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_video.bench.judge import Case, Judge, JudgeScore
from sama_video.bench.lines import read_lines, write_whole
from sama_video.bench.parsing import clean_text
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Json, Prediction
from sama_video.errors import ConfigError, DataError, SamaError

FOLDER = "judge"
REPLIES = "replies.sqlite"
MOST_WORDS = 300
"""Longer answers are cut for every judge, as for the caption metrics (spec bench, 1.3)."""

NO_ANSWER = "the model gave no answer"
NO_REFERENCE = "the benchmark has no reference answer"
NOT_JUDGED = "not judged yet"

_UNSAFE = re.compile(r"[^A-Za-z0-9._@+-]")


@dataclass(frozen=True)
class Verdict:
    """What judging a run came to.

    Attributes:
        failures: Answers without a score, by reason.
        ended: What ended it early, such as the budget; None when every answer was put to the judge.
    """

    judge: str
    questions: int
    scored: int
    failures: Mapping[str, int]
    ended: SamaError | None = None


def judge_run(folder: RunFolder, judge: Judge) -> Verdict:
    """Judge every answer of a run and write the file.

    Whatever ends it early, the file holds what was judged until then, and `ended` says why.
    """
    rows = list(_rows(folder))
    cases = [case for _, case in rows if isinstance(case, Case)]
    scores, ended = _scores(judge, cases)
    waiting = iter(scores)
    judged = {
        sample_id: JudgeScore(None, None, case)
        if isinstance(case, str)
        else next(waiting, JudgeScore(None, None, NOT_JUDGED))
        for sample_id, case in rows
    }
    path = judgements_path(folder.path, judge.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(_line(sample_id, score), ensure_ascii=False) for sample_id, score in judged.items()]
    write_whole(path, "".join(f"{line}\n" for line in lines))
    failures = Counter(_kind(score) for score in judged.values() if score.value is None)
    scored = len(judged) - sum(failures.values())
    return Verdict(judge.name, len(judged), scored, dict(sorted(failures.items())), ended)


def cases_of(folder: RunFolder) -> Iterator[Case]:
    """What of a run can be judged, in the run's order."""
    return (case for _, case in _rows(folder) if isinstance(case, Case))


def load_judgements(run_folder: Path | str, name: str) -> dict[str, dict[str, float]]:
    """A judge's scores by sample id and dimension; what it could not score is left out.

    Args:
        name: The judge, as its figures are named.

    Raises:
        ConfigError: That judge has not judged this run.
        DataError: The file is damaged.
    """
    return {sample_id: scores for sample_id, _, scores in _read(run_folder, name) if scores}


def load_values(run_folder: Path | str, name: str) -> dict[str, float]:
    """A judge's one figure by sample id, from 0 to 1; raises as `load_judgements` does."""
    return {sample_id: value for sample_id, value, _ in _read(run_folder, name) if value is not None}


def judges_of(run_folder: Path | str) -> Sequence[str]:
    """Who has judged this run, as `load_judgements` takes it."""
    return sorted(path.stem for path in (Path(run_folder) / FOLDER).glob("*.jsonl"))


def judgements_path(run_folder: Path, name: str) -> Path:
    """A judge's file; what a file name cannot hold is replaced."""
    return run_folder / FOLDER / f"{_UNSAFE.sub('_', name)}.jsonl"


def replies_path(run_folder: Path) -> Path:
    """Where a run's replies are kept, unless told otherwise."""
    return run_folder / FOLDER / REPLIES


def _read(run_folder: Path | str, name: str) -> Iterator[tuple[str, float | None, dict[str, float]]]:
    """Each line of a judge's file: sample id, the one figure, scores by dimension."""
    path = judgements_path(Path(run_folder), name)
    if not path.is_file():
        known = ", ".join(judges_of(run_folder)) or "none"
        raise ConfigError(f"{run_folder} has no judgements of {name!r}, but of: {known}; run sama bench judge first.")
    for place, row in read_lines(path):
        try:
            value, scores = row["value"], row["scores"]
            number = None if value is None else float(value)
            yield str(row["id"]), number, {str(key): float(score) for key, score in scores.items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"{place} is no judgement ({error!r}); run sama bench judge anew.") from error


def _scores(judge: Judge, cases: Iterable[Case]) -> tuple[list[JudgeScore], SamaError | None]:
    """Scores in order, as many as there are before something ends it."""
    scores: list[JudgeScore] = []
    try:
        for score in judge.score_all(cases):
            scores.append(score)
    except SamaError as error:
        return scores, error
    return scores, None


def _rows(folder: RunFolder) -> Iterator[tuple[str, Case | str]]:
    """Every answer of a run as a case, or why it is none."""
    return ((prediction.sample_id, _case(prediction)) for prediction in folder.predictions())


def _case(prediction: Prediction) -> Case | str:
    if prediction.error is not None or prediction.pred_text is None:
        return NO_ANSWER
    if not prediction.gt_text.strip():
        return NO_REFERENCE
    return Case(prediction.question, _cut(prediction.gt_text), _cut(prediction.pred_text))


def _cut(text: str) -> str:
    return " ".join(clean_text(text).split()[:MOST_WORDS])


def _line(sample_id: str, score: JudgeScore) -> dict[str, Json]:
    return {
        "id": sample_id,
        "value": score.value,
        "scores": dict(score.dimensions),
        "reason": score.reason,
        "reply": score.raw_reply,
    }


def _kind(score: JudgeScore) -> str:
    """A reason without its details, so that it can be counted."""
    return (score.reason or "no score").partition(": ")[0]
