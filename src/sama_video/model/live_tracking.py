"""Objects followed through frames that arrive one by one, in bounded memory."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from sama_video.errors import ConfigError, RegionError
from sama_video.model.features import FrameFeatures
from sama_video.model.prompts import TrackPrompt, prompts_by_frame
from sama_video.model.segmenter import Segmenter
from sama_video.model.track_state import TrackedFrame, TrackState


class LiveTracker:
    """Push frames, show objects on a recent one, get every known object's mask on each new frame.

    Frames count from 0 in the order they are pushed.

    Args:
        segmenter: SAM 2's parts.
        to_pixels: Frames as the model wants them.
        window: Newest frames whose features are kept, so that prompts may still point at them.
        max_prompted: Newest prompted frames remembered of each object.
        decoder: "main" or "original".
    """

    def __init__(
        self,
        segmenter: Segmenter,
        to_pixels: Callable[[UInt8[np.ndarray, "frames height width 3"]], Tensor],
        *,
        window: int = 8,
        max_prompted: int = 8,
        decoder: str = "main",
    ) -> None:
        if window < 1 or max_prompted < 1:
            raise ConfigError(f"window={window} and max_prompted={max_prompted}, but both must be 1 or more.")
        self.segmenter = segmenter
        self.to_pixels = to_pixels
        self.max_prompted = max_prompted
        self.num_frames = 0
        self._state = TrackState(segmenter, decoder=decoder)
        self._window: deque[tuple[int, FrameFeatures]] = deque(maxlen=window)

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Objects being followed."""
        return self._state.object_ids

    @property
    def window(self) -> range:
        """Frames that prompts may point at."""
        return range(self.num_frames - len(self._window), self.num_frames)

    @property
    def nbytes(self) -> int:
        """Bytes of everything kept between frames."""
        features = sum(features.nbytes for _, features in self._window)
        return features + sum(kept.numel() * kept.element_size() for kept in self._state.tensors())

    def features(self, frame_idx: int) -> FrameFeatures:
        """Features of a frame still in the window."""
        if frame_idx not in self.window:
            raise RegionError(
                f"frame {frame_idx} is not among the newest frames kept ({self.window.start} to "
                f"{self.window.stop - 1}); point at one of those."
            )
        return self._window[frame_idx - self.window.start][1]

    @torch.no_grad()
    def push(self, frame: UInt8[np.ndarray, "height width 3"]) -> TrackedFrame:
        """Every known object's mask on a new frame."""
        features = self.segmenter.encode(self.to_pixels(frame[None]))
        frame_idx = self.num_frames
        self._window.append((frame_idx, features))
        self.num_frames += 1
        self._state.keep_newest_prompts(self.max_prompted, since=self.window.start)
        return self._state.step(frame_idx, features, self._state.object_ids)

    def add(self, prompts: Sequence[TrackPrompt]) -> list[TrackedFrame]:
        """Show objects on frames of the window, new ones or known ones again.

        Returns:
            Masks of just these objects, from the first frame shown to the newest; on frames pushed since then the
            objects are tracked anew.
        """
        by_frame = prompts_by_frame(prompts, self.window)  # refuses before anything is changed
        names = tuple(dict.fromkeys(prompt.object_id for prompt in prompts))
        first = {name: min(prompt.frame_idx for prompt in prompts if prompt.object_id == name) for name in names}
        for frame_idx, shown in by_frame.items():
            self._state.prompt(frame_idx, self.features(frame_idx), shown)
        for name in names:
            self._state.rewind([name], since=first[name])
        self._state.keep_newest_prompts(self.max_prompted, since=self.window.start)
        return [
            self._state.step(frame_idx, self.features(frame_idx), [name for name in names if first[name] <= frame_idx])
            for frame_idx in range(min(first.values(), default=self.num_frames), self.num_frames)
        ]

    def forget(self, object_id: str) -> None:
        """Stop following an object."""
        self._state.forget(object_id)
