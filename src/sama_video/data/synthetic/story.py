"""What can truly be said of an episode: who is seen when, who does what, and where everybody is.

What is seen is measured on silhouettes of a fixed small size, so that a clip has the same story at every resolution.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from sama_video.data.synthetic.appearance import Look
from sama_video.data.synthetic.episode import Actor, Episode
from sama_video.data.synthetic.levels import FPS
from sama_video.data.synthetic.painting import NO_ASSETS, Assets, Silhouettes, silhouettes
from sama_video.data.synthetic.plots import Event

_SIDE: Final = 64  # shorter side of the silhouettes that decide what is seen
_SEEN: Final = 0.2  # share of an object's outline from which on it counts as seen
_CLEAR: Final = 0.6  # share from which on it can be pointed at
_OCCLUDED: Final = 0.7  # share of what lies in the picture below which an object counts as partly hidden
_LEAST_FRAMES: Final = 3  # seen for less, an object is not spoken of


@dataclass(frozen=True, eq=False)
class Story:
    """The truth about one episode.

    Attributes:
        seen: Whether enough of an object shows for it to be there, for whoever watches.
        clear: Whether enough shows for it to be pointed at.
        occluded: Whether another object hides a good part of it.
        centers: Where objects are in the picture, in its shorter sides.
        shown: Objects that are spoken of, in the order of telling: as they come into view, from left to right.
        events: What happens, in order of time.
    """

    episode: Episode
    seen: Bool[np.ndarray, "objects frames"] = field(repr=False)
    clear: Bool[np.ndarray, "objects frames"] = field(repr=False)
    occluded: Bool[np.ndarray, "objects frames"] = field(repr=False)
    centers: Float64[np.ndarray, "objects frames 2"] = field(repr=False)
    shown: tuple[int, ...]
    events: tuple[Event, ...]

    @property
    def actors(self) -> tuple[Actor, ...]:
        """The objects, from the back to the front."""
        return self.episode.actors

    @property
    def last(self) -> int:
        """The last frame."""
        return self.episode.num_frames - 1

    def look(self, idx: int) -> Look:
        """What an object looks like, at first."""
        return self.actors[idx].look

    def events_of(self, idx: int, kind: str | None = None) -> tuple[Event, ...]:
        """What an object does, of one kind or of any."""
        return tuple(event for event in self.events if event.actor == idx and kind in (None, event.kind))

    def is_always_seen(self, idx: int) -> bool:
        """Whether an object is seen on every frame."""
        return bool(self.seen[idx].all())


def story_of(episode: Episode, assets: Assets = NO_ASSETS) -> Story:
    """Everything that can be said of an episode."""
    size = (round(_SIDE * episode.extent[1]), round(_SIDE * episode.extent[0]))
    small = _of_size(episode, size)
    shapes = silhouettes(small, size, assets=assets)
    visible = np.count_nonzero(shapes.masks, axis=(2, 3))
    whole = np.maximum(shapes.whole, 1)
    seen = visible >= np.maximum(_SEEN * whole, 1)
    clear = visible >= np.maximum(_CLEAR * whole, 1)
    occluded = (shapes.inside >= 0.5 * whole) & (visible < _OCCLUDED * shapes.inside)
    centers = episode.centers(np.arange(episode.num_frames, dtype=np.float64))
    enough = [i for i in range(len(episode.actors)) if seen[i].sum() >= _LEAST_FRAMES and clear[i].any()]
    shown = sorted(enough, key=lambda i: (int(seen[i].argmax()), float(centers[i, int(seen[i].argmax()), 0])))
    events = sorted(
        (
            event
            for event in (*_timed(episode, seen), *_hidings(small, seen, shapes, assets))
            if event.actor in shown and event.other in (None, *shown)
        ),
        key=lambda event: (event.first, event.last, event.actor, event.kind),
    )
    return Story(episode, seen, clear, occluded, centers, tuple(shown), tuple(events))


def _of_size(episode: Episode, size: tuple[int, int]) -> Episode:
    """The episode as one of a picture whose sides are those whole pixels."""
    shorter = min(size)
    return replace(episode, extent=(size[1] / shorter, size[0] / shorter))


def _timed(episode: Episode, seen: Bool[np.ndarray, "objects frames"]) -> Iterator[Event]:
    """The planned events with the frames on which they are seen; one that is not seen is left out."""
    for event in episode.events:
        mine = seen[event.actor]
        if event.kind in ("leaves", "enters", "comes back"):
            moment = _edge(event.kind, mine)
            if moment is not None:
                yield Event(event.kind, event.actor, None, moment, moment)
        elif event.kind == "passes behind":
            continue  # told by what is hidden
        elif event.other is not None:
            if mine[event.first : event.last + 1].any() and seen[event.other][event.first : event.last + 1].any():
                yield event
        elif mine[max(0, event.first - 1)] or mine[event.first]:
            yield event


def _edge(kind: str, seen: Bool[np.ndarray, " frames"]) -> int | None:
    """The frame on which an object is seen for the last or the first time, or for the first time again."""
    spans = runs(seen)
    if kind == "leaves":
        return spans[0][1] + 1 if len(spans) == 1 and spans[0][1] + 1 < len(seen) else None
    if kind == "enters":
        return spans[0][0] if len(spans) == 1 and spans[0][0] > 0 else None
    return spans[1][0] if len(spans) == 2 else None


def _hidings(
    episode: Episode, seen: Bool[np.ndarray, "objects frames"], shapes: Silhouettes, assets: Assets
) -> Iterator[Event]:
    """Stretches on which an object that is in the picture is not seen, and the one that hides it."""
    covered = (shapes.inside >= 0.5 * np.maximum(shapes.whole, 1)) & (shapes.whole > 0) & ~seen
    for idx in range(len(seen)):
        for first, last in runs(covered[idx]):
            before = first > 0 and bool(seen[idx, first - 1])
            after = last + 1 < seen.shape[1] and bool(seen[idx, last + 1])
            if before and after:
                yield Event("is hidden", idx, _hider(episode, shapes, idx, (first + last) // 2, assets), first, last)


def _hider(episode: Episode, shapes: Silhouettes, idx: int, frame: int, assets: Assets) -> int:
    """The object in front of another that covers most of it."""
    size = (shapes.masks.shape[2], shapes.masks.shape[3])
    alone = silhouettes(replace(episode, actors=(episode.actors[idx],)), size, [frame], assets).masks[0, 0]
    overlaps = np.count_nonzero(shapes.masks[idx + 1 :, frame] & alone, axis=(1, 2))
    return idx + 1 + int(overlaps.argmax())


def runs(flags: Bool[np.ndarray, " frames"]) -> list[tuple[int, int]]:
    """Stretches of True, as first and last index.

    >>> runs(np.array([True, True, False, True]))
    [(0, 1), (3, 3)]
    """
    steps = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(steps[::2], steps[1::2], strict=True)]


def seconds(frame: int) -> str:
    """A frame's time in words.

    >>> seconds(12)
    '1.2 s'
    """
    return f"{frame / FPS:.1f} s"


def span_words(first: int, last: int) -> str:
    """A stretch of frames in words: "from 1.2 s to 2.8 s"."""
    return f"from {seconds(first)} to {seconds(last)}"
