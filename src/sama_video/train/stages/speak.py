"""Stage `speak`: the language of masks without pictures, so that a name leads to a `[SEG]` prompt before eyes open."""

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sama_video.train.stages.base import Logs
from sama_video.train.stages.dialogue_batch import DialogueBatch, MaskTargets
from sama_video.train.stages.language import LANGUAGE_PARTS, LanguageStage
from sama_video.train.stages.scores import Scores


class SpeakStage(LanguageStage):
    """The decoder and the grounding head, in words alone."""

    name: ClassVar[str] = "speak"
    products: ClassVar[tuple[str, ...]] = LANGUAGE_PARTS
    trained_parts = LANGUAGE_PARTS

    def batch(self, rng: np.random.Generator) -> DialogueBatch:
        """Fresh dialogues about scenes that nobody sees."""
        return self.text_batch(rng, self.language_settings)

    def mask_loss(self, prompts: Float[Tensor, "segs prompt_dim"], targets: MaskTargets) -> Float[Tensor, ""]:
        """Nothing: there are no masks without pictures."""
        return prompts.sum() * 0.0

    @torch.no_grad()
    def evaluate(self) -> Logs:
        """Share of answers about named objects that are right, and how far `[SEG]` prompts are off."""
        scores, settings = Scores(), self.language_settings
        for dialogues in self.held_out(
            settings.evaluation_scenes,
            lambda rng, scene: self.tell_blind(rng, scene, settings.turns),
        ):
            batch = self.stack_text(dialogues)
            states, _ = self.read(self.read_pictures(batch)[0])
            known = [turn >= 0 for turn in batch.labels.amax(1)]
            for is_known, right in zip(known, self.right_answers(states, batch.labels), strict=True):
                for value in right if is_known else ():
                    scores.add("named", value)
            self.score_prompts(states, batch, scores)
        return scores.means()
