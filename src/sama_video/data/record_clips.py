"""Where a record's pixels come from: files below a root, a synthetic scene painted on demand, or nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os.path import relpath
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import numpy as np

from sama_video.data.clips import ClipOnDisk, FrameClip, VideoClip, safe_path
from sama_video.data.findings import FaultError, Place
from sama_video.data.stores.json_values import (
    checked_keys,
    checked_list,
    checked_number,
    checked_path,
    checked_text,
    checked_whole,
)
from sama_video.data.synthetic.scene import Level, sample_scene
from sama_video.data.synthetic.world import SyntheticClip, render
from sama_video.errors import DataError, TruncatedVideoWarning, VideoError
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video

DEFAULT_FPS: Final = 24
"""Of pictures whose data set does not tell."""


@dataclass(frozen=True)
class FileClip:
    """A clip on disk: a video file, an image or a folder of frames, relative to the data set's root.

    Attributes:
        path: With slashes.
        num_frames: Of the clip, after `names` and `every`.
        names: Files of the folder in time order, where the clip is not all of its pictures in natural order.
        every: Only each so-many-th frame of a video file belongs to the clip.
        fps: Frames per second of pictures, which have no times of their own; None where the data set does not tell.
        root: What `path` is relative to. Not part of a record file: set by whoever reads one.
    """

    path: str
    num_frames: int
    height: int
    width: int
    names: tuple[str, ...] = ()
    every: int = 1
    fps: float | int | None = None
    root: Path | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.names and len(self.names) != self.num_frames:
            raise DataError(
                f"clip: {len(self.names)} names for {self.num_frames} frames; give one name for each frame."
            )
        if self.every < 1 or (self.names and self.every > 1):
            raise DataError(f"clip: every is {self.every}; give 1 or more, and 1 where frames have names.")

    def below(self, root: Path) -> "FileClip":
        """The same clip named relative to a folder, so that a record file there finds it.

        Raises:
            DataError: It does not lie below that folder.
        """
        own = self._own_root()
        relative = Path(relpath(own / self.path, root)).as_posix()
        if relative.startswith(".."):
            raise DataError(f"clip {own / self.path} lies outside {root}; give a folder that holds it.")
        return replace(self, path=relative, root=root)

    def open(self) -> Clip:
        """Open the clip; no more than its first frame is decoded.

        Raises:
            FaultError: It is not there, cannot be read, or is not of the length and size that the record states.
            DataError: The record was made without a root.
        """
        place = Place(self.path)
        path = safe_path(self._own_root(), self.path, self.path)
        clip = self._opened(path, place)
        if clip.num_frames != self.num_frames:
            detail = f"the record has {self.num_frames} frames, the clip {clip.num_frames}"
            raise place.fault("track_length_mismatch", detail)
        if (clip.height, clip.width) != (self.height, self.width):
            detail = f"the record is {self.height}x{self.width}, the clip {clip.height}x{clip.width}"
            raise place.fault("mask_size_mismatch", detail)
        return clip

    def _opened(self, path: Path, place: Place) -> Clip:
        if not path.exists():
            raise FaultError("missing_video", str(path), None, "the clip is not there")
        try:
            if path.is_dir() and not self.names:
                return open_video(path, fps_for_stills=self.fps or DEFAULT_FPS)
            return self._source(path).open()
        except (VideoError, TruncatedVideoWarning) as error:
            reason = "unreadable_video" if path.is_file() else "unreadable_frame"
            raise FaultError(reason, str(path), None, str(error)) from None

    def _source(self, path: Path) -> ClipOnDisk:
        if not self.names:
            return VideoClip(path, self.every)
        missing = next((name for name in self.names if not (path / name).is_file()), None)
        if missing is not None:
            raise FaultError("missing_frame", str(path / missing), None, "the frame is not there")
        return FrameClip(path.parent, path.name, self.names, self.fps or DEFAULT_FPS)

    def _own_root(self) -> Path:
        if self.root is None:
            raise DataError(f"clip {self.path} has no root; read the record from its file, or set FileClip.root.")
        return self.root

    def to_json(self) -> dict[str, object]:
        """The form of a record's `clip`; what is as usual is left out."""
        row: dict[str, object] = {
            "path": self.path,
            "frames": self.num_frames,
            "height": self.height,
            "width": self.width,
        }
        if self.names:
            row["names"] = list(self.names)
        if self.every > 1:
            row["every"] = self.every
        return row if self.fps is None else row | {"fps": self.fps}


@dataclass(frozen=True)
class SceneClip:
    """A clip painted on demand; the same values paint the same pixels."""

    seed: int
    num_objects: tuple[int, int]
    level: Level
    seconds: float
    times: tuple[float, ...]
    side: int

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def height(self) -> int:
        """Height of a frame in pixels."""
        return self.side

    @property
    def width(self) -> int:
        """Width of a frame in pixels."""
        return self.side

    def render(self) -> SyntheticClip:
        """Paint the clip."""
        scene = sample_scene(self.seed, num_objects=self.num_objects, level=self.level, seconds=self.seconds)
        return render(scene, np.asarray(self.times), self.side)

    def open(self) -> Clip:
        """Paint the clip, as one that is opened like any other."""
        painted = self.render()
        return Clip.from_frames(painted.frames, times=painted.times, source=f"scene {self.seed}")

    def to_json(self) -> dict[str, object]:
        """The form of a record's `clip`."""
        return {
            "seed": self.seed,
            "num_objects": list(self.num_objects),
            "level": self.level,
            "seconds": self.seconds,
            "times": list(self.times),
            "side": self.side,
        }


@dataclass(frozen=True)
class NoClip:
    """In the place of a clip where a dialogue is about nothing but words."""

    num_frames: ClassVar[int] = 0
    height: ClassVar[int] = 0
    width: ClassVar[int] = 0

    def open(self) -> Clip:
        """There is nothing to open.

        Raises:
            DataError: Always; whoever reads records asks first.
        """
        raise DataError("the record is about words alone and has no clip; read it without frames, or leave it out.")

    def to_json(self) -> None:
        """The form of a record's `clip`: null."""


ClipReference: TypeAlias = FileClip | SceneClip | NoClip


def clip_from_json(value: object, root: Path | None) -> ClipReference:
    """Read the form of a record's `clip`.

    Raises:
        DataError: It is of no such form, or its path leaves the root.
    """
    if isinstance(value, Mapping) and "seed" in value:
        return _scene_from_json(value)
    row = checked_keys(value, "clip", ("path", "frames", "height", "width"), ("names", "every", "fps"))
    names = tuple(checked_text(name, "clip: name") for name in checked_list(row.get("names", []), "clip: names"))
    for name in names:
        if "/" in name or "\\" in name or name in (".", ".."):
            raise DataError(f"clip: frame {name!r} is no plain file name; give names of files in the clip's folder.")
    return FileClip(
        checked_path(row["path"]),
        checked_whole(row["frames"], "clip: frames"),
        checked_whole(row["height"], "clip: height"),
        checked_whole(row["width"], "clip: width"),
        names,
        checked_whole(row.get("every", 1), "clip: every"),
        None if row.get("fps") is None else checked_number(row["fps"], "clip: fps") or None,
        root,
    )


def _scene_from_json(value: Mapping[str, object]) -> SceneClip:
    row = checked_keys(value, "clip", ("seed", "num_objects", "level", "seconds", "times", "side"))
    bounds = [
        checked_whole(item, "clip: num_objects") for item in checked_list(row["num_objects"], "clip: num_objects")
    ]
    if len(bounds) != 2:
        raise DataError(f"clip: num_objects has {len(bounds)} numbers; give [fewest, most].")
    return SceneClip(
        seed=checked_whole(row["seed"], "clip: seed"),
        num_objects=(bounds[0], bounds[1]),
        level=_level(row["level"]),
        seconds=checked_number(row["seconds"], "clip: seconds"),
        times=tuple(checked_number(item, "clip: times") for item in checked_list(row["times"], "clip: times")),
        side=checked_whole(row["side"], "clip: side"),
    )


def _level(value: object) -> Level:
    if value == "easy" or value == "mixed" or value == "hard":
        return value
    raise DataError(f"clip: level is {value!r}; it is easy, mixed or hard.")
