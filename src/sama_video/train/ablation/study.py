"""One study: every variant under every seed, trained, scored on the same held-out clips, compared pair by pair.

A study is a folder. Killed at any moment it goes on where it was: finished scores are kept, a training run resumes
exactly.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Float

from sama_video import __version__
from sama_video.errors import ConfigError
from sama_video.train.ablation.variants import VARIANTS, Foundation, Full
from sama_video.train.config import TrainConfig, load_recipe
from sama_video.train.engine import Report, StageRun
from sama_video.train.run_folder import RunFolder, write_whole
from sama_video.train.stages.scores import Scores

logger = logging.getLogger(__name__)

SceneScores: TypeAlias = list[dict[str, float]]
"""Scores of one trained variant: a row for each held-out clip, the same clips for all."""

SCORES: Final = {
    "mask_iou": "grounding: IoU of [SEG] masks, true words before them",
    "segment_text_iou": "the same, expression to mask",
    "caption_iou": "the same, phrases of captions",
    "segment_region_iou": "the same, a region's object",
    "answers": "answers right word for word, true words before each",
    "attribute": "the same, attributes of a region",
}
HEADLINE: Final = "mask_iou"


@dataclass(frozen=True)
class StudyConfig:
    """How large a study is.

    Attributes:
        seeds: One training of each variant per seed; data and starting weights follow from it.
        speak_steps: Steps in words alone before the joint ones.
        steps: Joint steps.
        clips: Held-out clips that every variant is scored on.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    speak_steps: int = 200
    steps: int = 500
    clips: int = 100

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ConfigError(f"seeds are {self.seeds}; give each seed once, and at least one.")
        for name in ("speak_steps", "steps", "clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more.")

    def recipe(self, seed: int) -> TrainConfig:
        """The recipe that all variants share."""
        changes = (
            f"seed={seed}",
            "world.name=plain",
            f"speak.steps={self.speak_steps}",
            "speak.batch=4",
            "speak.evaluate_every=0",
            "speak.evaluation_scenes=4",
            f"joint.steps={self.steps}",
            "joint.turns=10",
            "joint.text_share=0.2",
            "joint.mask_share=0.5",
            "joint.evaluate_every=0",
            "joint.evaluation_scenes=4",
        )
        return load_recipe("nano", changes)


def run_study(
    config: StudyConfig,
    foundation: Foundation,
    out: Path,
    *,
    device: str = "cpu",
    report: Report | None = None,
    begin: Callable[[str, int], None] | None = None,
) -> dict[str, dict[int, SceneScores]]:
    """Train and score whatever of a study is not done yet; scores by variant and seed.

    Args:
        begin: Told each variant and seed whose work begins.

    Raises:
        ConfigError: The folder holds another study, or cannot be written.
    """
    _claim(out, config)
    scores: dict[str, dict[int, SceneScores]] = {name: {} for name in VARIANTS}
    for seed in config.seeds:  # a study cut short has whole rows for its first seeds
        for name in VARIANTS:
            path = out / name / f"seed-{seed}" / "scores.json"
            if not path.is_file():
                if begin is not None:
                    begin(name, seed)
                rows = _train_and_score(name, config, seed, foundation, out, device, report)
                write_whole(path, (json.dumps(rows, indent=0) + "\n").encode())
            scores[name][seed] = json.loads(path.read_text())
    return scores


def _claim(out: Path, config: StudyConfig) -> None:
    wanted = f"# sama-video {__version__}\n" + "".join(
        f"{name}: {list(value) if isinstance(value, tuple) else value}\n" for name, value in vars(config).items()
    )
    path = out / "study.yaml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if path.read_text() != wanted:
                raise ConfigError(
                    f"{out} holds a study with other settings; repeat those of {path}, or choose another."
                )
        elif any(out.iterdir()):
            raise ConfigError(f"{out} is not empty and holds no study; choose an empty folder.")
        else:
            write_whole(path, wanted.encode())
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror}; choose another --out.") from error


def _train_and_score(
    name: str,
    config: StudyConfig,
    seed: int,
    foundation: Foundation,
    out: Path,
    device: str,
    report: Report | None,
) -> SceneScores:
    variant, recipe = VARIANTS[name], config.recipe(seed)
    folder = RunFolder(out / name / f"seed-{seed}")
    folder.open(replace(recipe, stages=("speak", "joint")), __version__, resume=True)
    for kind in (variant.speak, variant.stage):
        if not (folder.stage(kind.name) / "final.safetensors").is_file():
            make = partial(kind, foundation=foundation)
            StageRun(recipe, kind, folder, make=make, device=device, report=report).run()
    stage = variant.stage(recipe, foundation)
    stage.start({"speak": folder.result("speak")})
    stage.take_over(folder.result("joint"))
    return list(score_scenes(stage.eval().to(device), config.clips))


@torch.no_grad()
def score_scenes(stage: Full, count: int) -> Iterator[dict[str, float]]:
    """Scores of each held-out clip: one dialogue of every kind of turn about it, the same for every variant."""
    for number in range(count):
        rng = np.random.default_rng([2, number])
        told = stage.tell_held_out(rng, stage.world.held_out("ablation", number))
        scores = Scores()
        stage.score([told], stage.stack_seen([told]), scores)
        row = scores.means()
        kinds = [turn.kind for turn in told.turns]
        row["answers"] = float(np.average([row[kind] for kind in kinds]))
        yield {name: row[name] for name in SCORES if name in row}


def table_of(
    scores: Mapping[str, Mapping[int, SceneScores]], metric: str
) -> dict[str, Float[np.ndarray, "seeds clips"]]:
    """One score of every variant; NaN for a clip that asks nothing of the kind."""
    return {
        name: np.array([[row.get(metric, np.nan) for row in rows] for rows in by_seed.values()])
        for name, by_seed in scores.items()
    }


@dataclass(frozen=True)
class Difference:
    """How much better everything is than one variant.

    Attributes:
        value: Mean over seeds and clips.
        low, high: 95 % interval when seeds and clips are both drawn anew.
        by_seed: The mean of each seed.
    """

    value: float
    low: float
    high: float
    by_seed: tuple[float, ...]

    @property
    def reading(self) -> str:
        """What the interval allows to say."""
        if self.low > 0:
            return "full is better"
        return "full is worse" if self.high < 0 else "no difference shown"


def paired_difference(
    full: Float[np.ndarray, "seeds clips"],
    other: Float[np.ndarray, "seeds clips"],
    *,
    resamples: int = 4000,
    seed: int = 0,
) -> Difference:
    """The difference over the same seeds and clips, with seeds and clips drawn with replacement, independently.

    With few seeds this interval is wide, and it should be: it speaks of trainings, not only of clips.
    """
    apart = full - other
    rng = np.random.default_rng(seed)
    num_seeds, num_clips = apart.shape
    seed_counts = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=resamples)
    clip_counts = rng.multinomial(num_clips, np.full(num_clips, 1 / num_clips), size=resamples)
    known = ~np.isnan(apart)
    sums = np.einsum("rs,sc,rc->r", seed_counts, np.where(known, apart, 0.0), clip_counts)
    counts = np.einsum("rs,sc,rc->r", seed_counts, known.astype(float), clip_counts)
    drawn = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    by_seed = tuple(float(value) for value in np.nanmean(apart, axis=1))
    return Difference(float(np.nanmean(apart)), float(low), float(high), by_seed)


def differences(scores: Mapping[str, Mapping[int, SceneScores]], metric: str) -> dict[str, Difference]:
    """Each variant's difference from everything, in one score; nothing where no clip asks for it."""
    table = table_of(scores, metric)
    full = table.pop("full")
    return {
        name: paired_difference(full, values) for name, values in table.items() if not np.isnan(full - values).all()
    }


def means(scores: Mapping[str, Mapping[int, SceneScores]], metric: str) -> dict[str, float]:
    """Each variant's mean over seeds and clips, in one score; nothing where no clip asks for it."""
    table = table_of(scores, metric)
    return {name: float(np.nanmean(values)) for name, values in table.items() if not np.isnan(values).all()}
