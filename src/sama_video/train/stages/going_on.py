"""What training needs of a finished model and the model does not hold: prompts of names."""

import dataclasses
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sama_video.errors import CheckpointError
from sama_video.train import losses
from sama_video.train.lessons.attributes import NUM_CLASSES
from sama_video.train.stages.language import LanguageStage

_DIALOGUES: Final = 320
_BATCH: Final = 8
_LARGEST_ERROR: Final = 0.05


@torch.no_grad()
def prompts_of_names(stage: LanguageStage) -> dict[str, Tensor]:
    """Weights of the attribute prompts, read off what the model's `[SEG]`s say after each name.

    A prompt is the sum of its colour's and its shape's row, by least squares over dialogues without pictures; texture
    and size are left at zero, as no `[SEG]` tells them.

    Raises:
        CheckpointError: The model's prompts are no such sums.
    """
    settings = dataclasses.replace(stage.run.speak, batch=_BATCH)
    classes, prompts = [], []
    for number in range(_DIALOGUES // _BATCH):
        batch = stage.text_batch(np.random.default_rng([stage.run.seed, number]), settings)
        states, _ = stage.read(stage.read_pictures(batch)[0])
        prompts.append(stage.seg_prompts(states, batch.input_ids))
        classes.append(batch.seg_classes[:, :2])
    said, ids, counts = torch.cat(prompts), torch.cat(classes), NUM_CLASSES[:2]
    names = torch.cat([F.one_hot(column, count) for column, count in zip(ids.unbind(1), counts, strict=True)], 1)
    solution = torch.linalg.lstsq(names.float(), said, driver="gelsd").solution
    error = losses.distillation_loss(names.float() @ solution, said, said.var(0).mean())
    if error > _LARGEST_ERROR:
        raise CheckpointError(
            f"start_from: what {stage.run.start_from} asks SAM 2 for is no sum of a colour and a shape ({error:.0%} of "
            "it is something else); go on from a model that sama train nano made."
        )
    rows = [*solution.split(counts), *(solution.new_zeros(count, solution.shape[1]) for count in NUM_CLASSES[2:])]
    return {f"attribute_prompts.tables.{i}.weight": table.contiguous() for i, table in enumerate(rows)}
