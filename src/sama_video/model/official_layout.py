"""The published configuration turned into ours, and back.

The official `config.json` describes the tower and the decoder; other sizes come from `official_sizes`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, Qwen2Config
from transformers.models.internvl.configuration_internvl import InternVLVisionConfig

from sama_video.dialogue.markup import IMAGE_CONTEXT, PHRASE_END, PHRASE_START, SEG, TEMPLATES
from sama_video.errors import CheckpointError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.official_sizes import (
    SIZES_NAME,
    read_aggregator,
    read_region_sizes,
    read_segmenter,
    unpublished_sizes,
)
from sama_video.model.official_tokenizers import QUESTION_FOLDER, checked_token_ids, special_token_ids
from sama_video.model.weight_files import TensorSpec

REGION_GROUPS = ("aggregator", "region_encoder")

_TEXT_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "rms_norm_eps",
    "max_position_embeddings",
    "bos_token_id",
    "eos_token_id",
    "tie_word_embeddings",
)
_VISION_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "layer_norm_eps",
    "norm_type",
    "hidden_act",
)
_FIXED = {"downsample_ratio": 0.5, "ps_version": "v2", "select_layer": -1}


def read_official_config(source: Path, specs: Mapping[str, TensorSpec]) -> SamaConfig:
    """Our configuration of an official checkpoint.

    Args:
        source: Folder with `config.json` and the tokenizer, perhaps a `tiny_sizes.json`.
        specs: The checkpoint's tensors.

    Raises:
        CheckpointError: The folder is no official checkpoint, or one of a kind that this model does not compute.
    """
    try:
        return _read_official_config(source, specs)
    except KeyError as error:
        raise CheckpointError(f"config.json or {SIZES_NAME} in {source} lacks {error}; fetch it again.") from error


def _read_official_config(source: Path, specs: Mapping[str, TensorSpec]) -> SamaConfig:
    stored = _read_json(source / "config.json")
    if stored.get("model_type") != "sa2va_chat":
        raise CheckpointError(
            f"{source / 'config.json'} has model_type {stored.get('model_type')!r}; "
            "the official layout of SAMA and Sa2VA has 'sa2va_chat'."
        )
    for name, needed in _FIXED.items():
        if (given := stored.get(name)) != needed:
            raise CheckpointError(f"{source / 'config.json'} has {name} {given!r}; only {needed!r} can be converted.")
    if stored.get("template") not in TEMPLATES:
        raise CheckpointError(
            f"{source / 'config.json'} has the template {stored.get('template')!r}; known are {', '.join(TEMPLATES)}."
        )
    sizes = _read_json(source / SIZES_NAME) if (source / SIZES_NAME).is_file() else {}
    aggregator = None
    region: dict[str, Any] = {}
    if any(name.startswith(("spatial_Qformer", "temporal_Qformer", "Qformer_", "vlm2spatial")) for name in specs):
        aggregator = read_aggregator(specs, sizes.get("aggregator", {}), special_token_ids(source / QUESTION_FOLDER))
        region = read_region_sizes(specs)
    tokens = checked_token_ids(source, stored["llm_config"]["vocab_size"])
    return SamaConfig(
        vision_config=_vision_config(stored["vision_config"], source),
        text_config=_text_config(stored["llm_config"], source),
        segmenter_config=read_segmenter(specs, sizes.get("sam2")),
        aggregator_config=aggregator,
        template=stored["template"],
        image_token_id=tokens[IMAGE_CONTEXT],
        seg_token_id=tokens[SEG],
        phrase_open_token_id=tokens[PHRASE_START],
        phrase_close_token_id=tokens[PHRASE_END],
        tie_word_embeddings=bool(stored["llm_config"].get("tie_word_embeddings", False)),
        dtype=stored.get("torch_dtype"),
        **region,
    )


def write_official_config(config: SamaConfig, folder: Path) -> None:
    """Write `config.json` of the official layout, and `tiny_sizes.json` where sizes are not the published ones."""
    text, vision = config.text_config, config.vision_config
    stored = {
        "architectures": ["Sa2VAChatModel"],
        "model_type": "sa2va_chat",
        **_FIXED,
        "dynamic_image_size": True,
        "force_image_size": config.image_side,
        "hidden_size": text.hidden_size,
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "pad2square": False,
        "template": config.template,
        "tie_word_embeddings": False,
        "torch_dtype": str(config.dtype or "float32").removeprefix("torch."),
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": True,
        "llm_config": _official_text(text, bool(config.tie_word_embeddings)),
        "vision_config": {
            "architectures": ["InternVisionModel"],
            **{name: getattr(vision, name) for name in _VISION_FIELDS},
            "image_size": vision.image_size[0],
            "patch_size": vision.patch_size[0],
            "qkv_bias": vision.attention_bias,
            "qk_normalization": vision.use_qk_norm,
            "drop_path_rate": 0.0,
            "initializer_factor": 1.0,
            "use_flash_attn": False,
        },
    }
    _write_json(folder / "config.json", stored)
    if sizes := unpublished_sizes(config):
        _write_json(folder / SIZES_NAME, {"note": "sizes that the official layout fixes in code", **sizes})


def _vision_config(stored: Mapping[str, Any], source: Path) -> InternVLVisionConfig:
    side, patch = stored["image_size"], stored["patch_size"]
    if stored.get("architectures", ["InternVisionModel"]) != ["InternVisionModel"]:
        raise CheckpointError(
            f"{source} has the vision tower {stored['architectures']}; only InternVisionModel converts."
        )
    return InternVLVisionConfig(
        **{name: stored[name] for name in _VISION_FIELDS if name in stored},
        image_size=(side, side),
        patch_size=(patch, patch),
        attention_bias=stored["qkv_bias"],
        use_qk_norm=stored["qk_normalization"],
        use_mean_pooling=True,
    )


def _text_config(stored: Mapping[str, Any], source: Path) -> Qwen2Config | LlamaConfig:
    architecture = (stored.get("architectures") or ["unnamed"])[0]
    # Dynamic scaling leaves positions below max_position_embeddings alone, and the reference never goes further.
    scaling = (stored.get("rope_scaling") or {}).get("type", "dynamic")
    if scaling != "dynamic" or stored.get("use_sliding_window"):
        raise CheckpointError(f"{source} has rope scaling {scaling!r} or a sliding window, which does not convert.")
    fields = {name: stored[name] for name in _TEXT_FIELDS if name in stored}
    fields["rope_parameters"] = {"rope_type": "default", "rope_theta": float(stored["rope_theta"])}
    fields["pad_token_id"] = stored.get("pad_token_id", special_token_ids(source).get("<|endoftext|>"))
    if architecture == "Qwen2ForCausalLM":
        return Qwen2Config(**fields)
    if architecture == "InternLM2ForCausalLM":
        return LlamaConfig(**fields, attention_bias=bool(stored.get("bias", False)))
    raise CheckpointError(f"{source} has the language model {architecture}; Qwen2 and InternLM2 convert.")


def _official_text(config: Any, tied: bool) -> dict[str, Any]:
    stored = {name: getattr(config, name) for name in _TEXT_FIELDS}
    stored |= {"pad_token_id": config.pad_token_id, "rope_theta": config.rope_parameters["rope_theta"]}
    stored["tie_word_embeddings"] = tied
    if config.model_type == "qwen2":
        return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **stored}
    return {
        "architectures": ["InternLM2ForCausalLM"],
        "model_type": "internlm2",
        **stored,
        "bias": config.attention_bias,
        "rope_scaling": {"type": "dynamic", "factor": 2.0},
        "attn_implementation": "eager",
    }


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{file} is missing; a checkpoint is a folder with config.json and safetensors."
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{file} is no JSON ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds no JSON object; fetch it again.")
    return content


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
