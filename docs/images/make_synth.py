"""Draw docs/images/synth.png: clips of the three levels of the diagnostic world, frames beside one with its masks.

Run `python docs/images/make_synth.py` after a change of the world, and look at the result.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.questions.captions import plain_description
from sama_video.regions.draw import draw_frame
from sama_video.regions.ink import fitted, font

CLIPS = ((1, 10_000_005), (1, 10_000_012), (2, 10_000_001), (2, 9), (3, 10_000_025), (3, 10_000_052))
SIDE, FRAMES, GAP, MARGIN, LINE = 168, 5, 6, 20, 22
INK, FAINT, PAPER = (24, 26, 30), (105, 108, 114), (252, 252, 250)


def main() -> None:
    """Draw one row a clip: its frames, one more with the masks, and under them what is true of the objects."""
    rows = [(level, DiagnosticWorld(level, (SIDE, SIDE)), seed) for level, seed in CLIPS]
    height = SIDE + 2 * LINE + 14
    width = 2 * MARGIN + (FRAMES + 1) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, MARGIN + len(rows) * height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (level, world, seed) in enumerate(rows):
        draw_row(sheet, pen, world, seed, MARGIN + place * height, level)
    sheet.quantize(256, kmeans=4).save(Path(__file__).with_name("synth.png"), optimize=True)


def draw_row(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, world: DiagnosticWorld, seed: int, top: int, level: int
) -> None:
    """Draw one clip."""
    painted, story = world.paint(seed), world.story(seed)
    numbers = np.linspace(0, len(painted.frames) - 1, FRAMES).round().astype(int).tolist()
    middle = numbers[FRAMES // 2]
    masks = {f"obj{idx + 1}": masks[middle] for idx, masks in enumerate(painted.masks)}
    tiles = [painted.frames[number] for number in numbers] + [draw_frame(painted.frames[middle], masks, alpha=0.6)]
    titles = [f"{number / 10:.1f} s" for number in numbers] + [f"masks at {middle / 10:.1f} s"]
    titles[0] = f"level {level}, seed {seed}"
    for column, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        left = MARGIN + column * (SIDE + GAP)
        pen.text((left, top), fitted(title, font(13), SIDE), font=font(13), fill=FAINT)
        sheet.paste(Image.fromarray(tile), (left, top + LINE - 3))
    told = " ".join(plain_description(story, idx) for idx in story.shown)
    text = fitted(told, font(14), sheet.width - 2 * MARGIN)
    pen.text((MARGIN, top + SIDE + LINE), text, font=font(14), fill=INK)


if __name__ == "__main__":
    main()
