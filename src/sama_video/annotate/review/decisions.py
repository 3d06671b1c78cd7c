"""Decisions of people who looked at samples, as the review page saves them: `decisions*.json`, schema `sama-review/1`.

    {"schema": "sama-review/1", "reviewer": "Ann", "saved": "2026-05-01T10:00:00Z", "decisions": [
      {"sample": "garden-01", "content": "5d0c...", "decision": "accept", "time": "2026-05-01T09:58:12Z"},
      {"sample": "garden-02", "content": "91ab...", "decision": "fix", "time": "...", "note": "a cat, not a dog",
       "turns": [{"place": 1, "task": "relation", "question": "...", "answer": "...", "spans": []}],
       "descriptions": [{"object": "obj1", "text": "..."}]}]}

`content` is the hash of what was looked at: a decision about anything else is never applied.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeAlias, get_args

from sama_video.annotate.drafts import Draft
from sama_video.errors import DataError

SCHEMA: Final = "sama-review/1"
PATTERN: Final = "decisions*.json"
MOST_BYTES: Final = 256 * 2**20

Verdict: TypeAlias = Literal["accept", "fix", "reject"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)

_MOST_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Decision:
    """What one person decided about one sample.

    Attributes:
        file: Where it stands.
        content: Hash of what the person saw.
        time: When, with its zone.
        draft: The texts as they are to be; of a fix alone.
        places: Of a fix: which turn of what was seen each of the draft's turns was, from 1.
    """

    file: str
    reviewer: str
    sample: str
    content: str
    verdict: Verdict
    time: datetime.datetime
    note: str = ""
    draft: Draft | None = None
    places: tuple[int, ...] = ()


def decision_files(folder: Path, more: Sequence[Path] = ()) -> list[Path]:
    """The files of a review's folder and those that are named besides, each once.

    Raises:
        DataError: One that is named is not there.
    """
    for path in more:
        if not path.is_file():
            raise DataError(f"decisions {path}: there is no such file; correct the path, or leave it out.")
    found = {path.resolve(): path for path in (*sorted(folder.glob(PATTERN)), *more)}
    return list(found.values())


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """All decisions of a file, in order.

    Raises:
        DataError: It cannot be read, or breaks the form; nothing of it is used then.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path} has {size} bytes; decisions have at most {MOST_BYTES}. Give a file of the page.")
        row = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a file that the review page saved.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}); save the decisions again from the review page.") from error
    if not isinstance(row, dict) or row.get("schema") != SCHEMA:
        found = row.get("schema") if isinstance(row, dict) else None
        raise DataError(f"{path} has the schema {found!r}, not {SCHEMA!r}; give a file that the review page saved.")
    reviewer, rows = row.get("reviewer"), row.get("decisions")
    if not isinstance(reviewer, str) or not reviewer.strip():
        raise DataError(f"{path} names no reviewer; write who decided under the key reviewer.")
    if not isinstance(rows, list):
        raise DataError(f"{path} has no list of decisions; save them again from the review page.")
    return tuple(_decision(item, path, place, reviewer.strip()) for place, item in enumerate(rows, start=1))


def latest(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Of each reviewer's decisions about the same content of a sample the last one; in the order of samples."""
    found: dict[tuple[str, str, str], Decision] = {}
    for one in decisions:
        key = one.sample, one.content, one.reviewer
        if key not in found or found[key].time <= one.time:
            found[key] = one
    return tuple(found[key] for key in sorted(found))


def _decision(value: object, path: Path, place: int, reviewer: str) -> Decision:
    where = f"{path}, decision {place}"
    row = value if isinstance(value, Mapping) else {}
    sample, content = (_text(row, key, where) for key in ("sample", "content"))
    verdict = next((one for one in VERDICTS if one == row.get("decision")), None)
    if verdict is None:
        _refuse(where, f"decision is {row.get('decision')!r}, not {', '.join(VERDICTS)}")
    note = row.get("note", "")
    if not isinstance(note, str):
        _refuse(where, "note is no text")
    draft, places = _fixed(row, where) if verdict == "fix" else (None, ())
    return Decision(
        path.name, reviewer, sample, content, verdict, _time(row.get("time"), where), note.strip(), draft, places
    )


def _fixed(row: Mapping[str, Any], where: str) -> tuple[Draft, tuple[int, ...]]:
    """The texts of a fix, and where each turn stood."""
    if not isinstance(row.get("turns"), list) or not isinstance(row.get("descriptions"), list):
        _refuse(where, "a fix needs the lists turns and descriptions")
    places = tuple(turn.get("place") if isinstance(turn, Mapping) else None for turn in row["turns"])
    known = [place for place in places if isinstance(place, int) and not isinstance(place, bool) and place >= 1]
    if len(known) != len(places) or sorted(set(known)) != known:
        _refuse(where, "each turn of a fix needs its place among those that were seen, in order from 1")
    try:
        draft = Draft.from_json({"turns": row["turns"], "descriptions": row["descriptions"]})
    except DataError as error:
        _refuse(where, str(error))
    return draft, tuple(known)


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_CHARACTERS:
        _refuse(where, f"{key} is {value!r:.60}, not a name")
    return value


def _time(value: object, where: str) -> datetime.datetime:
    """A moment; one without a zone is taken as UTC."""
    try:
        moment = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        _refuse(where, f"time is {value!r:.60}, not such as 2026-05-01T09:58:12Z")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)


def _refuse(where: str, why: str) -> NoReturn:
    raise DataError(f"{where}: {why}; save the decisions again from the review page.")
