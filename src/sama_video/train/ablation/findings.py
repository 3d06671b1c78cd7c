"""What a study found, as a document and as a page, beside what the paper is quoted with."""

from collections.abc import Mapping
from typing import Any, Final

from sama_video.train.ablation.study import (
    HEADLINE,
    SCORES,
    Difference,
    SceneScores,
    StudyConfig,
    differences,
    means,
)
from sama_video.train.ablation.variants import QUOTED_FROM, VARIANTS

SCHEMA: Final = "sama-ablation/1"

Scored = Mapping[str, Mapping[int, SceneScores]]


def document(config: StudyConfig, scores: Scored) -> dict[str, Any]:
    """Everything that was found, for programs."""
    return {
        "schema": SCHEMA,
        "settings": {**vars(config), "seeds": list(config.seeds)},
        "scores": {metric: _rows(scores, metric) for metric in SCORES},
        "quoted": {"source": QUOTED_FROM, "grounding": {name: variant.quoted for name, variant in VARIANTS.items()}},
        "agreement": agreement(scores),
    }


def _rows(scores: Scored, metric: str) -> dict[str, Any]:
    apart = differences(scores, metric)
    return {
        name: {"mean": mean, "full_minus_this": _difference(apart[name]) if name in apart else None}
        for name, mean in means(scores, metric).items()
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "value": difference.value,
        "low": difference.low,
        "high": difference.high,
        "by_seed": list(difference.by_seed),
        "reading": difference.reading,
    }


def agreement(scores: Scored) -> dict[str, str]:
    """For each part taken away, whether its loss shows here with the sign that the paper's figures have."""
    return {name: _sign(difference) for name, difference in differences(scores, HEADLINE).items()}


def _sign(difference: Difference) -> str:
    if difference.reading == "no difference shown":
        return "no difference shown here"
    return "same sign" if difference.value > 0 else "opposite sign"  # every quoted figure is below the full model's


def page(config: StudyConfig, scores: Scored) -> str:
    """The same for people, in Markdown."""
    apart, here = differences(scores, HEADLINE), means(scores, HEADLINE)
    seeds = ", ".join(map(str, config.seeds))
    lines = [
        "# Ablation",
        "",
        f"Seeds {seeds}; each training takes {config.speak_steps} steps in words alone and {config.steps} joint ones, "
        f"and is scored on the same {config.clips} held-out clips. Perception (vision tower, projector, SAM 2) starts "
        "ready-made, all else from nothing. Intervals are 95 %, with seeds and clips drawn anew.",
        "",
        f"Grounding here: {SCORES[HEADLINE]}. Quoted: {QUOTED_FROM}; the two columns have different metrics, data and "
        "sizes, and only their signs can be compared.",
        "",
        "| variant | grounding here | full minus this | by seed | reading | sign as quoted | quoted |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    agreed = agreement(scores)
    for name, variant in VARIANTS.items():
        shown = _cells(apart[name]) if name in apart else "| |"
        mean = f"{here[name]:.3f}" if name in here else ""
        lines.append(f"| {variant.title} | {mean} | {shown} | {agreed.get(name, '')} | {variant.quoted} |")
    lines += ["", "## All scores", "", f"| score | {' | '.join(VARIANTS)} |", f"| --- |{' --- |' * len(VARIANTS)}"]
    for metric, title in SCORES.items():
        row = means(scores, metric)
        apart = differences(scores, metric)
        cells = [f"{row[name]:.3f}{_mark(apart.get(name))}" if name in row else "" for name in VARIANTS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += ["", "`*`: the difference from everything is shown, that is, its interval leaves out 0.", ""]
    return "\n".join(lines)


def _cells(difference: Difference) -> str:
    seeds = ", ".join(f"{value:+.3f}" for value in difference.by_seed)
    interval = f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
    return f"{interval} | {seeds} | {difference.reading}"


def _mark(difference: Difference | None) -> str:
    return "" if difference is None or difference.reading == "no difference shown" else "*"
