"""Talking about frames that are still coming: a bounded window of them, and objects that stay known."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from sama_video.chat.answer import Answer
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import KnownObject, Sighting
from sama_video.chat.rules import Ground
from sama_video.chat.session import ChatSession
from sama_video.dialogue.turns import Dialogue
from sama_video.errors import ConfigError, SessionError, VideoError
from sama_video.model.live_tracking import LiveTracker
from sama_video.model.prompts import TrackPrompt
from sama_video.regions.rle import Rle, decode, encode
from sama_video.regions.shapes import Mask, Region
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

LIVE_SOURCE = "<live>"
PROMPT_WINDOW = 8


@dataclass(frozen=True)
class LiveFrame:
    """One pushed frame and what is known of it."""

    pixels: UInt8[np.ndarray, "height width 3"]
    seconds: float
    masks: Mapping[str, Rle | None]


class LiveSession:
    """A conversation about the last seconds of a stream.

    Frames are pushed one by one; every known object is tracked on each as it comes. A question is about the frames in the
    window. Memory and the work per frame stay the same however long the stream is: frames and masks older than the window
    are forgotten, objects are not.

    Args:
        window_seconds: How far back a question can look.
        options: As for `LoadedModel.chat`.
    """

    def __init__(self, model: "LoadedModel", *, window_seconds: float = 10.0, **options: Any) -> None:
        if not window_seconds > 0:
            raise ConfigError(
                f"window_seconds is {window_seconds:g}; a live session must look back some time, such as 10."
            )
        self.model = model
        self.window_seconds = window_seconds
        self.options = options
        self.dialogue = Dialogue()
        self._frames: deque[LiveFrame] = deque()
        self._names: dict[str, str | None] = {}
        self._met = 0
        self._tracker: LiveTracker | None = None
        self._closed = False

    @property
    def num_frames(self) -> int:
        """Frames in the window."""
        return len(self._frames)

    @property
    def objects(self) -> Mapping[str, Mapping[float, Rle | None]]:
        """Masks of every known object on the frames of the window, by their seconds."""
        return MappingProxyType(
            {name: {frame.seconds: frame.masks.get(name) for frame in self._frames} for name in self._names}
        )

    def push(
        self, frame: UInt8[np.ndarray, "height width 3"], *, seconds: float | None = None
    ) -> Mapping[str, Rle | None]:
        """Take in the next frame; the masks of all known objects on it, `None` for one that is not visible.

        Args:
            seconds: When it was taken, later than the frame before; 1/24 s after it by default.
        """
        self._check_open()
        seconds = self._check_frame(frame, seconds)
        masks: dict[str, Rle | None] = {}
        if self._tracker is not None:
            tracked = self._tracker.push(frame)
            maker = self._maker(self._clip([LiveFrame(frame, seconds, {})]))
            for name, mask, score in zip(
                tracked.object_ids, maker.full_size(tracked.mask_logits), tracked.object_score.tolist(), strict=True
            ):
                masks[name] = encode(mask) if mask.any() and score > 0 else None
        self._frames.append(LiveFrame(frame, seconds, masks))
        while self._frames[-1].seconds - self._frames[0].seconds > self.window_seconds:
            self._frames.popleft()
        return MappingProxyType(masks)

    def ask(self, question: str, regions: Sequence[Region] = (), *, ground: Ground = "auto") -> Answer:
        """Ask about the window. Frames of regions and answers count within it, the oldest being 0.

        What was said before is in front of the question as text; the pictures are those of now.
        """
        self._check_open()
        if not self._frames:
            raise SessionError("no frame was pushed yet; push one before asking.")
        with self._session() as session:
            answer = session.ask(question, regions, ground=ground)
            masklets = {name: session.masklet(name) for name in answer.turn.object_ids}
            self._met = session.book.snapshot()[1]
            for name in session.book.object_ids:
                self._names[name] = session.book[name].name
            self._learn({name: masklets[name].rles for name in masklets})
        self.dialogue = self.dialogue.and_then(answer.turn)
        return Answer(answer.turn, MappingProxyType(masklets), answer.problems)

    def forget(self, object_id: str) -> None:
        """Stop following an object."""
        if object_id not in self._names:
            raise SessionError(
                f"{object_id!r} is no object of this session; the objects are: {', '.join(self._names)}."
            )
        del self._names[object_id]
        if self._tracker is not None and object_id in self._tracker.object_ids:
            self._tracker.forget(object_id)

    def close(self) -> None:
        """Let go of the window and of every object."""
        self._closed = True
        self._frames.clear()
        self._names.clear()
        self._tracker = None

    def _session(self) -> ChatSession:
        """A conversation about the window as it is now, with its known objects."""
        session = self.model.chat(self._clip(self._frames), **self.options)
        known = {}
        for name, called in self._names.items():
            sightings = {
                index: Sighting(index, frame.masks[name], _shown(index, frame.masks[name]))
                for index, frame in enumerate(self._frames)
                if name in frame.masks
            }
            known[name] = KnownObject(name, sightings, name=called)
        session.book.restore((known, self._met))
        return session

    def _learn(self, masks: Mapping[str, Sequence[Rle | None]]) -> None:
        """Write objects' masks into the window, and follow the new ones from its newest frames on."""
        newest = len(self._frames)
        for index, frame in enumerate(list(self._frames)):
            merged = {**frame.masks, **{name: rles[index] for name, rles in masks.items()}}
            self._frames[index] = LiveFrame(frame.pixels, frame.seconds, merged)
        followed = self._tracker.object_ids if self._tracker is not None else ()
        fresh = {name: rles for name, rles in masks.items() if name not in followed and any(rles)}
        if not fresh:
            return
        if self._tracker is None:
            self._tracker = self._new_tracker()
            for frame in list(self._frames)[-PROMPT_WINDOW:]:
                self._tracker.push(frame.pixels)
        offset = self._tracker.num_frames - newest
        prompts = []
        for name, rles in fresh.items():
            seen = [index for index in range(max(0, newest - PROMPT_WINDOW), newest) if rles[index] is not None]
            if seen:
                mask = rles[seen[-1]]
                assert mask is not None
                prompts.append(TrackPrompt(name, seen[-1] + offset, mask=decode(mask)))
        self._tracker.add(prompts)

    def _new_tracker(self) -> LiveTracker:
        maker = self._maker(self._clip(list(self._frames)[-1:]))
        return LiveTracker(
            maker.tracker.segmenter,
            self.model.processor.segmenter_pixels,
            window=PROMPT_WINDOW,
            decoder=maker.decoder,
        )

    def _maker(self, clip: Clip) -> MaskMaker:
        return self.model.mask_maker(clip, self.options.get("protocol") or self.model.protocol, 0)

    def _clip(self, frames: Sequence[LiveFrame]) -> Clip:
        times = [frame.seconds for frame in frames]
        return Clip.from_frames([frame.pixels for frame in frames], times=times, source=LIVE_SOURCE)

    def _check_frame(self, frame: object, seconds: float | None) -> float:
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            given = f"{getattr(frame, 'dtype', type(frame).__name__)} {getattr(frame, 'shape', '')}"
            raise VideoError(f"a pushed frame is {given}; give uint8 pixels of shape (height, width, 3).")
        last = self._frames[-1] if self._frames else None
        if last is not None and last.pixels.shape != frame.shape:
            raise VideoError(
                f"a pushed frame is {frame.shape[:2]}, but the stream is {last.pixels.shape[:2]}; resize it."
            )
        if seconds is None:
            return 0.0 if last is None else last.seconds + 1 / 24
        if last is not None and seconds <= last.seconds:
            raise VideoError(
                f"a frame at {seconds:g} s came after one at {last.seconds:g} s; push frames in their order."
            )
        return float(seconds)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the live session is closed; start a new one with model.live().")


def _shown(frame_idx: int, mask: Rle | None) -> Mask | None:
    return None if mask is None else Mask(frame=frame_idx, mask=mask)


__all__ = ["LiveFrame", "LiveSession"]
