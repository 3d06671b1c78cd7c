"""Models to measure: the bundled nano, or any preset's sizes filled with random weights, and answers that are scripted.

Speed does not depend on what the weights are, but the work does depend on the answer. So answers are written down here
word by word, and an object named again gets the very prompt it was found by, which makes it the same object for the
session however well the model is trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from sama_video.chat import objects
from sama_video.chat.loading import LoadedModel, load
from sama_video.chat.session import ChatSession
from sama_video.data.synthetic import World, corpus
from sama_video.dialogue.markup import (
    IMAGE_CONTEXT,
    PHRASE_END,
    PHRASE_START,
    POOLED_SLOT,
    SEG,
    SHAPE_SLOT,
    parse_answer,
)
from sama_video.model import SamaConfig, SamaForConditionalGeneration, SamaProcessor
from sama_video.model.decoding import Decoder
from sama_video.model.nano_tokenizers import NANO_TOKENS, build_language_tokenizer, build_question_tokenizer
from sama_video.model.presets import BUNDLED_NANO, preset_config
from sama_video.video.clip import Clip

RANDOM_SAME_IOU = 0.98
"""Masks of random weights resemble each other: with those, a session takes only equal masks for the same object."""

PRESENT_BIAS = 20.0
"""Added to the object score of random weights, so that whatever is grounded counts as visible."""

CORPUS_DIALOGUES = 200


def nano(device: str = "cpu", *, random: bool = False) -> tuple[LoadedModel, str]:
    """The bundled nano, or one with random weights where none is bundled or it is asked for; and which of the two."""
    if not random and BUNDLED_NANO.is_dir():
        return load("nano", device=device), "bundled nano"
    return random_model("nano", device, torch.float32), "nano with random weights"


def random_model(preset: str, device: str, dtype: torch.dtype, *, seed: int = 0) -> LoadedModel:
    """A model of a preset's sizes with random weights and the nano's tokenizers, whose ids its tables also hold."""
    config = with_nano_tokens(preset_config(preset))
    with torch.device(device), no_init_weights():
        model = SamaForConditionalGeneration._from_config(config, dtype=dtype)
    model = model.to(device).eval()
    fill(model, torch.Generator(device).manual_seed(seed))
    model.model.segmenter.mask_decoder.pred_obj_score_head.proj_out.bias.data.add_(PRESENT_BIAS)
    texts = [text for turn in corpus(0, CORPUS_DIALOGUES) for text in (turn.question, turn.answer)]
    tokenizers = build_language_tokenizer(texts), build_question_tokenizer(texts)
    return LoadedModel(model, SamaProcessor.for_config(config, *tokenizers), f"{preset}, random weights")


def with_nano_tokens(config: SamaConfig) -> SamaConfig:
    """The same sizes, spoken to in the nano's words."""
    ids = NANO_TOKENS.ids
    config.template = "qwen_chat"
    config.image_token_id = ids[IMAGE_CONTEXT]
    config.seg_token_id = ids[SEG]
    config.phrase_open_token_id, config.phrase_close_token_id = ids[PHRASE_START], ids[PHRASE_END]
    config.aggregator_config.mask_slot_id = NANO_TOKENS.question_ids[POOLED_SLOT]
    config.aggregator_config.position_slot_id = NANO_TOKENS.question_ids[SHAPE_SLOT]
    return config


@torch.no_grad()
def fill(model: nn.Module, generator: torch.Generator) -> None:
    """Random numbers of a size that keeps activations in range."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
        elif name.endswith("weight") or "lambda" in name or "scale" in name:
            parameter.fill_(1.0)
        else:
            parameter.normal_(std=0.02, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("positional_embedding"):
            buffer.normal_(generator=generator)


def scene_clip(num_frames: int, num_objects: int, side: int, *, seed: int = 16) -> tuple[Clip, np.ndarray, list[str]]:
    """A synthetic clip, its objects' true masks [objects, frames, height, width], and what each is called."""
    made = World.sample(seed, side=side, num_frames=num_frames, num_objects=(num_objects, num_objects), level="easy")
    names = [f"the {item.color} {item.shape}" for item in made.objects]
    return Clip.from_frames(made.frames, fps=24), made.masks, names


def grounded(*names: str) -> str:
    """An answer that shows some things."""
    return "Sure, it is " + " and ".join(f"{PHRASE_START} {name} {PHRASE_END} {SEG}" for name in names) + "."


class ScriptedRule:
    """Leaves the next token of a written answer as the only choice."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    def __call__(self, ids: Sequence[int], logits: Tensor) -> Tensor:
        """The logits with all but that token ruled out."""
        only = torch.full_like(logits, -torch.inf)
        only[self.ids[len(ids)]] = 0.0
        return only


@dataclass
class Script:
    """Answers written beforehand, and the prompt embedding by which each thing was first found.

    Args:
        apart: Spread the embeddings of different things, which random weights hardly tell apart.
    """

    processor: SamaProcessor
    apart: bool
    answer: str = ""
    found: dict[str, Tensor] = field(default_factory=dict)

    @property
    def answer_ids(self) -> list[int]:
        """The answer as the model would write it, end mark included."""
        return self.processor.token_ids(self.processor.template.answer(self.answer))

    def decoder(self, make: Callable[[Any], Decoder]) -> Callable[[Any], Decoder]:
        """The session's decoder, made to write the answer."""

        def scripted(ground: Any) -> Decoder:
            decoder = make(ground)
            decoder.rule = ScriptedRule(self.answer_ids)
            return decoder

        return scripted

    def embeddings(self, head: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
        """What the grounding head gives, for a thing found before what it gave then."""
        made = head(states)
        names = [phrase.text for phrase in parse_answer(self.answer).phrases]
        for row, name in enumerate(names):
            if name not in self.found:
                self.found[name] = self._spread(made[row], len(self.found)) if self.apart else made[row]
        return torch.stack([self.found[name] for name in names])

    def _spread(self, embedding: Tensor, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        away = torch.randn(embedding.shape, generator=generator).to(embedding)
        return embedding + 20 * away


class ScriptedHead(nn.Module):
    """The grounding head under a script."""

    def __init__(self, head: nn.Module, script: Script) -> None:
        super().__init__()
        self.head = head
        self.script = script

    def forward(self, states: Tensor) -> Tensor:
        """Prompt embeddings of the answer's `[SEG]` states."""
        return self.script.embeddings(self.head, states)


def follow_script(loaded: LoadedModel, script: Script) -> None:
    """Let a model's grounding follow a script from now on."""
    if script.apart:
        objects.SAME_OBJECT_IOU = RANDOM_SAME_IOU
    head = loaded.model.model.grounding_head
    loaded.model.model.grounding_head = ScriptedHead(getattr(head, "head", head), script)


def scripted_chat(loaded: LoadedModel, clip: Clip, script: Script, **options: Any) -> ChatSession:
    """A session whose answers are the script's."""
    session = loaded.chat(clip, **options)
    session.decoder = script.decoder(session.decoder)  # type: ignore[assignment, method-assign]
    return session
