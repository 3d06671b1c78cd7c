"""The SAMA model: InternVL tower and decoder, context aggregator, region tokens, grounding head and SAM 2, wired up."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector, InternVLVisionModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMaskDecoder

from sama_video.model.aggregator import SpatioTemporalAggregator, fill_slots, init_aggregator
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.grounding import GroundingHead, RegionEncoder, pool_regions
from sama_video.model.inputs import RegionInputs, TurnInputs, VideoInputs, pad_questions
from sama_video.model.weight_files import give_usual_access


@dataclass
class SamaOutput(CausalLMOutputWithPast):
    """A language model's output, with the states that `[SEG]` prompts are made from.

    Attributes:
        last_hidden_state: After the final norm, [batch tokens dim].
    """

    last_hidden_state: Tensor | None = None


class SamaPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation, as for any `transformers` model."""

    config_class = SamaConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["video", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _no_split_modules = [
        "Qwen2DecoderLayer",
        "LlamaDecoderLayer",
        "InternVLVisionLayer",
        "Blip2QFormerLayer",
        "Sam2MultiScaleBlock",
        "Sam2VideoMemoryAttentionLayer",
    ]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        init_aggregator(module, self.config.initializer_range)

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **settings: Any) -> None:
        """As for any `transformers` model; the weights may be read by whoever may read new files here."""
        super().save_pretrained(save_directory, *args, **settings)
        for file in Path(save_directory).glob("*.safetensors"):
            give_usual_access(file)


class SamaModel(SamaPreTrainedModel):
    """Everything but the language head: pictures and tokens to hidden states, and the parts that make masks."""

    def __init__(self, config: SamaConfig) -> None:
        super().__init__(config)
        self.vision_tower = InternVLVisionModel(config.vision_config)
        self.multi_modal_projector = InternVLMultiModalProjector(config)  # type: ignore[arg-type]  # needs only these fields of a config
        self.language_model = AutoModel.from_config(config.text_config)
        dim = config.text_config.hidden_size
        if config.has_aggregator:
            self.aggregator = SpatioTemporalAggregator(config.aggregator_config, dim)
            self.region_encoder = RegionEncoder(config)
        self.grounding_head = GroundingHead(dim, config.segmenter_config.mask_decoder_config.hidden_size)
        self.segmenter = AutoModel.from_config(config.segmenter_config)
        if config.has_original_mask_decoder:
            self.original_mask_decoder = Sam2VideoMaskDecoder(config.segmenter_config.mask_decoder_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's token table."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's token table."""
        self.language_model.set_input_embeddings(value)

    def encode_frames(self, pixel_values: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames tokens dim"]:
        """Tokens of each frame: tower, pixel shuffle, projector (spec model 2.1)."""
        pixel_values = pixel_values.to(self.vision_tower.dtype)
        patches = self.vision_tower(pixel_values=pixel_values).last_hidden_state[:, 1:]
        return self.multi_modal_projector(shuffle_pixels(patches, round(1 / self.config.downsample_ratio)))

    def turn_embeddings(
        self,
        features: Float[Tensor, "frames tokens dim"],
        spatial: Float[Tensor, "context queries width"] | None,
        context_positions: Sequence[int],
        turns: Sequence[TurnInputs],
        *,
        regionless_bias: float = 0.0,
    ) -> list[Float[Tensor, "placeholders dim"]]:
        """What stands in place of each turn's `<IMG_CONTEXT>` tokens, in order (spec model 5).

        Args:
            features: Every encoded frame of the dialogue.
            spatial: The aggregator's reading of the context frames; `None` without aggregator.
            context_positions: Which of `features` are context frames.
            regionless_bias: Factor of the constant added to the question when no turn has regions: the published
                inference takes 1, its training 1e-6 (spec model 6.5).
        """
        regions = [self._region_features(features, turn.regions) for turn in turns]
        context = self._context_tokens(features, spatial, context_positions, turns, regions, regionless_bias)
        embeddings = []
        for turn, own_context, (pooled, shapes) in zip(turns, context, regions, strict=True):
            parts = [features[position] for position in turn.dense_positions]
            parts.append(own_context)
            if len(pooled):
                parts.append(self.region_encoder.tokens(pooled, shapes).flatten(0, 1))  # (regions 2) dim
            embeddings.append(torch.cat(parts))
        return embeddings

    def video_embeddings(
        self, video: VideoInputs, *, regionless_bias: float = 0.0
    ) -> Float[Tensor, "placeholders dim"]:
        """What stands in place of a whole dialogue's `<IMG_CONTEXT>` tokens, its frames encoded afresh."""
        video = video.to(self.multi_modal_projector.linear_1.weight.device)
        features = self.encode_frames(video.pixel_values)
        spatial = None
        if self.config.has_aggregator:
            spatial = self.aggregator.spatial_states(features[list(video.context_positions)])
        return torch.cat(
            self.turn_embeddings(
                features, spatial, video.context_positions, video.turns, regionless_bias=regionless_bias
            )
        )

    def embed_tokens(
        self, input_ids: Int[Tensor, "batch tokens"], placeholders: Float[Tensor, "placeholders dim"] | None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Token embeddings with every `<IMG_CONTEXT>` replaced, row after row.

        Raises:
            ValueError: The text has more or fewer placeholders than there are features.
        """
        embeds = self.get_input_embeddings()(input_ids)
        slots = input_ids == self.config.image_token_id
        if placeholders is None:
            placeholders = embeds.new_zeros(0, embeds.shape[-1])
        return fill_slots(embeds, slots, placeholders.to(embeds.device))

    def forward(
        self,
        input_ids: Int[Tensor, "batch tokens"] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "batch tokens"] | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Float[Tensor, "batch tokens dim"] | None = None,
        videos: Sequence[VideoInputs] | None = None,
        placeholders: Float[Tensor, "placeholders dim"] | None = None,
        regionless_bias: float = 0.0,
        **kwargs: Any,
    ) -> Any:
        """Hidden states of the decoder over text and pictures.

        Args:
            videos: One per row of `input_ids`; their frames are encoded here.
            placeholders: Instead of `videos`, the features themselves, for all rows in order.
        """
        if inputs_embeds is None:
            assert input_ids is not None, "give input_ids or inputs_embeds"
            if videos is not None:
                encoded = [self.video_embeddings(video, regionless_bias=regionless_bias) for video in videos]
                placeholders = torch.cat(encoded)
            inputs_embeds = self.embed_tokens(input_ids, placeholders)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )

    def _region_features(
        self, features: Float[Tensor, "frames tokens dim"], regions: RegionInputs | None
    ) -> tuple[Float[Tensor, "regions dim"], Float[Tensor, "regions pixels"]]:
        if regions is None or len(regions) == 0:
            return features.new_zeros(0, features.shape[-1]), features.new_zeros(0, self.config.region_mask_side**2)
        pooled = pool_regions(features[regions.frame_positions], regions.token_weights)
        return pooled, regions.shapes.to(features.dtype)

    def _context_tokens(
        self,
        features: Float[Tensor, "frames tokens dim"],
        spatial: Float[Tensor, "context queries width"] | None,
        context_positions: Sequence[int],
        turns: Sequence[TurnInputs],
        regions: Sequence[tuple[Tensor, Tensor]],
        regionless_bias: float,
    ) -> Float[Tensor, "turns context dim"]:
        if spatial is None:
            return features.new_zeros(len(turns), 0, features.shape[-1])
        ids, mask = pad_questions(turns)
        pooled = torch.cat([pooled for pooled, _ in regions])
        slots: dict[str, Tensor] = {}
        if len(pooled):
            shapes = torch.cat([shapes for _, shapes in regions])
            slots["pooled_slots"], slots["shape_slots"] = self.region_encoder.slots(pooled, shapes)
        elif regionless_bias:
            slots["embedding_bias"] = regionless_bias * self.region_encoder.regionless_bias()
        return self.aggregator(features[list(context_positions)], spatial, ids, mask, **slots)


class SamaForConditionalGeneration(SamaPreTrainedModel, GenerationMixin):
    """A SAMA model that answers: `generate` as for any `transformers` model, masks through its `model.segmenter`.

    For a conversation about a clip use `sama_video.load(...).chat(...)`, which keeps caches between turns.
    """

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: SamaConfig) -> None:
        super().__init__(config)
        self.model = SamaModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's token table."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's token table."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The language head."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the language head."""
        self.lm_head = value

    def forward(
        self,
        input_ids: Int[Tensor, "batch tokens"] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Int[Tensor, "batch tokens"] | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Float[Tensor, "batch tokens dim"] | None = None,
        videos: Sequence[VideoInputs] | None = None,
        placeholders: Float[Tensor, "placeholders dim"] | None = None,
        regionless_bias: float = 0.0,
        labels: Int[Tensor, "batch tokens"] | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> SamaOutput:
        """Logits, the final hidden states, and the text loss when `labels` are given (-100 is ignored).

        Args:
            videos: One per row; needed whenever the text holds `<IMG_CONTEXT>` tokens, unless `placeholders` are given.
            placeholders: Ready features for those tokens, all rows in order.
            logits_to_keep: How many of the last positions to compute logits for; 0 for all.
        """
        kwargs.pop("return_dict", None)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            videos=videos,
            placeholders=placeholders,
            regionless_bias=regionless_bias,
            **kwargs,
        )
        states = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(states[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size)
        return SamaOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            last_hidden_state=states,
        )

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The next step's inputs; pictures go in with the first step only."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[misc]
        if not kwargs.get("is_first_iteration", False):
            inputs.pop("videos", None)
            inputs.pop("placeholders", None)
        return inputs


def shuffle_pixels(
    patches: Float[Tensor, "frames patches dim"], factor: int
) -> Float[Tensor, "frames tokens shuffled"]:
    """Fold each factor x factor square of patches into one token, columns before rows (InternVL, version 2)."""
    frames, count, dim = patches.shape
    side = round(count**0.5)
    grid = patches.view(frames, side // factor, factor, side // factor, factor, dim)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(frames, (side // factor) ** 2, factor * factor * dim)
