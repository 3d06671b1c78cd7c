"""What every kit wants: a question and some pictures or a video in, plain text out, the same each time.

Each question is a conversation of its own, so nothing is left behind for the next. Pictures become the frames of one
clip: a model of ours talks about one clip, so several pictures are put on canvases of one size, and a question without
any is asked about a blank picture, which is logged.
"""

import importlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.dialogue.markup import SEG, clean_question, parse_answer
from sama_video.errors import ConfigError, DialogueError
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

_LOG = logging.getLogger(__name__)

BLANK_SIDE = 64
_TAG = re.compile(r"<(?=[/|]?\w[^<>\s]*>)")


@dataclass(frozen=True)
class Generation:
    """How an answer is to be made.

    Attributes:
        max_new_tokens: Longest answer; None for the model's own limit.
        temperature: 0 for the likeliest words.
        until: The answer ends before the first of these.
    """

    max_new_tokens: int | None = None
    temperature: float | int = 0.0
    top_p: float | int = 1.0
    until: tuple[str, ...] = ()

    @classmethod
    def of(cls, wishes: Mapping[str, Any]) -> "Generation":
        """Read the names that kits use; `do_sample` of false overrules a temperature.

        Raises:
            ConfigError: A wish is none that can be kept.
        """
        beams = wishes.get("num_beams")
        if beams not in (None, 1):
            raise ConfigError(f"num_beams is {beams}; answers are made without beams, so set it to 1.")
        until = wishes.get("until") or ()
        sampled = wishes.get("do_sample") is not False
        return cls(
            wishes.get("max_new_tokens"),
            (wishes.get("temperature") or 0.0) if sampled else 0.0,
            wishes.get("top_p") or 1.0 if sampled else 1.0,
            (until,) if isinstance(until, str) else tuple(until),
        )


def answer(
    model: "LoadedModel",
    question: str,
    visuals: Sequence[Any],
    generation: Generation,
    *,
    max_frames: int | None = None,
) -> str:
    """Plain text, without tags and end tokens.

    Args:
        visuals: One video, or any number of pictures.
        max_frames: As for `LoadedModel.chat`.

    Raises:
        SamaError: Something of it cannot be read or asked.
    """
    asked = replace(model, sampling=replace(model.sampling, top_p=float(generation.top_p)))
    clip = as_clip(visuals)
    with asked.chat(
        clip,
        max_frames=max_frames,
        max_new_tokens=generation.max_new_tokens,
        temperature=float(generation.temperature),
    ) as session:
        raw = session.ask(harmless(question), ground=False).raw
    # Line breaks are in the raw words alone, and only the clean ones have their punctuation in place.
    return _before(parse_answer(_before(raw, generation.until)).text, generation.until)


def import_kit(module: str, kit: str) -> Any:
    """A module of a kit.

    Raises:
        ConfigError: The kit is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{kit} is not installed as a whole ({error}); install it to run under it.") from error


def harmless(question: str) -> str:
    """A question in which nothing is a tag of ours; media placeholders go, other tags are pulled apart.

    >>> harmless("<image>What does <p> mean?")
    'What does < p> mean?'
    """
    return _TAG.sub("< ", clean_question(question, line_break=" ")).replace(SEG, f"[ {SEG[1:]}")


def as_clip(visuals: Sequence[Any]) -> Clip:
    """The one clip that a question is about."""
    clips = [_clip(visual) for visual in visuals]
    if not clips:
        _LOG.warning("a question comes without any picture; it is asked about a blank one")
        return Clip.from_frames(np.zeros((1, BLANK_SIDE, BLANK_SIDE, 3), np.uint8))
    if len(clips) == 1:
        return clips[0]
    if any(clip.num_frames > 1 for clip in clips):
        raise DialogueError(
            f"a question comes with {len(clips)} visuals, a video among them; give one video, or pictures alone."
        )
    height, width = (max(getattr(clip, side) for clip in clips) for side in ("height", "width"))
    return Clip.from_frames(np.stack([_on_canvas(clip.frame(0), height, width) for clip in clips]))


def _before(text: str, stops: Sequence[str]) -> str:
    """What comes before the first of the stops."""
    places = [text.index(stop) for stop in stops if stop and stop in text]
    return text[: min(places)].rstrip() if places else text


def _clip(visual: Any) -> Clip:
    if isinstance(visual, Image.Image):
        return Clip.from_frames(np.array(visual.convert("RGB"))[None])
    if isinstance(visual, str | Path | np.ndarray):
        return open_video(str(visual) if isinstance(visual, Path) else visual)
    raise DialogueError(f"a visual is a {type(visual).__name__}; give a path or a picture.")


def _on_canvas(
    picture: UInt8[np.ndarray, "height width 3"], canvas_height: int, canvas_width: int
) -> UInt8[np.ndarray, "canvas_height canvas_width 3"]:
    """The picture as large as it fits on black, its shape kept."""
    height, width = picture.shape[:2]
    scale = min(canvas_height / height, canvas_width / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.zeros((canvas_height, canvas_width, 3), np.uint8)
    top, left = (canvas_height - size[1]) // 2, (canvas_width - size[0]) // 2
    fitted = np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    canvas[top : top + size[1], left : left + size[0]] = fitted
    return canvas
