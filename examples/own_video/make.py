"""Draws the example: 20 clips of a garden, with masks and words as CVAT exports them, and one clip to try afterwards.

    python examples/own_video/make.py

The animals stand for whatever is in your own videos: things the bundled model has no name for.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sama_video.data.clips import VideoClip
from sama_video.data.formats import FORMATS, AnnotatedClip, AnnotatedObject
from sama_video.regions.masklet import Masklet
from sama_video.video.writer import write_video

HERE = Path(__file__).parent
SIDE, FRAMES, FPS, FINE = 128, 8, 8.0, 4
COLORS = {"red": (206, 52, 48), "blue": (52, 96, 212), "yellow": (226, 200, 60)}
ANIMALS = ("beetle", "snail", "fish")
CLIPS = 20


def paint_animal(kind: str, color: tuple[int, int, int], radius: float) -> Image.Image:
    """One animal, seen from above or from its side, on a transparent square of `2 * FINE * radius` a side."""
    size = round(2 * FINE * radius)
    picture = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(picture)

    def at(*values: float) -> list[float]:
        return [size * value for value in values]

    dark = tuple(value // 3 for value in color)
    if kind == "beetle":
        for height in (0.3, 0.5, 0.7):
            pen.line(at(0.08, height - 0.05, 0.92, height - 0.05), fill=dark, width=size // 14)
        pen.ellipse(at(0.2, 0.15, 0.8, 0.95), fill=color)
        pen.ellipse(at(0.33, 0.02, 0.67, 0.3), fill=dark)
        pen.line(at(0.5, 0.25, 0.5, 0.95), fill=dark, width=size // 18)
    elif kind == "snail":
        pen.rounded_rectangle(at(0.02, 0.7, 0.98, 0.92), radius=size * 0.1, fill=(214, 178, 140))
        pen.rounded_rectangle(at(0.8, 0.3, 0.95, 0.85), radius=size * 0.07, fill=(214, 178, 140))
        pen.ellipse(at(0.08, 0.1, 0.76, 0.78), fill=color)
        pen.ellipse(at(0.24, 0.26, 0.6, 0.62), outline=dark, width=size // 14)
    else:
        pen.polygon(at(0.3, 0.5, 0.02, 0.2, 0.02, 0.8), fill=dark)
        pen.ellipse(at(0.18, 0.24, 0.98, 0.76), fill=color)
        pen.ellipse(at(0.78, 0.38, 0.86, 0.46), fill=(10, 10, 10))
    return picture


def paint_ground(rng: np.random.Generator) -> Image.Image:
    """Soft dim green."""
    coarse = rng.integers(20, 60, (8, 8, 3)) * np.array([0.6, 1.0, 0.5])
    ground = Image.fromarray(coarse.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return ground.filter(ImageFilter.GaussianBlur(2))


def paths_of(rng: np.random.Generator, radius: float) -> Iterator[tuple[float, float]]:
    """Where an animal's centre is in each frame: straight on, turning back at the border."""
    low, high = radius, SIDE - radius
    place, step = rng.uniform(low, high, 2), rng.uniform(2.5, 5.5) * np.array(unit(rng.uniform(0, 2 * np.pi)))
    for _ in range(FRAMES):
        yield float(place[0]), float(place[1])
        step = np.where((place + step < low) | (place + step > high), -step, step)
        place = place + step


def unit(angle: float) -> tuple[float, float]:
    """The direction of an angle."""
    return float(np.cos(angle)), float(np.sin(angle))


def paint_clip(seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """Frames, the visible mask of each animal, and its colour and kind."""
    rng = np.random.default_rng(seed)
    kinds = [str(kind) for kind in rng.permutation(ANIMALS)[:2]]
    colors = [str(color) for color in rng.permutation(list(COLORS))[:2]]
    radii = rng.uniform(17, 24, 2)
    sprites = [paint_animal(kind, COLORS[color], r) for kind, color, r in zip(kinds, colors, radii, strict=True)]
    paths = [list(paths_of(rng, radius)) for radius in radii]
    ground = paint_ground(rng)
    frames, masks = [], np.zeros((2, FRAMES, SIDE, SIDE), bool)
    for idx in range(FRAMES):
        frame = ground.copy()
        for one, (sprite, path) in enumerate(zip(sprites, paths, strict=True)):
            layer = Image.new("RGBA", (SIDE * FINE, SIDE * FINE))
            corner = [round(FINE * (middle - radii[one])) for middle in path[idx]]
            layer.paste(sprite, tuple(corner))
            small = layer.resize((SIDE, SIDE), Image.Resampling.BOX)
            frame.paste(small.convert("RGB"), mask=small.getchannel("A"))
            covered = np.asarray(small.getchannel("A")) > 127
            masks[:one, idx] &= ~covered
            masks[one, idx] = covered
        frames.append(np.asarray(frame))
    return np.stack(frames), masks, list(zip(colors, kinds, strict=True))


def annotate(path: Path, masks: np.ndarray, names: list[tuple[str, str]]) -> AnnotatedClip:
    """What somebody would have drawn and written in CVAT."""
    objects = tuple(
        AnnotatedObject(Masklet.from_masks(f"obj{number}", mask), kind, f"the {color} {kind}")
        for number, (mask, (color, kind)) in enumerate(zip(masks, names, strict=True), start=1)
    )
    # A task in CVAT is named after its video.
    return AnnotatedClip(path.name, VideoClip(path, every=1), SIDE, SIDE, objects, "garden", "Apache-2.0")


def main() -> None:
    """Write `clips/NAME/` with a video and its annotations for each clip, and `try.mp4`."""
    clips = HERE / "clips"
    shutil.rmtree(clips, ignore_errors=True)
    for seed in range(CLIPS):
        frames, masks, names = paint_clip(seed)
        home = clips / f"garden-{seed:02d}"
        home.mkdir(parents=True)
        video = home / f"{home.name}.mp4"
        write_video(video, iter(frames), fps=FPS, crf=26)
        with tempfile.TemporaryDirectory() as scratch:
            task = Path(scratch) / "task"
            FORMATS["cvat-video"].write([annotate(video, masks, names)], task, pictures=False)
            shutil.move(task / video.name / "annotations.xml", home / "annotations.xml")
    frames, _, _ = paint_clip(CLIPS)
    write_video(HERE / "try.mp4", iter(frames), fps=FPS, crf=26)


if __name__ == "__main__":
    main()
