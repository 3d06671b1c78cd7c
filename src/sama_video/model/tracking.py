"""Objects followed through a clip by SAM 2's memory.

All objects move in one batch, each frame is encoded once and shared by all of them (and, through a `FeatureCache`, by
later calls), and memory is bounded however long the clip. One object gets the numbers that the model's own inference
session would give it, whoever is tracked beside it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sama_video.errors import ConfigError, RegionError, VideoError
from sama_video.model.features import FeatureCache, FrameFeatures
from sama_video.model.live_tracking import LiveTracker
from sama_video.model.prompts import TrackPrompt, decode_prompts, prompts_by_frame
from sama_video.model.segmenter import MaskPrediction, Segmenter
from sama_video.model.track_state import TrackedFrame, TrackState
from sama_video.video.clip import Clip

__all__ = ["FeatureCache", "LiveTracker", "TrackPrompt", "TrackState", "TrackedFrame", "Tracker"]

ToPixels = Callable[[UInt8[np.ndarray, "frames height width 3"]], Float[Tensor, "frames 3 side side"]]

# Reading on over this many unwanted frames is cheaper than a fresh decoder that seeks to a key frame.
MAX_SKIPPED_FRAMES = 16

_NOTHING = FrameFeatures(torch.zeros(0, 1, 1, 1), {})


class Tracker:
    """Masks of objects through clips.

    Args:
        segmenter: SAM 2's parts.
        to_pixels: Frames as the model wants them: resized to its square and normalised.
        cache: Features of the clip's frames kept for later calls; a cache belongs to one clip. Without one, nothing is
            kept behind a pass.
        encode_batch: Frames encoded together.
    """

    def __init__(
        self, segmenter: Segmenter, to_pixels: ToPixels, *, cache: FeatureCache | None = None, encode_batch: int = 8
    ) -> None:
        if encode_batch < 1:
            raise ConfigError(f"encode_batch={encode_batch}, but frames are encoded 1 or more at a time.")
        self.segmenter = segmenter
        self.to_pixels = to_pixels
        self.cache = cache
        self.encode_batch = encode_batch
        self.frames_encoded = 0

    def features(self, clip: Clip, frame_indices: Sequence[int]) -> FrameFeatures:
        """Features of some frames in the order given, through the cache; at least one frame."""
        found = dict(self._walk(clip, sorted(set(frame_indices))))
        return FrameFeatures.join([found[frame_idx] for frame_idx in frame_indices])

    @torch.no_grad()
    def predict(self, clip: Clip, prompts: Sequence[TrackPrompt], *, decoder: str = "main") -> MaskPrediction:
        """The mask of each prompt on its own frame, in the order given; nothing is propagated."""
        rows: list[tuple[Tensor, ...]] = [()] * len(prompts)
        by_frame = prompts_by_frame(prompts, range(clip.num_frames), one_each=False)
        for frame_idx, features in self._walk(clip, sorted(by_frame)):
            positions = [position for position, prompt in enumerate(prompts) if prompt.frame_idx == frame_idx]
            for masks in decode_prompts(self.segmenter, features, by_frame[frame_idx], decoder=decoder):
                found = masks.prediction
                for row, local in enumerate(masks.positions):
                    parts = (found.mask_logits, found.iou, found.object_score, found.object_pointer)
                    rows[positions[local]] = tuple(part[row] for part in parts)
        if not rows:
            raise RegionError("no prompt was given to predict; give at least one.")
        return MaskPrediction(*(torch.stack(parts) for parts in zip(*rows, strict=True)))

    def track(
        self,
        clip: Clip,
        prompts: Sequence[TrackPrompt],
        *,
        start: int = 0,
        stop: int | None = None,
        reverse: bool = True,
        decoder: str = "main",
    ) -> Iterator[TrackedFrame]:
        """Follow every prompted object through frames `start` to `stop`.

        First forward to `stop`, each object from its own first prompted frame on; then, unless `reverse` is off,
        backward to `start`, each object before that frame. So each object gets each frame once, but objects first
        prompted on different frames come in different yields of the frames between.
        """
        span = range(start, clip.num_frames if stop is None else stop)
        if not (0 <= span.start < span.stop <= clip.num_frames):
            raise RegionError(
                f"frames {span.start} to {span.stop} asked of a clip of {clip.num_frames} frames; "
                "start must come before stop, both within the clip."
            )
        return self._track(clip, prompts_by_frame(prompts, span), span, reverse, decoder)

    def _track(
        self, clip: Clip, by_frame: dict[int, list[TrackPrompt]], span: range, reverse: bool, decoder: str
    ) -> Iterator[TrackedFrame]:
        if not by_frame:
            return
        state = TrackState(self.segmenter, decoder=decoder, num_frames=len(span))
        everyone = {prompt.object_id for shown in by_frame.values() for prompt in shown}
        held: dict[int, FrameFeatures] = {}
        for frame_idx, features in self._walk(clip, sorted(by_frame)):
            state.prompt(frame_idx, features, by_frame[frame_idx])
            if {prompt.object_id for prompt in by_frame[frame_idx]} != everyone:
                held[frame_idx] = features.owned()
        first = {name: state.first_prompted(name) for name in state.object_ids}
        ahead = range(min(first.values()), span.stop)
        yield from self._follow(clip, state, held, ahead, lambda idx: [o for o in first if first[o] <= idx])
        if reverse:
            state.turn(-1)
            back = range(max(first.values()) - 1, span.start - 1, -1)
            yield from self._follow(clip, state, held, back, lambda idx: [o for o in first if first[o] > idx])

    def _follow(
        self,
        clip: Clip,
        state: TrackState,
        held: dict[int, FrameFeatures],
        order: range,
        whom: Callable[[int], list[str]],
    ) -> Iterator[TrackedFrame]:
        def needs_features(idx: int) -> bool:
            return any(not state.is_prompted(name, idx) for name in whom(idx))

        for frame_idx, features in self._walk(clip, order, held=held, wanted=needs_features):
            yield state.step(frame_idx, features, whom(frame_idx))

    def _walk(
        self,
        clip: Clip,
        order: Sequence[int],
        *,
        held: Mapping[int, FrameFeatures] = MappingProxyType({}),
        wanted: Callable[[int], bool] = lambda _: True,
    ) -> Iterator[tuple[int, FrameFeatures]]:
        """Features frame by frame in rising or falling order; those not wanted come empty and cost nothing."""
        reader = _Reader(clip, order)
        for begin in range(0, len(order), self.encode_batch):
            chunk = order[begin : begin + self.encode_batch]
            known = {idx: self._kept(idx, held) if wanted(idx) else _NOTHING for idx in chunk}
            missing = [idx for idx, features in known.items() if features is None]
            known.update(self._encode(reader, missing))
            for idx in chunk:
                features = known.pop(idx)
                assert features is not None
                yield idx, features

    def _kept(self, frame_idx: int, held: Mapping[int, FrameFeatures]) -> FrameFeatures | None:
        if frame_idx in held:
            return held[frame_idx]
        features = None if self.cache is None else self.cache.get(frame_idx)
        return None if features is None else features.to(self.segmenter.device)

    @torch.no_grad()
    def _encode(self, reader: "_Reader", frame_indices: Sequence[int]) -> dict[int, FrameFeatures]:
        if not frame_indices:
            return {}
        pixels = self.to_pixels(reader.read(frame_indices))
        encoded = self.segmenter.encode(pixels)
        self.frames_encoded += len(frame_indices)
        found = {frame_idx: encoded.frame(row) for row, frame_idx in enumerate(frame_indices)}
        if self.cache is not None:
            for frame_idx, features in found.items():
                self.cache.put(frame_idx, features)
        return found

    def live(self, *, window: int = 8, max_prompted: int = 8, decoder: str = "main") -> LiveTracker:
        """A tracker for frames that arrive one by one.

        Args:
            window: Newest frames whose features are kept, so that prompts may still point at them.
            max_prompted: Newest prompted frames remembered of each object.
            decoder: "main" or "original".
        """
        return LiveTracker(self.segmenter, self.to_pixels, window=window, max_prompted=max_prompted, decoder=decoder)


class _Reader:
    """Frames of a clip asked for in one direction: scattered ones as they come, a range from one running stream."""

    def __init__(self, clip: Clip, order: Sequence[int]) -> None:
        self.clip = clip
        self.order = order
        self.stream: Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]] = iter(())
        self.next_idx: int | None = None

    def read(self, frame_indices: Sequence[int]) -> UInt8[np.ndarray, "frames height width 3"]:
        """The frames, which lie further in the order than any read before."""
        if not isinstance(self.order, range):
            return self.clip.frames(frame_indices)
        return np.stack([self._next(frame_idx, self.order) for frame_idx in frame_indices])

    def _next(self, wanted: int, order: range) -> UInt8[np.ndarray, "height width 3"]:
        if self.next_idx is None or abs(wanted - self.next_idx) > MAX_SKIPPED_FRAMES:
            self.stream = self.clip.stream(wanted, order.stop, order.step)
        for frame_idx, frame in self.stream:
            if frame_idx == wanted:
                self.next_idx = wanted + order.step
                return frame
        raise VideoError(f"{self.clip.source} ended before frame {wanted} of the {self.clip.num_frames} it announced.")
