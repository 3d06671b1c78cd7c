"""How benchmarks read texts: answers with phrases, letters of a choice, and the replies of a judge.

Where a published script reads a text in an odd way, there are two functions: `..._reference` does as the script does,
`..._strict` as one would mean. A text that cannot be read gives None, to be counted apart from a wrong answer.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, SEG

CLAIR_ATTEMPTS: Final = 3

_PHRASE = re.compile(rf"{PHRASE_START}(.*?){PHRASE_END}", re.DOTALL)
_DELETED = re.compile("|".join(map(re.escape, (PHRASE_START, PHRASE_END, SEG, "<|im_end|>", "<s>", "<|end|>"))))
_TAG = re.compile(r"<.*?>")
_ASSISTANT: Final = "ASSISTANT: "

_NUMBER = re.compile(r"\d*\.?\d+")
_REASON = re.compile(r"reason(.*)", re.IGNORECASE)
_SCORE = re.compile(r"\bscore\b\W{1,4}(-?\d+(?:\.\d+)?)", re.IGNORECASE)

_BRACKETED = re.compile(r"\(([A-Z])\)")
_BRACKET_AFTER = re.compile(r"([A-Z])\)")
_LETTER = re.compile(r"(?<!\w)([A-Za-z])\)|(?<!\w)([A-Z])(?=[.:,]|$|\s+is\b)|(?<!\w)([B-Z])(?!\w)")
_OPTION = re.compile(r"\s*\(?([A-Za-z])\)[\s.:]*(.*)", re.DOTALL)

_JUDGED = re.compile(r"\d+\.\s+(.*?):\s+([\d.]+)")
VIDEOREFER_DIMENSIONS: Final = (
    "Subject Correspondence",
    "Appearance Description",
    "Temporal Description",
    "Hallucination Detection",
)
_DIMENSION = re.compile(  # a whole number, and not one out of anything but 5
    rf"({'|'.join(VIDEOREFER_DIMENSIONS)})[\s:=]*(-?\d+(?:\.\d+)?)(?![\d.]*\d)(?!\s*/\s*(?!5\b))", re.IGNORECASE
)

# The substrings that the published region-caption script deletes wherever they stand (Q28).
_REGION_WORDS: Final = ("<s>", "\n", "The region marked by", "region1", "Region1", ":", "is", "shows")
_REGION_START = re.compile(
    r"\s*(?:the\s+)?(?:region|area)\s*(?:(?:in\s+the\s+(?:picture|image)\s+)?marked\s+(?:by|as)\s+)?(?:region\s*)?1?\b"
    r"\s*(?:is|shows)?\b\s*:?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Judgement:
    """What a judge's reply comes to.

    Attributes:
        score: From 0 to 1 where the rule keeps it there; None where there is none.
        reason: In the judge's words; None where it gave none.
        calls: Replies that were read.
        problem: Why there is no score.
    """

    score: float | None
    reason: str | None
    calls: int = 1
    problem: str | None = None


def phrases(text: str) -> tuple[str, ...]:
    """Marked phrases in their order, stripped and lower-cased; repeated and empty ones stay (spec bench, 1.3).

    >>> phrases("<p> A man </p> [SEG] and <p>a dog</p>")
    ('a man', 'a dog')
    """
    return tuple(found.strip().lower() for found in _PHRASE.findall(text))


def clean_text(text: str) -> str:
    """The text without marks and end tokens, white space collapsed (spec bench, 1.3).

    Unlike a session's clean text it keeps the blank that a deleted mark leaves before punctuation.

    >>> clean_text("It is <p> the man </p> [SEG].<|im_end|>")
    'It is the man .'
    """
    return " ".join(_DELETED.sub("", text).split())


def clair_reference(replies: Iterable[str]) -> Judgement:
    """Read CLAIR's replies as the published script does (spec bench, 1.6): up to three, then the score is 0.

    The score is not kept below 1 or above 0. Where the script would crash there is no score, and `problem` is the kind
    of the error.

    Args:
        replies: Successive replies to the same prompt, asked for only when needed; the last one given counts for all
            further attempts, so that a stored reply can be read like a judge who repeats itself.
    """
    calls, reply = 0, ""
    waiting = iter(replies)
    for calls in range(1, CLAIR_ATTEMPTS + 1):
        reply = next(waiting, reply)
        try:
            found = _clair_attempt(reply)
        except (TypeError, ValueError) as error:
            return Judgement(None, None, calls, type(error).__name__)
        if found is not None:
            return Judgement(found[0] / 100, found[1], calls)
    return Judgement(0.0, None, calls)


def clair_strict(reply: str) -> Judgement:
    """Read one reply: the `score` of a JSON object in it, or else a number named so; from 0 to 100, cut to that range.

    No other number counts: "1. They differ" is no score of 1. A reply without a score is no 0 either.
    """
    found = _last_object_with_score(reply)
    if found is None:
        named = _SCORE.search(reply)
        found = {"score": named[1]} if named else None
    if found is None:
        return Judgement(None, None, problem="the reply names no score")
    score = _as_number(found["score"])
    if score is None:
        return Judgement(None, None, problem="the score is no number")
    reason = found.get("reason")
    return Judgement(min(max(score, 0.0), 100.0) / 100, reason if isinstance(reason, str) else None)


def videorefer_letter_reference(reply: str) -> str:
    """Read a choice as the VideoRefer-Bench-Q script does.

    The first capital letter in brackets; else the first before a closing one; else the first character once full stops
    are deleted. Compare it regardless of case. "(b)" gives "(", which is no letter, and "I think C" gives "I".

    Raises:
        IndexError: The reply is empty; the script crashes here too.
    """
    found = _BRACKETED.search(reply) or _BRACKET_AFTER.search(reply)
    return found[1] if found else reply.replace(".", "")[0]


def videorefer_is_right_reference(reply: str, answer: str) -> bool:
    """Whether the VideoRefer-Bench-Q script finds the same letter in both; IndexError for an empty reply."""
    return videorefer_letter_reference(reply).lower() == videorefer_letter_reference(answer).lower()


def option_letter(option: str) -> str | None:
    """The letter of an option or of a right answer, such as "(B) A hat"."""
    found = _OPTION.match(option)
    return found[1].upper() if found else None


def letter_strict(reply: str, options: Sequence[str]) -> str | None:
    """The one option that a reply names, by letter or by its whole text; None for none or for several.

    A letter counts before a closing bracket, and as the whole reply. A capital one also where it stands alone; "A" only
    before punctuation, before "is" and at the end, for elsewhere it may be the article.

    >>> letter_strict("I think C", ["(A) a cat", "(B) a hat", "(C) a dog"])
    'C'
    """
    texts = {_bare(match[2]): match[1].upper() for match in map(_OPTION.match, options) if match}
    known = set(texts.values())
    bare = _bare(reply)
    if bare in texts:
        return texts[bare]
    if len(bare) == 1:
        return bare.upper() if bare.upper() in known else None
    named = {letter.upper() for found in _LETTER.findall(reply.strip()) for letter in found if letter}
    letters = named & known
    return letters.pop() if len(letters) == 1 else None


def pixelqa_letter(reply: str, letters: str) -> str | None:
    """Read a choice as the PixelQA script does: first character of the first word, brackets and full stops left out.

    None where that is none of `letters`, which counts as wrong and is listed apart (spec bench, 3.3).
    """
    words = reply.split()
    word = re.sub(r"[().]", "", words[0]) if words else ""
    letter = word[:1].upper()
    return letter if letter and letter in letters.upper() else None


def videorefer_scores_reference(reply: str) -> dict[str, float]:
    """Scores by the name that the judge gave them, as the VideoRefer-Bench-D script finds them.

    A name in bold letters is not found.
    """
    return {name: score for name, text in _JUDGED.findall(reply) if (score := _as_number(text)) is not None}


def videorefer_scores_strict(reply: str) -> dict[str, float]:
    """Scores of the four dimensions, from 0 to 5; one that is missing, or beyond that range, has no entry."""
    plain = re.sub(r"[*_`#]", "", reply)
    names = {name.lower(): name for name in VIDEOREFER_DIMENSIONS}
    found = {names[name.lower()]: float(score) for name, score in reversed(_DIMENSION.findall(plain))}
    return {name: found[name] for name in VIDEOREFER_DIMENSIONS if name in found and 0 <= found[name] <= 5}


def mean_by_dimension(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each dimension over the items that have it, and under "total" the mean of those means."""
    values: dict[str, list[float]] = {}
    for item in scores:
        for name, score in item.items():
            values.setdefault(name, []).append(score)
    means = {name: math.fsum(found) / len(found) for name, found in values.items()}
    return means | ({"total": math.fsum(means.values()) / len(means)} if means else {})


def region_caption_reference(text: str) -> str:
    """Clean a region's caption as the published script does.

    It deletes letters inside words too, so that "dish" becomes "dh" (Q28).
    """
    for part in _REGION_WORDS:
        text = text.replace(part, "")
    return _without_tags(text)


def region_caption_strict(text: str) -> str:
    """The caption without marks and without the words that lead up to it, such as "Region1 shows:"."""
    plain = _without_tags(text.replace("\n", " ").split(_ASSISTANT)[-1])
    lead = _REGION_START.match(plain)
    return plain[lead.end() :] if lead else plain


def image_caption(text: str) -> tuple[str, tuple[str, ...]]:
    """A grounded caption of a picture, cleaned, and its phrases, case kept (spec bench, 2.5).

    >>> image_caption("<p> Two  cats </p> [SEG] sleep")
    ('Two cats sleep', ('Two cats',))
    """
    kept = text.replace("<s>", "").replace("\n", "").split(_ASSISTANT)[-1]
    return _without_tags(kept), tuple(" ".join(found.split()) for found in _PHRASE.findall(kept))


def _without_tags(text: str) -> str:
    return " ".join(_TAG.sub("", text).replace(SEG, "").split()).strip("'").strip()


def _clair_attempt(reply: str) -> tuple[float, str] | None:
    """Score on the scale of 100, and reason, of one reply; None where the script would ask again."""
    try:
        found = json.loads("{" + reply.split("{")[1].split("}")[0] + "}")
        score, reason = found["score"], found.get("reason", "Unknown")
    except (json.JSONDecodeError, KeyError, IndexError):
        return _clair_number(reply)
    return float(score), reason


def _clair_number(reply: str) -> tuple[float, str] | None:
    numbers = _NUMBER.findall(reply)
    if not numbers:
        return None
    score = float(numbers[0])
    after = _REASON.search(reply)
    return score * 100 if score < 1 else score, after[1].replace(":", "").strip() if after else "Unknown"


def _last_object_with_score(reply: str) -> dict[str, object] | None:
    """The last JSON object of the reply that has a score; a judge that reasons aloud gives it at the end."""
    decoder = json.JSONDecoder()
    found: dict[str, object] | None = None
    for start in (match.start() for match in re.finditer(r"\{", reply)):
        try:
            value, _ = decoder.raw_decode(reply, start)
        except json.JSONDecodeError:
            continue
        found = value if isinstance(value, dict) and "score" in value else found
    return found


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bare(text: str) -> str:
    return text.strip().strip("().:").strip().lower()
