"""Colours and type: what objects are painted and labelled with."""

import colorsys
import re
import zlib
from functools import lru_cache

from PIL import ImageFont

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

# The colour-blind-safe set of Okabe and Ito without its black, then darker and lighter companions that keep their
# distance from these and from each other under red-green blindness too.
_BASE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (170, 255, 195),
    (120, 28, 129),
    (255, 200, 221),
    (102, 78, 20),
    (40, 50, 90),
    (190, 190, 190),
)
_GOLDEN_ANGLE = 0.381966
_LIGHTNESS = (0.62, 0.38, 0.75, 0.50, 0.28)
_NUMBERED = re.compile(r"obj([1-9][0-9]{0,8})")


def palette(object_id: str) -> Colour:
    """An object's colour, the same in every picture and every run.

    `obj1`, `obj2`, ... take the colour-blind-safe set in order; from its end on, and for other names, hues are spread
    by the golden angle with changing lightness.
    """
    numbered = _NUMBERED.fullmatch(object_id)
    place = int(numbered[1]) - 1 if numbered else zlib.crc32(object_id.encode()) % 4096
    if place < len(_BASE):
        return _BASE[place]
    hue = (0.07 + place * _GOLDEN_ANGLE) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[place % len(_LIGHTNESS)], 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_on(colour: Colour) -> Colour:
    """Black or white, whichever reads better on a colour: the higher contrast ratio of WCAG 2."""
    luminance = sum(
        weight * _linear(channel / 255) for weight, channel in zip((0.2126, 0.7152, 0.0722), colour, strict=True)
    )
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own typeface, so that pictures look alike on every machine. It holds Latin script."""
    face = ImageFont.load_default(size)
    assert isinstance(face, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return face


def fitted(text: str, face: ImageFont.FreeTypeFont, width: float | int) -> str:
    """Text on one line, cut with an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
