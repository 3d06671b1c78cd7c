"""Episodes painted: frames, and the exact masks of what is visible in them.

All arithmetic is single operations of IEEE numbers (sums, products, quotients, square roots, comparisons), so the same
episode has the same pixels and masks on every machine, whatever frames are painted with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, UInt8

from sama_video.data.synthetic.appearance import outline, rotation, texture_depth
from sama_video.data.synthetic.backgrounds import Pictures
from sama_video.data.synthetic.effects import apply_effects
from sama_video.data.synthetic.episode import Actor, Episode
from sama_video.data.synthetic.levels import FPS
from sama_video.data.synthetic.sprites import Sprites
from sama_video.data.synthetic.view import View, paint_background, view_of
from sama_video.errors import DataError

_RIM: Final = 0.09  # width of the plain border of textured objects, in radii


@dataclass(frozen=True)
class Assets:
    """Pictures from folders that episodes may use."""

    sprites: Sprites | None = None
    pictures: Pictures | None = None


NO_ASSETS: Final = Assets()


@dataclass(frozen=True, eq=False)
class Painted:
    """An episode's pictures with their ground truth.

    Attributes:
        episode: What was painted.
        numbers: Which of its frames.
        frames: RGB pictures.
        masks: Pixels where the object is the one seen; False where another object or the picture's edge hides it.
    """

    episode: Episode
    numbers: tuple[int, ...]
    frames: UInt8[np.ndarray, "frames height width 3"] = field(repr=False)
    masks: Bool[np.ndarray, "objects frames height width"] = field(repr=False)

    @property
    def times(self) -> Float64[np.ndarray, " frames"]:
        """Seconds of each frame."""
        times: np.ndarray = np.asarray(self.numbers, dtype=np.float64) / FPS
        return times


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """Where objects are, without colours.

    Attributes:
        masks: As in `Painted`.
        whole: Pixels of each object's whole outline, also outside the picture; 0 where it does not exist.
        inside: Pixels of it that lie in the picture, hidden or not.
    """

    masks: Bool[np.ndarray, "objects frames height width"] = field(repr=False)
    whole: Int[np.ndarray, "objects frames"]
    inside: Int[np.ndarray, "objects frames"]


def paint(
    episode: Episode, size: tuple[int, int], numbers: Sequence[int] | None = None, assets: Assets = NO_ASSETS
) -> Painted:
    """Pictures and masks of an episode.

    Args:
        size: Height and width in pixels, in the ratio that the episode was drawn for.
        numbers: Which frames; all when left out.
        assets: The folders that the episode was drawn with.
    """
    wanted = _checked(episode, size, numbers)
    moments = np.asarray(wanted, dtype=np.float64)
    frames = paint_background(episode, size, moments, assets.pictures)
    masks = _paint_actors(episode, size, moments, assets, frames).masks
    if episode.effects.any:
        apply_effects(frames, episode.effects, list(wanted))
    return Painted(episode, wanted, frames, masks)


def silhouettes(
    episode: Episode, size: tuple[int, int], numbers: Sequence[int] | None = None, assets: Assets = NO_ASSETS
) -> Silhouettes:
    """The masks alone, several times faster than the pictures."""
    moments = np.asarray(_checked(episode, size, numbers), dtype=np.float64)
    return _paint_actors(episode, size, moments, assets, None)


def _checked(episode: Episode, size: tuple[int, int], numbers: Sequence[int] | None) -> tuple[int, ...]:
    wanted = tuple(range(episode.num_frames)) if numbers is None else tuple(numbers)
    if not wanted or min(wanted) < 0 or max(wanted) >= episode.num_frames:
        raise DataError(
            f"frames {list(wanted)} asked of a clip that has 0 to {episode.num_frames - 1}; give some of them."
        )
    shorter = min(size)
    if (size[1] / shorter, size[0] / shorter) != episode.extent:
        raise DataError(
            f"size {size[1]}x{size[0]} has another ratio than the episode was drawn for ({episode.extent[0]:g} to "
            f"{episode.extent[1]:g}); draw it with size=."
        )
    return wanted


def _paint_actors(
    episode: Episode,
    size: tuple[int, int],
    moments: Float64[np.ndarray, " frames"],
    assets: Assets,
    frames: UInt8[np.ndarray, "frames height width 3"] | None,
) -> Silhouettes:
    view = view_of(episode, size, moments)
    masks = np.zeros((len(episode.actors), len(moments), *size), dtype=bool)
    whole = np.zeros((len(episode.actors), len(moments)), dtype=np.int64)
    inside = np.zeros_like(whole)
    for idx, actor in enumerate(episode.actors):
        first, last = actor.present
        exists = np.flatnonzero((moments >= first) & (moments <= last))
        places = view.pixels(actor.path.at(moments))
        for stamp, uses in _stamps(episode, actor, view, places, exists, assets, frames is not None):
            for frame_idx, (left, top) in uses:
                whole[idx, frame_idx] = stamp.area
                box = _overlap(left, top, stamp.mask.shape, size)
                if box is None:
                    continue
                to, own = box
                mask = stamp.mask[own]
                inside[idx, frame_idx] = np.count_nonzero(mask)
                masks[:idx, frame_idx, to[0], to[1]] &= ~mask
                masks[idx, frame_idx, to[0], to[1]] = mask
                if frames is not None:
                    rgb = _rgb_at(actor, float(moments[frame_idx]))
                    stamp.put(frames[frame_idx, to[0], to[1]], own, rgb)
    return Silhouettes(masks, whole, inside)


Slices = tuple[slice, slice]


def _overlap(left: int, top: int, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[Slices, Slices] | None:
    """Where a stamp meets the picture: rows and columns of the picture, and of the stamp."""
    x0, x1, y0, y1 = max(left, 0), min(left + shape[1], size[1]), max(top, 0), min(top + shape[0], size[0])
    if x0 >= x1 or y0 >= y1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


@dataclass(frozen=True, eq=False)
class _Stamp:
    """An object as it is put on a frame.

    Attributes:
        mask: Its pixels.
        area: How many they are.
        cover: How much of each pixel it covers; None for a sprite, whose pixels are whole.
        shade: How bright its colour is at each pixel, or a sprite's own pixels; None when only masks are wanted.
    """

    mask: Bool[np.ndarray, "rows columns"]
    area: int
    cover: Float32[np.ndarray, "rows columns"] | None = None
    shade: np.ndarray | None = None

    def put(self, patch: UInt8[np.ndarray, "height width 3"], own: Slices, rgb: tuple[int, int, int]) -> None:
        """Paint a part of it over a part of a frame, in place."""
        assert self.shade is not None
        if self.cover is None:
            mask = self.mask[own]
            patch[mask] = self.shade[own][mask]
            return
        alpha = self.cover[own][..., None]
        paint = self.shade[own][..., None] * np.asarray(rgb, dtype=np.float32)
        patch[...] = patch + (paint - patch) * alpha + np.float32(0.5)


_Uses = list[tuple[int, tuple[int, int]]]


def _stamps(
    episode: Episode,
    actor: Actor,
    view: View,
    places: Float64[np.ndarray, "frames 2"],
    exists: Int[np.ndarray, " present"],
    assets: Assets,
    wants_paint: bool,
) -> list[tuple[_Stamp, _Uses]]:
    """Stamps of an object and the frames and corners they are for; frames on which it looks alike share one."""
    if len(exists) == 0:
        return []
    scales = view.scales[exists]
    if actor.look.is_sprite:
        return _sprite_stamps(actor, scales, places[exists], exists, assets)
    radii = actor.radius * scales
    reach = int(np.ceil(1.3 * float(radii.max()))) + 2
    cells = np.floor(places[exists])
    corners = cells.astype(int) - reach
    shifts = places[exists] - cells
    keys = np.concatenate([shifts, radii[:, None]], axis=1)
    alike: dict[bytes, int] = {}
    rows = [alike.setdefault(key.tobytes(), row) for row, key in enumerate(keys)]
    distinct = sorted(set(rows))
    stamps = _draw_stamps(actor, shifts[distinct], radii[distinct], reach, wants_paint)
    uses: dict[int, _Uses] = {row: [] for row in distinct}
    for row, frame_idx, corner in zip(rows, exists.tolist(), corners.tolist(), strict=True):
        uses[row].append((frame_idx, (corner[0], corner[1])))
    return [(stamp, uses[row]) for stamp, row in zip(stamps, distinct, strict=True)]


def _draw_stamps(
    actor: Actor,
    shifts: Float64[np.ndarray, "stamps 2"],
    radii: Float64[np.ndarray, " stamps"],
    reach: int,
    wants_paint: bool,
) -> list[_Stamp]:
    """Stamps of an object whose centre lies so far from the corner of the middle pixel."""
    line = np.arange(-reach, reach + 1) + 0.5
    across = ((line - shifts[:, :1]) / radii[:, None]).astype(np.float32)[:, None, :]
    down = ((line - shifts[:, 1:]) / radii[:, None]).astype(np.float32)[:, :, None]
    x, y = _turned(across, down, actor.tilt)
    distance = outline(actor.look.shape, x, y)
    masks = distance <= 0
    areas = np.count_nonzero(masks, axis=(1, 2)).tolist()
    if not wants_paint:
        return [_Stamp(mask, area) for mask, area in zip(masks, areas, strict=True)]
    size = radii.astype(np.float32)[:, None, None]
    cover = np.clip(np.float32(0.5) - distance * size, 0, 1)
    shade = _shade(actor, x, y, distance, size)
    return [_Stamp(*parts) for parts in zip(masks, areas, cover, shade, strict=True)]


def _shade(actor: Actor, x: np.ndarray, y: np.ndarray, distance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Brightness at each pixel: 1 but where the texture is, inside a plain rim."""
    assert actor.look.texture is not None
    along, aside = _turned(x, y, actor.grain)
    period = np.float32(actor.period / actor.radius)
    depth = texture_depth(actor.look.texture, along / period, aside / period, period * size)
    if depth is None:
        return np.ones_like(distance)
    within = np.clip((-distance - np.float32(_RIM)) * size + np.float32(0.5), 0, 1)
    shade: np.ndarray = 1 - np.float32(actor.contrast) * depth * within
    return shade


def _turned(x: np.ndarray, y: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = (np.float32(value) for value in rotation(turn))
    return x * cos + y * sin, y * cos - x * sin


def _sprite_stamps(
    actor: Actor,
    scales: Float64[np.ndarray, " present"],
    places: Float64[np.ndarray, "present 2"],
    exists: Int[np.ndarray, " present"],
    assets: Assets,
) -> list[tuple[_Stamp, _Uses]]:
    """A sprite is put on whole pixels."""
    if assets.sprites is None:
        raise DataError(f"the sprite {actor.look.shape!r} needs its folder; give the one that the clip was drawn with.")
    stamps: dict[int, tuple[_Stamp, _Uses]] = {}
    for scale, (x, y), frame_idx in zip(scales.tolist(), places.tolist(), exists.tolist(), strict=True):
        width = max(1, round(2 * actor.radius * scale))
        if width not in stamps:
            pixels = assets.sprites.resized(actor.look.shape, width)
            mask = pixels[..., 3] > 0
            stamps[width] = (_Stamp(mask, int(np.count_nonzero(mask)), None, pixels[..., :3]), [])
        height = stamps[width][0].mask.shape[0]
        corner = (int(np.floor(x - width / 2 + 0.5)), int(np.floor(y - height / 2 + 0.5)))
        stamps[width][1].append((frame_idx, corner))
    return list(stamps.values())


def _rgb_at(actor: Actor, moment: float) -> tuple[int, int, int]:
    return actor.repaint.rgb if actor.repaint is not None and moment >= actor.repaint.frame else actor.rgb
