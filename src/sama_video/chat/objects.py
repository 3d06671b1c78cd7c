"""The things a session knows: how each was shown or found, its masks so far, and its lasting name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from sama_video.errors import SessionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle, overlap_areas
from sama_video.regions.shapes import Box, Mask, Points

SAME_OBJECT_IOU = 0.5
_OBJECT_ID = re.compile(r"obj[1-9][0-9]{0,8}")
MASK_BYTES, ROW_BYTES = 400, 100
"""What Python adds to each mask's counts, and to each row that has one or none."""
BookSnapshot = tuple[dict[str, "KnownObject"], int]


@dataclass(frozen=True)
class Sighting:
    """One frame on which an object was shown to us or found by the model.

    Attributes:
        frame_idx: Frame of the clip.
        mask: What it looks like there; `None` where the model judged it absent.
        shown_as: What the tracker starts from: the caller's region, or a prompt embedding of the model's own.
    """

    frame_idx: int
    mask: Rle | None
    shown_as: Points | Box | Mask | Tensor | None = None


@dataclass(frozen=True)
class KnownObject:
    """An object of the session.

    Attributes:
        object_id: Its lasting name.
        sightings: By frame; the tracker follows the object from those that have a `shown_as`.
        masklet: Its masks through the clip, once tracked.
        name: What the dialogue last called it.
    """

    object_id: str
    sightings: Mapping[int, Sighting]
    masklet: Masklet | None = field(default=None, repr=False)
    name: str | None = None

    def mask_on(self, frame_idx: int) -> tuple[bool, Rle | None]:
        """Whether its mask on a frame is known, and that mask; `None` where it is known to be absent."""
        if frame_idx in self.sightings:
            return True, self.sightings[frame_idx].mask
        if self.masklet is not None:
            return True, self.masklet.rles[frame_idx]
        return False, None


class ObjectBook:
    """Every object of a session, in the order it met them."""

    def __init__(self) -> None:
        self._objects: dict[str, KnownObject] = {}
        self._met = 0

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Names in the order of meeting."""
        return tuple(self._objects)

    def __contains__(self, object_id: str) -> bool:
        return object_id in self._objects

    def __getitem__(self, object_id: str) -> KnownObject:
        if object_id not in self._objects:
            known = ", ".join(self._objects) or "none yet"
            raise SessionError(f"{object_id!r} is no object of this session; the objects are: {known}.")
        return self._objects[object_id]

    def meet(self, sightings: Sequence[Sighting], name: str | None = None) -> KnownObject:
        """A new object, under the next free name; names of forgotten objects are not used again."""
        shown = {sighting.frame_idx: sighting for sighting in sightings}
        return self.put(KnownObject(f"obj{self._met + 1}", shown, name=name))

    def put(self, known: KnownObject) -> KnownObject:
        """Take in an object under the name it has: a known one is replaced, a new one must be named after all met.

        Names between are spent, as are those of forgotten objects.
        """
        if known.object_id not in self._objects:
            number = object_number(known.object_id)
            if number <= self._met:
                raise SessionError(
                    f"{known.object_id} comes after {self._met} objects, so its name is spent; objects are named "
                    "obj1, obj2, ... in the order the session meets them."
                )
            self._met = number
        self._objects[known.object_id] = known
        return known

    def spend(self, number: int) -> None:
        """Leave names up to this number to objects that were forgotten."""
        self._met = max(self._met, number)

    def update(self, object_id: str, **changes: object) -> KnownObject:
        """Replace some of an object's fields."""
        self._objects[object_id] = replace(self[object_id], **changes)  # type: ignore[arg-type]
        return self._objects[object_id]

    def forget(self, object_id: str) -> None:
        """Drop an object; its name stays spent."""
        del self._objects[self[object_id].object_id]

    def find(self, masks: Mapping[int, Rle | None]) -> KnownObject | None:
        """The known object that these masks show, judged on the frames where both are known.

        The masks agree when their overlap, summed over those frames, is at least half of their union.
        """
        best, best_iou = None, SAME_OBJECT_IOU
        for known in self._objects.values():
            inter = union = 0
            for frame_idx, mask in masks.items():
                is_known, own = known.mask_on(frame_idx)
                if is_known:
                    inter_here, union_here = overlap_areas(mask, own)
                    inter, union = inter + inter_here, union + union_here
            if union and inter / union >= best_iou:
                best, best_iou = known, inter / union
        return best

    def snapshot(self) -> BookSnapshot:
        """What `restore` brings back."""
        return dict(self._objects), self._met

    def restore(self, snapshot: BookSnapshot) -> None:
        """Undo everything since the snapshot."""
        self._objects, self._met = dict(snapshot[0]), snapshot[1]


def book_bytes(books: Iterable[BookSnapshot]) -> int:
    """About how much memory objects take: what several states share is counted once."""
    known = {id(item): item for objects, _ in books for item in objects.values()}.values()
    sightings = {id(seen): seen for item in known for seen in item.sightings.values()}.values()
    masklets = {id(item.masklet): item.masklet for item in known if item.masklet is not None}.values()
    masks = {
        id(rle): rle for rle in (*(seen.mask for seen in sightings), *(r for m in masklets for r in m.rles)) if rle
    }
    embeddings = sum(seen.shown_as.nbytes for seen in sightings if isinstance(seen.shown_as, Tensor))
    rows = sum(len(masklet.rles) for masklet in masklets) + len(sightings)
    return sum(MASK_BYTES + len(rle["counts"]) for rle in masks.values()) + ROW_BYTES * rows + embeddings


def object_number(object_id: str) -> int:
    """The N of `objN`.

    >>> object_number("obj12")
    12
    """
    if not _OBJECT_ID.fullmatch(object_id):
        raise SessionError(f"{object_id[:40]!r} is no name of an object; they are obj1, obj2, ... up to nine digits.")
    return int(object_id.removeprefix("obj"))
