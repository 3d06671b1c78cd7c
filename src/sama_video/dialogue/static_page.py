"""Pages that are one file: they work offline and from anywhere, and take whatever a data set or a model says as text.

A page's content security policy names its own style sheet and script by their hash, so that nothing else runs.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from sama_video.regions.ink import Colour, palette, text_on

_SLOT: Final = re.compile(r"\{\{(\w+)\}\}")


def fill(template: str, slots: Mapping[str, str]) -> str:
    """A template with what stands for each `{{name}}`; what is filled in is not looked at again."""
    return _SLOT.sub(lambda slot: slots[slot[1]], template)


def source_hash(text: str) -> str:
    """How a content security policy names an inline script or style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def object_styles(names: Iterable[str]) -> str:
    """A style for each object's name: the colour of its mask, and ink that can be read on it."""
    return "".join(
        f".{name} {{ background: {_rgb(palette(name))}; color: {_rgb(text_on(palette(name)))}; }}\n" for name in names
    )


def element(tag: str, content: str, kind: str = "") -> str:
    """An element around markup.

    >>> element("em", "so", "loud")
    '<em class="loud">so</em>'
    """
    opening = f'{tag} class="{escape(kind)}"' if kind else tag
    return f"<{opening}>{content}</{tag}>"


def _rgb(colour: Colour) -> str:
    return f"rgb({', '.join(map(str, colour))})"
