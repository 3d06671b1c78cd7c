"""Examples to a batch: rows padded on the right, every mask target of the batch in one stack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sama_video.data.mixture import Refusal
from sama_video.model.inputs import VideoInputs
from sama_video.train.tuning.examples import IGNORED, Example, MaskTargets


@dataclass(frozen=True, eq=False)
class TuneBatch:
    """One micro-step's records.

    Attributes:
        labels: -100 wherever nothing is learnt.
        num_labels: Tokens that are learnt; the first of a row never is.
        videos: One per row.
        targets: Of the whole batch, `[SEG]`s counted row after row; `None` when no record has a mask.
        record_ids: One per row.
        left_out: Why turns were left out.
        refused: Records that could not be used and gave way to these.
    """

    input_ids: Int[Tensor, "rows tokens"]
    labels: Int[Tensor, "rows tokens"]
    num_labels: int
    videos: tuple[VideoInputs, ...]
    targets: MaskTargets | None
    record_ids: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def num_prompts(self) -> int:
        """Masks that are learnt."""
        return 0 if self.targets is None else len(self.targets)

    def to(self, *args: Any, **kwargs: Any) -> "TuneBatch":
        """The same on another device."""
        videos = tuple(video.to(*args) for video in self.videos)
        targets = None if self.targets is None else _each_tensor(self.targets, lambda t: t.to(*args, **kwargs))
        ids, labels = (tensor.to(*args, **kwargs) for tensor in (self.input_ids, self.labels))
        return replace(self, input_ids=ids, labels=labels, videos=videos, targets=targets)

    def pin_memory(self) -> "TuneBatch":
        """The same where a card fetches it fastest; only what is large."""
        videos = tuple(replace(video, pixel_values=video.pixel_values.pin_memory()) for video in self.videos)
        targets = None if self.targets is None else _each_tensor(self.targets, lambda t: t.pin_memory())
        return replace(self, videos=videos, targets=targets)


@dataclass(frozen=True, eq=False)
class ReadExample:
    """An example and the records that gave way to it."""

    example: Example
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Collate:
    """Makes one batch of examples; a plain value, so that worker processes may hold it.

    Attributes:
        pad_id: Fills short rows; what stands there is seen by nothing before it.
    """

    pad_id: int

    def __call__(self, read: Sequence[ReadExample]) -> dict[str, TuneBatch]:
        """The batch, under the one name by which a `Trainer` hands it on."""
        examples = [one.example for one in read]
        labels = pad_sequence([one.row.labels for one in examples], True, IGNORED)
        batch = TuneBatch(
            input_ids=pad_sequence([one.row.input_ids for one in examples], True, self.pad_id),
            labels=labels,
            num_labels=int((labels[:, 1:] != IGNORED).sum()),
            videos=tuple(one.row.video for one in examples),
            targets=join_targets(examples),
            record_ids=tuple(one.record_id for one in examples),
            left_out=tuple(reason for one in examples for reason in one.left_out),
            refused=tuple(refusal for one in read for refusal in one.refused),
        )
        return {"batch": batch}


def join_targets(examples: Sequence[Example]) -> MaskTargets | None:
    """The mask targets of several rows as one stack, frames and `[SEG]`s counted on from row to row."""
    parts = []
    frames = segs = 0
    for example in examples:
        if example.targets is not None:
            part = example.targets
            parts.append(replace(part, frame=part.frame + frames, seg=part.seg + segs))
            frames += len(part.pixels)
        segs += example.num_segs
    if not parts:
        return None
    names = ("pixels", "frame", "seg", "masks", "seeds")
    return MaskTargets(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _each_tensor(targets: MaskTargets, change: Any) -> MaskTargets:
    names = ("pixels", "frame", "seg", "masks", "seeds")
    return MaskTargets(**{name: change(getattr(targets, name)) for name in names})
