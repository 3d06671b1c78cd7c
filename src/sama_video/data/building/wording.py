"""Questions and answers for data sets that have masks and phrases, but no dialogue.

The first request and the first two answers are those that published checkpoints were trained on (`dialogue.markup`
spells them); all others are our own, for a model that hears one wording only learns one wording. `{expression}` stands
for words that single something out, `{place}` for what the clip is.
"""

from collections.abc import Sequence
from typing import Final

from sama_video.data.building.draws import Draws
from sama_video.dialogue.markup import REGION_TAG, SEG, SEGMENTATION_ANSWERS, ask_to_segment

_SEGMENT: Final = (
    "Please segment {expression} in this {place}.",
    "Segment {expression} in the {place}.",
    "Show me {expression}.",
    "Where is {expression} in this {place}? Mark it.",
    "Find {expression} and give its mask.",
    "Can you segment {expression}?",
    "Mark {expression} in the {place}, please.",
    "Which part of the {place} is {expression}? Answer with a mask.",
)
_FOUND: Final = (
    *SEGMENTATION_ANSWERS,
    f"Here it is: {SEG}.",
    f"It is marked here: {SEG}.",
    f"This is what was asked for: {SEG}.",
)
_NOT_FOUND: Final = (
    "There is no such thing in the {place}.",
    "That is not in this {place}.",
    "Nothing in the {place} fits these words.",
)
_DESCRIBE: Final = (
    f"Describe {REGION_TAG} in detail.",
    f"What is {REGION_TAG}, and what does it do in the {{place}}?",
    f"Tell me about {REGION_TAG}.",
    f"Give a detailed description of {REGION_TAG}.",
    f"What can be said about {REGION_TAG} in this {{place}}?",
    f"Please describe the region {REGION_TAG} in the {{place}} in detail.",
    f"What do you see at {REGION_TAG}?",
    f"How does {REGION_TAG} look, and what happens to it?",
    f"Explain what {REGION_TAG} is doing.",
    f"Write a few sentences about {REGION_TAG}.",
)
_CAPTION: Final = (
    "Give a brief description of the {place}, and mark what you name with interleaved segmentation masks.",
    "Describe the {place} in a sentence; answer with interleaved segmentation masks.",
    "What does the {place} show? Put a mask after each thing that you mention.",
    "Briefly, what is in the {place}? Respond with interleaved segmentation masks.",
    "Caption this {place} and ground every phrase with a mask.",
    "Tell me in short what can be seen, with interleaved segmentation masks.",
)
_WHEN: Final = (
    "When does this happen: {sentence}?",
    "At what time can this be seen: {sentence}?",
    "From when to when is it so that {sentence}?",
    "Give the time of this: {sentence}.",
)
_AND_WHEN: Final = ("Say when, too.", "And when is that?", "Give the time as well.")
_PART_NAMES: Final = ("The {place} has one region: {regions}.", "The {place} has {count} regions: {regions}.")
SHORT_ANSWER: Final = " Answer with a single word or phrase."
"""What is added to questions whose answers are as short as that."""


def segment_question(expression: str, place: str, draws: Draws) -> str:
    """A request for the mask of an expression; one that is a question already stays as it is.

    Args:
        expression: In any spelling; a full stop at its end goes.
        place: `image` or `video`.
        draws: Chooses the wording.
    """
    words = " ".join(expression.split())
    if words[1:2] == " " or words[1:2].islower():  # not the first letter of a name such as "TV"
        words = words if "?" in words else words[0].lower() + words[1:]
    return words if "?" in words else ask_to_segment(words, draws.choice(_SEGMENT).replace("{place}", place))


def found_answer(draws: Draws) -> str:
    """An answer with one `[SEG]`."""
    return draws.choice(_FOUND)


def absent_answer(place: str, draws: Draws) -> str:
    """An answer for an expression that means nothing there."""
    return draws.choice(_NOT_FOUND).format(place=place)


def describe_question(place: str, draws: Draws) -> str:
    """A question about one region."""
    return draws.choice(_DESCRIBE).format(place=place)


def caption_question(place: str, draws: Draws) -> str:
    """A request for a caption whose phrases have masks."""
    return draws.choice(_CAPTION).format(place=place)


def when_question(sentence: str, draws: Draws) -> str:
    """When something happens that a sentence tells."""
    return draws.choice(_WHEN).format(sentence=_bare(sentence))


def what_and_when_question(question: str, draws: Draws) -> str:
    """A question for a thing, and for its time."""
    words = _bare(question)
    return f"{words[:1].upper()}{words[1:]}? {draws.choice(_AND_WHEN)}"


def span_words(start: float | int, end: float | int) -> str:
    """A stretch of time as answers tell it.

    >>> span_words(1.2, 2.75)
    'from 1.2 s to 2.8 s'
    """
    return f"from {start:.1f} s to {end:.1f} s"


def named_regions(numbers: Sequence[int], place: str) -> str:
    """Regions pointed at under the numbers by which a dialogue speaks of them.

    >>> named_regions([1, 3], "image")
    'The image has 2 regions: region1 <region>, region3 <region>.'
    """
    regions = ", ".join(f"region{number} {REGION_TAG}" for number in numbers)
    return _PART_NAMES[len(numbers) > 1].format(place=place, count=len(numbers), regions=regions)


def _bare(sentence: str) -> str:
    """Words without what ends a sentence."""
    return " ".join(sentence.split()).rstrip(" .?!")
