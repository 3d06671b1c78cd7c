"""A CVAT track's shapes as one mask a frame, by CVAT's own rules between key frames."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeAlias

from sama_video.data.findings import Place
from sama_video.data.formats.cvat_masks import read_cvat_mask
from sama_video.data.formats.cvat_xml import Shape
from sama_video.data.formats.outlines import MAX_COORDINATE, polygon_mask, turned_box_mask
from sama_video.regions.rle import Rle

MAX_POINTS: Final = 100_000
_WHOLE: Final = re.compile(r"-?[0-9]{1,9}")

Numbers: TypeAlias = tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """What frames of a file mean in the clip: frame `start + step * i` is the clip's frame i."""

    size: tuple[int, int]
    num_frames: int
    start: int
    step: int

    def frame_of(self, shape: Shape, place: Place) -> int:
        """The clip's frame of a shape; may be past the end, where CVAT writes how a track ends.

        Raises:
            FaultError: `schema_error`, or `track_length_mismatch` for a visible shape past the end.
        """
        given = shape.given.get("frame", "")
        if _WHOLE.fullmatch(given) is None or (int(given) - self.start) % self.step or int(given) < self.start:
            raise place.fault("schema_error", f"frame {given[:20]!r} is none of the task's frames")
        frame = (int(given) - self.start) // self.step
        if frame >= self.num_frames and not is_outside(shape):
            raise place.fault("track_length_mismatch", f"a shape on frame {given}, but there are {self.num_frames}")
        return frame


@dataclass
class ShapeMasks:
    """Masks of a track.

    Attributes:
        rles: By frame; None where the shape is out of the picture.
        are_boxes: Whether they are filled boxes.
        added: Frames that the file does not list.
    """

    rles: dict[int, Rle | None] = field(default_factory=dict)
    are_boxes: bool = False
    added: int = 0


def is_outside(shape: Shape) -> bool:
    """Whether a shape says that its object is not visible from here on."""
    return shape.given.get("outside") == "1"


def shape_masks(shapes: Sequence[Shape], scene: Scene, place: Place) -> ShapeMasks:
    """One mask for each frame on which a track is visible.

    Raises:
        FaultError: A shape of a kind that is no region, damaged, on a frame that is not there or twice on one frame;
            or polygons with frames left out between them.
    """
    kinds = {shape.kind for shape in shapes}
    if not kinds <= {"mask", "box", "polygon"}:
        raise place.fault("unsupported_shape", f"{', '.join(sorted(kinds))}: only masks, polygons and boxes are read")
    if len(kinds) > 1:
        raise place.fault("schema_error", f"the track mixes {', '.join(sorted(kinds))}")
    nodes = sorted(((scene.frame_of(shape, place), shape) for shape in shapes), key=lambda node: node[0])
    for (before, _), (after, _) in pairwise(nodes):
        if before == after:
            raise place.fault("repeated_id", f"the track has frame {before} twice")
    if kinds == {"mask"}:
        return ShapeMasks({frame: _mask(shape, scene.size, place) for frame, shape in nodes if not is_outside(shape)})
    masks = ShapeMasks(are_boxes=kinds == {"box"})
    fill, between = (_fill_box, _between_boxes) if masks.are_boxes else (_fill_polygon, _between_polygons)
    read = _box if masks.are_boxes else _points
    numbers = [(frame, is_outside(shape), read(shape, place)) for frame, shape in nodes]
    for frame, is_listed, one in _visible(numbers, scene.num_frames, between, place):
        masks.rles[frame] = fill(one, scene.size, place)
        masks.added += not is_listed
    return masks


def _visible(
    nodes: Sequence[tuple[int, bool, Numbers]],
    num_frames: int,
    between: Callable[[Numbers, Numbers, float, Place], Numbers],
    place: Place,
) -> Iterator[tuple[int, bool, Numbers]]:
    """Each frame with a visible shape, whether the file lists it, and the shape there."""
    for position, (frame, outside, numbers) in enumerate(nodes):
        if outside:
            continue
        yield frame, True, numbers
        is_last = position + 1 == len(nodes)
        following, _, goal = (num_frames, True, numbers) if is_last else nodes[position + 1]
        for inner in range(frame + 1, min(following, num_frames)):
            share = (inner - frame) / (following - frame)
            yield inner, False, numbers if is_last else between(numbers, goal, share, place)


def _between_boxes(start: Numbers, end: Numbers, share: float, place: Place) -> Numbers:
    """Edges move in straight lines, the angle the shorter way round."""
    edges = [before + (after - before) * share for before, after in zip(start[:4], end[:4], strict=True)]
    turn = (end[4] - start[4] + 180) % 360 - 180
    return (*edges, (start[4] + turn * share) % 360)


def _between_polygons(start: Numbers, end: Numbers, share: float, place: Place) -> Numbers:
    if start != end:
        raise place.fault("keyframe_gap", "a polygon changes across frames that are not listed; export it from CVAT")
    return start


def _fill_box(box: Numbers, size: tuple[int, int], place: Place) -> Rle | None:
    x0, y0, x1, y1, degrees = box
    return turned_box_mask((x0, y0, x1, y1), degrees, ((x0 + x1) / 2, (y0 + y1) / 2), size, place)


def _fill_polygon(points: Numbers, size: tuple[int, int], place: Place) -> Rle | None:
    return polygon_mask(points, size, place)


def _mask(shape: Shape, size: tuple[int, int], place: Place) -> Rle | None:
    edges = [shape.given.get(name, "") for name in ("left", "top", "width", "height")]
    if any(_WHOLE.fullmatch(edge) is None for edge in edges):
        raise place.fault("schema_error", "a mask has no whole left, top, width and height")
    left, top, width, height = map(int, edges)
    return read_cvat_mask(shape.given.get("rle", ""), (left, top, width, height), size, place)


def _box(shape: Shape, place: Place) -> Numbers:
    edges = (_number(shape.given, name, place) for name in ("xtl", "ytl", "xbr", "ybr"))
    return (*edges, _number(shape.given, "rotation", place) if "rotation" in shape.given else 0.0)


def _points(shape: Shape, place: Place) -> Numbers:
    numbers = re.split("[;,]", shape.given.get("points", ""))
    if len(numbers) > MAX_POINTS:
        raise place.fault("bad_rle", f"a polygon has {len(numbers) // 2} points")
    return tuple(_finite(number, "points", place) for number in numbers)


def _number(given: Mapping[str, str], name: str, place: Place) -> float:
    if name not in given:
        raise place.fault("missing_key", f"a box has no {name!r}")
    return _finite(given[name], name, place)


def _finite(text: str, name: str, place: Place) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= MAX_COORDINATE:
        raise place.fault("bad_box", f"{name!r} holds {text[:20]!r}; it should be a number of pixels")
    return number
