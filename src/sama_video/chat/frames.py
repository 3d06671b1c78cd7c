"""The frames a conversation is about: which ones each turn shows, and their tokens, encoded once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sama_video.errors import ConfigError, VideoError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.frame_choice import best_frames, context_frames, dense_frames, likeness
from sama_video.model.modeling_sama import SamaModel
from sama_video.model.processing_sama import SamaProcessor
from sama_video.regions.rle import Rle
from sama_video.video.clip import TIME_SLACK_SECONDS, Clip

PROTOCOLS = ("consistent", "paper")
FRAME_CHOICES = ("even", "question")
CANDIDATES_PER_FRAME = 4
Likeness = Callable[[Sequence[int]], Sequence[float]]
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

    With `frame_choice="question"`, every turn brings the frames that look most like its question, so far as no turn has
    shown them. That is a heuristic, and no checkpoint was trained with it: up to four times `max_frames` candidates are
    compared, token by token, with the question's words, and the best that lie apart in time are taken.

    Attributes:
        clip: What the language model looks at.
        tiled: Its frames are the tiles of one image.
    """

    def __init__(
        self,
        config: SamaConfig,
        clip: Clip,
        *,
        protocol: str = "consistent",
        max_frames: int | None = None,
        num_dense: int | None = None,
        frame_choice: str = "even",
        tiled: bool = False,
    ) -> None:
        for name, value in (("max_frames", max_frames), ("dense_frames", num_dense)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}, but the model must see at least one frame; give 1 or more.")
        if protocol not in PROTOCOLS:
            raise ConfigError(f"protocol is {protocol!r}; it is one of {', '.join(PROTOCOLS)}.")
        if frame_choice not in FRAME_CHOICES:
            raise ConfigError(f"frame_choice is {frame_choice!r}; it is one of {', '.join(FRAME_CHOICES)}.")
        if frame_choice == "question" and protocol == "paper":
            raise ConfigError(
                "the published protocol takes a clip's first frames; frame_choice=question needs consistent."
            )
        self.config = config
        self.clip = clip
        self.protocol = protocol
        self.max_frames = max_frames
        self.num_dense = num_dense or config.dense_frames
        self.frame_choice = frame_choice
        self.tiled = tiled
        self.whole = self._spread(range(clip.num_frames))

    def choose(
        self,
        shown: Sequence[int],
        pointed_at: Iterable[int],
        span: tuple[float, float] | None = None,
        *,
        likeness: Likeness,
    ) -> TurnFrames:
        """Frames of the next turn.

        Args:
            shown: Dense frames of the turns before; empty for the first.
            pointed_at: Frames that this turn's regions lie on.
            span: Seconds that the question is about; the turn then brings frames of its own from there.
            likeness: How much some frames look like the question.
        """
        about = range(self.clip.num_frames) if span is None or self.tiled else self._frames_of(span)
        base = self.whole if len(about) == self.clip.num_frames else self._spread(about)
        dense = set(base.dense) if span is not None or not shown else set()
        if self.frame_choice == "question":
            dense = set(self._alike(about, likeness))
        if self.protocol == "consistent":
            dense |= set(pointed_at)
        return TurnFrames(base.context, tuple(sorted(dense - set(shown))))

    def in_clip(self, shown: Sequence[int]) -> list[int]:
        """Frames of the conversation's clip that shown ones stand for."""
        return [0] if self.tiled else list(shown)

    def as_shown(self, frame_idx: int, mask: Rle) -> tuple[int, Rle]:
        """A mask of the conversation's clip on what was shown: of a tiled image, on the thumbnail, which comes last."""
        return (self.clip.num_frames - 1, mask) if self.tiled else (frame_idx, mask)

    def _spread(self, frames: range) -> TurnFrames:
        if self.tiled:
            return TurnFrames(tuple(frames), tuple(frames))
        context = context_frames(self.config, len(frames), max_frames=self.max_frames)
        if self.protocol == "paper":
            dense = context[: self.num_dense]
        else:
            dense = dense_frames(self.config, context, count=self.num_dense)
        return TurnFrames(tuple(frames.start + idx for idx in context), tuple(frames.start + idx for idx in dense))

    def _alike(self, frames: range, likeness: Likeness) -> list[int]:
        most = CANDIDATES_PER_FRAME * (self.max_frames or self.config.max_frames)
        candidates = [frames.start + idx for idx in context_frames(self.config, len(frames), max_frames=most)]
        return best_frames(candidates, likeness(candidates), count=self.num_dense)

    def _frames_of(self, span: tuple[float, float]) -> range:
        start, end = span
        if not start < end:
            raise VideoError(f"span ({start:g}, {end:g}) is empty; give its start before its end, in seconds.")
        first = self.clip.index_at(start)
        stop = int(np.searchsorted(self.clip.times, end - TIME_SLACK_SECONDS))
        return range(first, max(stop, first + 1))


def language_clip(clip: Clip, protocol: str, processor: SamaProcessor) -> Clip:
    """What the language model looks at: the clip; but a single image's tiles under the published protocol."""
    if protocol != "paper" or clip.num_frames > 1:
        return clip
    return Clip.from_frames(processor.image_tiles(clip.frame(0)), source=clip.source)


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

    @torch.inference_mode()
    def likeness(self, frames: Sequence[int], words: Float[Tensor, "words dim"]) -> list[float]:
        """How much each of some frames looks like words, by the best token for each word."""
        scores: list[float] = []
        for begin in range(0, len(frames), ENCODE_BATCH):
            scores += likeness(self.tokens(frames[begin : begin + ENCODE_BATCH]), words).tolist()
        return scores

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(kept.nbytes for kept in (*self._tokens.values(), *self._spatial.values()))

    def clear(self) -> None:
        """Let go of everything."""
        self._tokens.clear()
        self._spatial.clear()
