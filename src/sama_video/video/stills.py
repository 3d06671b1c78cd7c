"""Images as clips: one image, an animated one, or a folder with an image for each frame."""

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from sama_video.errors import VideoError
from sama_video.video.picture import over_black

# What Pillow is trusted with; GIFs go to FFmpeg with the other moving formats.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2"}
# Only these hold frames in time; the pages of a TIFF or the views of a stereo JPEG do not.
ANIMATED_FORMATS = {"PNG", "WEBP", "AVIF"}


class ImageFiles:
    """Frames that lie on disk as one image each, all of one size."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self.height, self.width = read_image(self._paths[0]).shape[:2]

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
        """Decode the images asked for."""
        for idx in frame_indices:
            pixels = read_image(self._paths[idx])
            if pixels.shape[:2] != (self.height, self.width):
                raise VideoError(
                    f"{self._paths[idx]} is {pixels.shape[1]}x{pixels.shape[0]}, but {self._paths[0].name} is "
                    f"{self.width}x{self.height}; the frames of a folder must have one size."
                )
            yield idx, pixels

    def sha256(self) -> str:
        """Hash the images' names and contents, in frame order."""
        digest = hashlib.sha256()
        for path in self._paths:
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing stays open between reads."""


def folder_images(folder: Path, name: str) -> list[Path]:
    """List a folder's images in natural order: `frame10.png` comes after `frame9.png`."""
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    except PermissionError:
        raise VideoError(f"{name} may not be read by this user; change its permissions.") from None
    if not paths:
        raise VideoError(f"{name} is a folder without images; give a folder with one image for each frame, or a file.")
    return sorted(paths, key=_natural_order)


def is_image(content: bytes | Path) -> bool:
    """Tell whether Pillow knows this as an image, by its content and not by its name."""
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=IMAGE_FORMATS):
            return True
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError):
        return False


def read_image(content: bytes | Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode one image, upright, in RGB."""
    return read_animation(content, max_frames=1)[0][0]


def read_animation(
    content: bytes | Path, max_frames: int | None = None
) -> tuple[list[UInt8[np.ndarray, "height width 3"]], list[float]]:
    """Decode an image's frames; give also how many seconds each is shown (0 for a still)."""
    name = content if isinstance(content, Path) else "<bytes>"
    frames, seconds = [], []
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=IMAGE_FORMATS) as image:
            if image.format not in ANIMATED_FORMATS:
                max_frames = 1
            for page in ImageSequence.Iterator(image):
                frames.append(_upright_rgb(page))
                seconds.append(float(page.info.get("duration") or 0) / 1000)
                if len(frames) == max_frames:
                    break
    except FileNotFoundError:
        raise VideoError(f"{name} does not exist; check the path.") from None
    except PermissionError:
        raise VideoError(f"{name} may not be read by this user; change its permissions.") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise VideoError(f"{name} is not an image that can be decoded ({error}); fetch it again.") from None
    return frames, seconds


def _upright_rgb(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey to white; its high byte is the picture.
        high_byte = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(high_byte[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        return over_black(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    # Digits compare as numbers, before letters.
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name
