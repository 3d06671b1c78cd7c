"""From a decoded frame to upright RGB pixels."""

import weakref
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

MAX_KEPT_BLOCKS = 4


@dataclass(frozen=True)
class Picture:
    """How stored frames become the pictures a player shows.

    Attributes:
        stored_height: Rows as stored, before any turn. A frame of another size, from a stream that changes its
            resolution midway, is scaled to this.
        transpose: Whether rows and columns change places, before the flips.
    """

    stored_height: int
    stored_width: int
    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Picture":
        """Read size and display matrix off a video's first frame. Turns other than by 90 degrees are not applied."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if not isinstance(data, SideData):
            return cls(frame.height, frame.width)
        # FFmpeg: (column, row) of the stored picture goes to (a column + c row, b column + d row).
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
        transpose = abs(b) > abs(a)
        row_sign, column_sign = (b, c) if transpose else (d, a)
        return cls(frame.height, frame.width, transpose, row_sign < 0, column_sign < 0)

    @property
    def height(self) -> int:
        """Rows as shown."""
        return self.stored_width if self.transpose else self.stored_height

    @property
    def width(self) -> int:
        """Columns as shown."""
        return self.stored_height if self.transpose else self.stored_width


class RgbConverter:
    """Turns one video's decoded frames into pictures, for one reader at a time.

    Keeping FFmpeg's converter and the memory of pictures from frame to frame is what makes small frames fast: a new
    converter for each costs several times the conversion.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._reformatter = VideoReformatter()
        self._memory = PictureMemory()

    def convert(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Convert to RGB, over black where transparent, and turn upright."""
        picture = self._picture
        has_alpha = _has_alpha(frame.format.name)
        converted = self._reformatter.reformat(
            frame, picture.stored_width, picture.stored_height, "rgba" if has_alpha else "rgb24"
        )
        pixels = _view(converted, 4 if has_alpha else 3)
        if has_alpha:
            pixels = over_black(pixels)
        if picture.transpose:
            pixels = pixels.transpose(1, 0, 2)
        if picture.flip_rows:
            pixels = pixels[::-1]
        if picture.flip_columns:
            pixels = pixels[:, ::-1]
        upright = self._memory.take(picture.height, picture.width)
        upright[...] = pixels
        return upright


class PictureMemory:
    """Gives memory for pictures, again and again that of pictures which nobody holds any more.

    Fresh memory for every frame costs a page fault for each 4 kB, together more than the conversion to RGB.
    """

    def __init__(self) -> None:
        self._blocks: list[tuple[bytearray, weakref.ref[np.ndarray]]] = []

    def take(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """Give an array of undefined content that shares memory with no array in use."""
        unused = [block for block, user in self._blocks if user() is None and len(block) == height * width * 3]
        block = unused[0] if unused else bytearray(height * width * 3)
        # Whatever is sliced off the array refers to this one, as NumPy looks no further than a foreign buffer.
        user = np.frombuffer(block, np.uint8)
        kept = [entry for entry in self._blocks if entry[0] is not block][-MAX_KEPT_BLOCKS + 1 :]
        self._blocks = [*kept, (block, weakref.ref(user))]
        return user.reshape(height, width, 3)


def _view(frame: VideoFrame, channels: int) -> UInt8[np.ndarray, "height width channels"]:
    """Look at a packed frame's pixels in place."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]
    pixels: np.ndarray = rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels)
    return pixels


def over_black(rgba: UInt8[np.ndarray, "height width 4"]) -> UInt8[np.ndarray, "height width 3"]:
    """Show transparent pixels over black, as video players do; opaque ones keep their exact value."""
    alpha = rgba[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    shown: np.ndarray = ((rgba[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return shown


@lru_cache(maxsize=64)
def _has_alpha(format_name: str) -> bool:
    return format_name == "pal8" or any(part.is_alpha for part in VideoFormat(format_name).components)
