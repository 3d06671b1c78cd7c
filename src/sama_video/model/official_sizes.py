"""Sizes that the official layout fixes in code, read from the shapes of its weights.

What shapes cannot tell (heads, windows, picture sizes) is the published value, unless a `tiny_sizes.json` beside the
configuration says otherwise.
"""

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from transformers import Sam2VideoConfig

from sama_video.dialogue.markup import POOLED_SLOT, SHAPE_SLOT
from sama_video.errors import CheckpointError
from sama_video.model.configuration_sama import SamaAggregatorConfig, SamaConfig
from sama_video.model.key_patterns import SAM2_PREFIX
from sama_video.model.presets import hiera_large, segmenter_config
from sama_video.model.weight_files import TensorSpec

SIZES_NAME = "tiny_sizes.json"


def read_aggregator(
    specs: Mapping[str, TensorSpec], sizes: Mapping[str, Any], tokens: Mapping[str, int]
) -> SamaAggregatorConfig:
    """The aggregator of an official checkpoint.

    Args:
        sizes: The `aggregator` part of `tiny_sizes.json`; empty for the published sizes.
        tokens: Added tokens of the Q-Former's tokenizer; empty where none is stored.

    Raises:
        CheckpointError: Shapes and `sizes` do not settle it.
    """
    spatial, temporal = "spatial_Qformer.bert.encoder.layer.", "temporal_Qformer.bert.encoder.layer."
    hidden = _shape(specs, "spatial_Qformer_query_tokens")[2]
    published = SamaAggregatorConfig()
    if not sizes and hidden != published.hidden_size:
        raise CheckpointError(
            f"the Q-Formers are {hidden} wide, not {published.hidden_size} as published, and shapes do not tell their "
            f"heads and windows; put these into {SIZES_NAME} beside config.json."
        )
    vocab = _shape(specs, "temporal_Qformer.bert.embeddings.word_embeddings.weight")[0]
    window = sizes.get("window_size", published.window_size)
    if sizes.get("window_stride", window) != window:
        raise CheckpointError(
            f"{SIZES_NAME} has window_stride {sizes['window_stride']}; it must equal window_size {window}."
        )
    return SamaAggregatorConfig(
        hidden_size=hidden,
        num_attention_heads=sizes.get("bert_num_attention_heads", published.num_attention_heads),
        intermediate_size=_shape(specs, spatial + "0.intermediate_query.dense.weight")[0],
        encoder_width=_shape(specs, "spatial_Qformer_ln.weight")[0],
        spatial_layers=len(_indices(specs, spatial)),
        spatial_cross_attention_every=_every(
            _indices(specs, spatial, "crossattention."), len(_indices(specs, spatial))
        ),
        num_spatial_queries=_shape(specs, "spatial_Qformer_query_tokens")[1],
        temporal_layers=len(_indices(specs, temporal)),
        num_temporal_queries=_shape(specs, "temporal_Qformer_query_tokens")[1],
        vocab_size=vocab,
        max_position_embeddings=_shape(specs, "temporal_Qformer.bert.embeddings.position_embeddings.weight")[0],
        text_max_length=sizes.get("text_max_length", published.text_max_length),
        window_size=window,
        layer_norm_eps=sizes.get("layer_norm_eps", published.layer_norm_eps),
        mask_slot_id=tokens.get(POOLED_SLOT, vocab - 7),
        position_slot_id=tokens.get(SHAPE_SLOT, vocab - 6),
    )


def read_region_sizes(specs: Mapping[str, TensorSpec]) -> dict[str, int]:
    """Mask side and hidden width of the region encoder's shape MLPs, as fields of `SamaConfig`."""
    hidden, pixels = _shape(specs, "Qformer_mask_proj.layers.0.weight")
    return {"region_mask_side": isqrt(pixels), "region_mlp_hidden": hidden}


def read_segmenter(specs: Mapping[str, TensorSpec], sizes: Mapping[str, Any] | None) -> Sam2VideoConfig:
    """SAM 2 of an official checkpoint.

    Args:
        sizes: The `sam2` part of `tiny_sizes.json`; `None` for hiera-large, as published.

    Raises:
        CheckpointError: Shapes and `sizes` do not settle it.
    """
    blocks = SAM2_PREFIX + "image_encoder.trunk.blocks."
    published = hiera_large()
    hiera = _hiera(published)
    embed = _shape(specs, SAM2_PREFIX + "image_encoder.trunk.patch_embed.proj.weight")[0]
    widths = [_shape(specs, f"{blocks}{i}.norm2.weight")[0] for i in _indices(specs, blocks)]
    stages = [widths.count(width) for width in sorted(set(widths))]
    if sizes is None and (embed, stages) != (hiera.hidden_size, list(hiera.blocks_per_stage)):
        raise CheckpointError(
            f"SAM 2's image encoder is {embed} wide with stages {stages}, not hiera-large as published, and shapes do "
            f"not tell its heads and windows; put these into {SIZES_NAME} beside config.json."
        )
    sizes = sizes or _sam2_sizes(published)
    heads = sizes["hiera"]["num_heads"]
    neck, memory = SAM2_PREFIX + "image_encoder.neck.convs.", SAM2_PREFIX + "memory_attention.layers."
    convs = [_shape(specs, f"{neck}{i}.conv.weight") for i in _indices(specs, neck)]
    decoder = SAM2_PREFIX + "sam_mask_decoder."
    return segmenter_config(
        side=sizes["image_size"],
        dim=convs[0][0],
        channels=[conv[1] for conv in convs],
        hiera={
            "hidden_size": embed,
            "num_attention_heads": heads,
            "blocks_per_stage": stages,
            "embed_dim_per_stage": sorted(set(widths)),
            "num_attention_heads_per_stage": [heads * 2**i for i in range(len(stages))],
            "window_size_per_stage": list(sizes["hiera"]["window_spec"]),
            "global_attention_blocks": list(sizes["hiera"]["global_att_blocks"]),
            "window_positional_embedding_background_size": list(
                _shape(specs, SAM2_PREFIX + "image_encoder.trunk.pos_embed")[2:]
            ),
        },
        decoder={
            "mlp_dim": _shape(specs, decoder + "transformer.layers.0.mlp.layers.0.weight")[0],
            "num_hidden_layers": len(_indices(specs, decoder + "transformer.layers.")),
            "num_attention_heads": sizes["decoder_heads"],
            "iou_head_hidden_dim": _shape(specs, decoder + "iou_prediction_head.layers.0.weight")[0],
        },
        memory={
            "num_maskmem": _shape(specs, SAM2_PREFIX + "maskmem_tpos_enc")[0],
            "max_object_pointers_in_encoder": sizes["max_obj_ptrs"],
            "memory_attention_num_layers": len(_indices(specs, memory)),
            "memory_attention_feed_forward_hidden_size": _shape(specs, memory + "0.linear1.weight")[0],
            "memory_fuser_num_layers": len(_indices(specs, SAM2_PREFIX + "memory_encoder.fuser.layers.")),
            "memory_fuser_intermediate_dim": _shape(
                specs, SAM2_PREFIX + "memory_encoder.fuser.layers.0.pwconv1.weight"
            )[0],
            "sigmoid_scale_for_mem_enc": sizes["sigmoid_scale_for_mem_enc"],
            "sigmoid_bias_for_mem_enc": sizes["sigmoid_bias_for_mem_enc"],
            "enable_occlusion_spatial_embedding": SAM2_PREFIX + "no_obj_embed_spatial" in specs,
            "enable_temporal_pos_encoding_for_object_pointers": SAM2_PREFIX + "obj_ptr_tpos_proj.weight" in specs,
        },
    )


def _sam2_sizes(config: Sam2VideoConfig) -> dict[str, Any]:
    decoder: Any = config.mask_decoder_config
    hiera = _hiera(config)
    return {
        "image_size": config.image_size,
        "hiera": {
            "num_heads": hiera.num_attention_heads_per_stage[0],
            "window_spec": list(hiera.window_size_per_stage),
            "global_att_blocks": list(hiera.global_attention_blocks),
        },
        "decoder_heads": decoder.num_attention_heads,
        "max_obj_ptrs": config.max_object_pointers_in_encoder,
        "sigmoid_scale_for_mem_enc": config.sigmoid_scale_for_mem_enc,
        "sigmoid_bias_for_mem_enc": config.sigmoid_bias_for_mem_enc,
    }


def _hiera(config: Sam2VideoConfig) -> Any:
    vision: Any = config.vision_config
    return vision.backbone_config


def _aggregator_sizes(config: SamaAggregatorConfig) -> dict[str, Any]:
    return {
        "bert_num_attention_heads": config.num_attention_heads,
        "window_size": config.window_size,
        "text_max_length": config.text_max_length,
        "layer_norm_eps": config.layer_norm_eps,
    }


def unpublished_sizes(config: SamaConfig) -> dict[str, Any]:
    """What `tiny_sizes.json` has to say of a model; empty where all of it is as published."""
    given = {"sam2": _sam2_sizes(config.segmenter_config)}
    published = {"sam2": _sam2_sizes(hiera_large())}
    if config.aggregator_config is not None:
        given["aggregator"] = _aggregator_sizes(config.aggregator_config)
        published["aggregator"] = _aggregator_sizes(SamaAggregatorConfig())
    return {} if given == published else given


def _shape(specs: Mapping[str, TensorSpec], name: str) -> tuple[int, ...]:
    if name not in specs:
        raise CheckpointError(f"the checkpoint lacks {name}, without which its sizes are unknown; fetch it again.")
    return specs[name].shape


def _indices(specs: Mapping[str, TensorSpec], prefix: str, suffix: str = "") -> list[int]:
    numbered = re.compile(re.escape(prefix) + r"(\d+)\." + re.escape(suffix))
    return sorted({int(found[1]) for name in specs if (found := numbered.match(name))})


def _every(layers: list[int], num_layers: int) -> int:
    return layers[1] if len(layers) > 1 else num_layers
