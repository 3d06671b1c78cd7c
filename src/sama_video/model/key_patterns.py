"""The one table of which official weight becomes which of ours, and back.

A pattern spells names on both sides. `{i}` and `{j}` stand for a number, `{w}` for `weight` or `bias`, and
`{name=a|b}` for one of the words listed; a field keeps its value on the other side.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.key_transforms import (
    COPY,
    SHARE,
    SPLIT_QKV,
    STACK_ROWS,
    Transform,
    rebuild_positions,
    split_grouped_qkv,
)

_FIELD = re.compile(r"\{(\w+)(?:=([^}]*))?\}")
_WILD = {"i": r"\d+", "j": r"\d+", "w": "weight|bias"}


@dataclass(frozen=True)
class KeyPattern:
    """One row of the table: names on either side, and what happens between them."""

    group: str
    official: tuple[str, ...]
    ours: tuple[str, ...]
    transform: Transform = field(default=COPY)

    @cached_property
    def _expressions(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        choices = dict(_WILD)
        for template in (*self.official, *self.ours):
            choices.update({name: listed for name, listed in _FIELD.findall(template) if listed})
        return tuple((template.partition("{")[0], _expression(template, choices)) for template in self.ours)

    def match_ours(self, name: str) -> Mapping[str, str] | None:
        """The values of the fields if this row speaks of our weight `name`."""
        likely = (expression for start, expression in self._expressions if name.startswith(start))
        matches = (expression.fullmatch(name) for expression in likely)
        return next((match.groupdict() for match in matches if match), None)

    def spell(self, fields: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The official names and ours, with the fields filled in."""
        official, ours = (
            tuple(_FIELD.sub(lambda found: fields[found[1]], template) for template in side)
            for side in (self.official, self.ours)
        )
        return official, ours


def _expression(template: str, choices: Mapping[str, str]) -> re.Pattern[str]:
    parts, end = [], 0
    for found in _FIELD.finditer(template):
        parts += [re.escape(template[end : found.start()]), f"(?P<{found[1]}>{choices[found[1]]})"]
        end = found.end()
    return re.compile("".join([*parts, re.escape(template[end:])]))


def key_patterns(config: SamaConfig) -> tuple[KeyPattern, ...]:
    """The table for a model of this family and these head counts."""
    text = config.text_config
    language = (
        _qwen2() if text.model_type == "qwen2" else _internlm2(text.num_attention_heads, text.num_key_value_heads)
    )
    rows = [*_vision(), *language, *_grounding_head(), *_segmenter()]
    rows += _mask_decoder("original_mask_decoder", "sam_mask_decoder.", "model.original_mask_decoder.")
    if config.aggregator_config is not None:
        rows += [*_aggregator(config.aggregator_config.max_position_embeddings), *_region_encoder()]
    return tuple(rows)


def _rows(group: str, official: str, ours: str, names: Iterable[tuple[str, str]]) -> list[KeyPattern]:
    return [KeyPattern(group, (official + theirs,), (ours + mine,)) for theirs, mine in names]


def _same(*names: str) -> list[tuple[str, str]]:
    return [(name, re.sub(r"=[^}]*", "", name)) for name in names]


def _three_layers(official: str, ours: str) -> list[tuple[str, str]]:
    named = (("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out"))
    return [(f"{official}.{theirs}.{{w}}", f"{ours}.{mine}.{{w}}") for theirs, mine in named]


def _vision() -> list[KeyPattern]:
    layer, our_layer = "vision_model.encoder.layers.{i}.", "model.vision_tower.encoder.layer.{i}."
    embeddings = [
        ("class_embedding", "cls_token"),
        ("patch_embedding.{w}", "patch_embeddings.projection.{w}"),
        ("position_embedding", "position_embeddings"),
    ]
    in_layer = [
        ("attn.proj.{w}", "attention.projection_layer.{w}"),
        ("attn.q_norm.{w}", "attention.q_norm.{w}"),
        ("attn.k_norm.{w}", "attention.k_norm.{w}"),
        ("norm1.{w}", "layernorm_before.{w}"),
        ("norm2.{w}", "layernorm_after.{w}"),
        ("mlp.{fc=fc1|fc2}.{w}", "mlp.{fc}.{w}"),
        ("ls1", "lambda_1"),
        ("ls2", "lambda_2"),
    ]
    projector = [("0.{w}", "layer_norm.{w}"), ("1.{w}", "linear_1.{w}"), ("3.{w}", "linear_2.{w}")]
    qkv = tuple(f"{our_layer}attention.{one}_proj.{{w}}" for one in "qkv")
    return [
        *_rows("vision_tower", "vision_model.embeddings.", "model.vision_tower.embeddings.", embeddings),
        KeyPattern("vision_tower", (layer + "attn.qkv.{w}",), qkv, SPLIT_QKV),
        *_rows("vision_tower", layer, our_layer, in_layer),
        *_rows("projector", "mlp1.", "model.multi_modal_projector.", projector),
    ]


def _qwen2() -> list[KeyPattern]:
    ours = [
        "embed_tokens.weight",
        "norm.weight",
        "layers.{i}.self_attn.{p=q_proj|k_proj|v_proj|o_proj}.{w}",
        "layers.{i}.mlp.{p=gate_proj|up_proj|down_proj}.weight",
        "layers.{i}.{n=input_layernorm|post_attention_layernorm}.weight",
    ]
    return [
        *_rows("language_model", "language_model.model.", "model.language_model.", _same(*ours)),
        KeyPattern("language_model", ("language_model.lm_head.weight",), ("lm_head.weight",)),
    ]


def _internlm2(num_heads: int, num_kv_heads: int) -> list[KeyPattern]:
    layer, our_layer = "language_model.model.layers.{i}.", "model.language_model.layers.{i}."
    names = [
        ("attention.wo.{w}", "self_attn.o_proj.{w}"),
        ("feed_forward.w1.weight", "mlp.gate_proj.weight"),
        ("feed_forward.w3.weight", "mlp.up_proj.weight"),
        ("feed_forward.w2.weight", "mlp.down_proj.weight"),
        ("attention_norm.weight", "input_layernorm.weight"),
        ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ]
    outer = [("tok_embeddings.weight", "embed_tokens.weight"), ("norm.weight", "norm.weight")]
    qkv = tuple(f"{our_layer}self_attn.{one}_proj.{{w}}" for one in "qkv")
    split = split_grouped_qkv(num_heads, num_kv_heads)
    return [
        *_rows("language_model", "language_model.model.", "model.language_model.", outer),
        KeyPattern("language_model", (layer + "attention.wqkv.{w}",), qkv, split),
        *_rows("language_model", layer, our_layer, names),
        KeyPattern("language_model", ("language_model.output.weight",), ("lm_head.weight",)),
    ]


def _aggregator(num_positions: int) -> list[KeyPattern]:
    ours = "model.aggregator."
    spatial, temporal = "spatial_Qformer.bert.", "temporal_Qformer.bert."
    outer = [
        ("vlm2spatial_Qformer_proj.{w}", "input_proj.{w}"),
        ("spatial_Qformer_ln.{w}", "input_norm.{w}"),
        ("spatial_Qformer_query_tokens", "spatial_queries"),
        ("temporal_Qformer_query_tokens", "temporal_queries"),
        (temporal + "embeddings.word_embeddings.weight", "word_embeddings.weight"),
        (temporal + "embeddings.position_embeddings.weight", "position_embeddings.weight"),
        ("Qformer_temp_attn_q.{w}", "injection.query.{w}"),
        ("Qformer_temp_attn_k.{w}", "injection.key.{w}"),
        ("Qformer_temp_attn_v.{w}", "injection.value.{w}"),
        ("Qformer_temp_proj.{w}", "injection.out.{w}"),
        ("Qformer_final_proj.{w}", "output_proj.{w}"),
    ]
    counters = [(prefix + "embeddings.position_ids",) for prefix in (spatial, temporal)]
    return [
        *_rows("aggregator", "", ours, outer),
        *_rows("aggregator", spatial, ours + "spatial.", _qformer()),
        *_rows("aggregator", temporal, ours + "temporal.", _qformer()),
        *(KeyPattern("aggregator", counter, (), rebuild_positions(num_positions)) for counter in counters),
    ]


def _qformer() -> list[tuple[str, str]]:
    layer = "encoder.layer.{i}."
    attention = layer + "{a=attention|crossattention}."
    return [
        ("embeddings.LayerNorm.{w}", "layernorm.{w}"),
        (attention + "self.{p=query|key|value}.{w}", layer + "{a}.attention.{p}.{w}"),
        *_same(
            attention + "output.{p=dense|LayerNorm}.{w}",
            layer + "{f=intermediate|intermediate_query}.dense.{w}",
            layer + "{f=output|output_query}.{p=dense|LayerNorm}.{w}",
        ),
    ]


def _region_encoder() -> list[KeyPattern]:
    names = [
        ("Qformer_mask_pooling_proj.{w}", "pooled_proj.{w}"),
        ("Qformer_mask_proj.layers.{i}.{w}", "shape_mlp.layers.{i}.{w}"),
        ("Qformer_mask_pooling_proj_st.{w}", "slot_pooled_proj.{w}"),
        ("Qformer_mask_proj_st.layers.{i}.{w}", "slot_shape_mlp.layers.{i}.{w}"),
    ]
    return _rows("region_encoder", "", "model.region_encoder.", names)


def _grounding_head() -> list[KeyPattern]:
    names = [("0.{w}", "linear_1.{w}"), ("2.{w}", "linear_2.{w}")]
    return _rows("grounding_head", "text_hidden_fcs.", "model.grounding_head.", names)


SAM2_PREFIX = "grounding_encoder.sam2_model."
SEGMENTER_PREFIX = "model.segmenter."


def _segmenter() -> list[KeyPattern]:
    names = [*_image_encoder(), *_memory(), *_prompt_encoder()]
    gaussian = (SAM2_PREFIX + "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",)
    both = ("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding")
    points = tuple(f"{SAM2_PREFIX}sam_prompt_encoder.point_embeddings.{i}.weight" for i in range(4))
    decoder = (SAM2_PREFIX + "sam_mask_decoder.", SEGMENTER_PREFIX + "mask_decoder.")
    return [
        *_rows("segmenter", SAM2_PREFIX, SEGMENTER_PREFIX, names),
        KeyPattern("segmenter", gaussian, tuple(SEGMENTER_PREFIX + name for name in both), SHARE),
        KeyPattern("segmenter", points, (SEGMENTER_PREFIX + "prompt_encoder.point_embed.weight",), STACK_ROWS),
        *_mask_decoder("segmenter", *decoder),
    ]


def _image_encoder() -> list[tuple[str, str]]:
    trunk, ours = "image_encoder.trunk.", "vision_encoder.backbone."
    in_block = [
        ("norm1.{w}", "layer_norm1.{w}"),
        ("norm2.{w}", "layer_norm2.{w}"),
        ("attn.{p=qkv|proj}.{w}", "attn.{p}.{w}"),
        ("proj.{w}", "proj.{w}"),
        ("mlp.layers.0.{w}", "mlp.proj_in.{w}"),
        ("mlp.layers.1.{w}", "mlp.proj_out.{w}"),
    ]
    return [
        (trunk + "patch_embed.proj.{w}", ours + "patch_embed.projection.{w}"),
        (trunk + "{p=pos_embed|pos_embed_window}", ours + "{p}"),
        *((f"{trunk}blocks.{{i}}.{theirs}", f"{ours}blocks.{{i}}.{mine}") for theirs, mine in in_block),
        ("image_encoder.neck.convs.{i}.conv.{w}", "vision_encoder.neck.convs.{i}.{w}"),
    ]


def _memory() -> list[tuple[str, str]]:
    layer, attention = "memory_attention.layers.{i}.", "{a=self_attn|cross_attn_image}."
    shrink, fuser = "memory_encoder.mask_downsampler.", "memory_encoder.{}.layers.{{i}}."
    theirs, mine = fuser.format("fuser"), fuser.format("memory_fuser")
    steps = [(f"encoder.{3 * i}.{{w}}", f"layers.{i}.conv.{{w}}") for i in range(4)]
    steps += [(f"encoder.{3 * i + 1}.{{w}}", f"layers.{i}.layer_norm.{{w}}") for i in range(4)]
    return [
        ("memory_attention.norm.{w}", "memory_attention.layer_norm.{w}"),
        *((f"{layer}norm{i}.{{w}}", f"{layer}layer_norm{i}.{{w}}") for i in (1, 2, 3)),
        *_same(layer + "{p=linear1|linear2}.{w}", layer + attention + "{p=q_proj|k_proj|v_proj}.{w}"),
        (layer + attention + "out_proj.{w}", layer + "{a}.o_proj.{w}"),
        *((shrink + before, shrink + after) for before, after in steps),
        (shrink + "encoder.12.{w}", shrink + "final_conv.{w}"),
        ("memory_encoder.pix_feat_proj.{w}", "memory_encoder.feature_projection.{w}"),
        ("memory_encoder.out_proj.{w}", "memory_encoder.projection.{w}"),
        (theirs + "dwconv.{w}", mine + "depthwise_conv.{w}"),
        (theirs + "norm.{w}", mine + "layer_norm.{w}"),
        (theirs + "pwconv1.{w}", mine + "pointwise_conv1.{w}"),
        (theirs + "pwconv2.{w}", mine + "pointwise_conv2.{w}"),
        (theirs + "g_weight", mine + "scale"),
        ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
        ("no_mem_embed", "no_memory_embedding"),
        ("no_mem_pos_enc", "no_memory_positional_encoding"),
        ("no_obj_ptr", "no_object_pointer"),
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
        ("obj_ptr_tpos_proj.{w}", "temporal_positional_encoding_projection_layer.{w}"),
        *_three_layers("obj_ptr_proj", "object_pointer_proj"),
        *_same("mask_downsample.{w}"),
    ]


def _prompt_encoder() -> list[tuple[str, str]]:
    named = {0: "conv1", 1: "layer_norm1", 3: "conv2", 4: "layer_norm2", 6: "conv3"}
    prefix, ours = "sam_prompt_encoder.", "prompt_encoder."
    return [
        *((f"{prefix}mask_downscaling.{i}.{{w}}", f"{ours}mask_embed.{name}.{{w}}") for i, name in named.items()),
        (prefix + "{p=no_mask_embed|not_a_point_embed}.weight", ours + "{p}.weight"),
    ]


def _mask_decoder(group: str, official: str, ours: str) -> list[KeyPattern]:
    layer = "transformer.layers.{i}."
    attention = "{a=self_attn|cross_attn_token_to_image|cross_attn_image_to_token}."
    final = "transformer.final_attn_token_to_image."
    upscaling = {0: "upscale_conv1", 1: "upscale_layer_norm", 3: "upscale_conv2"}
    names = [
        *_same("{t=iou_token|mask_tokens|obj_score_token}.weight", "{c=conv_s0|conv_s1}.{w}"),
        *((f"{layer}norm{i}.{{w}}", f"{layer}layer_norm{i}.{{w}}") for i in (1, 2, 3, 4)),
        (layer + "mlp.layers.0.{w}", layer + "mlp.proj_in.{w}"),
        (layer + "mlp.layers.1.{w}", layer + "mlp.proj_out.{w}"),
        *_same(layer + attention + "{p=q_proj|k_proj|v_proj}.{w}", final + "{p=q_proj|k_proj|v_proj}.{w}"),
        (layer + attention + "out_proj.{w}", layer + "{a}.o_proj.{w}"),
        (final + "out_proj.{w}", final + "o_proj.{w}"),
        ("transformer.norm_final_attn.{w}", "transformer.layer_norm_final_attn.{w}"),
        *((f"output_upscaling.{i}.{{w}}", f"{name}.{{w}}") for i, name in upscaling.items()),
        *_three_layers("output_hypernetworks_mlps.{i}", "output_hypernetworks_mlps.{i}"),
        *_three_layers("{h=iou_prediction_head|pred_obj_score_head}", "{h}"),
    ]
    return _rows(group, official, ours, names)
