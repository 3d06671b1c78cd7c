"""Stage `joint`: dialogues whose `[SEG]` prompts go through SAM 2, so that words and masks teach each other."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.segmenter import Decoded, FrameFeatures, Segmenter
from sama_video.train import losses
from sama_video.train.config import TrainConfig
from sama_video.train.lessons.attributes import AttributePrompts
from sama_video.train.lessons.dialogues import Told
from sama_video.train.lessons.scenes import TARGET_STEP, coverage
from sama_video.train.stages.base import ParameterGroup, Weights, low_precision
from sama_video.train.stages.dialogue_batch import DialogueBatch, MaskTargets
from sama_video.train.stages.language import LANGUAGE_PARTS, PICTURE_PARTS, LanguageStage
from sama_video.train.stages.scores import Scores
from sama_video.train.stages.seg_codes import translate_head
from sama_video.train.stages.segment import full_size_iou

_PRESENCE_WEIGHT = 0.1


class JointStage(LanguageStage):
    """Everything that talks, and SAM 2's mask decoder; its image encoder stays as it is."""

    name: ClassVar[str] = "joint"
    starts_from: ClassVar[tuple[str, ...]] = ("segment", "track", "see", "refer")
    products: ClassVar[tuple[str, ...]] = (*LANGUAGE_PARTS, *PICTURE_PARTS, "segmenter")
    trained_parts = (*LANGUAGE_PARTS, *PICTURE_PARTS)

    def __init__(self, run: TrainConfig, config: SamaConfig | None = None) -> None:
        super().__init__(run, config)
        segmenter = self.sama.model.segmenter
        segmenter.mask_decoder.requires_grad_(True)
        self.sam = Segmenter(segmenter, suppress_absent=False, memory_dtype=torch.float32)
        self.attribute_prompts = AttributePrompts(self.seg_codes.shape[1])
        self.attribute_prompts.requires_grad_(False)

    def settle_grounding_head(self, results: Mapping[str, Weights], speaks_codes: bool) -> None:
        """Turn the codes that `[SEG]`s were taught into SAM 2's prompts; a finished model says those already."""
        if speaks_codes:
            names = self.world.name_classes()
            translate_head(self.sama.model.grounding_head, super().seg_targets(names), self.attribute_prompts(names))

    def parameter_groups(self) -> list[ParameterGroup]:
        """The mask decoder at its own rate."""
        settings, decoder = self.language_settings, self.sama.model.segmenter.mask_decoder
        apart = {id(p) for p in decoder.parameters()}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in apart]
        return [
            ParameterGroup(settings.learning_rate, others),
            ParameterGroup(settings.decoder_learning_rate, list(decoder.parameters())),
        ]

    def batch(self, rng: np.random.Generator) -> DialogueBatch:
        """Fresh clips with a dialogue about each, or now and then dialogues without pictures."""
        if rng.random() < self.language_settings.text_share:
            return self.text_batch(rng, self.run.speak)
        return self.seen_batch(rng)

    def seg_targets(self, classes: Int[Tensor, "segs 4"]) -> Float[Tensor, "segs prompt_dim"]:
        """SAM 2's prompts of the objects meant."""
        prompts: Tensor = self.attribute_prompts(classes)
        return prompts

    def mask_targets(self, dialogues: Sequence[Told], rng: np.random.Generator | None) -> MaskTargets | None:
        """Every `[SEG]` on some dense frames of its clip: a few at random, or all of them; in some steps nothing."""
        if rng is not None and rng.random() >= self.language_settings.mask_share:
            return None
        pixels: list[Tensor] = []
        frames: list[int] = []
        segs: list[int] = []
        masks: list[np.ndarray] = []
        count = self.language_settings.masks_per_object
        for told in dialogues:
            start = sum(len(each) for each in pixels)
            dense = list(told.dense)
            pixels.append(self.processor.segmenter_pixels(told.shot.frames[dense]))
            for i in told.seg_objects:
                places = range(len(dense)) if rng is None else rng.permutation(len(dense))[:count].tolist()
                frames += [start + place for place in places]
                segs += [segs[-1] + 1 if segs else 0] * len(places)
                masks += [told.shot.masks[i, dense[place]] for place in places]
        if not masks:
            return None
        stacked = np.stack(masks)
        shares = stacked.astype(np.float32) if rng is None else coverage(stacked, self.sam.image_size // TARGET_STEP)
        present = torch.from_numpy(stacked.any(axis=(1, 2)))
        return MaskTargets(
            torch.cat(pixels), torch.tensor(frames), torch.tensor(segs), torch.from_numpy(shares), present
        )

    def mask_loss(self, prompts: Float[Tensor, "segs prompt_dim"], targets: MaskTargets) -> Float[Tensor, ""]:
        """Losses of every candidate where there is something to see, and of presence everywhere."""
        decoded = self.decode(prompts, targets)
        masks = losses.candidate_losses(decoded.mask_logits, decoded.iou, targets.targets, targets.present.float())
        return masks.total() + _PRESENCE_WEIGHT * losses.presence_loss(decoded.object_score, targets.present)

    def decode(self, prompts: Float[Tensor, "segs prompt_dim"], targets: MaskTargets) -> Decoded:
        """Candidates of `[SEG]` prompts on their frames, without memory."""
        model, decoder = self.sam.model, self.sam.model.mask_decoder
        with torch.no_grad(), low_precision(targets.pixel_values.device):
            maps = model.vision_encoder(targets.pixel_values, return_dict=True).fpn_hidden_states
        fine4, fine8, low = (level.float() for level in maps)
        features = FrameFeatures(low, {"main": (decoder.conv_s0(fine4), decoder.conv_s1(fine8))})
        sparse, dense = self.sam.embed_prompts(embeddings=prompts[targets.seg])
        return self.sam.decode(
            self.sam.with_no_memory(low[targets.frame]),
            features,
            targets.frame,
            sparse,
            dense,
            multimask=self.sam.use_multimask(num_points=0, prompted=True),
        )

    def score(self, dialogues: Sequence[Told], batch: DialogueBatch, scores: Scores) -> Tensor:
        """As before, and the overlap of `[SEG]` masks on all dense frames, given the true words before them."""
        prompts = super().score(dialogues, batch, scores)
        if batch.masks is None:
            return prompts
        chosen = self.sam.choose(self.decode(prompts, batch.masks))
        overlap, present = full_size_iou(chosen.mask_logits, batch.masks.targets), batch.masks.present
        kinds = [turn.kind for told in dialogues for turn in told.turns for _ in turn.seg_objects]
        for value, seg in zip(overlap[present].tolist(), batch.masks.seg[present].tolist(), strict=True):
            scores.add("mask_iou", value)
            scores.add(f"{kinds[seg]}_iou", value)
        for is_right in ((chosen.object_score > 0) == present).tolist():
            scores.add("mask_presence", float(is_right))
        return prompts
