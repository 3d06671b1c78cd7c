"""The words of the synthetic language: every question it asks, and the closed vocabulary it is written in."""

import re
from typing import Final

from sama_video.data.synthetic.layout import DIRECTIONS
from sama_video.data.synthetic.shapes import COLORS, SHAPES, SIZES, TEXTURES
from sama_video.dialogue.markup import INTERLEAVED_REQUEST, REGION_TAG

ATTRIBUTES: Final[tuple[str, ...]] = ("color", "shape", "texture", "size")
SHOW_SUFFIXES: Final[tuple[str, ...]] = ("Show it.", INTERLEAVED_REQUEST.strip())
"""Added to a question that would be answered in words alone, to have the answer's objects shown."""

VOCABULARY: Final[tuple[str, ...]] = (
    *(".", ",", "?", ":"),
    *COLORS,
    *SHAPES,
    *(f"{shape}es" if shape.endswith("s") else f"{shape}s" for shape in SHAPES),
    *TEXTURES,
    *SIZES,
    *DIRECTIONS,
    *ATTRIBUTES,
    *("no", "one", "two", "three", "four", "five", "six"),
    *("And", "Are", "Can", "Count", "Describe", "Do", "Does", "Find", "Here", "How", "I", "Is", "It", "No", "Now"),
    *("Please", "Response", "Segment", "Show", "Sure", "Tell", "The", "There", "What", "Where", "Which", "Yes"),
    *("a", "all", "an", "and", "are", "as", "both", "can", "count", "describe", "do", "does", "doing", "find"),
    *("going", "happens", "have", "here", "how", "in", "interleaved", "is", "it", "many", "mask", "masks", "me"),
    *("move", "moves", "number", "object", "objects", "of", "or", "please", "same", "see", "segment", "segmentation"),
    *("show", "stays", "still", "tell", "that", "the", "there", "video", "way", "what", "where", "which"),
    *("with", "you"),
)
"""Every word and mark of the language as `split_words` cuts it; tags and special tokens are not among them."""

_WORD: Final = re.compile(r"<[^<>\s]+>|\[SEG\]|\w+|[^\w\s]")
_R: Final = REGION_TAG
ATTRIBUTE_QUESTIONS: Final[dict[str, tuple[str, ...]]] = {
    "color": (
        f"What color is {_R}?",
        f"What is the color of {_R}?",
        f"Which color does {_R} have?",
        f"Tell me the color of {_R}.",
    ),
    "shape": (
        f"What shape is {_R}?",
        f"What is the shape of {_R}?",
        f"Which shape does {_R} have?",
        f"Tell me the shape of {_R}.",
    ),
    "texture": (
        f"What texture is {_R}?",
        f"What is the texture of {_R}?",
        f"Is {_R} plain, striped or dotted?",
        f"Tell me the texture of {_R}.",
    ),
    "size": (
        f"What size is {_R}?",
        f"What is the size of {_R}?",
        f"Is {_R} small or large?",
        f"Tell me the size of {_R}.",
    ),
}
WHAT_QUESTIONS: Final = (
    f"What is {_R}?",
    f"What object is {_R}?",
    f"Describe {_R}.",
    f"Which object is {_R}?",
    f"Tell me what {_R} is.",
)
SEGMENT_QUESTIONS: Final = (
    "Segment {thing}.",
    "Can you segment {thing}?",
    "Please segment {thing}.",
    "Show me {thing}.",
    "Find {thing}.",
)
WHERE_QUESTIONS: Final = ("Where is {thing}?", "Where can I see {thing}?")
REGION_QUESTIONS: Final = (
    f"Segment {_R}.",
    f"Can you segment {_R}?",
    f"Please segment {_R}.",
    f"Show me the mask of {_R}.",
)
DIRECTION_QUESTIONS: Final = (
    f"What is {_R} doing?",
    f"Which way does {_R} move?",
    f"How does {_R} move?",
    f"Where is {_R} going?",
    f"What does {_R} do?",
)
CAPTION_QUESTIONS: Final = (
    "Describe the video.",
    "What happens in the video?",
    "What can you see in the video?",
    "Tell me what happens in the video.",
    "Please describe all objects.",
)
COUNT_QUESTIONS: Final = (
    "How many objects are there?",
    "How many objects can you see?",
    "Count the objects.",
    "What is the number of objects?",
)
EXISTS_QUESTIONS: Final = (
    "Is there {thing}?",
    "Can you see {thing}?",
    "Does the video show {thing}?",
    "Is {thing} in the video?",
)
COMPARE_QUESTIONS: Final = (
    f"Is {_R} the same {{attribute}} as {_R}?",
    f"Does {_R} have the same {{attribute}} as {_R}?",
    f"Do {_R} and {_R} have the same {{attribute}}?",
    f"Are {_R} and {_R} the same {{attribute}}?",
)
LATER_OPENINGS: Final = ("Now ", "And ")
"""Put before some questions after the first turn; the question then goes on in lower case."""

PLURALS: Final = {shape: "crosses" if shape == "cross" else f"{shape}s" for shape in SHAPES}
NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six")


def split_words(text: str) -> list[str]:
    """Words, marks, tags and special tokens of a text in order.

    >>> split_words("Where is the red star?")
    ['Where', 'is', 'the', 'red', 'star', '?']
    """
    return _WORD.findall(text)
