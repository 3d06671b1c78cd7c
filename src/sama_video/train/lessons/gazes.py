"""Where a reader of a dialogue would look: which frame tokens show what its words name and its regions point at.

A decoder that starts from nothing finds a thing among hundreds of frame tokens only if its heads happen to look there
once in a while; told where to look, they learn it in minutes. What fits nothing in sight has a place to look at too,
the row's first token, so that absence can be seen like presence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from sama_video.data.synthetic.questions.attributes import plural
from sama_video.dialogue.markup import IMAGE_CONTEXT, REGION_END, TOKENS_PER_REGION
from sama_video.model.processing_sama import TrainingInputs
from sama_video.train.lessons.attributes import ATTRIBUTES, UNSAID
from sama_video.train.lessons.dialogues import Told, turns_of
from sama_video.train.lessons.prompts import matching
from sama_video.train.lessons.scenes import coverage

_DENIALS: Final = ("No,", "There is no ")
_SHAPE: Final = list(ATTRIBUTES).index("shape")
_NOUNS: Final = {
    form: ids for i, shape in enumerate(ATTRIBUTES["shape"], 1) for form, ids in ((shape, i), (plural(shape), i))
}
_ANY: Final = frozenset(("object", "objects", "thing", "things"))
_ADJECTIVES: Final = {
    word: (column, i)
    for column, (name, words) in enumerate(ATTRIBUTES.items())
    if name != "shape"
    for i, word in enumerate(words, 1)
}


_About = tuple[int, tuple[int, ...], bool]
"""A token, the objects it speaks of, and whether words name them or a region points at them right there."""


@dataclass(frozen=True)
class Gazes:
    """Tokens of a batch's rows that look at others, and what they look at.

    Attributes:
        row: Of each looking token.
        position: In its row.
        is_late: Whether it looks late in the decoder, when what stands before it has been understood.
        near: Weights of the tokens that one head looks at, 1 for those that show most of a thing on their frame.
        far: The same for the other heads.
        is_thing: Whether the token that looks shows a thing itself.
        moved: Of a thing, its way since the frame looked at nearby and since the one far off, x and y in sides of the
            picture.
    """

    row: Int[Tensor, " gazes"]
    position: Int[Tensor, " gazes"]
    is_late: Bool[Tensor, " gazes"]
    near: Float[Tensor, "gazes tokens"]
    far: Float[Tensor, "gazes tokens"]
    is_thing: Bool[Tensor, " gazes"]
    moved: Float[Tensor, "gazes 4"]


@dataclass(frozen=True)
class _Gaze:
    """One token that looks, in its row."""

    position: int
    is_late: bool
    near: Float32[np.ndarray, " tokens"]
    far: Float32[np.ndarray, " tokens"]
    moved: Float32[np.ndarray, " 4"] | None = None


def gazes_of(tokenizer: Any, dialogues: Sequence[Told], rows: Sequence[TrainingInputs], tokens_per_side: int) -> Gazes:
    """All gazes of some dialogues in pictures; those without frames in full have none.

    In the middle of the decoder the name of a thing looks at it on whatever frame, and a thing's own token at the thing
    on the frame before and on the first one: so it can be told which way it goes. Late in the decoder a name, a region
    and the end of a question look at the thing on the first and on the last frame that show it.
    """
    length = max(len(row.input_ids) for row in rows)
    found: list[tuple[int, _Gaze]] = []
    for number, (told, row) in enumerate(zip(dialogues, rows, strict=True)):
        if not told.region_only:
            shown = _shown(tokenizer, told, row, tokens_per_side, length)
            of_words = (*_named(tokenizer, told, row), *_asked(told, row))
            gazes = (*_over_time(told, shown), *(gaze for about in of_words for gaze in _looks(shown, *about)))
            found += [(number, gaze) for gaze in gazes]
    none, still = [np.zeros((0, length), np.float32)], np.zeros(4, np.float32)
    return Gazes(
        torch.tensor([number for number, _ in found], dtype=torch.long),
        torch.tensor([gaze.position for _, gaze in found], dtype=torch.long),
        torch.tensor([gaze.is_late for _, gaze in found], dtype=torch.bool),
        torch.from_numpy(np.concatenate([gaze.near[None] for _, gaze in found] or none)),
        torch.from_numpy(np.concatenate([gaze.far[None] for _, gaze in found] or none)),
        torch.tensor([gaze.moved is not None for _, gaze in found], dtype=torch.bool),
        torch.from_numpy(np.array([still if gaze.moved is None else gaze.moved for _, gaze in found]).reshape(-1, 4)),
    )


def _looks(
    shown: Float32[np.ndarray, "objects frames tokens"], position: int, objects: Sequence[int], is_named: bool
) -> Iterator[_Gaze]:
    """What a token that speaks of some objects looks at; no objects stand for what is not there."""
    if not objects:
        nothing = np.zeros(shown.shape[-1], np.float32)
        nothing[0] = 1.0
        anywhere = first = last = nothing
    else:
        seen = shown[list(objects)].max(axis=0)
        seen[:, position:] = 0.0
        frames = np.flatnonzero(seen.any(axis=1))
        if not len(frames):
            return
        anywhere, first, last = seen.max(axis=0), seen[frames[0]], seen[frames[-1]]
    if is_named:
        yield _Gaze(position, False, anywhere, anywhere)
    if len(objects) < 2:
        yield _Gaze(position, True, first, last)


def _over_time(told: Told, shown: Float32[np.ndarray, "objects frames tokens"]) -> Iterator[_Gaze]:
    """Each object's clearest token on each frame looks for it on the frame before and on the first one."""
    for seen, centers in zip(shown, told.shot.centers / told.shot.frames.shape[1], strict=True):
        frames = sorted(np.flatnonzero(seen.any(axis=1)), key=lambda frame: int(seen[frame].argmax()))
        for before, frame in pairwise(frames):
            moved = np.concatenate([centers[frame] - centers[before], centers[frame] - centers[frames[0]]])
            token = int(seen[frame].argmax())
            yield _Gaze(token, False, seen[before], seen[frames[0]], moved.astype(np.float32))


def _shown(
    tokenizer: Any, told: Told, row: TrainingInputs, side: int, length: int
) -> Float32[np.ndarray, "objects frames tokens"]:
    """How well each token of a row shows each object, by the frames in order of time."""
    places = np.flatnonzero(row.input_ids.numpy() == tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT))
    shown = np.zeros((len(told.shot.masks), told.shot.num_frames, length), np.float32)
    at = 0
    for turn in row.video.turns:
        for frame in turn.dense_positions:
            shares = coverage(told.shot.masks[:, frame], side).reshape(len(shown), -1)
            best = shares.max(axis=1, keepdims=True)
            is_seen = told.shot.visible[:, frame, None]
            shown[:, frame, places[at : at + side * side]] = np.where(is_seen, shares / np.maximum(best, 1e-6), 0.0)
            at += side * side
        at += len(told.context) + TOKENS_PER_REGION * (0 if turn.regions is None else len(turn.regions))
    assert at == len(places)
    return shown


def _named(tokenizer: Any, told: Told, row: TrainingInputs) -> Iterator[_About]:
    """Regions, and words that name things by what they look like: at the end of each."""
    words, pointed = _words(tokenizer), iter(told.region_objects)
    region_end = tokenizer.convert_tokens_to_ids(REGION_END)
    ids = row.input_ids.tolist()
    for position, token in enumerate(ids):
        if token == region_end:
            yield position, (next(pointed),), True
        elif words[token] in _NOUNS or words[token] in _ANY:
            said = np.full(len(ATTRIBUTES), UNSAID)
            said[_SHAPE] = _NOUNS.get(words[token], UNSAID)
            for before in reversed(ids[max(0, position - len(ATTRIBUTES) + 1) : position]):
                if words[before] not in _ADJECTIVES:
                    break
                column, number = _ADJECTIVES[words[before]]
                said[column] = number
            if (said != UNSAID).any():
                fits = [matching(told.shot.looks[:, frame], said) for frame in range(told.shot.num_frames)]
                yield position, tuple(np.flatnonzero(np.any(fits, axis=0)).tolist()), True


def _asked(told: Told, row: TrainingInputs) -> Iterator[_About]:
    """The last token of each question that is about one thing: what the answer is to speak of."""
    turn_of_token = turns_of(row.labels)
    for number, turn in enumerate(told.turns):
        about = turn.region_objects or turn.seg_objects
        is_denied = turn.answer.startswith(_DENIALS) and not about
        if len(about) == 1 or is_denied or (about and turn.kind in ("events", "grounding")):
            position = int(np.flatnonzero(turn_of_token == number)[0]) - 1
            yield position, about[:1], False


@lru_cache(maxsize=4)
def _words(tokenizer: Any) -> tuple[str, ...]:
    """Every token as a word in small letters."""
    return tuple(tokenizer.decode([token]).strip().lower() for token in range(len(tokenizer)))
