"""Sprites: pictures with transparency that stand for objects, from any folder; a file's name is what it is called."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.errors import DataError
from sama_video.video.stills import IMAGE_SUFFIXES

_NARROWEST: Final = 0.4  # width over height
_KEPT: Final = 256  # resized pictures
_SEEN: Final = 128  # alpha from which a pixel belongs to the object


class Sprites:
    """The pictures of a folder by what they show: `red_fish.png` is a "red fish", `cat2.png` a "cat"."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; give one with RGBA pictures, each named after what it shows.")
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        self._pictures: dict[str, Image.Image] = {}
        for path in files:
            self._pictures.setdefault(_noun(path), _cropped(path))
        if not self._pictures:
            raise DataError(f"{folder} holds no picture; give RGBA files such as fish.png.")
        self._resized: dict[tuple[str, int], UInt8[np.ndarray, "height width 4"]] = {}

    @property
    def aspects(self) -> Mapping[str, float]:
        """Width over height by name, in order."""
        return {name: image.width / image.height for name, image in sorted(self._pictures.items())}

    def resized(self, name: str, width: int) -> UInt8[np.ndarray, "height width 4"]:
        """One sprite at some width in pixels."""
        if name not in self._pictures:
            raise DataError(f"sprite {name!r} is not at hand; give the folder that the clip was drawn with.")
        if (name, width) not in self._resized:
            while len(self._resized) >= _KEPT:
                self._resized.pop(next(iter(self._resized)))
            image = self._pictures[name]
            height = max(1, round(width * image.height / image.width))
            small = image.convert("RGBa").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
            pixels = np.array(small.convert("RGBA"))
            pixels[..., 3] = np.where(pixels[..., 3] >= _SEEN, 255, 0)
            self._resized[name, width] = pixels
        return self._resized[name, width]


def _noun(path: Path) -> str:
    words = " ".join(re.findall(r"[a-z]+", path.stem.lower()))
    if not words:
        raise DataError(f"{path} is named after nothing; name a sprite after what it shows, such as fish.png.")
    return words


def _cropped(path: Path) -> Image.Image:
    """A sprite without its transparent margin."""
    try:
        with Image.open(path) as image:
            if not image.has_transparency_data:
                raise DataError(f"{path} has no transparency; give a picture with an alpha channel.")
            rgba = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is not a picture that can be decoded ({error}); give an RGBA picture.") from error
    box = rgba.getchannel("A").point(lambda alpha: 255 if alpha >= _SEEN else 0).getbbox()
    if box is None:
        raise DataError(f"{path} is transparent everywhere; give a picture that shows something.")
    cropped = rgba.crop(box)
    if not _NARROWEST <= cropped.width / cropped.height <= 1 / _NARROWEST:
        raise DataError(f"{path} is {cropped.width}x{cropped.height}: longer than 2.5 times its shorter side; crop it.")
    return cropped
