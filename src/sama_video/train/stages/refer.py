"""Stage `refer`: dialogues about clips, on top of a vision tower that stays as it is."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sama_video.train.config import TrainConfig
from sama_video.train.stages.dialogue_batch import DialogueBatch, MaskTargets
from sama_video.train.stages.language import LANGUAGE_PARTS, PICTURE_PARTS, LanguageStage
from sama_video.train.stages.reading import HEADS


class ReferStage(LanguageStage):
    """Projector, aggregator, region encoder, decoder and grounding head: what is asked, pointed at and seen."""

    name: ClassVar[str] = "refer"
    starts_from: ClassVar[tuple[str, ...]] = ("see", "speak")
    products: ClassVar[tuple[str, ...]] = (*LANGUAGE_PARTS, *PICTURE_PARTS, *HEADS)
    trained_parts = (*LANGUAGE_PARTS, *PICTURE_PARTS)

    @classmethod
    def predecessors(cls, run: TrainConfig) -> tuple[str, ...]:
        """Sight, and the language of masks; where the recipe has dialogues about plain clips, what they taught."""
        return (*cls.starts_from, "plain_refer") if run.plain_refer.steps else cls.starts_from

    def batch(self, rng: np.random.Generator) -> DialogueBatch:
        """Fresh clips with a dialogue about each."""
        return self.seen_batch(rng)

    def mask_loss(self, prompts: Float[Tensor, "segs prompt_dim"], targets: MaskTargets) -> Float[Tensor, ""]:
        """Nothing: SAM 2 joins in the next stage."""
        return prompts.sum() * 0.0
