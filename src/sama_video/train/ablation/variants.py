"""The variants: the nano's joint stage as it is, and with one part taken away.

All of them start alike. What a SAMA takes ready-made, the nano's eyes (vision tower and projector) and its SAM 2, comes
from a finished model; the decoder of words, the aggregator, the region encoder and the grounding head start from
nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sama_video.data.synthetic.language import name_of
from sama_video.data.synthetic.shapes import COLORS, SHAPES, ObjectSpec
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, SEG
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import SamaProcessor, TurnSpec
from sama_video.model.segmenter import Decoded
from sama_video.train.config import TrainConfig
from sama_video.train.lessons.attributes import NUM_CLASSES
from sama_video.train.lessons.plain_dialogues import TALKING_KINDS
from sama_video.train.stages.base import Stage, Weights, low_precision
from sama_video.train.stages.dialogue_batch import MaskTargets
from sama_video.train.stages.joint import JointStage
from sama_video.train.stages.seg_codes import translate_head
from sama_video.train.stages.speak import SpeakStage

KEPT_PARTS: Final = ("vision_tower", "multi_modal_projector", "segmenter")
"""What every variant takes over from the finished model; the first and the last stay as they are but for the mask
decoder."""

UNGROUNDED_KINDS: Final = {"segment_text": 2.5, "attribute": 2.5, "exists": 1.0, "absent": 1.0, "count": 0.4}
"""What is left without grounded dialogues: an expression and its mask, and questions with answers in plain words."""

EXPRESSIONS: Final = {"segment_text": 1.0}


@dataclass(frozen=True, eq=False)
class Foundation:
    """What the variants of one study start from.

    Attributes:
        config: The finished model's sizes, which all variants have.
        weights: Of the kept parts, named as in `SamaModel`.
        name_prompts: The SAM 2 prompt of each pair of a colour and a shape; class 0 is never used.
    """

    config: SamaConfig
    processor: SamaProcessor
    weights: Weights
    name_prompts: Float[Tensor, "colors shapes prompt_dim"]


@torch.no_grad()
def read_foundation(model: SamaForConditionalGeneration, processor: SamaProcessor) -> Foundation:
    """Take a finished nano apart: its perception, and the prompts by which it asks SAM 2 for each name."""
    config, state = model.config, model.model.state_dict()
    assert isinstance(config, SamaConfig)
    kept = tuple(f"{name}." for name in KEPT_PARTS)
    weights = {key: value.float() for key, value in state.items() if key.startswith(kept)}
    prompts = torch.zeros(*NUM_CLASSES[:2], model.config.segmenter_config.mask_decoder_config.hidden_size)
    for color_idx, color in enumerate(COLORS, start=1):
        for shape_idx, shape in enumerate(SHAPES, start=1):
            prompts[color_idx, shape_idx] = _prompt_of(model, processor, name_of(ObjectSpec(color, shape, "", "")))
    return Foundation(config, processor, weights, prompts)


def _prompt_of(model: SamaForConditionalGeneration, processor: SamaProcessor, name: str) -> Tensor:
    """What the model asks SAM 2 for when it says a name without seeing anything."""
    side = processor.settings["image_side"]
    answer = f"{PHRASE_START} the {name} {PHRASE_END} {SEG}."
    blank = torch.zeros(1, side, side, 3, dtype=torch.uint8).numpy()
    row = processor.encode_dialogue(blank, (), [TurnSpec(f"Segment the {name}.", answer=answer)])
    states = model.model.language_model(
        inputs_embeds=model.model.embed_tokens(row.input_ids[None], None), use_cache=False
    ).last_hidden_state
    prompt: Tensor = model.model.grounding_head(states[row.input_ids[None] == model.config.seg_token_id])[0]
    return prompt


class SpeakFirst(SpeakStage):
    """Words alone, as before every joint stage."""

    def __init__(self, run: TrainConfig, foundation: Foundation) -> None:
        super().__init__(run, foundation.config)
        self.processor = foundation.processor


class SpeakExpressions(SpeakFirst):
    """Words alone, and of them only expressions and their masks."""

    text_kinds = EXPRESSIONS


class Full(JointStage):
    """Everything: the variant that the others are held against."""

    starts_from: ClassVar[tuple[str, ...]] = ("speak",)
    kinds = TALKING_KINDS

    def __init__(self, run: TrainConfig, foundation: Foundation) -> None:
        super().__init__(run, foundation.config)
        self.processor = foundation.processor
        self.foundation = foundation
        self.name_prompts: Tensor
        self.register_buffer("name_prompts", foundation.name_prompts)

    def start(self, results: Mapping[str, Weights]) -> None:
        """Perception from the finished model, words from the stage before, and prompts that SAM 2 understands."""
        self.take_over(self.foundation.weights)
        Stage.start(self, results)
        names = self.world.name_classes()
        codes = super(JointStage, self).seg_targets(names)
        translate_head(self.sama.model.grounding_head, codes, self.seg_targets(names))

    def seg_targets(self, classes: Int[Tensor, "segs 4"]) -> Float[Tensor, "segs prompt_dim"]:
        """The finished model's prompts of the objects meant."""
        return self.name_prompts[classes[:, 0], classes[:, 1]]


class WithoutSam(Full):
    """The mask is read off the tokens that the decoder of words sees, at their resolution.

    A small network over the tokens stands for SAM 2's mask decoder, with as many trained parameters (to a percent).
    """

    products: ClassVar[tuple[str, ...]] = (*JointStage.products, "coarse_reader")

    def __init__(self, run: TrainConfig, foundation: Foundation) -> None:
        super().__init__(run, foundation)
        decoder = self.sama.model.segmenter.mask_decoder
        decoder.requires_grad_(False)
        self.coarse_reader = CoarseReader(
            self.config.text_config.hidden_size, foundation.name_prompts.shape[-1], decoder
        )

    def decode(self, prompts: Float[Tensor, "segs prompt_dim"], targets: MaskTargets) -> Decoded:
        """One candidate per prompt, from likeness of the prompt to each token of its frame."""
        features = self._frame_tokens(targets.pixel_values)
        return self.coarse_reader(prompts[targets.seg], features[targets.frame], self.sam.image_size // 4)

    def _frame_tokens(self, pixel_values: Float[Tensor, "frames 3 side side"]) -> Float[Tensor, "frames tokens dim"]:
        side = self.config.image_side
        resized = F.interpolate(pixel_values, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
        with low_precision(pixel_values.device):
            return self.sama.model.encode_frames(resized)


class WithoutAggregator(Full):
    """Each frame's mean token stands where its context token would, after as many parameters (to a percent)."""

    def __init__(self, run: TrainConfig, foundation: Foundation) -> None:
        super().__init__(run, foundation)
        dim = self.config.text_config.hidden_size
        self.sama.model.aggregator = PooledFrames(dim, count_parameters(self.sama.model.aggregator))


class WithoutDialogues(Full):
    """No grounded dialogues: expressions with their masks, and questions answered in plain words."""

    kinds = UNGROUNDED_KINDS
    region_kinds: Mapping[str, float] = {"attribute": 1.0}
    text_kinds = EXPRESSIONS


class CoarseReader(nn.Module):
    """Prompt and frame tokens in, mask logits out.

    Args:
        twin: The module whose number of parameters this one takes.
    """

    def __init__(self, dim: int, prompt_dim: int, twin: nn.Module) -> None:
        super().__init__()
        self.query = nn.Linear(prompt_dim, dim)
        self.score = nn.Linear(prompt_dim, 2)
        spent = count_parameters(self)
        self.mix = ResidualMlp(dim, count_parameters(twin) - spent)

    def forward(
        self,
        prompts: Float[Tensor, "prompts prompt_dim"],
        features: Float[Tensor, "prompts tokens dim"],
        side: int,
    ) -> Decoded:
        """Logits on a side x side grid, and the scores that SAM 2 gives with its masks."""
        mixed = self.mix(features.float())
        likeness = torch.einsum("pd,ptd->pt", self.query(prompts), mixed) * features.shape[-1] ** -0.5
        grid = round(features.shape[1] ** 0.5)
        masks = F.interpolate(likeness.view(-1, 1, grid, grid), size=(side, side), mode="bilinear", align_corners=False)
        iou, presence = self.score(prompts).unbind(-1)
        return Decoded(mask_logits=masks, iou=iou[:, None], object_score=presence, tokens=prompts[:, None])


class PooledFrames(nn.Module):
    """In the aggregator's place: each frame's mean token through a small network, whatever is asked."""

    def __init__(self, dim: int, num_parameters: int) -> None:
        super().__init__()
        self.mix = ResidualMlp(dim, num_parameters)

    def spatial_states(self, features: Float[Tensor, "frames tokens dim"]) -> Float[Tensor, "frames queries dim"]:
        """Nothing is read off a frame before its mean."""
        return features[:, :1]

    def forward(
        self,
        features: Float[Tensor, "frames tokens dim"],
        spatial: Float[Tensor, "frames queries width"],
        question_ids: Int[Tensor, "prompts text"],
        question_mask: Int[Tensor, "prompts text"],
        **slots: Tensor,
    ) -> Float[Tensor, "prompts frames dim"]:
        """The same tokens for every question."""
        pooled = self.mix(features.mean(1))
        return pooled.expand(len(question_ids), -1, -1)


class ResidualMlp(nn.Module):
    """A vector plus what two layers make of it, as wide as a number of parameters allows."""

    def __init__(self, dim: int, num_parameters: int) -> None:
        super().__init__()
        hidden = max(1, round((num_parameters - 3 * dim) / (2 * dim + 1)))
        self.norm = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The same shape."""
        return x + self.down(F.gelu(self.up(self.norm(x))))


def count_parameters(module: nn.Module) -> int:
    """Numbers in a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass(frozen=True)
class Variant:
    """One row of the study.

    Attributes:
        quoted: The paper's grounding score of this row, in percent; see `QUOTED_FROM`.
    """

    title: str
    stage: type[Full]
    speak: type[SpeakFirst]
    quoted: float


VARIANTS: Final[dict[str, Variant]] = {
    "full": Variant("everything", Full, SpeakFirst, 48.6),
    "no-sam": Variant("without SAM: masks off the coarse feature map", WithoutSam, SpeakFirst, 35.1),
    "no-aggregator": Variant("without the aggregator: mean-pooled frame tokens", WithoutAggregator, SpeakFirst, 40.8),
    "no-dialogues": Variant("without grounded-dialogue data", WithoutDialogues, SpeakExpressions, 36.2),
}

QUOTED_FROM: Final = "SAMA's ablation as a secondary source quotes it; unverified, its metric is not defined there"
