"""What objects of a dialogue are called, for formats that want a label for each.

Records keep labels among their facts where they came from labels. Elsewhere an object is called what answers call it:
the shortest phrase that stands for it alone is its label, less an article; the longest that holds the label its text.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sama_video.data.formats.annotated import AnnotatedObject, words_problem
from sama_video.data.formats.dialogues import ATTRIBUTE, BOX_FRAMES, CROWD, bare_label
from sama_video.data.stores.json_values import Scalar
from sama_video.regions.masklet import Masklet

NO_LABEL: Final = "object"
"""Label of an object that nobody named."""


def called_object(masklet: Masklet, phrases: Sequence[str]) -> AnnotatedObject:
    """An object called what answers call it.

    >>> masklet = Masklet("obj1", 2, 2, (None,), (None,))
    >>> one = called_object(masklet, ["The red car on the left", "the car"])
    >>> one.label, one.text
    ('car', 'The red car on the left')
    """
    usable = sorted((words for words in phrases if words_problem(words) is None), key=len)
    if not usable:
        return AnnotatedObject(masklet, NO_LABEL)
    label = bare_label(usable[0])
    longer = [words for words in usable if _says_more(bare_label(words).casefold(), label.casefold())]
    return AnnotatedObject(masklet, label, longer[-1] if longer else None)


def _says_more(words: str, label: str) -> bool:
    """Whether words name the same thing and say more of it; a dialogue may be wrong, and call it something else."""
    return len(words) > len(label) and label in words


def known_object(masklet: Masklet, facts: Mapping[str, Scalar], phrases: Sequence[str]) -> AnnotatedObject:
    """An object with the label and text of its facts, and what answers call it where they have none."""
    called = called_object(masklet, phrases)
    label, text = facts.get("label"), facts.get("text")
    if not isinstance(label, str) or words_problem(label) is not None:
        return called
    words = text if isinstance(text, str) and words_problem(text) is None else None
    attributes = tuple(
        (name.removeprefix(ATTRIBUTE), str(value)) for name, value in facts.items() if name.startswith(ATTRIBUTE)
    )
    return AnnotatedObject(masklet, label, words, _box_frames(facts, masklet), facts.get(CROWD) == 1, attributes)


def _box_frames(facts: Mapping[str, Scalar], masklet: Masklet) -> tuple[int, ...]:
    """Frames on which the mask is a filled box, as far as they show the object."""
    told = facts.get(BOX_FRAMES)
    frames = {int(word) for word in told.split() if word.isdecimal()} if isinstance(told, str) else set()
    return tuple(frame for frame in masklet.visible_frames if frame in frames)
