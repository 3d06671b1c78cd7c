"""The frames a conversation is about: which ones each turn shows, and their tokens, encoded once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sama_video.errors import ConfigError, VideoError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.frame_choice import context_frames, dense_frames
from sama_video.model.modeling_sama import SamaModel
from sama_video.video.clip import Clip

PROTOCOLS = ("consistent", "paper")
ENCODE_BATCH = 8


@dataclass(frozen=True)
class TurnFrames:
    """What one turn shows the language model.

    Attributes:
        context: Frames of the clip that give one context token each.
        dense: Frames whose every token stands in this turn: the first turn's, later only new ones.
    """

    context: tuple[int, ...]
    dense: tuple[int, ...]


class FrameChooser:
    """Chooses each turn's frames by the session's protocol.

    `consistent` spreads the dense frames over the clip and adds the frames pointed at; `paper` takes the first of the
    sparse list, whatever the clip shows later (spec model 4.1), and never adds one.
    """

    def __init__(
        self,
        config: SamaConfig,
        clip: Clip,
        *,
        protocol: str = "consistent",
        max_frames: int | None = None,
        num_dense: int | None = None,
    ) -> None:
        for name, value in (("max_frames", max_frames), ("dense_frames", num_dense)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, but the model must see at least one frame; give 1 or more.")
        if protocol not in PROTOCOLS:
            raise ConfigError(f"protocol is {protocol!r}; it is one of {', '.join(PROTOCOLS)}.")
        self.config = config
        self.clip = clip
        self.protocol = protocol
        self.max_frames = max_frames
        self.num_dense = num_dense or config.dense_frames
        self.whole = self._spread(range(clip.num_frames))

    def choose(
        self, shown: Sequence[int], pointed_at: Iterable[int], span: tuple[float, float] | None = None
    ) -> TurnFrames:
        """Frames of the next turn.

        Args:
            shown: Dense frames of the turns before; empty for the first.
            pointed_at: Frames that this turn's regions lie on.
            span: Seconds that the question is about; the turn then brings frames of its own from there.
        """
        base = self.whole if span is None else self._spread(self._frames_of(span))
        dense = set(base.dense) if span is not None or not shown else set()
        if self.protocol == "consistent":
            dense |= set(pointed_at)
        return TurnFrames(base.context, tuple(sorted(dense - set(shown))))

    def _spread(self, frames: range) -> TurnFrames:
        context = context_frames(self.config, len(frames), max_frames=self.max_frames)
        if self.protocol == "paper":
            dense = context[: self.num_dense]
        else:
            dense = dense_frames(self.config, context, count=self.num_dense)
        return TurnFrames(tuple(frames.start + idx for idx in context), tuple(frames.start + idx for idx in dense))

    def _frames_of(self, span: tuple[float, float]) -> range:
        start, end = span
        if not start < end:
            raise VideoError(f"span ({start:g}, {end:g}) is empty; give its start before its end, in seconds.")
        last = float(np.nextafter(min(end, self.clip.duration), -np.inf))
        return range(self.clip.index_at(start), self.clip.index_at(last) + 1)


class FrameStates:
    """Tokens of the frames the language side has seen, and what the spatial Q-Former read off them.

    Each frame goes through the vision tower once, however many turns speak of it.

    Attributes:
        frames_encoded: How many frames went through the tower so far.
    """

    def __init__(
        self, model: SamaModel, clip: Clip, to_pixels: Callable[[UInt8[np.ndarray, "frames h w 3"]], Tensor]
    ) -> None:
        self.model = model
        self.clip = clip
        self.to_pixels = to_pixels
        self.frames_encoded = 0
        self._tokens: dict[int, Float[Tensor, "tokens dim"]] = {}
        self._spatial: dict[int, Float[Tensor, "queries width"]] = {}

    @torch.inference_mode()
    def tokens(self, frames: Sequence[int]) -> Float[Tensor, "frames tokens dim"]:
        """Tokens of some frames, in the order given."""
        missing = sorted(set(frames) - set(self._tokens))
        device = self.model.multi_modal_projector.linear_1.weight.device
        for begin in range(0, len(missing), ENCODE_BATCH):
            batch = missing[begin : begin + ENCODE_BATCH]
            pixels = self.to_pixels(self.clip.frames(batch)).to(device)
            self._tokens.update(zip(batch, self.model.encode_frames(pixels), strict=True))
            self.frames_encoded += len(batch)
        return torch.stack([self._tokens[frame] for frame in frames])

    @torch.inference_mode()
    def spatial(self, frames: Sequence[int]) -> Float[Tensor, "frames queries width"] | None:
        """The aggregator's reading of some frames; `None` for a model without one."""
        if not self.model.config.has_aggregator:
            return None
        missing = sorted(set(frames) - set(self._spatial))
        if missing:
            self._spatial.update(zip(missing, self.model.aggregator.spatial_states(self.tokens(missing)), strict=True))
        return torch.stack([self._spatial[frame] for frame in frames])

    def clear(self) -> None:
        """Let go of everything."""
        self._tokens.clear()
        self._spatial.clear()
