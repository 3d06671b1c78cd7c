"""Subject and Thing: one clip with its objects on the way from raw masklets, boxes or points to checked dialogues."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sama_video.data.record_clips import ClipReference
from sama_video.data.stores.json_values import Scalar
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import ObjectRef, Region, check_region

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class Thing:
    """One object of a subject, before annotation.

    Attributes:
        object_id: `obj1`, `obj2`, ... in the order of the subject's things.
        masklet: Its masks, under the same name; None while it is still to be tracked from `prompts`.
        prompts: Points, boxes or masks on frames of the clip.
        label: What the source calls it.
        expressions: What is known to be said of it.
    """

    object_id: str
    masklet: Masklet | None
    prompts: tuple[Region, ...] = ()
    label: str | None = None
    expressions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.masklet is None and not self.prompts:
            raise DataError(f"{self.object_id} has no masklet and no prompt; give masks, or a box or points to track.")
        if self.masklet is not None and self.masklet.object_id != self.object_id:
            raise DataError(f"{self.object_id} has the masklet of {self.masklet.object_id}; give both one name.")
        if any(isinstance(prompt, ObjectRef) for prompt in self.prompts):
            raise DataError(f"{self.object_id} is prompted by an object's name; give points, a box or a mask.")


@dataclass(frozen=True)
class Subject:
    """One clip on its way.

    Attributes:
        subject_id: Unique in the input, and safe as a file name.
        clip: Where the pixels come from.
        things: Its objects, `obj1` first.
        source: Name of the data set.
        licence: SPDX identifier, or the words of the data set's own terms.
        provenance: Where it was read from, by name.
    """

    subject_id: str
    clip: ClipReference
    things: tuple[Thing, ...]
    source: str
    licence: str
    provenance: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.subject_id):
            raise DataError(
                f"subject {self.subject_id!r} is no safe file name; use letters, digits, dot, dash and underscore."
            )
        expected = [f"obj{number}" for number in range(1, len(self.things) + 1)]
        if [thing.object_id for thing in self.things] != expected:
            raise DataError(f"subject {self.subject_id} names its things out of order; call them obj1, obj2, ...")
        for thing in self.things:
            _check_thing(thing, self.clip)

    @property
    def masklets(self) -> tuple[Masklet, ...]:
        """Masklets of the things that have one, in order."""
        return tuple(thing.masklet for thing in self.things if thing.masklet is not None)

    def thing(self, object_id: str) -> Thing | None:
        """The thing of a name, None if there is none."""
        return next((thing for thing in self.things if thing.object_id == object_id), None)

    def with_things(self, things: tuple[Thing, ...]) -> "Subject":
        """The subject with other things, renumbered from `obj1` in the order given."""
        return replace(self, things=tuple(_renamed(thing, f"obj{i}") for i, thing in enumerate(things, start=1)))


def _renamed(thing: Thing, object_id: str) -> Thing:
    if thing.object_id == object_id:
        return thing  # making a masklet anew unpacks all its masks
    masklet = None if thing.masklet is None else replace(thing.masklet, object_id=object_id)
    return replace(thing, object_id=object_id, masklet=masklet)


def _check_thing(thing: Thing, clip: ClipReference) -> None:
    masklet = thing.masklet
    if masklet is not None and (masklet.num_frames, masklet.height, masklet.width) != (
        clip.num_frames,
        clip.height,
        clip.width,
    ):
        raise DataError(
            f"{thing.object_id} has {masklet.num_frames} masks of {masklet.height}x{masklet.width}, but the clip has "
            f"{clip.num_frames} frames of {clip.height}x{clip.width}; give one mask for each frame, of its size."
        )
    for prompt in thing.prompts:
        check_region(prompt, num_frames=clip.num_frames, height=clip.height, width=clip.width)
