"""Grounded multi-turn chat with videos: ask and point, get answers whose phrases are masks.

Importing the package does no work: every public name is loaded when it is first touched, so neither torch nor NumPy
is imported before something needs it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sama_video.chat.answer import Answer
    from sama_video.chat.loading import load
    from sama_video.chat.session import ChatSession
    from sama_video.dialogue.turns import Dialogue, Phrase, Turn
    from sama_video.errors import SamaError
    from sama_video.model import SamaConfig, SamaForConditionalGeneration, SamaProcessor
    from sama_video.regions.masklet import Masklet
    from sama_video.regions.shapes import Box, Mask, ObjectRef, Points, Region
    from sama_video.video.clip import Clip
    from sama_video.video.reader import open_video

__version__ = "0.1.0"

__all__ = [
    "load",
    "open_video",
    "Clip",
    "Box",
    "Points",
    "Mask",
    "ObjectRef",
    "Region",
    "Masklet",
    "Turn",
    "Dialogue",
    "Phrase",
    "Answer",
    "ChatSession",
    "SamaError",
    "SamaConfig",
    "SamaForConditionalGeneration",
    "SamaProcessor",
]

_HOMES = {
    "load": "chat.loading",
    "open_video": "video.reader",
    "Clip": "video.clip",
    "Box": "regions.shapes",
    "Points": "regions.shapes",
    "Mask": "regions.shapes",
    "ObjectRef": "regions.shapes",
    "Region": "regions.shapes",
    "Masklet": "regions.masklet",
    "Turn": "dialogue.turns",
    "Dialogue": "dialogue.turns",
    "Phrase": "dialogue.turns",
    "Answer": "chat.answer",
    "ChatSession": "chat.session",
    "SamaError": "errors",
    # The room itself, not its files: importing it is what registers the three with transformers' Auto classes.
    "SamaConfig": "model",
    "SamaForConditionalGeneration": "model",
    "SamaProcessor": "model",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
