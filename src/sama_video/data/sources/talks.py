"""Conversations without masks of their own, as LLaVA first wrote them: messages from `human` and `gpt` in turn."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sama_video.data.clips import ClipOnDisk
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import iterate_list
from sama_video.data.sources.fields import need

ASKER: Final = "human"
REPLIER: Final = "gpt"

MEDIA_PLACEHOLDER = re.compile(r"<(?:image|video)>\r?\n|\r?\n<(?:image|video)>|<(?:image|video)>")
"""Where a text says that a picture or video stands; the line break beside it goes as well, all others stay."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, as the file has them; only media placeholders are gone from the question.

    Attributes:
        round_idx: Position among all rounds of the conversation, dropped ones counted.
    """

    question: str
    answer: str
    round_idx: int


@dataclass(frozen=True)
class Talk:
    """A conversation about a video, a picture or nothing but words.

    Attributes:
        item_id: The file's own id, or the position of its record.
        media: Path as the file has it; None where the conversation is about no picture.
        clip: The video, or the picture as a clip of one frame.
        turns: Those that can be used, never none.
    """

    item_id: str
    media: str | None
    clip: ClipOnDisk | None
    turns: tuple[Exchange, ...]
    place: Place


def talk_file(path: Path, file: str, media: str) -> tuple[Path, Path]:
    """The file of conversations, and the folder of its media.

    Args:
        path: A data set's folder, which has both under the given names; or a file of its own, with its media beside it.
    """
    if not path.is_file():
        return path / file, path / media
    beside = path.parent / media
    return path, beside if beside.is_dir() else path.parent


def read_rows(
    file: Path, build: Callable[[Mapping[str, Any], Place, Findings], Item], findings: Findings
) -> Iterator[Item]:
    """Make each object of a JSON list into an item; memory holds one of them, and what cannot be used is dropped.

    Args:
        file: A list of objects; its damage ends the reading, as a fault.
        build: Raises FaultError for an object that it cannot use.
        findings: Takes what is dropped.
    """
    rows = iterate_list(file, findings)
    while True:
        try:
            number, row = next(rows)
        except StopIteration:
            return
        except FaultError as error:
            findings.take(error)
            return
        place = Place(str(file), f"record {number}")
        try:
            if not isinstance(row, Mapping):
                raise place.fault("schema_error", f"the record is a {type(row).__name__}; it should be an object")
            item = build(row, place, findings)
        except FaultError as error:
            findings.take(error)
        else:
            yield item


def read_exchanges(row: Mapping[str, Any], place: Place, findings: Findings) -> tuple[Exchange, ...]:
    """The rounds of a record's `conversations` that can be used.

    A round that is not from asker to replier, or lacks text, is dropped; a last message without an answer is noted.

    Raises:
        FaultError: There is no such list, or no round of it can be used.
    """
    messages = need(row, "conversations", list, place)
    if len(messages) % 2:
        findings.note("unanswered_last_message", place.file, place.record, "the last message has no answer")
    turns = []
    for idx in range(len(messages) // 2):
        here = place.part(f"turn {idx}")
        try:
            question, answer = _said(messages[2 * idx], ASKER, here), _said(messages[2 * idx + 1], REPLIER, here)
            turns.append(Exchange(MEDIA_PLACEHOLDER.sub("", question).strip(), answer.strip(), idx))
        except FaultError as error:
            findings.take(error)
    if not turns:
        raise place.fault("schema_error", "no turn of the conversation can be used")
    return tuple(turns)


def _said(message: object, speaker: str, place: Place) -> str:
    text, found = need(message, "value", str, place), need(message, "from", str, place)
    if found != speaker:
        raise place.fault("role_order", f"a message is from {found!r} where {speaker!r} should speak")
    if not MEDIA_PLACEHOLDER.sub("", text).strip():
        raise place.fault("schema_error", f"the message from {speaker!r} is empty")
    return str(text)
