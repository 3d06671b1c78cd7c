"""Dialogues as one batch, with what is known of their pictures."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from sama_video.model.inputs import VideoInputs
from sama_video.train.lessons.gazes import Gazes


@dataclass(frozen=True)
class MaskTargets:
    """What SAM 2 is to make of `[SEG]` prompts.

    Attributes:
        frame: Which of the pictures each prompt is decoded on.
        seg: Which `[SEG]` of the batch it comes from.
    """

    pixel_values: Float[Tensor, "frames 3 side side"]
    frame: Int[Tensor, " prompts"]
    seg: Int[Tensor, " prompts"]
    targets: Float[Tensor, "prompts height width"]
    present: Bool[Tensor, " prompts"]


@dataclass(frozen=True)
class DialogueBatch:
    """Dialogues as rows, and what is known of their pictures.

    Attributes:
        videos: One per row; none for dialogues without pictures.
        seg_classes: Colour and shape of the object of every `[SEG]`, row after row.
        cell_labels: Per token of every picture, the classes of the patches it folds together.
        centres: Where objects are in the dense frames: each region's, row after row, then each `[SEG]`'s.
        centre_weights: Where that can be told.
        looks: Classes of what each region's object looks like, row after row.
        gazes: Where to look for what is named and pointed at.
    """

    input_ids: Int[Tensor, "rows tokens"]
    labels: Int[Tensor, "rows tokens"]
    videos: tuple[VideoInputs, ...]
    seg_classes: Int[Tensor, "segs 4"]
    cell_labels: Int[Tensor, "frames places cells 4"] | None = None
    centres: Float[Tensor, "objects dense 2"] | None = None
    centre_weights: Float[Tensor, "objects dense"] | None = None
    looks: Int[Tensor, "regions 4"] | None = None
    gazes: Gazes | None = None
    masks: MaskTargets | None = None
