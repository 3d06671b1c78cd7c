"""What the tracker is asked to follow, and the masks its prompts give on their own frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sama_video.errors import RegionError
from sama_video.model.features import FrameFeatures
from sama_video.model.segmenter import MASK_BIAS, MASK_SCALE, MaskPrediction, Segmenter

Numbers = Tensor | np.ndarray | Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class TrackPrompt:
    """One object shown on one frame: by points, a box, a box refined by points, a mask, or an embedding.

    Attributes:
        object_id: Whose mask this is; prompts of one object may lie on several frames.
        frame_idx: Frame of the clip.
        points: Pixels of the model's square frame, x first.
        labels: 1 on the object, 0 beside it; all 1 by default.
        box: Corners in pixels of the model's square frame.
        mask: Any size, of the whole frame.
        embedding: A prompt token, such as a projected `[SEG]` state.
    """

    object_id: str
    frame_idx: int
    points: Numbers | None = None
    labels: Sequence[int] | Tensor | np.ndarray | None = None
    box: Sequence[float] | Tensor | np.ndarray | None = None
    mask: Tensor | np.ndarray | None = None
    embedding: Tensor | None = None

    def __post_init__(self) -> None:
        ways = [self.points is not None or self.box is not None, self.mask is not None, self.embedding is not None]
        if sum(ways) != 1:
            raise RegionError(
                f"prompt for {self.object_id!r} on frame {self.frame_idx} shows the object in {sum(ways)} ways, "
                "but needs exactly one of points and box, mask, or embedding."
            )
        if self.points is not None and (np.ndim(self.points) != 2 or len(self.points) == 0):
            raise RegionError(
                f"prompt for {self.object_id!r} on frame {self.frame_idx} needs points as rows of (x, y), at least one."
            )
        if self.labels is not None and (self.points is None or len(self.labels) != len(self.points)):
            raise RegionError(
                f"prompt for {self.object_id!r} on frame {self.frame_idx} has {len(self.labels)} labels; "
                "give one for each point."
            )

    @property
    def kind(self) -> tuple[str, int, tuple[int, ...]]:
        """Prompts of one kind can be decoded in one batch."""
        if self.mask is not None:
            return "mask", 0, tuple(self.mask.shape)
        if self.embedding is not None:
            return "embedding", 0, ()
        return ("points" if self.box is None else "box"), (0 if self.points is None else len(self.points)), ()


def prompts_by_frame(
    prompts: Sequence[TrackPrompt], frames: range, *, one_each: bool = True
) -> dict[int, list[TrackPrompt]]:
    """Prompts of each frame, refusing those on frames out of reach and, with `one_each`, two for one object.

    Frames come in rising order.
    """
    by_frame: dict[int, list[TrackPrompt]] = {}
    for prompt in sorted(prompts, key=lambda prompt: prompt.frame_idx):
        where = f"prompt for {prompt.object_id!r} on frame {prompt.frame_idx}"
        if prompt.frame_idx not in frames:
            reach = f"{frames.start} to {frames.stop - 1}" if len(frames) else "none at all"
            raise RegionError(f"{where}, but the frames within reach are {reach}; choose one of those.")
        there = by_frame.setdefault(prompt.frame_idx, [])
        if one_each and any(other.object_id == prompt.object_id for other in there):
            raise RegionError(f"{where} is the second one there; join its points into one prompt.")
        there.append(prompt)
    return by_frame


@dataclass(frozen=True, eq=False)
class PromptedMasks:
    """The masks of some prompts of one kind on one frame.

    Attributes:
        positions: Which of the given prompts these are.
        prediction: One row for each of them.
        memory_logits: The masks to remember; sharper than the predicted ones where the caller gave a mask.
    """

    positions: tuple[int, ...]
    prediction: MaskPrediction
    memory_logits: Tensor


def decode_prompts(
    segmenter: Segmenter, features: FrameFeatures, prompts: Sequence[TrackPrompt], *, decoder: str
) -> Iterator[PromptedMasks]:
    """The masks of prompts that lie on one frame, without any memory, batch by batch of one kind."""
    kinds: dict[object, list[int]] = {}
    for position, prompt in enumerate(prompts):
        kinds.setdefault(prompt.kind, []).append(position)
    for positions in kinds.values():
        alike = [prompts[position] for position in positions]
        if alike[0].mask is not None:
            fitted = segmenter.fit_masks(torch.stack([torch.as_tensor(prompt.mask).bool() for prompt in alike]))
            prediction = segmenter.mask_as_output(features, None, fitted, decoder=decoder)
            memory_logits = fitted * MASK_SCALE + MASK_BIAS
        else:
            prediction = segmenter.predict(features, None, **_arguments(alike), decoder=decoder)
            memory_logits = prediction.mask_logits
        yield PromptedMasks(tuple(positions), prediction, memory_logits)


def _arguments(alike: Sequence[TrackPrompt]) -> dict[str, Tensor]:
    first = alike[0]
    given: dict[str, Tensor] = {}
    if first.embedding is not None:
        given["embeddings"] = torch.stack([prompt.embedding for prompt in alike if prompt.embedding is not None])
    if first.points is not None:
        given["points"] = torch.stack([torch.as_tensor(prompt.points, dtype=torch.float32) for prompt in alike])
        given["labels"] = torch.stack([_labels(prompt) for prompt in alike])
    if first.box is not None:
        given["boxes"] = torch.stack([torch.as_tensor(prompt.box, dtype=torch.float32) for prompt in alike])
    return given


def _labels(prompt: TrackPrompt) -> Tensor:
    assert prompt.points is not None
    labels = [1] * len(prompt.points) if prompt.labels is None else prompt.labels
    return torch.as_tensor(labels, dtype=torch.int32)
