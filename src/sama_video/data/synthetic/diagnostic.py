"""The door to the diagnostic world: a seed in; a clip, its story, a dialogue and an exam out.

The world of `world` and `language`, from which the bundled nano was trained, is older and simpler and stays as it is.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Bool

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.episode import Episode, sample_episode
from sama_video.data.synthetic.painting import NO_ASSETS, Assets, Painted, paint, silhouettes
from sama_video.data.synthetic.questions import Pointed, Question, Talk, exam_of, talk_of
from sama_video.data.synthetic.story import Story, story_of
from sama_video.errors import DataError
from sama_video.regions.shapes import Box, Mask, Points, Region

WORLD_VERSION: Final = 2
"""Changes when a seed would give other pixels, masks or words."""


@dataclass(frozen=True)
class DiagnosticWorld:
    """Clips of one level and size.

    Attributes:
        level: 1, 2 or 3.
        size: Height and width in pixels.
        assets: Folders of sprites and background pictures.
    """

    level: int = 2
    size: tuple[int, int] = (128, 128)
    assets: Assets = NO_ASSETS

    def episode(self, seed: int) -> Episode:
        """The clip before it is painted."""
        sprites, pictures = self.assets.sprites, self.assets.pictures
        return sample_episode(
            seed,
            level=self.level,
            size=self.size,
            sprites=None if sprites is None else sprites.aspects,
            pictures=() if pictures is None else pictures.names,
        )

    def story(self, seed: int) -> Story:
        """What can truly be said of the clip."""
        return story_of(self.episode(seed), self.assets)

    def paint(self, seed: int) -> Painted:
        """All frames and masks."""
        return paint(self.episode(seed), self.size, assets=self.assets)

    def masks(self, seed: int) -> Bool[np.ndarray, "objects frames height width"]:
        """All masks without the frames."""
        return silhouettes(self.episode(seed), self.size, assets=self.assets).masks

    def exam(self, seed: int) -> tuple[Question, ...]:
        """The benchmark's questions."""
        return exam_of(self.story(seed))

    def talk(self, seed: int) -> Talk:
        """A dialogue for training."""
        return talk_of(self.story(seed))


def region_at(pointed: Pointed, mask: Bool[np.ndarray, "height width"], seed: int) -> Region:
    """What is pointed at as a region of the clip: a click well inside the mask, its box, or the mask itself.

    Args:
        mask: The object's visible pixels on the frame that is pointed at.
        seed: The clip's seed, which chooses the pixel of a click.
    """
    rows, columns = np.nonzero(_inner(mask) if pointed.form == "point" else mask)
    if len(rows) == 0:
        raise DataError(f"object {pointed.object_idx} is too small to point at on {mask.shape}; draw the clip larger.")
    if pointed.form == "point":
        chosen = Draw(seed, pointed.object_idx, pointed.frame).below(len(rows))
        return Points(pointed.frame, xy=[(int(columns[chosen]) + 0.5, int(rows[chosen]) + 0.5)])
    if pointed.form == "box":
        corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return Box(pointed.frame, xyxy=tuple(int(corner) for corner in corners))
    return Mask(pointed.frame, mask=mask)


def _inner(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """A mask less its outermost pixels, twice where something is left of it."""
    inner = mask
    for _ in range(2):
        wide = np.pad(inner, 1)
        smaller: np.ndarray = inner & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        if not smaller.any():
            break
        inner = smaller
    return inner


@lru_cache(maxsize=4)
def painted(world: DiagnosticWorld, seed: int) -> Painted:
    """A clip's frames and masks, kept for the few clips that are being looked at."""
    return world.paint(seed)
