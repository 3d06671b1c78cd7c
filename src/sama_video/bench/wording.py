"""Every fixed sentence that a benchmark puts to a model or a judge; the comments name the section of spec bench.

Placeholders for media are left out: a session puts frames where its checkpoint expects them. Sentences that checkpoints
were trained on are spelt in `dialogue.markup` and only passed on here.
"""

from collections.abc import Sequence
from typing import Final

from sama_video.bench.parsing import VIDEOREFER_DIMENSIONS
from sama_video.dialogue.markup import (
    REGION_TAG,
    SEGMENTATION_REQUEST,
    ask_for_masks,
    clean_question,
    question_from_record,
)

# 1.7: the one question of part C.
DESCRIBE_REGION: Final = f"Please describe the region {REGION_TAG} in the video in detail."

# 2.5: one sentence for all pictures.
IMAGE_GCG: Final = (
    "Could you please give me a brief description of the image? "
    "Please respond with interleaved segmentation masks for the corresponding parts of the answer."
)
# 2.5: the region is known to the model as region1; a session is told of it by a tag.
DESCRIBE_REGION1: Final = "Please give me a short description of the region in the picture marked by region1."
DESCRIBE_PICTURE_REGION: Final = DESCRIBE_REGION1.replace("region1", REGION_TAG)

# 3.1
VIDEOREFER_DESCRIBE: Final = f"Please give a detailed description of the highlighted object {REGION_TAG} in the video."
# 3.2
VIDEOREFER_CHOOSE: Final = ". Answer with the option's letter from the given choices directly."
# 3.3: the answer is generated after these words.
PIXELQA_PREFIX: Final = "The best option is ("

# 1.6
JUDGE_SYSTEM: Final = "You are a helpful assistant."

# 1.2: outlines of objects for models that take no regions, in this order.
BOX_COLOURS: Final = (
    "red", "blue", "green", "yellow", "orange", "purple", "cyan", "magenta", "lime", "pink",
    "brown", "beige", "navy", "teal", "violet", "gold", "silver", "coral", "salmon", "indigo",
)  # fmt: skip


def grounded_question(question: str, *, reference_has_masks: bool, give_away: bool = True) -> str:
    """A question of SAMA-Bench-G as it is put to a model (1.2): no media placeholders, region tags of ours.

    Args:
        reference_has_masks: Whether the reference answer holds a mask token; only then is the suffix added (Q1).
        give_away: False leaves the suffix out, to see what the model does untold. A question that carries it in the
            data keeps it.
    """
    asked = question_from_record(clean_question(question))
    return ask_for_masks(asked) if reference_has_masks and give_away else asked


def expression_question(expression: str) -> str:
    """A referring expression of a video as a question (2.2); one that is a question already stays as it is.

    >>> expression_question("the dog on the left"), expression_question("Which dog barks?")
    ('Please segment the dog on the left.', 'Which dog barks?')
    """
    return expression if "?" in expression else f"Please segment {expression}."


def refcoco_question(sentence: str) -> str:
    """A referring sentence of a picture as a question (2.5)."""
    return SEGMENTATION_REQUEST.format(expression=sentence)


def choice_question(question: str, options: Sequence[str]) -> str:
    """A multiple-choice question of VideoRefer-Bench-Q (3.2)."""
    return " ".join([question, *options]) + VIDEOREFER_CHOOSE


def boxed_object(object_idx: int) -> str:
    """How a model that takes no regions is told of an object outlined on the first frame (1.2).

    >>> boxed_object(1)
    'the object within blue box'
    """
    return f"the object within {BOX_COLOURS[object_idx % len(BOX_COLOURS)]} box"


def clair_prompt(candidates: Sequence[str], references: Sequence[str], *, subject: str = "image") -> str:
    """Ask a judge how likely two sets of captions describe the same thing (1.6), in our words.

    Args:
        subject: What is described; the published prompt says "image" of videos too.
    """
    listed = [_dashed(captions) for captions in (candidates, references)]
    return (
        f"Here are two sets of captions.\n\nCandidate captions:\n{listed[0]}\n\nReference captions:\n{listed[1]}\n\n"
        f"On a scale from 0 to 100, how likely is it that both sets describe the same {subject}? Reply with a JSON "
        'object that has the keys "score", a number from 0 to 100, and "reason", a short string.'
    )


def videorefer_judge_system() -> str:
    """Tell the judge of VideoRefer-Bench-D what to score and how to reply (3.1), in our words."""
    lines = [f"{place}. {name}: <score>" for place, name in enumerate(VIDEOREFER_DIMENSIONS, start=1)]
    return (
        "You compare a predicted description of one object in a video with the correct one. Give an integer score from "
        "0 to 5 for each of four aspects: whether it speaks of the same subject, whether the looks agree, whether what "
        "happens over time agrees, and whether nothing is made up (5: nothing is). Reply with a numbered list in "
        "exactly this form, each score followed by a line with a short explanation:\n" + "\n".join(lines)
    )


def videorefer_judge_user(correct: str, predicted: str) -> str:
    """What the judge of VideoRefer-Bench-D is to compare (3.1)."""
    return f"##Correct answer: {correct}\n##Predicted answer: {predicted}"


def _dashed(captions: Sequence[str]) -> str:
    return "\n".join(f"- {caption}" for caption in captions)
