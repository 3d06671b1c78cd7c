"""How many cores must read records so that a card never waits: arithmetic from what was measured, and what was not.

    seconds a record takes the card = operations of a record / (peak of the card x share of it that is used)
    cores = records/s of the card / records/s that one core reads

The operations are counted on the meta device through the model's own modules; reading is measured
(`benchmarks/loading.py`); the share is what the run is to reach, and stays a calculation until a card has shown it.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from sama_video.errors import ConfigError
from sama_video.model.presets import preset_config
from sama_video.train.tuning.memory import record_flops, typical_shape
from sama_video.train.tuning.recipes import read_recipe

H200_FLOPS: Final = 989e12
"""Dense bfloat16 operations per second of an H200, as its maker states them."""

AIMED_SHARE: Final = 0.45
"""Share of that which training at 1B is to use."""


@dataclass(frozen=True)
class LoaderNeed:
    """What reading must give, calculated.

    Attributes:
        record_flops: Operations of one record, forwards and backwards.
        card_records: Records per second that a card takes at most.
        core_records: Records per second that one core reads, as measured.
        cores: Loader processes that keep one card busy.
    """

    record_flops: int
    card_records: float
    core_records: float
    cores: int

    def to_json(self) -> dict[str, Any]:
        """An entry of the benchmark's result."""
        return {**asdict(self), "calculated": True}


def loader_need(flops: int, core_records: float, *, peak: float = H200_FLOPS, share: float = AIMED_SHARE) -> LoaderNeed:
    """How many cores keep up with one card.

    Args:
        flops: Of one record.
        core_records: Records per second of one core.
        peak: Operations per second of the card.
        share: Of the peak that the run uses.

    >>> loader_need(10**13, 2.0, peak=1e14, share=0.5)
    LoaderNeed(record_flops=10000000000000, card_records=5.0, core_records=2.0, cores=3)

    Raises:
        ConfigError: A rate or share cannot be.
    """
    if min(flops, core_records, peak) <= 0 or not 0 < share <= 1:
        raise ConfigError(
            f"{flops} operations, {core_records} records/s, a peak of {peak} and a share of {share}; "
            "give rates above 0 and a share of at most 1."
        )
    card_records = peak * share / flops
    return LoaderNeed(flops, card_records, core_records, math.ceil(card_records / core_records))


def recipe_flops(recipe: str, preset: str) -> int:
    """Operations of one typical record of a bundled recipe: a clip of full length, four turns, all its masks.

    Args:
        recipe: Such as "sama-1b".
        preset: The sizes of its model.
    """
    settings = read_recipe(recipe).settings()
    config = preset_config(preset)
    return record_flops(config, settings, typical_shape(config, settings))
