"""How far the bundled model's skill reaches: clips of its vocabulary that another hand draws.

    python benchmarks/other_hand.py --clips 100

Nothing of the project's generators draws. Pillow draws polygons and ellipses four times too large and scales them down;
backgrounds are soft gradients with stains; paths are straight lines and arcs; colours are Pillow's own names, textures
there are none. Per clip: a click, a box and an outline followed; words to a mask; colour, shape and direction of one
object; and something that is not there. Figures come with 95 % intervals over clips.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import arguments, finish, print_table
from PIL import Image, ImageColor, ImageDraw, ImageFilter

import sama_video
from sama_video.data.synthetic.answers import denies
from sama_video.metrics.boundary import jf_series
from sama_video.metrics.intervals import interval, mean_over_questions
from sama_video.metrics.overlap import mask_iou
from sama_video.regions.rle import decode, encode
from sama_video.regions.shapes import Box, Mask, Points, Region
from sama_video.video.clip import Clip

SIDE, FRAMES, FPS, FINER = 256, 24, 10.0, 4
COLORS = {
    "red": "crimson",
    "orange": "darkorange",
    "yellow": "gold",
    "green": "limegreen",
    "cyan": "turquoise",
    "blue": "royalblue",
    "purple": "mediumorchid",
    "white": "whitesmoke",
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
DIRECTION_QUESTIONS = {
    "direction": "Which way does <region> move: left, right, up, down, or does it stay still? Name all directions, "
    "in order.",
    "direction, other words": "Which way does <region> move: left, right, up, down, up-left, up-right, down-left or "
    "down-right?",
}
"""As its own world asks, and as nobody asked it before."""


@dataclass(frozen=True)
class Thing:
    """An object: what it is, how large, and where it is at each frame, in pixels of the clip."""

    color: str
    shape: str
    radius: float
    places: tuple[tuple[float, float], ...]
    direction: str | None


def outline(shape: str, count: int = 72) -> list[tuple[float, float]]:
    """The corners of a shape of radius 1."""
    turns = [2 * math.pi * i / count for i in range(count)]
    if shape in ("circle", "ring"):
        return [(math.cos(t), math.sin(t)) for t in turns]
    if shape == "square":
        return [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    if shape == "diamond":
        return [(0, -1), (0.75, 0), (0, 1), (-0.75, 0)]
    if shape == "triangle":
        return [(0, -1), (0.95, 0.75), (-0.95, 0.75)]
    if shape == "star":
        rays = [(1.0 if i % 2 == 0 else 0.42, -math.pi / 2 + i * math.pi / 5) for i in range(10)]
        return [(r * math.cos(t), r * math.sin(t)) for r, t in rays]
    if shape == "cross":
        quarter = [(0.33, -0.95), (0.33, -0.33), (0.95, -0.33)]
        return [corner for turn in range(4) for corner in (_turned(x, y, turn) for x, y in quarter)]
    return [
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17)
        for t in turns
    ]


def _turned(x: float, y: float, quarters: int) -> tuple[float, float]:
    for _ in range(quarters):
        x, y = -y, x
    return x, y


def silhouette(thing: Thing, frame: int) -> Image.Image:
    """How much of each pixel an object covers."""
    wide = Image.new("L", (SIDE * FINER, SIDE * FINER))
    pen = ImageDraw.Draw(wide)
    x, y = thing.places[frame]

    def fill(scale: float, value: int) -> None:
        corners = [(FINER * (x + scale * dx), FINER * (y + scale * dy)) for dx, dy in outline(thing.shape)]
        pen.polygon(corners, fill=value)

    fill(thing.radius, 255)
    if thing.shape == "ring":
        fill(thing.radius * 0.5, 0)
    return wide.resize((SIDE, SIDE), Image.Resampling.BOX)


def background(draw: random.Random) -> Image.Image:
    """A dark gradient with soft stains."""
    ends = [np.array([draw.randint(10, 90) for _ in range(3)]) for _ in range(2)]
    ramp = np.linspace(0, 1, SIDE)[:, None, None]
    picture = Image.fromarray((ends[0] * (1 - ramp) + ends[1] * ramp + np.zeros((1, SIDE, 1))).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, r = draw.randint(0, SIDE), draw.randint(0, SIDE), draw.randint(10, 45)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(draw.randint(10, 90) for _ in range(3)))
    return picture.filter(ImageFilter.GaussianBlur(6))


def path(draw: random.Random, radius: float) -> tuple[tuple[tuple[float, float], ...], str | None]:
    """Straight, an arc or at rest; the direction is told of straight ones only."""
    low, high = radius + 4, SIDE - radius - 4
    x, y = draw.uniform(low, high), draw.uniform(low, high)
    kind = draw.choice(("straight", "straight", "arc", "rest"))
    times = [i / (FRAMES - 1) for i in range(FRAMES)]
    if kind == "rest":
        return tuple((x, y) for _ in times), None
    if kind == "arc":
        reach, begin = draw.uniform(25, 60), draw.uniform(0, 2 * math.pi)
        points = [(x + reach * math.cos(begin + 2 * t), y + reach * math.sin(begin + 2 * t)) for t in times]
        return tuple((min(max(a, low), high), min(max(b, low), high)) for a, b in points), None
    name = draw.choice(tuple(DIRECTIONS))
    dx, dy = DIRECTIONS[name]
    reach = draw.uniform(80, 130)
    if dx:
        x = draw.uniform(low, high - reach) if dx > 0 else draw.uniform(low + reach, high)
    else:
        y = draw.uniform(low, high - reach) if dy > 0 else draw.uniform(low + reach, high)
    return tuple((x + dx * reach * t, y + dy * reach * t) for t in times), name


def things_of(draw: random.Random) -> list[Thing]:
    """Two to four objects; no two share both colour and shape, in half of the clips two share one of them."""
    count = draw.randint(2, 4)
    colors, shapes = draw.sample(list(COLORS), count), draw.sample(SHAPES, count)
    if draw.random() < 0.5:
        shared = draw.choice((colors, shapes))
        shared[1] = shared[0]
    things = []
    for color, shape in zip(colors, shapes, strict=True):
        radius = draw.uniform(15, 34)
        things.append(Thing(color, shape, radius, *path(draw, radius)))
    return things


def painted(things: list[Thing], draw: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Frames, and the visible mask of each object: later ones lie on top."""
    ground = background(draw)
    frames = np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((len(things), FRAMES, SIDE, SIDE), bool)
    for frame in range(FRAMES):
        picture = ground.copy()
        for number, thing in enumerate(things):
            shape = silhouette(thing, frame)
            picture.paste(ImageColor.getrgb(COLORS[thing.color]), (0, 0), shape)
            covered = np.asarray(shape) > 127
            masks[:number, frame] &= ~covered
            masks[number, frame] = covered
        frames[frame] = np.asarray(picture)
    return frames, masks


def says(text: str, right: str, group: tuple[str, ...]) -> float:
    """Whether a text has the right word and no other of its group."""
    words = set(text.lower().replace(".", " ").replace(",", " ").split())
    return float(words & set(group) == {right})


def examine(model: Any, seed: int) -> Iterator[tuple[str, float]]:
    """All figures of one clip."""
    draw = random.Random(seed)
    things = things_of(draw)
    frames, masks = painted(things, draw)
    shown = [i for i in range(len(things)) if masks[i, 0].sum() > 150]
    if not shown:
        return
    chosen = draw.choice(shown)
    thing, own = things[chosen], masks[chosen]
    rows, columns = np.nonzero(own[0])
    middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    click = Points(0, xy=[(float(columns[middle]) + 0.5, float(rows[middle]) + 0.5)])
    corners = [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
    box, drawn = Box(0, xyxy=(corners[0], corners[1], corners[2], corners[3])), Mask(0, mask=own[0])
    with model.chat(Clip.from_frames(frames, fps=FPS)) as session:
        for name, region in (("click", click), ("box", box)):
            found = decode(session.another().masks.region_mask(region))
            yield f"{name} to mask, IoU", mask_iou(found, own[0])
        tracker = session.another()
        (object_id,) = tracker.track([drawn])
        yield "outline tracked, J&F", likeness(own, tracker.masklet(object_id).rles, first=1)
        named = f"the {thing.color} {thing.shape}"
        answer = session.another().ask(f"Segment {named}.", ground=True)
        tracks = [answer.masklets[p.object_id].rles for p in answer.phrases if p.object_id is not None]
        yield "words to mask, J&F", likeness(own, tracks[0] if tracks else (None,) * FRAMES)
        yield from words_about(session, thing, drawn)
        absent = draw.choice([c for c in COLORS if all((t.color, t.shape) != (c, thing.shape) for t in things)])
        for what, color in (("there", thing.color), ("not there", absent)):
            text = session.another().ask(f"Is there a {color} {thing.shape}?", ground=False).text
            yield f"says what is {what}", float(denies(text) == (what == "not there"))


def words_about(session: Any, thing: Thing, region: Region) -> Iterator[tuple[str, float]]:
    """What the model says of one object."""
    asked: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("colour", "What color is <region>?", thing.color, tuple(COLORS)),
        ("shape", "What shape is <region>?", thing.shape, SHAPES),
    ]
    if thing.direction is not None:
        for name, question in DIRECTION_QUESTIONS.items():
            asked.append((name, question, thing.direction, tuple(DIRECTIONS)))
    for name, question, right, group in asked:
        text = session.another().ask(question, [region], ground=False).text
        yield name, says(text, right, group)


def likeness(true: np.ndarray, found: Any, first: int = 0) -> float:
    """J&F over the frames from the first on."""
    rles = [encode(mask) if mask.any() else None for mask in true]
    scores = jf_series(rles[first:], found[first:], true.shape[1:])
    return float(scores.j.mean() + scores.f.mean()) / 2


def figures(model: Any, seeds: range, tell: Callable[[int], None]) -> list[dict[str, Any]]:
    """Every figure's mean and interval."""
    asked: dict[str, list[tuple[str, float]]] = {}
    for seed in seeds:
        for name, score in examine(model, seed):
            asked.setdefault(name, []).append((str(seed), score))
        tell(seed)
    rows = []
    for name, own in asked.items():
        clips, scores = zip(*own, strict=True)
        found = interval(mean_over_questions(clips, scores))
        rows.append({"figure": name, "mean": found.value, "low": found.low, "high": found.high, "count": len(own)})
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="nano", help="a name, folder or hub id (default nano)")
    parser.add_argument("--clips", type=int, default=100)
    options = parser.parse_args()
    model = sama_video.load(options.model, device=options.device)
    seeds = range(4 if options.quick else options.clips)
    rows = figures(model, seeds, lambda seed: print(f"\rclip {seed + 1} of {len(seeds)}", end="", flush=True))
    print()
    cells = [(r["figure"], *(r[key] for key in ("mean", "low", "high", "count"))) for r in rows]
    print_table(("figure", "mean", "low", "high", "asked"), cells)
    finish("other_hand", options, {"revision": model.revision, "rows": rows})


if __name__ == "__main__":
    main()
