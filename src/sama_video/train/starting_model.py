"""A finished model that a run in stages goes on from: it stands for the stages which the run leaves out."""

from pathlib import Path
from typing import Final

import torch

from sama_video.chat.published import model_folder
from sama_video.errors import CheckpointError
from sama_video.model import SamaConfig, SamaForConditionalGeneration, SamaProcessor
from sama_video.model.presets import preset_config
from sama_video.train.config import TrainConfig
from sama_video.train.lessons.vocabulary import VOCABULARY, make_processor

STARTING_MODEL: Final = "model"
"""The name under which its weights lie among the results of stages."""


def folder_of(run: TrainConfig) -> Path:
    """Where the model lies that a run goes on from.

    Raises:
        CheckpointError: Nothing usable is there.
    """
    assert run.start_from
    return model_folder(run.start_from)


def config_of(run: TrainConfig) -> SamaConfig:
    """The sizes of a run's model: those of the model it goes on from, else its preset's."""
    if not run.start_from:
        return preset_config(run.preset)
    return SamaConfig.from_pretrained(folder_of(run), local_files_only=True)


def processor_of(run: TrainConfig, config: SamaConfig) -> SamaProcessor:
    """The processor of a run's model, whose tokenizer knows every word of the lessons.

    Raises:
        CheckpointError: That of the model which the run goes on from does not.
    """
    if not run.start_from:
        return make_processor(config)
    processor = SamaProcessor.from_pretrained(folder_of(run), local_files_only=True)
    for word in VOCABULARY:
        begins = word[0].isupper() or not word[0].isalpha()
        if len(processor.tokenizer.encode(word if begins else f" {word}", add_special_tokens=False)) != 1:
            raise CheckpointError(
                f"start_from: {run.start_from} has no token for {word!r}, which the lessons speak of; go on from a "
                "model that sama train nano made, or tune others with sama train lora-own-data."
            )
    return processor


def weights_of(run: TrainConfig) -> dict[str, torch.Tensor]:
    """The model's parts as stages hand them on, in float32."""
    model = SamaForConditionalGeneration.from_pretrained(folder_of(run), dtype=torch.float32, local_files_only=True)
    return {name: value.contiguous() for name, value in model.model.state_dict().items()}
