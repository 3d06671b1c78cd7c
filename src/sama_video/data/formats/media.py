"""Where the pictures and videos that an annotation file speaks of lie, and pictures written beside one."""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.data.clips import ClipOnDisk, FrameClip, VideoClip, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.errors import DataError, TruncatedVideoWarning, VideoError
from sama_video.regions.rle import MAX_PIXELS
from sama_video.video.stills import IMAGE_FORMATS, IMAGE_SUFFIXES

_ORIENTATION: Final = 0x0112
_TURNED: Final = (5, 6, 7, 8)
_UNREADABLE: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_COPIED_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
JPEG_QUALITY: Final = 95
"""Of frames taken out of a video; colours are kept at full resolution."""


def find_frames(roots: Sequence[Path], names: Sequence[str], place: Place) -> FrameClip:
    """A clip of picture files in the first of the folders that has them.

    Args:
        roots: Folders to look in.
        names: At least one path, as the data file has them, in time order; all in one folder.
        place: The entry that names them.

    Raises:
        FaultError: `missing_frame`, `unsafe_path`, or `schema_error` for frames in several folders.
    """
    paths = [PurePosixPath(name) for name in names]
    parent = paths[0].parent
    for name, path in zip(names, paths, strict=True):
        safe_path(Path(), name, place.file, place.record)
        if path.parent != parent:
            raise place.fault("schema_error", f"frames of one clip lie in {parent} and in {path.parent}")
    root = next((root for root in roots if is_file(root / paths[0])), None)
    if root is None:
        raise place.fault("missing_frame", f"{names[0]} is in none of {', '.join(map(str, roots))}")
    absent = next((path for path in paths if not is_file(root / path)), None)
    if absent is not None:
        raise place.fault("missing_frame", f"frame {absent} is not in {root}")
    return FrameClip(root, str(parent), tuple(path.name for path in paths))


def find_file(roots: Sequence[Path], names: Sequence[str], place: Place, reason: str) -> Path:
    """The first of several names that is a file in one of the folders.

    Raises:
        FaultError: The given reason, or `unsafe_path`.
    """
    for name in names:
        for root in roots:
            path = safe_path(root, name, place.file, place.record)
            if is_file(path):
                return path
    raise place.fault(reason, f"{names[0]} is in none of {', '.join(map(str, roots))}")


def check_size(clip: ClipOnDisk, stated: tuple[int, int] | None, place: Place) -> tuple[int, int]:
    """Height and width of a clip's first frame, from its header, which must be those that the data file states.

    Raises:
        FaultError: `unreadable_frame`, `unreadable_video` or `mask_size_mismatch`.
    """
    if isinstance(clip, FrameClip):
        size = picture_size(clip.paths[0], place)
    else:
        try:
            size = clip.size
        except (VideoError, TruncatedVideoWarning) as error:
            raise place.fault("unreadable_video", str(error)) from None
    if stated is not None and stated != size:
        told = f"{stated[0]}x{stated[1]}"
        raise place.fault("mask_size_mismatch", f"the frames are {size[0]}x{size[1]}, the file says {told}")
    if size[0] * size[1] > MAX_PIXELS:
        raise place.fault("mask_size_mismatch", f"frames of {size[0]}x{size[1]} are too large for masks")
    return size


def count_frames(clip: ClipOnDisk, place: Place) -> int:
    """Frames of a clip.

    Raises:
        FaultError: `unreadable_video`.
    """
    try:
        return clip.num_frames
    except (VideoError, TruncatedVideoWarning) as error:
        raise place.fault("unreadable_video", str(error)) from None


def picture_size(path: Path, place: Place) -> tuple[int, int]:
    """Height and width of a picture as it is shown, without decoding it.

    Raises:
        FaultError: `unreadable_frame`.
    """
    try:
        width, height, turned = _header(path)
    except (*_UNREADABLE, Image.DecompressionBombWarning) as error:
        raise place.fault("unreadable_frame", f"{path.name} is no picture that can be read ({error})") from None
    return (width, height) if turned in _TURNED else (height, width)


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have is one that is not there."""
    return os.path.isfile(path)


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def write_frames(clip: ClipOnDisk, folder: Path) -> tuple[str, ...]:
    """Put a clip's frames into a folder, and give their names in time order.

    Pictures that every tool shows alike are copied as they are; others, and the frames of a video, are written as
    JPEG of high quality. Names that count up stay, so does a lone picture's; others become `00000.jpg`, `00001.jpg`,
    because many tools sort them.

    Raises:
        DataError: The frames cannot be read, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return tuple(_copied(clip, folder)) if isinstance(clip, FrameClip) else tuple(_extracted(clip, folder))
    except (OSError, VideoError, FaultError) as error:
        raise DataError(f"{clip.path}: its frames cannot be copied to {folder} ({error}); check both.") from error


def own_frames(annotated: AnnotatedClip, root: Path) -> AnnotatedClip:
    """The same clip with its frames copied to `root/NAME`, where nothing else lies.

    For records that shall stand by themselves, and for a part of a folder that shall be a whole one.
    """
    folder = root / annotated.name
    if folder.exists():
        raise DataError(f"{folder} exists already; give a root in which it does not.")
    names = write_frames(annotated.clip, folder)
    return AnnotatedClip(
        annotated.name,
        FrameClip(root, annotated.name, names),
        *annotated.size,
        annotated.objects,
        annotated.source,
        annotated.licence,
    )


def note_unlabelled(missing: int, num_frames: int, findings: Findings, place: Place) -> None:
    """Count frames left out because nobody labelled them."""
    if missing:
        detail = f"{missing} of {num_frames} frames have no labels; they are left out of the clip"
        findings.note("unlabelled_frames", place.file, place.record, detail)


def video_or_frames(path: Path) -> VideoClip | FrameClip:
    """A picture file as a clip of one frame, any other file as a video with all its frames."""
    if is_picture(path.name):
        return FrameClip(path.parent, ".", (path.name,))
    return VideoClip(path, every=1)


def _header(path: Path) -> tuple[int, int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            # A PNG may have its orientation behind its pixels, and Pillow would decode them to look for it.
            known = image.format != "PNG" or "exif" in image.info
            return image.width, image.height, int(image.getexif().get(_ORIENTATION, 1)) if known else 1


def _copied(clip: FrameClip, folder: Path) -> Iterator[str]:
    place = Place(str(clip.path))
    size = picture_size(clip.paths[0], place)
    keeps = _count_up(clip.stems)
    for idx, path in enumerate(clip.paths):
        if picture_size(path, place) != size:
            raise place.fault("mask_size_mismatch", f"{path.name} has another size than the frames before it")
        suffix = path.suffix.lower()
        as_it_is = suffix in _COPIED_SUFFIXES and _header(path)[2] == 1
        name = f"{path.stem if keeps else f'{idx:05d}'}{suffix if as_it_is else '.jpg'}"
        if as_it_is:
            shutil.copyfile(path, folder / name)
        else:
            _write_jpeg(clip.open().frame(idx), folder / name)
        yield name


def _extracted(clip: VideoClip, folder: Path) -> Iterator[str]:
    for idx, pixels in clip.open().stream():
        _write_jpeg(pixels, folder / f"{idx:05d}.jpg")
        yield f"{idx:05d}.jpg"


def _count_up(stems: Sequence[str]) -> bool:
    """Whether any way of sorting leaves the names in this order."""
    same_length = len({len(stem) for stem in stems}) == 1
    ascend = all(before < after for before, after in pairwise(stems))
    return len(stems) == 1 or (same_length and ascend and all(stem.isascii() and stem.isdigit() for stem in stems))


def _write_jpeg(pixels: UInt8[np.ndarray, "height width 3"], path: Path) -> None:
    Image.fromarray(pixels).save(path, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
