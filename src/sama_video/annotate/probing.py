"""Probe: what a quick look tells of a clip: its length, cuts, a hash of its looks, and where its objects are seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image

from sama_video.annotate.case import Subject
from sama_video.annotate.stages import Dropped, Json, Kept, Result
from sama_video.data.findings import FaultError
from sama_video.errors import ConfigError, SamaWarning, VideoError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import area
from sama_video.video.clip import Clip

VERSION: Final = 1
HASHED_FRAMES: Final = 4
BITS_PER_FRAME: Final = 64
_SIDE: Final = 64  # frames are looked at this small
_LEVELS: Final = 4  # of each colour channel in a histogram


@dataclass(frozen=True)
class ProbeSettings:
    """How closely clips are looked at.

    Attributes:
        looks_per_second: Frames that are compared to find cuts.
        cut: Share of the picture that changes its colour from one look to the next where there is a cut.
    """

    looks_per_second: float | int = 5
    cut: float | int = 0.5

    def __post_init__(self) -> None:
        if not self.looks_per_second > 0 or not 0 < self.cut <= 1:
            raise ConfigError(
                f"probe takes {self.looks_per_second} looks and cut {self.cut}; give above 0, and 0 to 1."
            )


def probe(subject: Subject, settings: ProbeSettings) -> Result:
    """Look at a subject; dropped where its clip cannot be read."""
    try:
        clip = subject.clip.open()
        try:
            seen = _look(clip, settings)
            content = clip.sha256
        finally:
            clip.close()
    except FaultError as error:
        return Dropped(error.reason, str(error))
    except (VideoError, SamaWarning, OSError) as error:
        return Dropped("unreadable_video", str(error))
    return Kept(
        {
            "frames": clip.num_frames,
            "seconds": round(clip.duration, 3),
            "height": clip.height,
            "width": clip.width,
            "content": content,
            "source": subject.source,
            "licence": subject.licence,
            "objects": {
                thing.object_id: None if thing.masklet is None else measure(thing.masklet) for thing in subject.things
            },
            **seen,
        }
    )


def measure(masklet: Masklet) -> Json:
    """On how many frames an object is seen, and its median and largest share of the picture there."""
    pixels = masklet.height * masklet.width
    shares = [area(rle) / pixels for rle in masklet.rles if rle is not None]
    return {
        "visible": len(shares),
        "frames": masklet.num_frames,
        "area": round(float(np.median(shares)), 6) if shares else 0.0,
        "largest": round(max(shares), 6) if shares else 0.0,
    }


def look_hash(frame: UInt8[np.ndarray, "height width 3"]) -> int:
    """64 bits: whether each cell of a small grey picture is brighter than the one on its right."""
    grey: NDArray[Any] = np.asarray(Image.fromarray(frame).convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (grey[:, :-1] > grey[:, 1:]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _look(clip: Clip, settings: ProbeSettings) -> dict[str, Json]:
    hashed = {place * clip.num_frames // HASHED_FRAMES for place in range(HASHED_FRAMES)}
    hashes: dict[int, int] = {}
    cuts: list[float] = []
    spread, before = 0.0, None
    for frame_idx, frame in _looks(clip, settings, hashed):
        if frame_idx in hashed:
            hashes[frame_idx] = look_hash(frame)
        small: NDArray[Any] = np.asarray(Image.fromarray(frame).resize((_SIDE, _SIDE), Image.Resampling.BOX))
        colours = _histogram(small)
        spread = max(spread, float(small.std()))
        if before is not None and float(np.abs(colours - before).sum()) / 2 > settings.cut:
            cuts.append(round(float(clip.times[frame_idx]), 3))
        before = colours
    words = [hashes[place * clip.num_frames // HASHED_FRAMES] for place in range(HASHED_FRAMES)]
    return {"cuts": cuts, "hash": "".join(f"{word:016x}" for word in words), "contrast": round(spread, 2)}


def _looks(
    clip: Clip, settings: ProbeSettings, also: set[int]
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
    """Frames at the rate asked for, and some more, in order."""
    step = max(1, round(clip.average_fps / settings.looks_per_second))
    wanted = sorted({*range(0, clip.num_frames, step), *also})
    return clip.frame_source.read(wanted)


def _histogram(small: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, " bins"]:
    """Shares of the picture of each colour."""
    levels = small.reshape(-1, 3).astype(np.int64) * _LEVELS // 256
    codes = levels @ np.array([_LEVELS**2, _LEVELS, 1])
    counts: NDArray[np.float64] = np.bincount(codes, minlength=_LEVELS**3) / len(codes)
    return counts
