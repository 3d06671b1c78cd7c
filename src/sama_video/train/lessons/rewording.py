"""Other words for the diagnostic world's questions: its benchmark asks each in one way, people ask in many."""

import re
from dataclasses import replace
from typing import Final

import numpy as np

from sama_video.data.synthetic.language import SyntheticTurn
from sama_video.dialogue.markup import REGION_TAG

_IT: Final = rf"({REGION_TAG}|it)"
_THE: Final = r"(the [^.?]*)"
_ONE: Final = r"(an? [^.?]*?)"

OTHERWISE: Final[dict[str, tuple[str, ...]]] = {
    rf"Which way does {_IT} move: .*": (
        r"Which way does \1 move?",
        r"What is \1 doing?",
        r"Where is \1 going?",
        r"How does \1 move?",
        r"What does \1 do?",
        r"In what direction is \1 moving?",
        r"Tell me which way \1 goes.",
        r"Does \1 move, and which way?",
        r"Name all directions of \1, in order.",
        r"Is \1 moving left, right, up or down?",
    ),
    rf"Does {_IT} speed up, slow down, or keep the same speed\?": (
        r"Which speed does \1 have, from first to last?",
        r"How does the speed of \1 change?",
        r"What is the speed of \1 like?",
    ),
    rf"Is {_IT} (?:small or large|large or small)\?": (
        r"What size is \1?",
        r"What is the size of \1?",
        r"Which size does \1 have?",
    ),
    rf"Is {_IT} (?:\w+, ){{2,}}\w+ or \w+\?": (
        r"What texture is \1?",
        r"What is the texture of \1?",
        r"Which texture does \1 have?",
        r"Tell me the texture of \1.",
    ),
    rf"What (color|shape) is {_IT}\?": (
        r"What is the \1 of \2?",
        r"Which \1 does \2 have?",
        r"Tell me the \1 of \2.",
        r"And the \1 of \2?",
    ),
    rf"When is {_IT} (moving|standing still|hidden|in view)\?.*": (
        r"When is \1 \2?",
        r"When is \1 \2, in seconds?",
        r"For which seconds is \1 \2?",
    ),
    rf"Which object does {_IT} (\w+(?: with)?)\? Name its color and shape\.": (
        r"Which object does \1 \2?",
        r"What does \1 \2?",
        r"Tell me which object \1 \2.",
    ),
    rf"Which object hides {_IT} for a while\? Name its color and shape\.": (
        r"Which object hides \1?",
        r"What hides \1?",
        r"What is \1 hidden by?",
    ),
    rf"The color of {_IT} changes\. Which color does it turn\?": (
        r"Which color does \1 turn?",
        r"What color does \1 change into?",
        r"What is the last color of \1?",
    ),
    rf"Do {_IT} and {_IT} have the same (\w+)\?": (
        r"Is \1 the same \3 as \2?",
        r"Does \1 have the same \3 as \2?",
        r"Are \1 and \2 the same \3?",
    ),
    rf"(?:Please segment|Segment|Find|Show me) {_THE}\.": (
        r"Where is \1?",
        r"Where can I see \1?",
        r"Can you segment \1?",
        r"Can you find \1?",
        r"Can you show me \1?",
        r"Please show me \1.",
        r"Please find \1.",
        r"Which object is \1?",
        r"Now \1, please.",
        r"And \1?",
    ),
    rf"Segment {_IT}\.": (
        r"Can you segment \1?",
        r"Please segment \1.",
        r"Show me the mask of \1.",
        r"Show me \1.",
        r"Find \1.",
    ),
    rf"(?:Is there|Can you see|Does the video show) {_ONE}(?: in the video)?\?": (
        r"Is there \1?",
        r"Is \1 in the video?",
        r"Can you see \1 in the video?",
        r"Is there \1 at some time?",
    ),
    r"How many ([^.?]*) are there in the video\?": (
        r"How many \1 are there?",
        r"How many \1 can you see?",
        r"Count the \1.",
        r"What is the number of \1?",
    ),
    r"How many objects move at some time\?": (
        r"How many objects move?",
        r"How many objects are moving?",
        r"Count the moving objects.",
    ),
    r"Describe the video\.|What happens in the video\?|Describe all objects and what they do\.": (
        "What can you see in the video?",
        "Tell me what happens in the video.",
        "Please describe all objects.",
        "What happens?",
        "What do you see?",
        "What is there in the video?",
    ),
}
"""Questions of the diagnostic world, as patterns of the whole text, and other ways to ask for the same answer."""

_PATTERNS: Final = tuple((re.compile(pattern), others) for pattern, others in OTHERWISE.items())


def reworded(rng: np.random.Generator, turn: SyntheticTurn, share: float) -> SyntheticTurn:
    """A turn, now and then with its question put in other words; what has none stays."""
    if share == 0 or rng.random() >= share:
        return turn
    for pattern, others in _PATTERNS:
        found = pattern.fullmatch(turn.question)
        if found is not None:
            return replace(turn, question=found.expand(others[int(rng.integers(len(others)))]))
    return turn
