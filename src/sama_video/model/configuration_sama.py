"""What a SAMA model is made of: sizes and the few switches that published checkpoints differ in."""

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.blip_2.configuration_blip_2 import Blip2QFormerConfig
from transformers.models.internvl.configuration_internvl import InternVLVisionConfig
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig

from sama_video.dialogue.markup import SEGMENTATION_REQUEST
from sama_video.errors import ConfigError

REGION_SHAPES = ("box", "mask")
REGION_POOLINGS = ("nearest", "area")
DENSE_PLACEMENTS = ("spans", "ends")
TEXT_MODELS = ("qwen2", "llama")
SEGMENTERS = ("sam2_video", "edgetam_video")


class SamaAggregatorConfig(PreTrainedConfig):
    """Sizes of the spatio-temporal context aggregator (SAMA section 3; spec model 6).

    Args:
        hidden_size: Width of both Q-Formers.
        encoder_width: Width of the frame tokens the spatial Q-Former attends to.
        spatial_cross_attention_every: Layers 0, k, 2k, ... of the spatial Q-Former attend to the frame.
        vocab_size: Rows of the question's word table, added tokens included.
        window_size: Spatial queries per temporal window; a frame gives `num_spatial_queries` of them.
        mask_slot_id: Token whose embedding a region's pooled feature replaces.
        position_slot_id: Token whose embedding a region's shape feature replaces.
    """

    # The test run's type checker would refuse the extra keys that transformers passes to every configuration.
    __no_type_check__: ClassVar[bool] = True

    model_type = "sama_aggregator"
    base_config_key = "aggregator_config"

    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    encoder_width: int = 1408
    spatial_layers: int = 12
    spatial_cross_attention_every: int = 2
    num_spatial_queries: int = 32
    temporal_layers: int = 2
    num_temporal_queries: int = 32
    vocab_size: int = 30530
    max_position_embeddings: int = 512
    text_max_length: int = 256
    window_size: int = 512
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1
    initializer_range: float = 0.02
    mask_slot_id: int = 30523
    position_slot_id: int = 30524

    def spatial_config(self) -> Blip2QFormerConfig:
        """The per-frame Q-Former: queries only, no text branch."""
        return self._qformer_config(self.spatial_layers, self.spatial_cross_attention_every, self.encoder_width, False)

    def temporal_config(self) -> Blip2QFormerConfig:
        """The window Q-Former: queries and question text, cross-attention in every layer."""
        return self._qformer_config(self.temporal_layers, 1, self.hidden_size, True)

    def _qformer_config(self, layers: int, every: int, encoder_width: int, with_text: bool) -> Blip2QFormerConfig:
        config = Blip2QFormerConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=self.intermediate_size,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            max_position_embeddings=self.max_position_embeddings,
            initializer_range=self.initializer_range,
            layer_norm_eps=self.layer_norm_eps,
            cross_attention_frequency=every,
            encoder_hidden_size=encoder_width,
            use_qformer_text_input=with_text,
        )
        config._attn_implementation = self._attn_implementation
        return config


class SamaConfig(PreTrainedConfig):
    """A whole SAMA model: InternVL tower and decoder, aggregator, grounding head, SAM 2 with memory.

    Args:
        vision_config: `InternVLVisionConfig` or its dict.
        text_config: A `Qwen2Config` or `LlamaConfig`, or its dict with `model_type`.
        segmenter_config: A `Sam2VideoConfig` or `EdgeTamVideoConfig`, or its dict with `model_type`.
        aggregator_config: `None` for a checkpoint without aggregator (Sa2VA): no context tokens, no region prompts.
        template: Name of the chat template, a key of `dialogue.markup.TEMPLATES`.
        region_shape: What a region looks like to the model: its filled `box`, or its `mask` outline (spec model 4.4).
        region_pooling: How a region is laid on the token grid: `nearest` sampling as published, or `area` shares.
        region_mask_side: Side of the square mask from which a region's shape token is made.
        region_mlp_hidden: Hidden width of the two shape MLPs.
        segmentation_request: How a mask is asked for by a referring expression, which stands at `{expression}`.
        frame_times: Whether each dense frame block is preceded by its time as text.
        newline_after_context: Whether a newline stands between context tokens and a question with regions.
        has_original_mask_decoder: Whether a second, untouched SAM 2 mask decoder travels along for propagation.
        rounded_segmenter_pixels: Whether SAM pixels are normalised with mean and deviation rounded to bfloat16,
            as the published model does (spec model 4.2).
        frame_interval, min_frames, max_frames, dense_frames: How frames are chosen (spec model 4.1).
        dense_placement: Dense frames at the middles of even `spans` of the sparse ones, or from their first to their
            last (`ends`).
    """

    __no_type_check__: ClassVar[bool] = True

    model_type = "sama"
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": InternVLVisionConfig,
        "text_config": AutoConfig,
        "segmenter_config": AutoConfig,
        "aggregator_config": SamaAggregatorConfig,
    }
    base_model_tp_plan: ClassVar[dict[str, Any]] = {}

    vision_config: Any = None
    text_config: Any = None
    segmenter_config: Any = None
    aggregator_config: Any = None

    preset: str | None = None
    image_token_id: int = 151667
    seg_token_id: int = 151674
    phrase_open_token_id: int = 151675
    phrase_close_token_id: int = 151676
    template: str = "qwen_chat"
    downsample_ratio: float = 0.5
    projector_hidden_act: str = "gelu"
    region_shape: str = "box"
    region_pooling: str = "nearest"
    region_mask_side: int = 112
    region_mlp_hidden: int = 1024
    segmentation_request: str = SEGMENTATION_REQUEST
    frame_times: bool = False
    newline_after_context: bool = False
    has_original_mask_decoder: bool = False
    rounded_segmenter_pixels: bool = True
    frame_interval: int = 3
    min_frames: int = 8
    max_frames: int = 32
    dense_frames: int = 5
    dense_placement: str = "spans"
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        self.vision_config = _resolve(self.vision_config, "vision_config", ("internvl_vision",))
        self.text_config = _resolve(self.text_config, "text_config", TEXT_MODELS)
        self.segmenter_config = _resolve(self.segmenter_config, "segmenter_config", SEGMENTERS)
        if isinstance(self.aggregator_config, dict):
            self.aggregator_config = SamaAggregatorConfig(**self.aggregator_config)
        for name, allowed in (
            ("region_shape", REGION_SHAPES),
            ("region_pooling", REGION_POOLINGS),
            ("dense_placement", DENSE_PLACEMENTS),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is one of {', '.join(allowed)}.")
        super().__post_init__(**kwargs)

    @property
    def has_aggregator(self) -> bool:
        """Whether context tokens and region prompts exist."""
        return self.aggregator_config is not None

    @property
    def tokens_per_side(self) -> int:
        """Side of the square token grid of one dense frame."""
        return int(self.vision_config.image_size[0] // self.vision_config.patch_size[0] * self.downsample_ratio)

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of one dense frame."""
        return self.tokens_per_side**2

    @property
    def image_side(self) -> int:
        """Side in pixels of the frames the vision tower sees."""
        return int(self.vision_config.image_size[0])

    @property
    def segmenter_side(self) -> int:
        """Side in pixels of the frames SAM 2 sees."""
        size = self.segmenter_config.image_size
        return int(size if isinstance(size, int) else size[0])


def _resolve(given: Any, name: str, allowed: tuple[str, ...]) -> PreTrainedConfig:
    if given is None:
        given = {"model_type": allowed[0]}
    if isinstance(given, dict):
        fields = dict(given)
        kind = fields.pop("model_type", allowed[0])
        if kind not in allowed:
            raise ConfigError(f"{name} has model_type {kind!r}; this model takes {' or '.join(allowed)}.")
        decoder = fields.get("mask_decoder_config")
        if kind == "sam2_video" and isinstance(decoder, dict):
            # transformers 5.17 makes a prompt encoder's configuration of this dict.
            fields["mask_decoder_config"] = Sam2VideoMaskDecoderConfig(
                **{key: value for key, value in decoder.items() if key != "model_type"}
            )
        return AutoConfig.for_model(kind, **fields)
    if getattr(given, "model_type", None) not in allowed:
        raise ConfigError(f"{name} is a {type(given).__name__}; this model takes {' or '.join(allowed)}.")
    return given
