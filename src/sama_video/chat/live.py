"""Talking about frames that are still coming: a bounded window of them, and objects that stay known."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from sama_video.chat.answer import Answer
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import KnownObject
from sama_video.chat.rules import Ground
from sama_video.chat.session import ChatSession
from sama_video.dialogue.turns import Dialogue
from sama_video.errors import ConfigError, SessionError, VideoError
from sama_video.model.live_tracking import LiveTracker
from sama_video.model.prompts import TrackPrompt
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle, decode
from sama_video.regions.shapes import Region
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

LIVE_SOURCE = "<live>"
PROMPT_WINDOW = 8


@dataclass(frozen=True)
class LiveFrame:
    """One pushed frame and what is known of it.

    Attributes:
        position: Its place among the frames that the tracker was shown; `None` where there was no tracker yet.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    seconds: float
    masks: Mapping[str, Rle | None]
    position: int | None = None


class LiveSession:
    """A conversation about the last seconds of a stream.

    Frames are pushed one by one; every known object is tracked on each as it comes. A question is about the frames in
    the window. Memory and the work per frame stay the same however long the stream is: frames and masks older than the
    window are forgotten, objects are not.

    Args:
        window_seconds: How far back a question can look.
        options: As for `LoadedModel.chat`.
    """

    def __init__(self, model: "LoadedModel", *, window_seconds: float | int = 10.0, **options: Any) -> None:
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
        self._maker: MaskMaker | None = None
        self._tracker: LiveTracker | None = None
        self._closed = False

    @classmethod
    def over(cls, session: ChatSession, settings: Mapping[str, Any]) -> "LiveSession":
        """The live session whose window was saved as a conversation."""
        live = cls(session.origin, window_seconds=settings["window_seconds"], **settings["options"])
        live.dialogue = session.dialogue
        for pixels, seconds in zip(
            session.clip.frames(range(session.clip.num_frames)), session.clip.times, strict=True
        ):
            live.push(pixels, seconds=float(seconds))
        live._remember(session, session.book.object_ids)
        return live

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

    def push(self, frame: np.ndarray, *, seconds: float | None = None) -> Mapping[str, Rle | None]:
        """Take in the next frame; the masks of all known objects on it, `None` for one that is not visible.

        Args:
            frame: uint8 pixels of shape (height, width, 3).
            seconds: When it was taken, later than the frame before; 1/24 s after it by default.
        """
        self._check_open()
        taken = LiveFrame(frame, self._check_frame(frame, seconds), {})
        taken = replace(taken, pixels=frame.copy())  # the caller may fill the same array with the next frame
        if self._maker is None:
            self._maker = self._new_maker(taken)
        if self._tracker is not None:
            tracked = self._tracker.push(taken.pixels)
            masks = self._maker.masks_of(tracked.mask_logits, tracked.object_score)
            taken = replace(taken, masks=dict(zip(tracked.object_ids, masks, strict=True)), position=tracked.frame_idx)
        self._frames.append(taken)
        while self._frames[-1].seconds - self._frames[0].seconds > self.window_seconds:
            self._frames.popleft()
        return MappingProxyType({name: taken.masks.get(name) for name in self._names})

    def ask(self, question: str, regions: Sequence[Region] = (), *, ground: Ground = "auto") -> Answer:
        """Ask about the window. Frames of regions and answers count within it, the oldest being 0.

        The pictures are those of now, and objects stay known; the words of earlier turns are not read again.
        """
        with self._session() as session:
            answer = session.ask(question, regions, ground=ground)
            masklets = {name: session.masklet(name) for name in answer.masklets}
            self._remember(session, masklets)
        self.dialogue = self.dialogue.and_then(answer.turn)
        return Answer(answer.turn, MappingProxyType(masklets), answer.problems, answer.segs)

    def forget(self, object_id: str) -> None:
        """Stop following an object."""
        if object_id not in self._names:
            known = ", ".join(self._names) or "none yet"
            raise SessionError(f"{object_id!r} is no object of this session; the objects are: {known}.")
        del self._names[object_id]
        if self._tracker is not None and object_id in self._tracker.object_ids:
            self._tracker.forget(object_id)

    def save(self, folder: str | Path) -> None:
        """Write the window, the objects and the dialogue into a folder, from which `model.restore(folder)` goes on."""
        from sama_video.chat.storage import save_session

        with self._session() as session:
            session.dialogue = self.dialogue
            save_session(session, folder, live={"window_seconds": self.window_seconds, "options": self.options})

    def close(self) -> None:
        """Let go of the window and of every object."""
        self._closed = True
        self._frames.clear()
        self._names.clear()
        self._maker = None
        self._tracker = None

    def _session(self) -> ChatSession:
        """A conversation about the window as it is now, with its known objects."""
        self._check_open()
        if not self._frames:
            raise SessionError("no frame was pushed yet; push one before asking or saving.")
        session = self.model.chat(self._clip(self._frames), **self.options)
        height, width = session.clip.height, session.clip.width
        known = {}
        for name, called in self._names.items():
            rles = tuple(frame.masks.get(name) for frame in self._frames)
            known[name] = KnownObject(name, {}, Masklet(name, height, width, rles, (None,) * len(rles)), called)
        session.book.restore((known, self._met))
        return session

    def _remember(self, session: ChatSession, object_ids: Iterable[str]) -> None:
        """Write objects' masks into the window, and follow the new ones from now on."""
        masklets = {name: session.masklet(name) for name in object_ids}
        for index, frame in enumerate(list(self._frames)):
            merged = {**frame.masks, **{name: masklet.rles[index] for name, masklet in masklets.items()}}
            self._frames[index] = replace(frame, masks=merged)
        self._names |= {name: session.book[name].name for name in session.book.object_ids}
        self._met = session.book.snapshot()[1]
        followed = self._tracker.object_ids if self._tracker is not None else ()
        self._follow([name for name in masklets if name not in followed])

    def _follow(self, names: Sequence[str]) -> None:
        """Show new objects to the tracker, each on the newest frame that shows it.

        A frame that the tracker no longer holds is shown to it once more.
        """
        last_seen: dict[int, list[str]] = {}
        for name in names:
            seen = [index for index, frame in enumerate(self._frames) if frame.masks[name] is not None]
            if seen:
                last_seen.setdefault(seen[-1], []).append(name)
        if not last_seen:
            return
        tracker = self._running_tracker()
        for index in sorted(last_seen, reverse=True):
            frame = self._frames[index]
            position = frame.position
            if position is None or position not in tracker.window:
                position = tracker.push(frame.pixels).frame_idx
            shown = {name: frame.masks[name] for name in last_seen[index]}
            tracker.add([TrackPrompt(name, position, mask=decode(rle)) for name, rle in shown.items() if rle])

    def _running_tracker(self) -> LiveTracker:
        """The tracker; a new one first sees the newest frames of the window."""
        if self._tracker is None:
            assert self._maker is not None, "there are frames"
            self._tracker = LiveTracker(
                self._maker.tracker.segmenter,
                self.model.processor.segmenter_pixels,
                window=PROMPT_WINDOW,
                decoder=self._maker.decoder,
            )
            for index in range(max(0, len(self._frames) - PROMPT_WINDOW), len(self._frames)):
                position = self._tracker.push(self._frames[index].pixels).frame_idx
                self._frames[index] = replace(self._frames[index], position=position)
        return self._tracker

    def _new_maker(self, frame: LiveFrame) -> MaskMaker:
        return self.model.mask_maker(self._clip([frame]), self.options.get("protocol") or self.model.protocol, 0)

    def _clip(self, frames: Sequence[LiveFrame]) -> Clip:
        times = [frame.seconds for frame in frames]
        return Clip.from_frames([frame.pixels for frame in frames], times=times, source=LIVE_SOURCE)

    def _check_frame(self, frame: np.ndarray, seconds: float | None) -> float:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            given = f"{frame.dtype} {frame.shape}"
            raise VideoError(f"a pushed frame is {given}; give uint8 pixels of shape (height, width, 3).")
        if frame.size == 0:
            raise VideoError(f"a pushed frame is {frame.shape[:2]} and has no pixels; give height and width above 0.")
        last = self._frames[-1] if self._frames else None
        if last is not None and last.pixels.shape != frame.shape:
            raise VideoError(
                f"a pushed frame is {frame.shape[:2]}, but the stream is {last.pixels.shape[:2]}; resize it."
            )
        if seconds is None:
            return 0.0 if last is None else last.seconds + 1 / 24
        if not math.isfinite(seconds) or (last is not None and seconds <= last.seconds):
            after = "" if last is None else f" came after one at {last.seconds:g} s"
            raise VideoError(f"a frame at {seconds:g} s{after}; push frames in their order, with finite times.")
        return float(seconds)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the live session is closed; start a new one with model.live().")


__all__ = ["LiveFrame", "LiveSession"]
