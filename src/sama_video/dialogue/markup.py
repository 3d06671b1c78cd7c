"""The only place that spells the special tokens, the chat templates and the fixed sentences of a checkpoint.

A question goes in with `<region>` and `<obj2>` tags; `prompt_text` and `qformer_text` write it for the model's two
readers. An answer comes out with `<p> phrase </p> [SEG]` marks; `parse_answer` reads it, `render_answer` writes it.
Spellings marked "SAMA reference" are those that published checkpoints were trained on; changing one changes the model.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sama_video.dialogue import parsing
from sama_video.dialogue.parsing import Marks, ParsedAnswer, PhraseSpan
from sama_video.dialogue.parsing import ParsedPhrase as ParsedPhrase  # found here by whoever reads answers
from sama_video.errors import DialogueError

# SAMA reference, "Tokens, templates, text". The order in which tokens join a tokenizer is part of a checkpoint.
IMAGE_START, IMAGE_END, IMAGE_CONTEXT = "<img>", "</img>", "<IMG_CONTEXT>"
SEG, PHRASE_START, PHRASE_END, REGION_START, REGION_END = "[SEG]", "<p>", "</p>", "<vp>", "</vp>"
BACKBONE_TOKENS = (IMAGE_START, IMAGE_END, IMAGE_CONTEXT, "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
GROUNDING_TOKENS = (SEG, PHRASE_START, PHRASE_END, REGION_START, REGION_END)

# SAMA reference, the question reader's own vocabulary: the pooled feature of a region takes the first slot, the feature
# of its shape the second.
POOLED_SLOT, SHAPE_SLOT = "<mask>", "<pos>"
QFORMER_START = "[DEC]"
QFORMER_TOKENS = (QFORMER_START, POOLED_SLOT, SHAPE_SLOT, *GROUNDING_TOKENS)

REGION_TAG = "<region>"
"""How a caller writes "the next region of the list" in a question."""

TOKENS_PER_REGION = 2
"""Positions that a region takes in the prompt: its pooled feature and its shape feature."""

# SAMA reference, training data: what a question ends with when its answer is to hold masks, and two of the sentences
# that answer a plain request for one mask.
INTERLEAVED_MASKS = "with interleaved segmentation masks."
INTERLEAVED_REQUEST = f" Response {INTERLEAVED_MASKS}"
SEGMENTATION_REQUEST = "Please segment {expression} in this image."
SEGMENTATION_ANSWERS = (f"Sure, it is {SEG}.", f"Sure, the segmentation result is {SEG}.")

_MEDIA_TAGS = re.compile(r"<image>|<video>")
_RECORD_ALIASES = {"<seg>": SEG, "<g_s>": PHRASE_START, "<g_e>": PHRASE_END}
_QUESTION_TAG = re.compile(r"<region>|<(obj[0-9]+)>")


@dataclass(frozen=True)
class ChatTemplate:
    """What stands around questions and answers: `user_prefix` Q `user_suffix` A `answer_suffix` `separator` ..."""

    user_prefix: str
    user_suffix: str
    answer_suffix: str
    separator: str
    stop_strings: tuple[str, ...]

    def question(self, text: str) -> str:
        """A user's turn, up to where the answer begins."""
        return f"{self.user_prefix}{text}{self.user_suffix}"

    def answer(self, raw: str) -> str:
        """An answer and the mark that ends it."""
        return f"{raw}{self.answer_suffix}"

    def stops(self, generated: str) -> bool:
        """Whether generated text has come to its end; line breaks are overlooked, as in the SAMA reference."""
        return generated.replace("\r", "").replace("\n", "").endswith(self.stop_strings)

    def without_stop(self, generated: str) -> str:
        """Generated text up to the first stop string."""
        ends = [generated.find(stop) for stop in self.stop_strings if stop in generated]
        return generated[: min(ends)] if ends else generated


# SAMA reference, "Tokens, templates, text". No system message is ever put in front.
TEMPLATES: dict[str, ChatTemplate] = {
    "qwen_chat": ChatTemplate(
        "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "\n", ("<|im_end|>", "<|endoftext|>")
    ),
    "phi3_chat": ChatTemplate("<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>", "\n", ("<|end|>",)),
    "internlm2_chat": ChatTemplate(
        "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "\n", ("<|im_end|>",)
    ),
}

_TURN_MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<s>", "</s>")
_RESERVED = (*BACKBONE_TOKENS, *GROUNDING_TOKENS, POOLED_SLOT, SHAPE_SLOT, *_TURN_MARKS)
_MARKS = Marks(PHRASE_START, PHRASE_END, SEG, (REGION_START, REGION_END, *BACKBONE_TOKENS, *_TURN_MARKS))


@dataclass(frozen=True)
class RegionTag:
    """A `<region>` tag: the region at this place of the question's list."""

    region_idx: int


@dataclass(frozen=True)
class ObjectTag:
    """An `<objN>` tag: an object that the session should know."""

    object_id: str


def split_question(question: str) -> tuple[str | RegionTag | ObjectTag, ...]:
    """Cut a question into text and tags, in order; no piece of text is empty.

    >>> split_question("Does <region> pass <obj2>?")
    ('Does ', RegionTag(region_idx=0), ' pass ', ObjectTag(object_id='obj2'), '?')
    """
    pieces: list[str | RegionTag | ObjectTag] = []
    end, regions = 0, 0
    for found in _QUESTION_TAG.finditer(question):
        if found.start() > end:
            pieces.append(question[end : found.start()])
        if found[1] is None:
            pieces.append(RegionTag(regions))
            regions += 1
        else:
            pieces.append(ObjectTag(found[1]))
        end = found.end()
    if end < len(question):
        pieces.append(question[end:])
    return tuple(pieces)


def check_tags(question: str, num_regions: int) -> None:
    """Check that a question has one `<region>` tag for each region, and none of the model's own tokens."""
    tags = sum(isinstance(piece, RegionTag) for piece in split_question(question))
    if tags != num_regions:
        raise DialogueError(
            f"question has {_counted(tags, '<region> tag')}, but {_counted(num_regions, 'region')} "
            f"{'was' if num_regions == 1 else 'were'} given; write one {REGION_TAG} for each region, in their order."
        )
    for token in _RESERVED:
        if token in question:
            raise DialogueError(f"question holds {token}, which the model keeps for itself; write it in other words.")


def clean_question(question: str, *, line_break: str = "") -> str:
    """Take media placeholders and line breaks out of a question, and blanks from its ends.

    The SAMA reference deletes line breaks, which glues two words together; `line_break=" "` keeps them apart.
    """
    return _MEDIA_TAGS.sub("", question).replace("\r\n", "\n").replace("\n", line_break).strip()


def prompt_text(question: str, tokens_per_region: int = TOKENS_PER_REGION) -> str:
    """The question as the language model reads it: each tag a placeholder of context tokens."""
    return _replace_tags(question, region_placeholder(tokens_per_region))


def qformer_text(question: str) -> str:
    """The question as the aggregator reads it: each tag a pair of slots."""
    return _replace_tags(question, f"{REGION_START}{POOLED_SLOT}{SHAPE_SLOT}{REGION_END}")


def region_placeholder(tokens: int = TOKENS_PER_REGION) -> str:
    """Where a region's features go in the prompt."""
    return f"{REGION_START}{IMAGE_CONTEXT * tokens}{REGION_END}"


def frame_block(tokens: int, *, seconds: float | int | None = None) -> str:
    """Where a whole frame's features go in the prompt, after the frame's time if the checkpoint was trained with it."""
    time = "" if seconds is None else f"{seconds:.1f}s "
    return f"{time}{IMAGE_START}{IMAGE_CONTEXT * tokens}{IMAGE_END}"


def visual_prefix(blocks: Iterable[str], num_context: int, *, line_break: bool) -> str:
    """Frame blocks on lines of their own, then the context tokens, straight after the last block.

    Args:
        blocks: From `frame_block`, in the order of time; none for a later turn.
        num_context: Context tokens of this turn.
        line_break: Whether a line break parts the context tokens from the question. The SAMA reference has it in plain
            questions and in captioning, and not in grounded chat.
    """
    return "\n".join(blocks) + IMAGE_CONTEXT * num_context + ("\n" if line_break else "")


def ask_for_masks(question: str) -> str:
    """The question with the request for interleaved masks at its end, unless it is there already."""
    return question if INTERLEAVED_MASKS in question else question + INTERLEAVED_REQUEST


def ask_to_segment(expression: str, request: str = SEGMENTATION_REQUEST) -> str:
    """The question that asks for the mask of a referring expression, in the words a checkpoint was trained on."""
    return request.format(expression=expression.strip().removesuffix("."))


def question_from_record(question: str) -> str:
    """A data set's question in our spelling: its region tag is the aggregator's slot."""
    return question.replace(POOLED_SLOT, REGION_TAG)


def answer_from_record(answer: str) -> str:
    """A data set's answer with the older spellings of the marks replaced."""
    for alias, mark in _RECORD_ALIASES.items():
        answer = answer.replace(alias, mark)
    return answer.strip()


def parse_answer(raw: str) -> ParsedAnswer:
    """Take an answer apart: clean text, phrases, and the mask token of each.

    Never fails: whatever a model writes has a reading, and what is missing in it is named. The clean text has no marks,
    white space collapsed and no blank before punctuation. A mask token belongs to the phrase before it.

    >>> parse_answer("<p> The star </p> [SEG] moves.").phrases
    (ParsedPhrase(text='The star', start=0, end=8, seg=0, problem=None),)
    """
    return parsing.parse(raw, _MARKS)


def settled_text(raw_so_far: str) -> str:
    """The clean text of an unfinished answer, less an end that could still turn out to be a mark.

    What this gives for a beginning of an answer is a beginning of what it gives for more of it, so a stream may send
    only what is new.
    """
    return parsing.settled(raw_so_far, _MARKS)


def render_answer(text: str, spans: Iterable[PhraseSpan | tuple[int, int]]) -> str:
    """Write clean text with its phrases marked; `parse_answer` reads the same text and phrases back.

    Args:
        text: Clean, as `parse_answer` gives it.
        spans: In order, apart from each other, each covering words and no blank at its ends.

    >>> render_answer("The star moves.", [(0, 8)])
    '<p> The star </p> [SEG] moves.'
    """
    return parsing.render(text, spans, _MARKS)


def _replace_tags(question: str, placeholder: str) -> str:
    return "".join(piece if isinstance(piece, str) else placeholder for piece in split_question(question))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
