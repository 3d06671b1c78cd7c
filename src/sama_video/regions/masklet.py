"""One object's masks through a clip, kept as run lengths and unpacked only on demand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import SupportsFloat

import numpy as np
from jaxtyping import Bool

from sama_video.errors import RegionError
from sama_video.regions.rle import Rle, areas, as_rle, box_of, decode, encode
from sama_video.regions.wire import checked_keys, checked_number


@dataclass(frozen=True)
class Masklet:
    """One object's masks over all frames of a clip.

    `None` in `rles` means that the object is not visible there; an empty mask says the same and becomes `None`. A score
    is the model's belief in that frame's mask, `None` where there is none to give.
    """

    object_id: str
    height: int
    width: int
    rles: tuple[Rle | None, ...]
    scores: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.rles) != len(self.scores):
            raise RegionError(
                f"masklet {self.object_id} has {len(self.rles)} masks and {len(self.scores)} scores; "
                "give one of each for every frame."
            )
        for frame_idx, rle in enumerate(self.rles):
            if rle is not None and list(rle["size"]) != [self.height, self.width]:
                raise RegionError(
                    f"masklet {self.object_id} is {self.height}x{self.width}, but its mask on frame {frame_idx} is "
                    f"{rle['size'][0]}x{rle['size'][1]} (height x width); all masks have the clip's size."
                )
        sizes = iter(areas([rle for rle in self.rles if rle is not None]))
        visible = tuple(rle if rle is not None and next(sizes) else None for rle in self.rles)
        object.__setattr__(self, "rles", visible)

    def __hash__(self) -> int:
        counts = tuple(None if rle is None else rle["counts"] for rle in self.rles)
        return hash((self.object_id, self.height, self.width, counts, self.scores))

    @classmethod
    def from_masks(
        cls,
        object_id: str,
        masks: Iterable[Bool[np.ndarray, "height width"]],
        scores: Sequence[SupportsFloat | None] | None = None,
    ) -> "Masklet":
        """Pack masks, one a frame, as an array or from a stream; without scores every score is None."""
        rles: list[Rle | None] = [encode(mask) for mask in masks]
        if not rles or rles[0] is None:
            raise RegionError(f"masklet {object_id} has no frames; give one mask for each frame of the clip.")
        height, width = rles[0]["size"]
        given = (None,) * len(rles) if scores is None else tuple(None if s is None else float(s) for s in scores)
        return cls(object_id, height, width, tuple(rles), given)

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return len(self.rles)

    @cached_property
    def visible_frames(self) -> tuple[int, ...]:
        """Frames that show the object, in order."""
        return tuple(frame_idx for frame_idx, rle in enumerate(self.rles) if rle is not None)

    @property
    def masks(self) -> Bool[np.ndarray, "frames height width"]:
        """All masks as one new array: `frames * height * width` bytes, so prefer `mask` for long clips."""
        masks = np.zeros((self.num_frames, self.height, self.width), dtype=np.bool_)
        for frame_idx in self.visible_frames:
            masks[frame_idx] = self.mask(frame_idx)
        return masks

    def mask(self, frame_idx: int) -> Bool[np.ndarray, "height width"]:
        """One frame's mask, empty where the object is not visible."""
        rle = self._rle(frame_idx)
        return np.zeros((self.height, self.width), dtype=np.bool_) if rle is None else decode(rle)

    def box(self, frame_idx: int) -> tuple[int, int, int, int] | None:
        """Smallest half-open box around one frame's mask, None where the object is not visible."""
        rle = self._rle(frame_idx)
        return None if rle is None else box_of(rle)

    def to_json(self) -> dict[str, object]:
        """The form of a `masklets/OBJ.json` file."""
        rows = [self._row(frame_idx) for frame_idx in range(self.num_frames)]
        return {"object": self.object_id, "height": self.height, "width": self.width, "frames": rows}

    @classmethod
    def from_json(cls, value: object) -> "Masklet":
        """Read the form of a `masklets/OBJ.json` file. Boxes follow from the masks and are not read."""
        document = checked_keys(value, "masklet", required=("object", "height", "width", "frames"))
        object_id = document["object"]
        if not isinstance(object_id, str) or not object_id:
            raise RegionError(f"masklet object is {object_id!r}; give the object's name, such as obj1.")
        height, width = _side(document["height"], "height"), _side(document["width"], "width")
        rows = document["frames"]
        if not isinstance(rows, list) or not rows:
            raise RegionError(f"masklet {object_id} has no list of frames; give one row for each frame of the clip.")
        pairs = [_read_row(row, frame_idx, object_id) for frame_idx, row in enumerate(rows)]
        return cls(object_id, height, width, tuple(rle for rle, _ in pairs), tuple(score for _, score in pairs))

    def _rle(self, frame_idx: int) -> Rle | None:
        if not 0 <= frame_idx < self.num_frames:
            raise RegionError(
                f"masklet {self.object_id} on frame {frame_idx}, but the clip has {self.num_frames} frames "
                f"(0-{self.num_frames - 1}); frames count within the clip."
            )
        return self.rles[frame_idx]

    def _row(self, frame_idx: int) -> dict[str, object]:
        rle, box = self.rles[frame_idx], self.box(frame_idx)
        return {
            "frame": frame_idx,
            "mask": None if rle is None else {"size": list(rle["size"]), "counts": rle["counts"]},
            "box": None if box is None else list(box),
            "score": self.scores[frame_idx],
        }


def _read_row(value: object, frame_idx: int, object_id: str) -> tuple[Rle | None, float | None]:
    name = f"masklet {object_id} row {frame_idx}"
    row = checked_keys(value, name, required=("frame", "mask"), optional=("box", "score"))
    if isinstance(row["frame"], bool) or row["frame"] != frame_idx:
        raise RegionError(
            f"{name} is for frame {row['frame']!r}; give a row for each frame of the clip, in order from 0."
        )
    score = row.get("score")
    return (
        None if row["mask"] is None else as_rle(row["mask"]),
        None if score is None else checked_number(score, f"{name}: score"),
    )


def _side(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise RegionError(f"masklet {name} is {value!r}; give a whole number of pixels above 0.")
    return value
