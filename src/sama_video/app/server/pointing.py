"""The jobs that point without a word: one frame's mask at once, and objects followed through a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sama_video.app.server.answering import Progress
from sama_video.app.server.jobs import Emit
from sama_video.app.server.state import Desk
from sama_video.app.server.wire import told_rle
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import KnownObject, Sighting
from sama_video.chat.pointing import frame_of
from sama_video.regions.rle import Rle, box_of
from sama_video.regions.shapes import Box, Mask, Points, at_frame, check_region
from sama_video.video.clip import Clip

Shape = Points | Box | Mask


@dataclass(frozen=True)
class MaskJob:
    """Looks for what a region shows on its frame."""

    clip_id: str
    region: Shape
    hint: Rle | None

    def run(self, desk: Desk, emit: Emit) -> None:
        """Tell the mask's document."""
        with desk.store.in_use(self.clip_id):
            maker = desk.masks(self.clip_id, desk.store.open(self.clip_id))
            emit(mask_document(maker, self.region, self.hint))


@dataclass(frozen=True)
class TrackJob:
    """Follows objects through a clip, each from its sightings."""

    clip_id: str
    objects: tuple[tuple[str, tuple[Shape, ...]], ...]

    def run(self, desk: Desk, emit: Emit) -> None:
        """Tell progress, then the masklets in the order of the objects."""
        with desk.store.in_use(self.clip_id):
            maker = desk.masks(self.clip_id, desk.store.open(self.clip_id))
            objects = [known_object(maker, name, sightings) for name, sightings in self.objects]
            emit(Progress(0, len(maker.clip)))
            masklets = maker.track(objects, lambda done, total: emit(Progress(done, total)))
        for name, _ in self.objects:
            emit(masklets[name])


def mask_document(maker: MaskMaker, region: Shape, hint: Rle | None) -> dict[str, Any]:
    """Look for what a region shows on its frame.

    Raises:
        RegionError: The region, or the hint, does not fit the clip.
    """
    shape = resolved(region, maker.clip, refining=hint is not None)
    logits = None
    if hint is not None:
        check_region(
            Mask(frame=frame_of(shape), mask={**hint}), num_frames=len(maker.clip), height=maker.clip.height,
            width=maker.clip.width,
        )  # fmt: skip
        logits = maker.hint_from(hint) if isinstance(shape, Points) else None
    mask, score = maker.look_at(shape, hint=logits)
    box = None if mask is None else box_of(mask)
    return {
        "frame": frame_of(shape),
        "mask": told_rle(mask),
        "box": None if box is None else list(box),
        "score": None if mask is None else round(score, 4),
    }


def resolved(region: Shape, clip: Clip, *, refining: bool = False) -> Shape:
    """A shape with its moment as a frame, checked against the clip.

    Raises:
        SamaError: It does not fit.
    """
    shape = region if region.seconds is None else at_frame(region, clip.index_at(region.seconds))
    assert isinstance(shape, Shape)
    check_region(shape, num_frames=len(clip), height=clip.height, width=clip.width, refining=refining)
    return shape


def known_object(maker: MaskMaker, name: str, sightings: Sequence[Shape]) -> KnownObject:
    """An object as the tracker starts from it; a later sighting of a frame replaces an earlier one.

    Raises:
        RegionError: A sighting does not fit the clip, or shows nothing.
    """
    seen = {}
    for region in sightings:
        shape = resolved(region, maker.clip)
        seen[frame_of(shape)] = Sighting(frame_of(shape), maker.region_mask(shape), shape)
    return KnownObject(name, seen)
