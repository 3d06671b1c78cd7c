"""Named model sizes: the published scales, the bundled nano, and a tiny one for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import EdgeTamVideoConfig, LlamaConfig, Qwen2Config, Sam2VideoConfig
from transformers.models.internvl.configuration_internvl import InternVLVisionConfig
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig

from sama_video.dialogue.markup import IMAGE_CONTEXT, PHRASE_END, PHRASE_START, POOLED_SLOT, SEG, SHAPE_SLOT
from sama_video.errors import ConfigError
from sama_video.model.configuration_sama import SamaAggregatorConfig, SamaConfig
from sama_video.model.nano_tokenizers import NANO_TOKENS

BUNDLED_NANO = Path(__file__).parent / "weights" / "nano"


def preset_names() -> tuple[str, ...]:
    """Models there are weights for; `tiny`, for tests, is not among them."""
    return tuple(name for name in _PRESETS if name != "tiny")


def preset_config(name: str) -> SamaConfig:
    """The configuration of a named size.

    Raises:
        ConfigError: No preset has this name.
    """
    if name not in _PRESETS:
        raise ConfigError(f"{name!r} is no preset; the presets are {', '.join(preset_names())}.")
    return _PRESETS[name]()


def segmenter_config(
    *,
    side: int,
    hiera: dict[str, Any],
    dim: int,
    channels: list[int],
    decoder: dict[str, Any],
    memory: dict[str, Any],
    sam21: bool = False,
) -> Sam2VideoConfig:
    """SAM 2 with video memory; `sam21` adds what SAM 2.1 has over 2.0 (spec model 2.3, 12.3)."""
    low = side // 16
    shared = {
        "image_size": side,
        "enable_occlusion_spatial_embedding": sam21,
        "enable_temporal_pos_encoding_for_object_pointers": sam21,
        "max_cond_frame_num": -1,
        "memory_attention_hidden_size": dim,
        "memory_encoder_hidden_size": dim,
        "memory_encoder_output_channels": 64,
        "memory_attention_rope_feat_sizes": [low, low],
        "mask_downsampler_embed_dim": dim,
        "memory_fuser_embed_dim": dim,
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": {"model_type": "sam2_hiera_det_model", "image_size": [side, side], **hiera},
        "backbone_channel_list": channels,
        "backbone_feature_sizes": [[low * 4, low * 4], [low * 2, low * 2], [low, low]],
        "fpn_hidden_size": dim,
    }
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": dim, "image_size": side, "patch_size": 16},
        mask_decoder_config=Sam2VideoMaskDecoderConfig(hidden_size=dim, **decoder),
        **{**shared, **memory},
    )


def hiera_large() -> Sam2VideoConfig:
    """SAM 2.0 hiera-large, as published SAMA checkpoints hold it (spec model 2.3)."""
    return segmenter_config(
        side=1024,
        dim=256,
        channels=[1152, 576, 288, 144],
        hiera={
            "hidden_size": 144,
            "num_attention_heads": 2,
            "blocks_per_stage": [2, 6, 36, 4],
            "embed_dim_per_stage": [144, 288, 576, 1152],
            "num_attention_heads_per_stage": [2, 4, 8, 16],
            "window_size_per_stage": [8, 4, 16, 8],
            "global_attention_blocks": [23, 33, 43],
            "window_positional_embedding_background_size": [7, 7],
        },
        decoder={},
        memory={},
    )


def edgetam() -> EdgeTamVideoConfig:
    """EdgeTAM in place of SAM 2, for small devices; random unless its own weights are loaded."""
    return EdgeTamVideoConfig()


def _vision(**sizes: Any) -> InternVLVisionConfig:
    return InternVLVisionConfig(
        attention_bias=True, use_qk_norm=False, norm_type="layer_norm", use_mean_pooling=True, **sizes
    )


def _published(text: Any, **fields: Any) -> SamaConfig:
    return SamaConfig(
        vision_config=_vision(),
        text_config=text,
        segmenter_config=hiera_large(),
        aggregator_config=SamaAggregatorConfig(),
        **fields,
    )


def _qwen(hidden: int, layers: int, heads: int, mlp: int) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=151679,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        intermediate_size=mlp,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        max_position_embeddings=32768,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=151645,
        pad_token_id=151643,
    )


def _sama_1b() -> SamaConfig:
    return _published(_qwen(896, 24, 14, 4864), preset="sama-1b", template="qwen_chat")


def _sama_4b() -> SamaConfig:
    return _published(_qwen(2048, 36, 16, 11008), preset="sama-4b", template="phi3_chat")


def _sama_8b() -> SamaConfig:
    text = LlamaConfig(
        vocab_size=92558,
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=14336,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        max_position_embeddings=32768,
        attention_bias=False,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    ids = {"image_token_id": 92546, "seg_token_id": 92553, "phrase_open_token_id": 92554}
    return _published(text, preset="sama-8b", template="internlm2_chat", phrase_close_token_id=92555, **ids)


def _nano() -> SamaConfig:
    side = 128
    return SamaConfig(
        preset="nano",
        vision_config=_vision(
            image_size=(128, 128),
            patch_size=(8, 8),
            hidden_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=512,
            layer_scale_init_value=1.0,
        ),
        text_config=_nano_text(hidden_size=256, num_hidden_layers=6, intermediate_size=768),
        segmenter_config=segmenter_config(
            side=side,
            dim=128,
            channels=[384, 192, 96, 48],
            hiera={
                "hidden_size": 48,
                "num_attention_heads": 1,
                "blocks_per_stage": [1, 2, 3, 1],
                "embed_dim_per_stage": [48, 96, 192, 384],
                "num_attention_heads_per_stage": [1, 2, 4, 8],
                "window_size_per_stage": [8, 4, 8, 4],
                "global_attention_blocks": [4, 5],
                "window_positional_embedding_background_size": [4, 4],
            },
            decoder={"mlp_dim": 256, "num_attention_heads": 4, "iou_head_hidden_dim": 128},
            memory={
                "memory_attention_num_layers": 2,
                "memory_attention_feed_forward_hidden_size": 256,
                "memory_attention_dropout": 0.0,
                "memory_attention_rope_dropout": 0.0,
                "memory_fuser_intermediate_dim": 256,
            },
        ),
        aggregator_config=_nano_aggregator(
            hidden_size=128, num_attention_heads=4, intermediate_size=256, encoder_width=128, num_queries=8
        ),
        region_mask_side=28,
        region_mlp_hidden=256,
        **_NANO_HABITS,
    )


def _tiny() -> SamaConfig:
    """The nano in every respect but size, with random weights: for tests."""
    return SamaConfig(
        preset="tiny",
        vision_config=_vision(
            image_size=(56, 56),
            patch_size=(14, 14),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            layer_scale_init_value=1.0,
        ),
        text_config=_nano_text(hidden_size=64, num_hidden_layers=2, intermediate_size=128),
        segmenter_config=segmenter_config(
            side=64,
            dim=64,
            channels=[64, 32, 16, 8],
            hiera={
                "hidden_size": 8,
                "num_attention_heads": 1,
                "blocks_per_stage": [1, 2, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 2, 4, 8],
                "window_size_per_stage": [4, 4, 4, 2],
                "global_attention_blocks": [4],
                "window_positional_embedding_background_size": [4, 4],
            },
            decoder={"mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 32},
            memory={
                "memory_attention_num_layers": 1,
                "memory_attention_feed_forward_hidden_size": 64,
                "memory_attention_dropout": 0.0,
                "memory_attention_rope_dropout": 0.0,
                "memory_fuser_intermediate_dim": 32,
                "memory_fuser_num_layers": 1,
            },
        ),
        aggregator_config=_nano_aggregator(
            hidden_size=32, num_attention_heads=2, intermediate_size=64, encoder_width=32, num_queries=4
        ),
        region_mlp_hidden=32,
        region_mask_side=14,
        **_NANO_HABITS,
    )


def _nano_text(**sizes: Any) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=NANO_TOKENS.rows,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=NANO_TOKENS.end_id,
        pad_token_id=NANO_TOKENS.pad_id,
        **sizes,
    )


def _nano_aggregator(*, num_queries: int, **sizes: Any) -> SamaAggregatorConfig:
    return SamaAggregatorConfig(
        spatial_layers=2,
        spatial_cross_attention_every=1,
        num_spatial_queries=num_queries,
        temporal_layers=1,
        num_temporal_queries=num_queries,
        vocab_size=NANO_TOKENS.question_rows,
        max_position_embeddings=64,
        text_max_length=64,
        window_size=128,
        dropout=0.0,
        mask_slot_id=NANO_TOKENS.question_ids[POOLED_SLOT],
        position_slot_id=NANO_TOKENS.question_ids[SHAPE_SLOT],
        **sizes,
    )


_NANO_HABITS: dict[str, Any] = {
    "image_token_id": NANO_TOKENS.ids[IMAGE_CONTEXT],
    "seg_token_id": NANO_TOKENS.ids[SEG],
    "phrase_open_token_id": NANO_TOKENS.ids[PHRASE_START],
    "phrase_close_token_id": NANO_TOKENS.ids[PHRASE_END],
    "tie_word_embeddings": True,
    "region_shape": "mask",
    "region_pooling": "area",
    "segmentation_request": "Segment {expression}.",
    "frame_times": True,
    "newline_after_context": True,
    "rounded_segmenter_pixels": False,
    "frame_interval": 1,
    "min_frames": 1,
    "max_frames": 8,
    "dense_frames": 5,
    "dense_placement": "ends",
}


_PRESETS: dict[str, Callable[[], SamaConfig]] = {
    "nano": _nano,
    "tiny": _tiny,
    "sama-1b": _sama_1b,
    "sama-4b": _sama_4b,
    "sama-8b": _sama_8b,
}
