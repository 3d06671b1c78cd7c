"""What is true of a clip of the diagnostic world, by the names that a subject gives its objects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import Bool

from sama_video.annotate.case import Subject
from sama_video.data.record_clips import FileClip
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.questions.captions import plain_description
from sama_video.data.synthetic.questions.motions import motion_words, spans_of
from sama_video.data.synthetic.story import Story
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet

_CLIP_NAME: Final = re.compile(r"(train|val|test)-([123])-([0-9]+)")
_LEAST_IOU: Final = 0.5


@dataclass(frozen=True)
class TrueThing:
    """One object.

    Attributes:
        name: The shortest words that single it out, such as `red star`.
        words: All that can be said of its looks.
        kind: Its shape, or a sprite's name.
        motion: What it does, as a verb.
        ways: Directions in order.
        sentence: One sentence about it, which may name others.
        seen: First and last frame of each stretch on which its masklet shows something.
        does: Stretches of frames with one beginning and end, and what goes on then.
        start: Where its centre is on the first frame, in shorter sides of the picture; None if it is not seen there.
    """

    object_id: str
    name: str
    words: str
    kind: str
    size: str
    color: str | None
    texture: str | None
    motion: str
    ways: tuple[str, ...]
    sentence: str
    seen: tuple[tuple[int, int], ...]
    does: tuple[tuple[str, tuple[int, int]], ...]
    start: tuple[float, float] | None


@dataclass(frozen=True)
class TrueClip:
    """One clip.

    Attributes:
        things: The objects that a subject names, in order.
        unnamed: Names of objects that are in the clip as well.
        events: Kind, object and other object of what happens between two that are named.
    """

    subject_id: str
    num_frames: int
    things: tuple[TrueThing, ...]
    unnamed: tuple[str, ...]
    events: tuple[tuple[str, str, str], ...]

    def thing(self, object_id: str) -> TrueThing:
        """The object of a name."""
        return next(thing for thing in self.things if thing.object_id == object_id)


def is_known(subject: Subject) -> bool:
    """Whether a subject's clip is one of the diagnostic world, by the name that `sama data synth` gave it."""
    return _clip_name(subject) is not None


def truth_of(subject: Subject) -> TrueClip:
    """What is true of a subject; its objects are told by their masklets, whatever they are called.

    Raises:
        DataError: Its clip is none of the diagnostic world, or an object of it has no masklet that fits one there.
    """
    name = _clip_name(subject)
    if name is None:
        raise DataError(
            f"subject {subject.subject_id} is no clip of sama data synth, and the scripted endpoint knows no others; "
            "name a real endpoint."
        )
    world = DiagnosticWorld(int(name[2]), (subject.clip.height, subject.clip.width))
    story, masks = _clip(world, int(name[3]))
    actors = {thing.object_id: _actor(thing.masklet, masks, subject) for thing in subject.things}
    return TrueClip(
        subject.subject_id,
        masks.shape[1],
        tuple(_thing(object_id, actor, story, masks[actor]) for object_id, actor in actors.items()),
        tuple(story.look(idx).name for idx in range(len(masks)) if idx not in actors.values()),
        _events(story, actors),
    )


def stretches(flags: Bool[np.ndarray, " frames"]) -> tuple[tuple[int, int], ...]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return tuple((int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True))


@lru_cache(maxsize=8)
def _clip(world: DiagnosticWorld, seed: int) -> tuple[Story, Bool[np.ndarray, "objects frames height width"]]:
    return world.story(seed), world.masks(seed)


def _clip_name(subject: Subject) -> re.Match[str] | None:
    clip = subject.clip
    return _CLIP_NAME.fullmatch(PurePosixPath(clip.path).stem) if isinstance(clip, FileClip) else None


def _actor(masklet: Masklet | None, masks: Bool[np.ndarray, "objects frames height width"], subject: Subject) -> int:
    """The object of the world that a masklet follows."""
    if masklet is None or masklet.num_frames != masks.shape[1]:
        raise DataError(f"subject {subject.subject_id} has no masklets of its clip's length; track its objects first.")
    own = masklet.masks
    shared = np.count_nonzero(masks & own, axis=(1, 2, 3))
    united = np.maximum(np.count_nonzero(masks | own, axis=(1, 2, 3)), 1)
    best = int((shared / united).argmax())
    if shared[best] < _LEAST_IOU * united[best]:
        raise DataError(f"{masklet.object_id} of subject {subject.subject_id} follows no object of its synthetic clip.")
    return best


def _thing(object_id: str, idx: int, story: Story, masks: Bool[np.ndarray, "frames height width"]) -> TrueThing:
    look, shown = story.look(idx), np.asarray(masks.any(axis=(1, 2)))
    starts_seen = bool(story.seen[idx, 0])
    return TrueThing(
        object_id,
        look.name,
        look.words,
        look.shape,
        look.size,
        look.color,
        look.texture,
        motion_words(story, idx),
        story.actors[idx].path.directions,
        plain_description(story, idx),
        stretches(shown),
        tuple(spans_of(story, idx)),
        (float(story.centers[idx, 0, 0]), float(story.centers[idx, 0, 1])) if starts_seen else None,
    )


def _events(story: Story, actors: Mapping[str, int]) -> tuple[tuple[str, str, str], ...]:
    names = {idx: object_id for object_id, idx in actors.items()}
    return tuple(
        (event.kind, names[event.actor], names[event.other])
        for event in story.events
        if event.actor in names and event.other is not None and event.other in names
    )
