"""The border between what people have and what the model takes: frames, regions and words to tensors, ids to text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import BatchFeature, ProcessorMixin

from sama_video.dialogue.markup import (
    PHRASE_END,
    PHRASE_START,
    REGION_TAG,
    SEG,
    TEMPLATES,
    ChatTemplate,
    frame_block,
    prompt_text,
    qformer_text,
    visual_prefix,
)
from sama_video.errors import DialogueError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.inputs import RegionInputs, TurnInputs, VideoInputs
from sama_video.regions.rle import fill_box
from sama_video.video.sampling import tile_grid

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
STOP_WINDOW = 16
"""Ids that surely hold a whole stop string; a published template spells one in up to seven ordinary tokens."""


@dataclass(frozen=True)
class PlacedRegion:
    """A region as the model takes it: a mask on one of the encoded frames.

    Attributes:
        frame_position: Index in the dialogue's encoded frames.
        mask: At any size; boxes are filled here when the model was trained on boxes.
    """

    frame_position: int
    mask: Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class TurnSpec:
    """One turn before tokenisation.

    Attributes:
        question: With one `<region>` per region.
        regions: In the order of those tags.
        dense_positions: Encoded frames whose blocks stand in this turn.
        dense_times: Their times in seconds, used when the model reads frame times.
        answer: Raw answer, for training and for history; `None` for the open turn.
    """

    question: str
    regions: tuple[PlacedRegion, ...] = ()
    dense_positions: tuple[int, ...] = ()
    dense_times: tuple[float, ...] = ()
    answer: str | None = None


@dataclass(frozen=True)
class TrainingInputs:
    """One dialogue as a training row.

    Attributes:
        labels: -100 wherever the model is not to be taught.
    """

    input_ids: Int[Tensor, " tokens"]
    labels: Int[Tensor, " tokens"]
    video: VideoInputs


class GroundingIds(NamedTuple):
    """Token ids of `<p>`, `</p>` and `[SEG]`."""

    phrase_open: int
    phrase_close: int
    seg: int


class SamaProcessor(ProcessorMixin):
    """Frames, regions and dialogue to tensors, and generated ids back to text.

    Args:
        tokenizer: The decoder's.
        qformer_tokenizer: The aggregator's WordPiece tokenizer; `None` for a model without aggregator.
        settings: What `settings_of(config)` gives: the sizes and switches of the model this processor serves.
    """

    tokenizer: Any
    qformer_tokenizer: Any
    settings: dict[str, Any]

    @no_type_check  # a checker's wrapper would hide the names of the arguments, which `from_pretrained` goes by
    def __init__(self, tokenizer: Any, qformer_tokenizer: Any = None, settings: dict[str, Any] | None = None) -> None:
        self.settings = dict(settings or {})
        super().__init__(tokenizer, qformer_tokenizer)

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """As the base class does, but a model without aggregator has no Q-Former tokenizer."""
        if argument_name == "qformer_tokenizer" and argument is None:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: Any, processor_dict: Any = None, **kwargs: Any
    ) -> list[Any]:
        folder = pretrained_model_name_or_path
        settings = (processor_dict or {}).get("settings") or {}
        if settings.get("question_max_length", 1):
            return list(super()._get_arguments_from_pretrained(folder, processor_dict, **kwargs))
        return [cls._load_tokenizer_from_pretrained("tokenizer", folder, **kwargs), None]

    @staticmethod
    def settings_of(config: SamaConfig) -> dict[str, Any]:
        """The part of a model's configuration that its processor needs."""
        return {
            "image_side": config.image_side,
            "tokens_per_side": config.tokens_per_side,
            "segmenter_side": config.segmenter_side,
            "template": config.template,
            "frame_times": config.frame_times,
            "newline_after_context": config.newline_after_context,
            "region_shape": config.region_shape,
            "region_pooling": config.region_pooling,
            "region_mask_side": config.region_mask_side,
            "rounded_segmenter_pixels": config.rounded_segmenter_pixels,
            "question_max_length": config.aggregator_config.text_max_length if config.has_aggregator else 0,
        }

    @classmethod
    def for_config(cls, config: SamaConfig, tokenizer: Any, qformer_tokenizer: Any = None) -> "SamaProcessor":
        """A processor that serves models of this configuration."""
        return cls(tokenizer, qformer_tokenizer, cls.settings_of(config))

    @property
    def template(self) -> ChatTemplate:
        """The chat template of the model's scale."""
        return TEMPLATES[self.settings["template"]]

    @property
    def grounding_ids(self) -> "GroundingIds":
        """Ids of the marks an answer binds phrases with."""
        return GroundingIds(*(self.tokenizer.convert_tokens_to_ids(mark) for mark in (PHRASE_START, PHRASE_END, SEG)))

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that begin a stop string or end generation; an answer that must go on may not choose them."""
        firsts = [self.token_ids(stop)[0] for stop in self.template.stop_strings]
        return tuple(dict.fromkeys([self.tokenizer.eos_token_id, *firsts]))

    # pictures

    def vision_pixels(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames 3 side side"]:
        """Frames for the vision tower: resized bicubically without keeping the aspect, normalised (spec model 4.2)."""
        resized = resize_frames(frames, self.settings["image_side"]).astype(np.float32)
        planes = torch.from_numpy(resized).permute(0, 3, 1, 2).contiguous()
        mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
        return planes.div_(255.0).sub_(mean).div_(std)

    def segmenter_pixels(
        self, frames: UInt8[np.ndarray, "frames height width 3"]
    ) -> Float[Tensor, "frames 3 side side"]:
        """Frames for SAM 2; published checkpoints round mean and deviation to bfloat16 (spec model 4.2)."""
        pixels = torch.from_numpy(resize_frames(frames, self.settings["segmenter_side"])).permute(0, 3, 1, 2)
        mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
        if self.settings["rounded_segmenter_pixels"]:
            mean, std = mean.bfloat16().float(), std.bfloat16().float()
        return (pixels / 255.0 - mean) / std

    def image_tiles(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "tiles side side 3"]:
        """A single image cut into tiles, with a thumbnail at the end when there are several (spec model 4.5)."""
        side = self.settings["image_side"]
        columns, rows = tile_grid(image.shape[1], image.shape[0], tile=side)
        whole = np.asarray(Image.fromarray(image).resize((side * columns, side * rows), Image.Resampling.BICUBIC))
        tiles = whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        if len(tiles) > 1:
            tiles = np.concatenate([tiles, resize_frames(image[None], side)])
        return tiles

    def region_inputs(self, regions: Sequence[PlacedRegion]) -> RegionInputs | None:
        """Tensors of one turn's regions; `None` for none."""
        if not regions:
            return None
        weights, shapes = zip(*(self._region_maps(region.mask) for region in regions), strict=True)
        return RegionInputs(
            frame_positions=torch.tensor([region.frame_position for region in regions]),
            token_weights=torch.stack(weights),
            shapes=torch.stack(shapes),
        )

    def _region_maps(self, mask: Bool[np.ndarray, "height width"]) -> tuple[Tensor, Tensor]:
        if self.settings["region_shape"] == "box":
            mask = fill_box(mask)
        full = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
        side, tokens = self.settings["region_mask_side"], self.settings["tokens_per_side"]
        shape = F.interpolate(full, size=(side, side), mode="nearest")
        if self.settings["region_pooling"] == "area":
            weights = F.adaptive_avg_pool2d(full, tokens)
        else:
            weights = F.interpolate(full, size=(tokens, tokens), mode="nearest")
        return weights.flatten(), shape.flatten()

    # words

    def turn_text(
        self, turn: TurnSpec, num_context: int, *, newline_after_context: bool | None = None, one_block: bool = False
    ) -> str:
        """The formatted user turn, up to where the answer begins (spec model 4.3, 4.4).

        Args:
            num_context: Context tokens of the turn.
            newline_after_context: Whether a newline parts context tokens and question; by default it does, except
                before a question with regions on models that were not trained so.
            one_block: The dense frames are tiles of one image and share one pair of image tags.

        Raises:
            DialogueError: Tags and regions of the question do not agree.
        """
        if turn.question.count(REGION_TAG) != len(turn.regions):
            raise DialogueError(
                f"the question has {turn.question.count(REGION_TAG)} {REGION_TAG} tags, but {len(turn.regions)} "
                "regions were given; give one region for each tag, in order."
            )
        tokens = self.settings["tokens_per_side"] ** 2
        if one_block:
            blocks = [frame_block(tokens * len(turn.dense_positions))] if turn.dense_positions else []
        elif self.settings["frame_times"]:
            blocks = [frame_block(tokens, seconds=time) for time in turn.dense_times]
        else:
            blocks = [frame_block(tokens)] * len(turn.dense_positions)
        if newline_after_context is None:
            newline_after_context = self.settings["newline_after_context"] or not turn.regions
        pictures = visual_prefix(blocks, num_context, line_break=newline_after_context and bool(blocks or num_context))
        return self.template.question(pictures + prompt_text(turn.question))

    def token_ids(self, text: str, *, first: bool = False) -> list[int]:
        """Ids of one piece of a dialogue; the first piece gets the tokenizer's BOS when it has one."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        adds_bos = getattr(self.tokenizer, "add_bos_token", False) or self.settings["template"] == "internlm2_chat"
        return [self.tokenizer.bos_token_id, *ids] if first and adds_bos else ids

    def question_ids(self, question: str) -> Int[Tensor, " text"]:
        """The question as the aggregator reads it, its first words cut when it is too long (spec model 6.3).

        Region slots are never cut: each waits for a region's feature.

        Raises:
            DialogueError: The regions alone are too many.
        """
        if self.qformer_tokenizer is None:
            return torch.zeros(0, dtype=torch.long)
        tokenizer = self.qformer_tokenizer
        ids = tokenizer.encode(qformer_text(question), add_special_tokens=False)
        slots = set(tokenizer.encode(qformer_text(REGION_TAG), add_special_tokens=False))
        room = self.settings["question_max_length"] - 2
        words = [position for position, token in enumerate(ids) if token not in slots]
        cut = set(words[: max(0, len(ids) - room)])
        kept = [token for position, token in enumerate(ids) if position not in cut]
        if len(kept) > room:
            count = question.count(REGION_TAG)
            raise DialogueError(
                f"the question has {count} regions, more than the model can read at once; ask of fewer."
            )
        return torch.tensor([tokenizer.cls_token_id, *kept, tokenizer.sep_token_id])

    def turn_inputs(self, turn: TurnSpec) -> TurnInputs:
        """The picture side of one turn."""
        return TurnInputs(turn.dense_positions, self.question_ids(turn.question), self.region_inputs(turn.regions))

    def stops(self, ids: Sequence[int]) -> bool:
        """Whether generated ids end an answer: by the end token, or by a stop string at their end (spec model 3)."""
        if not ids:
            return False
        if ids[-1] == self.tokenizer.eos_token_id:
            return True
        return self.template.stops(self.tokenizer.decode(list(ids[-STOP_WINDOW:])))

    def raw_answer(self, ids: Sequence[int]) -> str:
        """Generated ids as text, without what ended it."""
        if ids and ids[-1] == self.tokenizer.eos_token_id:
            ids = ids[:-1]
        return self.template.without_stop(self.tokenizer.decode(list(ids))).strip()

    # whole dialogues

    def encode_dialogue(
        self,
        frames: UInt8[np.ndarray, "frames height width 3"],
        context_positions: Sequence[int],
        turns: Sequence[TurnSpec],
        *,
        newline_after_context: bool | None = None,
        max_length: int = 8192,
    ) -> TrainingInputs:
        """A dialogue as one row: pieces tokenised apart, the loss on answers and their suffix (spec model 3).

        Raises:
            DialogueError: The row is longer than `max_length`; it is never cut.
        """
        ids: list[int] = []
        labels: list[int] = []
        num_context = len(context_positions) if self.qformer_tokenizer is not None else 0
        for index, turn in enumerate(turns):
            separator = self.token_ids(self.template.separator) if index else []
            text = self.turn_text(turn, num_context, newline_after_context=newline_after_context)
            asked = separator + self.token_ids(text, first=index == 0)
            answered = [] if turn.answer is None else self.token_ids(self.template.answer(turn.answer))
            ids += asked + answered
            labels += [-100] * len(asked) + answered
        if len(ids) > max_length:
            raise DialogueError(
                f"the dialogue has {len(ids)} tokens, more than {max_length}; use fewer turns or frames."
            )
        video = VideoInputs(
            self.vision_pixels(frames), tuple(context_positions), tuple(self.turn_inputs(turn) for turn in turns)
        )
        return TrainingInputs(torch.tensor(ids), torch.tensor(labels), video)

    def __call__(
        self,
        frames: Sequence[UInt8[np.ndarray, "frames height width 3"]],
        dialogues: Sequence[Sequence[TurnSpec]],
        context_positions: Sequence[Sequence[int]] | None = None,
    ) -> BatchFeature:
        """A batch for `model.generate(**inputs)`: padded on the left, one dialogue a row, its last turn open.

        Args:
            frames: For each dialogue, the frames that its turns' positions count in.
            context_positions: For each, the frames that give context tokens; all of them by default.
        """
        positions = context_positions or [range(len(stack)) for stack in frames]
        rows = [self.encode_dialogue(*row) for row in zip(frames, positions, dialogues, strict=True)]
        longest = max(len(row.input_ids) for row in rows)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        input_ids = torch.full((len(rows), longest), pad)
        mask = torch.zeros_like(input_ids)
        for index, row in enumerate(rows):
            input_ids[index, longest - len(row.input_ids) :] = row.input_ids
            mask[index, longest - len(row.input_ids) :] = 1
        return BatchFeature({"input_ids": input_ids, "attention_mask": mask, "videos": [row.video for row in rows]})


def resize_frames(
    frames: UInt8[np.ndarray, "frames height width 3"], side: int
) -> UInt8[np.ndarray, "frames side side 3"]:
    """Frames squeezed into a square by PIL's antialiased bicubic filter, the aspect not kept."""
    if frames.shape[1:3] == (side, side):
        return np.ascontiguousarray(frames)
    resized = [np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)) for frame in frames]
    return np.stack(resized)
