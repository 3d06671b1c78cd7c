"""How well a finished model talks about held-out clips of the plain world, the one the first nano was trained on.

`python -m sama_video.train.plain_evaluation MODEL --clips 50 --out FILE` prints a table and writes it as JSON.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from jaxtyping import Bool

from sama_video.chat.loading import LoadedModel, load
from sama_video.chat.session import ChatSession
from sama_video.data.synthetic.language import name_of, sample_dialogue
from sama_video.data.synthetic.wording import ATTRIBUTE_QUESTIONS
from sama_video.data.synthetic.world import SyntheticClip, frame_times, render
from sama_video.errors import RegionError
from sama_video.metrics.overlap import mask_iou, region_similarity
from sama_video.regions.rle import decode
from sama_video.regions.shapes import Points
from sama_video.train.lessons.prompts import draw_click
from sama_video.train.lessons.worlds import PlainWorld
from sama_video.video.clip import Clip

FPS = 24.0
_LEAST_AREA = 60
_ATTRIBUTE = "attribute"
_ALL_ATTRIBUTES = "one attribute"
_DISC_SHARE = 1 / 8
"""Radius of the disc that the click baseline takes for the object, in sides of the picture."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        baseline: What the same questions give without looking; `None` where there is nothing to compare with.
        count: How many questions were asked.
    """

    score: float
    baseline: float | None
    count: int


@dataclass(frozen=True)
class Outcome:
    """One question's score beside its baseline's."""

    name: str
    score: float
    baseline: float | None = None
    answer: str | None = None


def evaluate(model: LoadedModel, clips: int, seed: int) -> dict[str, Figure]:
    """Scores by name over fresh clips of scenes that training never draws.

    Args:
        seed: Chooses the scenes and the questions; the same seed asks the same.
    """
    outcomes: list[Outcome] = []
    for number in range(clips):
        rng = np.random.default_rng([seed, number])
        scene = PlainWorld().held_out(f"evaluation {seed}", number)
        outcomes += ask_about(model, render(scene, frame_times(scene.seconds, num_frames=None, fps=FPS)), rng)
    names = sorted({each.name for each in outcomes})
    figures = {name: _figure([each for each in outcomes if each.name == name]) for name in names}
    singles = [figure for name, figure in figures.items() if name.startswith(_ATTRIBUTE)]
    return ({_ALL_ATTRIBUTES: _mean_of(singles)} if singles else {}) | figures


def ask_about(model: LoadedModel, clip: SyntheticClip, rng: np.random.Generator) -> Iterator[Outcome]:
    """Everything that is asked about one clip, in two sessions: one for words, one for masks."""
    video = Clip.from_frames(clip.frames, fps=FPS)
    places = np.argwhere(clip.masks.sum(axis=(2, 3)) >= _LEAST_AREA)
    if not len(places):
        return
    with model.chat(video) as session:
        pointed, frame = (int(i) for i in places[rng.integers(len(places))])
        yield from _ask_for_words(session, clip, pointed, frame, rng)
        yield from _ask_for_nothing(session, clip, rng)
    with model.chat(video) as session:
        yield from _ask_for_masks(session, clip, [int(i) for i in np.unique(places[:, 0])], rng)


def _ask_for_words(
    session: ChatSession, clip: SyntheticClip, pointed: int, frame: int, rng: np.random.Generator
) -> Iterator[Outcome]:
    region, true = _click(rng, clip, pointed, frame), clip.masks[pointed, frame]
    try:
        found = decode(session.masks.region_mask(region))
    except RegionError:
        found = np.zeros_like(true)
    yield Outcome("click to mask, IoU", mask_iou(found, true), mask_iou(_disc(region, true), true))
    if not found.any():
        return
    spec = clip.objects[pointed]
    for attribute, questions in ATTRIBUTE_QUESTIONS.items():
        said = session.ask(questions[int(rng.integers(len(questions)))], [region]).text.rstrip(".").split()
        word = str(getattr(spec, attribute))
        yield Outcome(f"{_ATTRIBUTE} {attribute}", float(bool(said) and said[-1] == word), answer=word)
    wanted = f"a {spec.size} {spec.color} {spec.texture} {spec.shape}"
    yield Outcome(
        "all four attributes", float(wanted in session.ask("What is <region>?", [region]).text), answer=wanted
    )


def _ask_for_nothing(session: ChatSession, clip: SyntheticClip, rng: np.random.Generator) -> Iterator[Outcome]:
    turns = sample_dialogue(clip, rng, 2, {"absent": 1.0})
    for turn in turns:
        answer = session.ask(turn.question)
        yield Outcome("not there, said so", float(not answer.phrases and answer.text == turn.answer), 0.0)


def _ask_for_masks(
    session: ChatSession, clip: SyntheticClip, visible: list[int], rng: np.random.Generator
) -> Iterator[Outcome]:
    tracked, named = (visible[int(i)] for i in rng.permutation(len(visible))[[0, -1]])
    frame = int(np.argmax(clip.masks[tracked].sum(axis=(1, 2)) >= _LEAST_AREA))
    try:
        (object_id,) = session.track([_click(rng, clip, tracked, frame)])
        masklet = session.masklet(object_id)
        found, first = masklet.masks, masklet.mask(frame)
    except RegionError:
        found, first = np.zeros_like(clip.masks[tracked]), np.zeros_like(clip.masks[tracked, 0])
    still = np.repeat(first[None], clip.num_frames, axis=0)
    true = clip.masks[tracked]
    yield Outcome("click tracked, J", region_similarity(found, true), region_similarity(still, true))
    if named != tracked:
        yield _named_mask(session, clip, named)


def _named_mask(session: ChatSession, clip: SyntheticClip, named: int) -> Outcome:
    answer, true = session.ask(f"Segment the {name_of(clip.objects[named])}."), clip.masks[named]
    found = np.zeros_like(true)
    shown = [phrase.object_id for phrase in answer.phrases if phrase.object_id is not None]
    if shown:
        found = answer.masklets[shown[-1]].masks
    whole = region_similarity(np.ones_like(true), true)
    return Outcome("words to mask, all frames, J", region_similarity(found, true), whole)


def _click(rng: np.random.Generator, clip: SyntheticClip, object_idx: int, frame: int) -> Points:
    x, y = (float(value) + 0.5 for value in draw_click(rng, clip.masks[object_idx, frame]))
    return Points(frame=frame, xy=[(x, y)])


def _disc(region: Points, like: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    (x, y), (height, width) = region.xy[0], like.shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    disc: np.ndarray = np.hypot(columns - x, rows - y) <= _DISC_SHARE * width
    return disc


def _figure(outcomes: list[Outcome]) -> Figure:
    baselines = [each.baseline for each in outcomes if each.baseline is not None]
    baseline = float(np.mean(baselines)) if baselines else _majority([each.answer for each in outcomes])
    shown = None if baseline is None else round(baseline, 4)
    return Figure(round(float(np.mean([each.score for each in outcomes])), 4), shown, len(outcomes))


def _majority(answers: list[str | None]) -> float | None:
    """Share of the commonest true answer: what always giving it would score."""
    if not answers or None in answers:
        return None
    return Counter(answers).most_common(1)[0][1] / len(answers)


def _mean_of(figures: list[Figure]) -> Figure:
    """One line for several: each counts by how often it was asked."""
    counts = [figure.count for figure in figures]
    score, baseline = (np.average(column, weights=counts) for column in zip(*map(_columns, figures), strict=True))
    return Figure(round(float(score), 4), round(float(baseline), 4), sum(counts))


def _columns(figure: Figure) -> tuple[float, float]:
    return figure.score, figure.baseline or 0.0


def table(figures: dict[str, Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| question | score | baseline | asked |", "| --- | --- | --- | --- |"]
    for name, figure in figures.items():
        baseline = "" if figure.baseline is None else f"{figure.baseline:.3f}"
        lines.append(f"| {name} | {figure.score:.3f} | {baseline} | {figure.count} |")
    return "\n".join(lines)


@click.command
@click.argument("model")
@click.option("--clips", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures as JSON.")
def command(model: str, clips: int, seed: int, out: Path | None) -> None:
    """Ask MODEL (a name, folder or hub id) about fresh synthetic clips."""
    figures = evaluate(load(model), clips, seed)
    click.echo(table(figures))
    if out is not None:
        figures_as_json = {name: asdict(figure) for name, figure in figures.items()}
        out.write_text(json.dumps({"clips": clips, "seed": seed, "figures": figures_as_json}, indent=1) + "\n")


if __name__ == "__main__":
    command()
