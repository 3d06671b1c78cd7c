"""What the scripted endpoint hears: the parts of a request's wording that say what is wanted, and of which clip."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

_CLIP: Final = re.compile(r"^Clip (\S+), ([0-9.]+) s long", re.MULTILINE)
_DESCRIBE: Final = re.compile(r"^Describe: (.*)$", re.MULTILINE)
_TURN: Final = re.compile(r"^[0-9]+\. ([a-z_]+)(?: about ([^:]*))?:", re.MULTILINE)
_NAME: Final = re.compile(r"<(obj[0-9]+)>")
_QUESTION: Final = re.compile(r'"question": ("(?:[^"\\]|\\.)*")')
_TEXT: Final = re.compile(r"^(description obj[0-9]+|turn [0-9]+)(?: \([a-z_]+\))?: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Heard:
    """A request as the endpoint understands it.

    Attributes:
        kind: A first request, one after a faulty reply, or a critic's.
        duration: Of the clip in seconds.
        describe: Objects of which a text is wanted.
        turns: Kinds of turns that are wanted, and the objects they are about.
        texts: What a critic is to judge, by place.
        asked_before: How many replies came before this one.
        questions: What was asked in them already.
    """

    kind: Literal["ask", "repair", "critic"]
    subject_id: str
    duration: float
    describe: tuple[str, ...]
    turns: tuple[tuple[str, tuple[str, ...]], ...]
    texts: Mapping[str, str]
    asked_before: int
    questions: frozenset[str] = frozenset()


def hear(body: Mapping[str, Any]) -> Heard | None:
    """Understand a request's body; None for one that is not from our asking."""
    said = [(message.get("role"), _words(message.get("content"))) for message in body.get("messages", [])]
    users = [text for role, text in said if role == "user"]
    clip = _CLIP.search(users[0]) if users else None
    if clip is None:
        return None
    texts = {found[1]: found[2] for found in _TEXT.finditer(users[0])} if "\nTexts:\n" in users[0] else {}
    describe = _DESCRIBE.findall(users[-1])
    return Heard(
        "critic" if texts else "ask" if len(users) == 1 else "repair",
        clip[1],
        float(clip[2]),
        tuple(_NAME.findall(describe[-1])) if describe else (),
        tuple((found[1], tuple(_NAME.findall(found[2] or ""))) for found in _TURN.finditer(users[-1])),
        texts,
        len(users) - 1,
        frozenset(_strings(found) for role, text in said if role == "assistant" for found in _QUESTION.findall(text)),
    )


def _strings(quoted: str) -> str:
    """A JSON string's value."""
    return str(json.loads(quoted, strict=False))


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
