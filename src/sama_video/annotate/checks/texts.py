"""Checks of single texts: their marks, their wording, their length and language. Each yields (reason, detail)."""

import re
from collections.abc import Collection, Iterator
from typing import Final, TypeAlias

from sama_video.annotate.checks.languages import other_language
from sama_video.annotate.drafts import is_refusal
from sama_video.annotate.tags import question_objects, read_answer, without_tags
from sama_video.dialogue.markup import (
    IMAGE_START,
    PHRASE_END,
    PHRASE_START,
    POOLED_SLOT,
    REGION_END,
    REGION_START,
    REGION_TAG,
    SEG,
)

Finding: TypeAlias = tuple[str, str]

_TAG: Final = re.compile(r"<obj[0-9]+>")
_NAMED: Final = re.compile(rf"{re.escape(PHRASE_START)}.*?{re.escape(PHRASE_END)}", re.DOTALL)
_TAG_IDS: Final = re.compile(r"<(obj[0-9]+)>")
_LIKE_A_TAG: Final = re.compile(
    r"<\s*/?\s*obj[^<>]{0,20}>|[\[({]\s*obj(?:ect)?\s*[_#-]?\s*[0-9]+\s*[\])}]|<\s*object[^<>]{0,20}>|<\s*[0-9]+\s*>",
    re.IGNORECASE,
)
_OBJECT_NAME: Final = re.compile(r"\bobj(?:ect)?\s?[_#-]?\s?[0-9]+\b", re.IGNORECASE)
_TOKENS: Final = (
    SEG,
    POOLED_SLOT,
    REGION_TAG,
    REGION_START,
    REGION_END,
    "<image>",
    "<video>",
    IMAGE_START,
    "<seg>",
    "<box>",
)
_ANGLED: Final = re.compile(r"</?[A-Za-z][^<>]{0,30}>")

_HUES: Final = r"(?:red|orange|yellow|green|cyan|blue|purple|pink|white|black|brown|gr[ae]y|violet|colou?red)"
_LINES: Final = r"(?:outlines?|contours?|bounding|rectangles?|markers?)"
_DRAWN: Final = rf"(?:{_LINES}|box(?:es)?|borders?|frames?)"
_MARK_WORDS: Final = {
    "box": re.compile(
        rf"\bbounding[ -]box|\bboxed\b"
        rf"|\b(?:in|inside|within|by)\s+(?:the|an?|its|their)\s+(?:{_HUES}\s+{_DRAWN}|{_LINES})\b"
        rf"|\bwith\s+(?:the|an?)\s+(?:{_HUES}\s+)?(?:outlines?|contours?|bounding)\b|\b{_HUES}\s+(?:outlines?|contours?)\b"
        rf"|\b{_HUES}\s+{_DRAWN}\s+(?:shows?|around|marks?|labell?ed)\b|\b{_DRAWN}\s+(?:labell?ed|marked|numbered)\b"
        r"|\b(?:object|thing|area|region)\s+(?:in|inside|within)\s+(?:the|a)\s+box\b"
        rf"|\b(?:one|object|thing|shape|figure|item)\s+with\s+(?:the|an?)\s+{_HUES}\s+(?:{_DRAWN}|markers?|labels?)\b",
        re.IGNORECASE,
    ),
    "outline": re.compile(
        rf"\b{_HUES}-(?:bordered|outlined|boxed|marked|framed)\b"
        r"|\b(?:mark|outline|box|label|number)s? (?:drawn )?on it\b"
        r"|\b(?:is|are|was|the|an?)\s+(?:outlined|highlighted|encircled|annotated)\b|\bsegmentation\b|\bannotations?\b"
        rf"|\b(?:outlined|highlighted|marked|circled|drawn|shown)\s+in\s+{_HUES}\b",
        re.IGNORECASE,
    ),
    "label": re.compile(
        rf"\b(?:marked|labell?ed|tagged|numbered|highlighted)\s+(?:(?:with|as|by)\s+)?(?:(?:the|an?)\s+)?(?:{_HUES}\s+)?"
        r"(?:box|outline|number|label|tag|contour|object|[0-9]+)\b|\bmask of\b"
        r"|\b(?:the|its|their)\s+(?:tags?|labels?)\s+(?:number|[0-9])|\bwith (?:the )?(?:tag|label)\s+[0-9]",
        re.IGNORECASE,
    ),
    "number": re.compile(
        r"\bnumbered\s+(?:objects?|things?|shapes?|items?|figures?)\b"
        r"|\b(?:object|thing|item)\s+(?:with\s+(?:the\s+)?)?number\b"
        r"|(?:^|[.?!]\s+|\bdoes |\bis |\band )(?:the )?"
        r"number [0-9]+\s+(?:is|moves?|was|has|does|and|do|turns?|stays?)\b"
        r"|\bnumber [0-9]+'s\b",
        re.IGNORECASE,
    ),
    "picture": re.compile(
        r"\b(?:pictures?|frames?|images?)\s+#?[0-9]+|\b(?:first|last|second|third|next|final|each|every|these|all|"
        r"previous|given|provided)\s+(?:few\s+)?(?:pictures?|frames?|images?)\b(?!\s+(?:on|of|hang))"
        r"|\bscreen ?shots?\b|\bsnapshots? #?[0-9]+|\boverlays?\b|\bid #?[0-9]+\b"
        r"|\b(?:in|of|across|from) the (?:images?|frames|pictures)\b|\btime ?stamps?\b",
        re.IGNORECASE,
    ),
}
_MARKDOWN: Final = re.compile(
    r"\*\*|~~|^\s*\+\s+\S|^\s*[a-z]\)\s.*\n|__\w|`|^\s*>\s|^\s*(?:-{3,}|\*{3,})\s*$|(?<!\w)_\w[^_\n]*_(?!\w)|^\s{0,3}#{1,6}\s|^\s*[-*•]\s+\S"
    r"|^\s*[0-9]+[.)]\s+\S.*\n|\]\(https?:|^\s*\|.*\|\s*$|(?<!\w)\*\w[^*\n]*\w\*(?!\w)",
    re.MULTILINE,
)
_PLACEHOLDER: Final = re.compile(
    r"^\W*$|^\W*(?:n/?a|none|null|unknown|todo|tb[ad]|x{3,}|no answer|your answer)\W*$|\blorem ipsum\b|\.\.\.\s*$|…\s*$"
    r"|\[[^\]\d]+\]"
    r"|\b(?:can ?not|could not|cannot|can't) be (?:determined|told|identified|seen) (?:from|in) (?:the|this)\b"
    r"|\b(?:not enough information|no description)\b|^\W*(?:same as|see) above\b"
    r"|\b(?:answer|question|text) (?:goes )?here\b",
    re.IGNORECASE,
)


def check_question(question: str, known: Collection[str]) -> Iterator[Finding]:
    """What is wrong with a question's marks.

    Args:
        known: Ids of the subject's objects.
    """
    yield from _unknown(question_objects(question), known)
    bare = _TAG.sub(" ", question)
    if PHRASE_START in bare or PHRASE_END in bare:
        yield "mark_in_text", "a question has no phrase marks"
    yield from check_marks(bare.replace(PHRASE_START, " ").replace(PHRASE_END, " "))


def check_answer(answer: str, known: Collection[str], most_words: int) -> Iterator[Finding]:
    """What is wrong with an answer's marks, phrases and tags.

    Args:
        most_words: Of one phrase.
    """
    tagged = read_answer(answer)
    yield from tagged.faults
    yield from _unknown(_TAG_IDS.findall(answer), known)
    repeated = sorted({one for one in tagged.object_ids if tagged.object_ids.count(one) > 1})
    if repeated:
        yield "repeated_object", f"{', '.join(repeated)} is tagged more than once"
    for phrase in tagged.phrases:
        if len(phrase.words.split()) > most_words:
            yield "long_phrase", f"{phrase.words[:60]!r} has {len(phrase.words.split())} words"
    yield from check_marks(_TAG.sub(" ", answer).replace(PHRASE_START, " ").replace(PHRASE_END, " "))


def check_description(text: str) -> Iterator[Finding]:
    """What is wrong with a description's marks: it has none."""
    if _TAG.search(text) or PHRASE_START in text or PHRASE_END in text:
        yield "mark_in_text", "a description has no tags and no phrase marks"
    yield from check_marks(_TAG.sub(" ", text).replace(PHRASE_START, " ").replace(PHRASE_END, " "))


def check_marks(text: str) -> Iterator[Finding]:
    """Marks of other kinds: what looks like a tag, and tokens of a model."""
    like = _LIKE_A_TAG.search(text)
    if like:
        yield "malformed_tag", f"{like[0]!r} is no tag"
        return
    token = next((token for token in _TOKENS if token in text), None)
    angled = _ANGLED.search(text)
    if token or angled:
        yield "mark_in_text", f"{token or (angled and angled[0])} does not belong here"


def check_wording(text: str, words: tuple[int, int], language: str, allowed: Collection[str]) -> Iterator[Finding]:
    """What is wrong with what a text says, whatever it is about.

    Args:
        text: With its tags, which count as no words.
        words: Fewest and most.
        allowed: Words that are known of the objects; a thing that is a box may be called one.
    """
    plain = without_tags(text)
    count = len(plain.split())
    if count < words[0]:
        yield "too_short", f"{count} words, fewer than {words[0]}"
    if count > words[1]:
        yield "too_long", f"{count} words, more than {words[1]}"
    if is_refusal(plain):
        yield "refusal", f"{plain[:60]!r}"
    if _MARKDOWN.search(text):
        yield "markdown", f"{_MARKDOWN.findall(text)[0].strip()[:20]!r}"
    if count and _PLACEHOLDER.search(plain):
        yield "placeholder", f"{plain[:60]!r}"
    yield from _talk_of_marks(plain, allowed)
    other = other_language(without_tags(_NAMED.sub(" ", text)), language)
    if other is not None:
        yield "wrong_language", f"it looks like {other}, not {language}"


def _talk_of_marks(plain: str, allowed: Collection[str]) -> Iterator[Finding]:
    name = _OBJECT_NAME.search(plain)
    if name:
        yield "talks_of_marks", f"{name[0]!r}"
        return
    for about, pattern in _MARK_WORDS.items():
        found = pattern.search(plain)
        if found and about not in allowed:
            yield "talks_of_marks", f"{found[0]!r}"
            return


def _unknown(object_ids: Collection[str], known: Collection[str]) -> Iterator[Finding]:
    strange = sorted({one for one in object_ids if one not in known})
    if strange:
        yield "unknown_object", f"{', '.join(strange)} is no object of this clip"
