"""Clips of a data set that stands by itself: copied, linked, or left where they are and named from there."""

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from PIL import Image

from sama_video.data.record_clips import ClipReference, FileClip
from sama_video.data.stores.tar import TarClip
from sama_video.errors import DataError
from sama_video.video.clip import Clip
from sama_video.video.stills import folder_images

ClipMode: TypeAlias = Literal["copy", "link", "relative"]

CLIPS: Final = "clips"
JPEG_QUALITY: Final = 95


@dataclass(frozen=True)
class ClipFolder:
    """Where the records of one file find their clips.

    Attributes:
        root: What the records' paths are relative to.
        mode: Copy, make hard links where the disk allows it, or leave the clips and name them relative to the root.
    """

    root: Path
    mode: ClipMode = "copy"

    def own(self, clip: ClipReference, name: str) -> ClipReference:
        """The clip as records below the root name it; copied there first, if that is the mode.

        Raises:
            DataError: It cannot be read or written, or with "relative" lies elsewhere.
        """
        if not isinstance(clip, FileClip):
            return clip
        if self.mode == "relative":
            return clip.below(self.root)
        if isinstance(clip, TarClip):
            return self._unpacked(clip, name)
        source = (clip.root or Path()) / clip.path
        suffix = source.suffix.lower() if source.is_file() else ""
        target = self.root / CLIPS / f"{name}{suffix}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_file():
                self._put(source, target)
            else:
                self._put_frames(clip, source, target)
        except OSError as error:
            raise DataError(f"clip {source} cannot be copied to {target} ({error}); check both.") from error
        return replace(clip, path=target.relative_to(self.root).as_posix(), root=self.root)

    def clear(self, names: set[str]) -> None:
        """Take away clips of other names, which an earlier data set had here."""
        folder = self.root / CLIPS
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            if path.name not in names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if folder.is_dir() and not names:
            folder.rmdir()

    def _unpacked(self, clip: TarClip, name: str) -> FileClip:
        """A clip out of a shard, whole or not at all."""
        partial = Path(f".{name}.{uuid.uuid4().hex[:8]}.part")
        try:
            made = clip.unpack(self.root, (CLIPS / partial).as_posix())
            target = self.root / CLIPS / f"{name}{'' if clip.names else Path(made.path).suffix}"
            if target.is_dir():
                shutil.rmtree(target)
            (self.root / made.path).replace(target)
        except OSError as error:
            raise DataError(f"clip {clip.path} of {clip.shard} cannot be copied ({error}); check the disk.") from error
        return replace(made, path=target.relative_to(self.root).as_posix())

    def _put_frames(self, clip: FileClip, source: Path, target: Path) -> None:
        """A folder of frames, whole or not at all."""
        files = [source / name for name in clip.names] or list(folder_images(source, str(source)))
        if target.is_dir() and all(_is_same(file, target / file.name) for file in files):
            return
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        partial.mkdir()
        try:
            for file in files:
                self._put(file, partial / file.name)
            shutil.rmtree(target, ignore_errors=True)
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _put(self, source: Path, target: Path) -> None:
        if _is_same(source, target):
            return
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            if not (self.mode == "link" and _linked(source, partial)):
                shutil.copy2(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def write_jpegs(clip: Clip, folder: Path) -> list[str]:
    """All frames as JPEG files, as the official layouts have them; their names without the suffix."""
    folder.mkdir(parents=True)
    stems = []
    for frame_idx, pixels in clip.stream():
        stems.append(f"{frame_idx:05d}")
        Image.fromarray(pixels).save(folder / f"{stems[-1]}.jpg", quality=JPEG_QUALITY, subsampling=0)
    return stems


def files_below(folder: Path) -> Iterator[Path]:
    """Every file that is not hidden, in the order of the names."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files_below(path)
        else:
            yield path


def _is_same(source: Path, target: Path) -> bool:
    """Whether a copy made earlier is still that of this file."""
    if not target.is_file():
        return False
    a, b = source.stat(), target.stat()
    return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False
    return True
