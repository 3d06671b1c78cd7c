"""Track: boxes, points or single masks to masklets, by our tracker, with figures of how far each can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.probing import measure
from sama_video.annotate.selecting import SelectSettings, choose_objects
from sama_video.annotate.stages import Dropped, Json, Kept, Result
from sama_video.data.stores.masks import masklet_from_json, masklet_to_json
from sama_video.errors import ConfigError, RegionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import area, track_overlaps
from sama_video.regions.shapes import Mask, ObjectRef, Region
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

VERSION: Final = 1
ANY_OBJECTS: Final = SelectSettings()


@dataclass(frozen=True)
class TrackSettings:
    """Who tracks, and which tracks are good enough.

    Attributes:
        model: `nano`, a folder, or a Hub id.
        device: A torch device; the best there is by default.
        both_ways: Track back from the last frame that shows the object, and compare; it takes twice as long.
        least_agreement: Overlap of the two tracks, over all frames.
        least_stability: Median overlap of the boxes' shapes from frame to frame, moved onto each other.
        most_jumps: Share of the frames whose area is more than `jump` times that of the frame before, or less than one
            over it.
        least_score: Mean belief of the tracker in the frames that show the object.
    """

    model: str = "nano"
    device: str | None = None
    both_ways: bool = True
    least_agreement: float | int = 0.5
    least_stability: float | int = 0.5
    most_jumps: float | int = 0.1
    jump: float | int = 2.0
    least_score: float | int = 0.5

    def __post_init__(self) -> None:
        for name in ("least_agreement", "least_stability", "most_jumps", "least_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"track.{name} is {getattr(self, name)}; give a share from 0 to 1.")
        if not self.jump > 1:
            raise ConfigError(f"track.jump is {self.jump}; give a factor above 1.")


@dataclass(frozen=True)
class Quality:
    """How far a track can be trusted.

    Attributes:
        stability: Median, over neighbouring frames, of how alike two masks are when their middles lie on each other.
        jumps: Share of the frames to which the area jumps.
        score: Mean belief of the tracker; None where it gives none.
        agreement: Overlap with the track that goes the other way; None where that was not tried.
    """

    stability: float | int
    jumps: float | int
    score: float | int | None
    agreement: float | int | None = None

    def to_json(self) -> dict[str, float | int | None]:
        """As the ledger and the records' provenance have it."""
        return {
            "stability": self.stability,
            "jumps": self.jumps,
            "score": self.score,
            "agreement": self.agreement,
        }


@runtime_checkable
class Follower(Protocol):
    """Whoever follows objects through a clip."""

    @property
    def name(self) -> str:
        """Model and revision."""
        ...

    def follow(self, clip: Clip, prompts: Sequence[Sequence[Region]]) -> list[Masklet]:
        """A masklet for each object, all in one pass over the clip, none taken for another.

        Raises:
            RegionError: Nothing is where a prompt points.
        """
        ...


@dataclass(frozen=True)
class ModelFollower:
    """The tracker that `sama track` uses."""

    model: str
    device: str | None = None

    @property
    def name(self) -> str:
        """Model and revision."""
        loaded = load_once(self.model, self.device)
        return f"{loaded.name}@{loaded.revision[:12]}"

    def follow(self, clip: Clip, prompts: Sequence[Sequence[Region]]) -> list[Masklet]:
        """A masklet for each object."""
        from sama_video.chat.loading import DEFAULT_CACHE_BYTES
        from sama_video.chat.objects import KnownObject, Sighting

        loaded = load_once(self.model, self.device)
        masks = loaded.mask_maker(clip, loaded.protocol, DEFAULT_CACHE_BYTES)
        known = []
        for number, regions in enumerate(prompts, start=1):
            sightings = {}
            for region in regions:
                assert not isinstance(region, ObjectRef), "a thing's prompts are checked when it is built"
                frame = region.frame
                assert frame is not None, "inputs give prompts on frames"
                sightings[frame] = Sighting(frame, masks.region_mask(region), region)
            known.append(KnownObject(f"obj{number}", sightings))
        return list(masks.track(known).values())


@lru_cache(maxsize=1)
def load_once(model: str, device: str | None) -> "LoadedModel":
    """The tracker's model, loaded when the first clip needs it."""
    from sama_video.chat.loading import load

    return load(model, device=device)


def track_subject(
    subject: Subject, follower: Follower, settings: TrackSettings, select: SelectSettings = ANY_OBJECTS
) -> Result:
    """Masklets for the things of a subject that have none; things whose track is bad are left out with the reason.

    Returns:
        Kept with `masklets` and `quality` by object, the things that stay, and why others do not; or dropped, if fewer
        are left than the selection asks for.
    """
    waiting = [thing for thing in subject.things if thing.masklet is None]
    if not waiting:
        return Kept({"things": [thing.object_id for thing in subject.things], "lost": {}})
    tracks, lost = _followed(subject, waiting, follower, settings)
    quality = {name: found.to_json() for name, (_, found) in tracks.items()}
    masklets = {thing.object_id: thing.masklet for thing in subject.things if thing.masklet is not None}
    masklets |= {name: masklet for name, (masklet, found) in tracks.items()}
    lost |= {name: why for name, (_, found) in tracks.items() if (why := bad_track(found, settings)) is not None}
    objects = {
        thing.object_id: measure(masklets[thing.object_id]) for thing in subject.things if thing.object_id not in lost
    }
    stay, small = choose_objects(objects, select)
    lost |= small
    if len(stay) < max(1, select.objects[0]):
        return Dropped("no_good_track", ", ".join(f"{name} {why}" for name, why in lost.items()))
    kept = {name: masklet_to_json(masklet) for name, (masklet, _) in tracks.items() if name in stay}
    return Kept({"things": stay, "lost": lost, "masklets": kept, "quality": quality, "tracker": follower.name})


def tracked(subject: Subject, payload: Json) -> Subject:
    """The subject with the masklets that tracking gave, less the things it left out; still under their old names."""
    made = payload.get("masklets", {})
    things = [
        thing if thing.object_id not in made else replace(thing, masklet=masklet_from_json(made[thing.object_id]))
        for thing in subject.things
        if thing.object_id in payload["things"]
    ]
    return subject.with_things(tuple(things))


def bad_track(quality: Quality, settings: TrackSettings) -> str | None:
    """Why a track is not good enough; None if it is."""
    if quality.agreement is not None and quality.agreement < settings.least_agreement:
        return "tracks_disagree"
    if quality.stability < settings.least_stability:
        return "unstable"
    if quality.jumps > settings.most_jumps:
        return "area_jumps"
    return "low_score" if quality.score is not None and quality.score < settings.least_score else None


def quality_of(masklet: Masklet, jump: float | int, back: Masklet | None = None) -> Quality:
    """The figures of one track.

    Args:
        masklet: With the tracker's scores, if there are any.
        jump: Factor of the area from one frame to the next that counts as a jump.
        back: The track that goes the other way.
    """
    scores = [score for score, rle in zip(masklet.scores, masklet.rles, strict=True) if rle and score is not None]
    agreement = None if back is None else track_iou(masklet, back)
    return Quality(
        stability=round(_stability(masklet), 4),
        jumps=round(_jumps(masklet, jump), 4),
        score=round(float(np.mean(scores)), 4) if scores else None,
        agreement=None if agreement is None else round(agreement, 4),
    )


def track_iou(a: Masklet, b: Masklet) -> float:
    """Pixels in both over pixels in either, over all frames; 0 for two that are never visible."""
    shared, united = track_overlaps(a.rles, b.rles)
    return float(shared.sum() / united.sum()) if united.sum() else 0.0


def _followed(
    subject: Subject, waiting: Sequence[Thing], follower: Follower, settings: TrackSettings
) -> tuple[dict[str, tuple[Masklet, Quality]], dict[str, str]]:
    """Tracks with their figures, and things that the tracker found nowhere."""
    clip = subject.clip.open()
    try:
        forward = _follow_each(clip, {thing.object_id: thing.prompts for thing in waiting}, follower)
        lost = {thing.object_id: "nothing_there" for thing in waiting if thing.object_id not in forward}
        back: Mapping[str, Masklet] = _backward(clip, forward, follower) if settings.both_ways else {}
    finally:
        clip.close()
    return {name: (one, quality_of(one, settings.jump, back.get(name))) for name, one in forward.items()}, lost


def _backward(clip: Clip, forward: Mapping[str, Masklet], follower: Follower) -> dict[str, Masklet]:
    """Each track again, started from the last frame that shows it."""
    starts: dict[str, Sequence[Region]] = {}
    for name, masklet in forward.items():
        last = masklet.visible_frames[-1]
        rle = masklet.rles[last]
        assert rle is not None, "a visible frame has a mask"
        starts[name] = (Mask(last, mask=rle),)
    return _follow_each(clip, starts, follower)


def _follow_each(clip: Clip, prompts: Mapping[str, Sequence[Region]], follower: Follower) -> dict[str, Masklet]:
    """Tracks by object; where one prompt finds nothing, each object is tried by itself."""
    if not prompts:
        return {}
    try:
        masklets = follower.follow(clip, list(prompts.values()))
    except RegionError:
        if len(prompts) == 1:
            return {}
        return {
            name: one for each in prompts for name, one in _follow_each(clip, {each: prompts[each]}, follower).items()
        }
    named = zip(prompts, masklets, strict=True)
    return {name: replace(one, object_id=name) for name, one in named if one.visible_frames}


def _jumps(masklet: Masklet, jump: float | int) -> float:
    """Share of neighbouring frames, both of which show the object, between which its area jumps."""
    areas = [area(rle) if rle is not None else 0 for rle in masklet.rles]
    pairs = [(before, after) for before, after in pairwise(areas) if before and after]
    far = sum(max(before, after) > jump * min(before, after) for before, after in pairs)
    return far / len(pairs) if pairs else 0.0


def _stability(masklet: Masklet) -> float:
    """How alike neighbouring masks are in shape; 1 for an object that is seen on no two frames in a row."""
    likeness = []
    before: NDArray[np.bool_] | None = None
    for rle_idx, rle in enumerate(masklet.rles):
        shape = None if rle is None else _cut_out(masklet, rle_idx)
        if before is not None and shape is not None:
            likeness.append(_likeness(before, shape))
        before = shape
    return float(np.median(likeness)) if likeness else 1.0


def _cut_out(masklet: Masklet, frame_idx: int) -> Any:
    x0, y0, x1, y1 = masklet.box(frame_idx) or (0, 0, 1, 1)
    return masklet.mask(frame_idx)[y0:y1, x0:x1]


def _likeness(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Overlap of two shapes laid with their boxes' middles on each other."""
    height, width = max(a.shape[0], b.shape[0]), max(a.shape[1], b.shape[1])
    laid = np.zeros((2, height, width), dtype=np.bool_)
    for page, shape in zip(laid, (a, b), strict=True):
        top, left = (height - shape.shape[0]) // 2, (width - shape.shape[1]) // 2
        page[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    united = np.count_nonzero(laid.any(axis=0))
    return float(np.count_nonzero(laid.all(axis=0)) / united) if united else 0.0
