"""Published SAMA and Sa2VA checkpoints turned into ours, and back.

`convert_checkpoint` is what `sama convert` runs; `load_official` gives the weights without writing them. Both go
through one table of names (`key_patterns`), work tensor by tensor, and refuse a checkpoint that does not fit exactly.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import AutoTokenizer

from sama_video.errors import CheckpointError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.key_plan import ORIGINAL_DECODER, KeyPlan, KeyRule, Target, check_source, key_rules, plan_keys
from sama_video.model.key_report import KeyReport, MappedKeys
from sama_video.model.official_layout import REGION_GROUPS, read_official_config, write_official_config
from sama_video.model.official_tokenizers import QUESTION_FOLDER, copy_language_tokenizer, copy_question_tokenizer
from sama_video.model.original_decoder import OriginalDecoder
from sama_video.model.processing_sama import SamaProcessor
from sama_video.model.weight_files import (
    DEFAULT_SHARD_BYTES,
    TensorSpec,
    WeightFiles,
    check_room,
    new_folder,
    write_weights,
)

__all__ = ["KeyReport", "convert_checkpoint", "key_rules", "load_official"]

_OFFICIAL_FIELDS = {
    "vision_config",
    "text_config",
    "segmenter_config",
    "aggregator_config",
    "preset",
    "image_token_id",
    "seg_token_id",
    "phrase_open_token_id",
    "phrase_close_token_id",
    "template",
    "region_mask_side",
    "region_mlp_hidden",
    "has_original_mask_decoder",
    "tie_word_embeddings",
    "initializer_range",
}


@dataclass(frozen=True)
class _Conversion:
    """A checked way from one checkpoint to the other layout; weights are read when `tensors` is iterated."""

    config: SamaConfig
    to: Target
    rules: Sequence[KeyRule]
    specs: Mapping[str, TensorSpec]
    left_behind: tuple[str, ...]
    files: WeightFiles
    original: OriginalDecoder | None
    aliases: Mapping[str, str]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The other layout's weights, in the order of `out_specs`."""
        for rule in self.rules:
            values = [self._read(name) for name in rule.sources(self.to)]
            rule.check_values(values, self.to)
            yield from zip(rule.targets(self.to), rule.apply(values, self.to), strict=True)

    def out_specs(self) -> dict[str, TensorSpec]:
        """What `tensors` will give, dtypes as in the source."""
        specs: dict[str, TensorSpec] = {}
        for rule in self.rules:
            made = rule.apply([self.specs[name].meta() for name in rule.sources(self.to)], self.to)
            specs.update(zip(rule.targets(self.to), map(TensorSpec.of, made), strict=True))
        return specs

    def _read(self, name: str) -> Tensor:
        if self.original is not None and name in self.original.specs:
            return self.original.tensor(name)
        return self.files.tensor(self.aliases.get(name, name))


def convert_checkpoint(
    source: Path,
    dest: Path,
    *,
    to: Target = "sama",
    sam2: Path | None = None,
    qformer_vocab: Path | None = None,
    max_shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> KeyReport:
    """Write a checkpoint in the other layout and tell what became of every weight.

    Values and dtypes stay as they are. `dest` appears whole or not at all.

    Args:
        source: Folder in the official layout, or for `to="official"` one of ours.
        dest: New folder.
        sam2: SAM 2 checkpoint whose original mask decoder is to travel along (spec model 13).
        qformer_vocab: Vocabulary of uncased BERT, for published checkpoints, which do not hold it.
        max_shard_bytes: Size of a weight file, and about what is held in memory.

    Raises:
        CheckpointError: The checkpoint does not fit its layout, or `dest` is taken.
    """
    with new_folder(dest) as folder:
        conversion = _open_official(source, sam2) if to == "sama" else _open_ours(source, sam2)
        out_specs = conversion.out_specs()
        check_room(folder, sum(spec.num_bytes for spec in out_specs.values()))
        copy_language_tokenizer(source, folder)
        if (aggregator := conversion.config.aggregator_config) is not None:
            copy_question_tokenizer(source, folder, aggregator, qformer_vocab)
        _write_settings(conversion.config, source, folder, to)
        write_weights(folder, out_specs, conversion.tensors(), max_shard_bytes)
    return _report(conversion, source, dest)


def load_official(source: Path, *, sam2: Path | None = None) -> tuple[SamaConfig, Iterator[tuple[str, Tensor]]]:
    """Our configuration of an official checkpoint, and its weights under our names, read one after the other.

    Everything but the values is checked before this returns.

    Raises:
        CheckpointError: The checkpoint does not fit the official layout.
    """
    conversion = _open_official(source, sam2)
    return conversion.config, conversion.tensors()


def _open_official(source: Path, sam2: Path | None) -> _Conversion:
    files = WeightFiles(source)
    config = read_official_config(source, files.specs)
    config.has_original_mask_decoder = sam2 is not None
    config.architectures = ["SamaForConditionalGeneration"]
    plan = plan_keys(config)
    original = OriginalDecoder(sam2, plan.rules) if sam2 is not None else None
    aliases = _tied(config, files, plan, "sama")
    specs = {**files.specs, **{name: files.specs[home] for name, home in aliases.items()}}
    if original is not None:
        specs |= original.specs
    rules = check_source(plan, specs, "sama", source)
    if original is not None:
        original.check_same_encoder(rules, files)
    return _Conversion(config, "sama", rules, specs, (), files, original, aliases)


def _open_ours(source: Path, sam2: Path | None) -> _Conversion:
    if sam2 is not None:
        raise CheckpointError(
            "--sam2 adds a decoder to our layout; the official one has no place for it. Leave it out."
        )
    files = WeightFiles(source)
    config = SamaConfig.from_pretrained(source)
    if config.model_type != "sama" or not (source / "config.json").is_file():
        raise CheckpointError(f"{source} is no checkpoint of ours; --to official starts from one that sama wrote.")
    plan = plan_keys(config)
    aliases = _tied(config, files, plan, "official")
    specs = {**files.specs, **{name: files.specs[home] for name, home in aliases.items()}}
    rules = check_source(plan, specs, "official", source)
    kept = [rule for rule in rules if rule.group != ORIGINAL_DECODER]
    left = tuple(name for rule in rules if rule.group == ORIGINAL_DECODER for name in rule.ours)
    return _Conversion(config, "official", kept, specs, left, files, None, aliases)


def _tied(config: SamaConfig, files: WeightFiles, plan: KeyPlan, to: Target) -> dict[str, str]:
    """A head that is the embedding again may be stored once; then it is read from there."""
    if not config.tie_word_embeddings:
        return {}
    sources = {name: rule.sources(to)[0] for rule in plan.rules for name in rule.ours}
    head, table = sources["lm_head.weight"], sources["model.language_model.embed_tokens.weight"]
    return {head: table} if head not in files.specs and table in files.specs else {}


def _write_settings(config: SamaConfig, source: Path, folder: Path, to: Target) -> None:
    if (source / "generation_config.json").is_file():
        shutil.copyfile(source / "generation_config.json", folder / "generation_config.json")
    if to == "official":
        write_official_config(config, folder)
        return
    config.save_pretrained(folder)
    question = AutoTokenizer.from_pretrained(folder / QUESTION_FOLDER) if config.has_aggregator else None
    processor = SamaProcessor.for_config(config, AutoTokenizer.from_pretrained(folder), question)
    processor.to_json_file(folder / "processor_config.json")


def _report(conversion: _Conversion, source: Path, dest: Path) -> KeyReport:
    to = conversion.to
    official = conversion.specs if to == "sama" else conversion.out_specs()  # ours counts shared values twice
    mapped = [
        MappedKeys(
            rule.group,
            rule.sources(to),
            rule.targets(to),
            rule.transform.name,
            sum(official[name].num_elements for name in rule.official) if rule.ours else 0,
        )
        for rule in conversion.rules
    ]
    config = conversion.config
    absent = [] if config.has_aggregator else list(REGION_GROUPS)
    if to == "sama" and not config.has_original_mask_decoder:
        absent.append(ORIGINAL_DECODER)
    return KeyReport(
        str(source), str(dest), to, tuple(mapped), tuple(absent), conversion.left_behind, tuple(_notes(config, to))
    )


def _notes(config: SamaConfig, to: Target) -> Iterator[str]:
    if to == "sama":
        if not config.has_original_mask_decoder:
            yield "no original mask decoder; masks are carried by the fine-tuned one (give --sam2 to add it)"
        return
    yield "the official Python files are not written; copy them from the release you compare with"
    published = SamaConfig()
    ours_only = [name for name in SamaConfig.__annotations__ if name not in _OFFICIAL_FIELDS]
    lost = [name for name in ours_only if getattr(config, name) != getattr(published, name)]
    if lost:
        yield f"the official layout cannot say {', '.join(lost)}; its code works with the published values"
