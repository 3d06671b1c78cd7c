"""Every weight of one model with its name and look in both layouts, and the check that a checkpoint has them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sama_video.errors import CheckpointError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.key_patterns import KeyPattern, key_patterns
from sama_video.model.key_transforms import Transform
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.weight_files import TensorSpec

Target = Literal["sama", "official"]

ORIGINAL_DECODER = "original_mask_decoder"
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_SHOWN = 6


@dataclass(frozen=True)
class KeyRule:
    """Which official weights become which of ours; a row of the table with its numbers filled in."""

    group: str
    official: tuple[str, ...]
    ours: tuple[str, ...]
    transform: Transform

    def sources(self, to: Target) -> tuple[str, ...]:
        """The names that are read."""
        return self.official if to == "sama" else self.ours

    def targets(self, to: Target) -> tuple[str, ...]:
        """The names that are written."""
        return self.ours if to == "sama" else self.official

    def apply(self, tensors: Sequence[Tensor], to: Target) -> tuple[Tensor, ...]:
        """The weights under the other names; runs on the meta device too."""
        return (self.transform.to_ours if to == "sama" else self.transform.to_official)(tensors)

    def check_values(self, tensors: Sequence[Tensor], to: Target) -> None:
        """Make sure that what the other layout leaves out can be rebuilt.

        Raises:
            CheckpointError: It cannot.
        """
        check = self.transform.check_official if to == "sama" else self.transform.check_ours
        if (problem := check(tensors)) is not None:
            raise CheckpointError(f"{' and '.join(self.sources(to))} {problem}; nothing was written.")


@dataclass(frozen=True)
class KeyPlan:
    """All rules of one model, and what each layout's tensors look like (dtypes: float32 stands for any float)."""

    rules: tuple[KeyRule, ...]
    ours: Mapping[str, TensorSpec]
    official: Mapping[str, TensorSpec]

    def expected(self, to: Target) -> Mapping[str, TensorSpec]:
        """What a checkpoint to be converted has to hold."""
        return self.official if to == "sama" else self.ours


def key_rules(config: SamaConfig) -> tuple[KeyRule, ...]:
    """One rule for each weight of a model, in the order of its modules.

    Raises:
        CheckpointError: The official layout has no place for a weight, or two would take the same place.
    """
    return plan_keys(config).rules


def plan_keys(config: SamaConfig) -> KeyPlan:
    """The rules of a model with the shapes on either side; no weight is allocated.

    Raises:
        CheckpointError: As for `key_rules`.
    """
    if config.segmenter_config.model_type != "sam2_video":
        raise CheckpointError(
            f"this model's segmenter is {config.segmenter_config.model_type}; the official layout holds SAM 2 alone."
        )
    ours = our_specs(config)
    rules = tuple(_rules(key_patterns(config), ours))
    official: dict[str, TensorSpec] = {}
    for rule in rules:
        made = rule.apply([ours[name].meta() for name in rule.ours], "official")
        for name, tensor in zip(rule.official, made, strict=True):
            assert name not in official, f"two rules speak of {name}"
            official[name] = TensorSpec.of(tensor)
    return KeyPlan(rules, ours, official)


def our_specs(config: SamaConfig) -> dict[str, TensorSpec]:
    """Name and look of every weight of our model, from its modules on the meta device."""
    with torch.device("meta"):
        model = SamaForConditionalGeneration(config)
    return {name: TensorSpec.of(tensor) for name, tensor in model.state_dict().items()}


def _rules(patterns: Sequence[KeyPattern], ours: Mapping[str, TensorSpec]) -> Iterator[KeyRule]:
    yield from (KeyRule(row.group, row.official, (), row.transform) for row in patterns if not row.ours)
    done: set[str] = set()
    for name in ours:
        if name in done:
            continue
        found = [(row, fields) for row in patterns if (fields := row.match_ours(name)) is not None]
        if len(found) != 1:
            raise CheckpointError(f"{name} has {len(found)} places in the official layout; it needs exactly one.")
        row, fields = found[0]
        official, names = row.spell(fields)
        assert not done.intersection(names), f"{names} come twice"
        assert all(one in ours for one in names), f"{names} are not all there"
        done.update(names)
        yield KeyRule(row.group, official, names, row.transform)


def check_source(plan: KeyPlan, specs: Mapping[str, TensorSpec], to: Target, where: Path) -> list[KeyRule]:
    """The rules that a checkpoint's tensors call for, in the order in which they are stored.

    Args:
        specs: Everything the checkpoint holds.
        where: What to call the checkpoint in an error.

    Raises:
        CheckpointError: A weight is missing, left over, or of the wrong shape or dtype.
    """
    expected = plan.expected(to)
    rule_of = {name: rule for rule in plan.rules for name in rule.sources(to)}
    optional = {name for rule in plan.rules if not rule.ours for name in rule.official}
    problems = {
        "missing": [name for name in expected if name not in specs and name not in optional],
        "left over": [name for name in specs if name not in expected],
        "of the wrong shape": list(_wrong_shapes(expected, specs)),
        "of the wrong dtype": list(_wrong_dtypes(expected, specs, rule_of, to)),
    }
    told = [f"{len(names)} {kind} ({_listed(names)})" for kind, names in problems.items() if names]
    if told:
        layout = "official" if to == "sama" else "our"
        raise CheckpointError(
            f"{where} does not fit the {layout} layout: {'; '.join(told)}. Nothing was written; fetch it again."
        )
    ordered = dict.fromkeys(rule_of[name].sources(to) for name in specs)
    rules = [rule_of[names[0]] for names in ordered]
    return rules if to == "sama" else rules + [rule for rule in plan.rules if not rule.ours]


def _wrong_shapes(expected: Mapping[str, TensorSpec], specs: Mapping[str, TensorSpec]) -> Iterator[str]:
    for name, spec in specs.items():
        if name in expected and spec.shape != expected[name].shape:
            yield f"{name} is {list(spec.shape)}, not {list(expected[name].shape)}"


def _wrong_dtypes(
    expected: Mapping[str, TensorSpec], specs: Mapping[str, TensorSpec], rule_of: Mapping[str, KeyRule], to: Target
) -> Iterator[str]:
    for name, spec in specs.items():
        if name not in expected:
            continue
        needed = expected[name].dtype
        fits = spec.dtype in FLOATS if needed in FLOATS else spec.dtype == needed
        if not fits:
            yield f"{name} is {_word(spec.dtype)}, not {'a float' if needed in FLOATS else _word(needed)}"
            continue
        first = rule_of[name].sources(to)[0]
        if first in specs and specs[first].dtype != spec.dtype:
            yield f"{name} is {_word(spec.dtype)}, but {first}, which joins it, is {_word(specs[first].dtype)}"


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
