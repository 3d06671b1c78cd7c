"""open_video(): whatever a video comes as, a Clip goes out."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from sama_video.errors import VideoError
from sama_video.video.clip import ArrayFrames, Clip
from sama_video.video.container import VideoFile, check_content
from sama_video.video.decoder import EncodedFrames
from sama_video.video.stills import ImageFiles, folder_images, is_image, read_animation
from sama_video.video.timeline import read_timeline

VideoSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray | list[np.ndarray] | Clip


def open_video(source: VideoSource, *, fps_for_stills: float | int = 24) -> Clip:
    """Open a video without decoding it.

    Args:
        source: A video file, an image, or a folder with an image for each frame (natural order: 9 before 10); the
            bytes of such a file; RGB frames as one uint8 array (frames, height, width, 3), a list of them, or a
            single one. A Clip comes back as it is.
        fps_for_stills: Frames per second of what has no times of its own: images, folders and arrays.

    Returns:
        The clip. A file that ends early gives the frames that can be read and a `TruncatedVideoWarning`.
    """
    if isinstance(source, Clip):
        return source
    if isinstance(source, np.ndarray):
        return Clip.from_frames(source[None] if source.ndim == 3 else source, fps=fps_for_stills)
    if isinstance(source, (list, tuple)):
        return Clip.from_frames(source, fps=fps_for_stills)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open_file(VideoFile("<bytes>", content=bytes(source)), fps_for_stills)
    if not isinstance(source, (str, os.PathLike)):
        raise VideoError(f"a video cannot be a {type(source).__name__}; give a path, bytes or an array of frames.")
    name = os.fspath(source)
    if "://" in name:
        raise VideoError(f"{name} is an address; download the video first and give the file.")
    if not name:
        raise VideoError("the path of the video is empty; give a file or a folder of images.")
    path = Path(name).expanduser()
    if path.is_dir():
        return _open_folder(path, name, fps_for_stills)
    return _open_file(VideoFile(name, path=path), fps_for_stills)


def open_frame_files(paths: Sequence[Path], name: str, *, fps: float | int = 24) -> Clip:
    """Make a clip of picture files, one a frame, in the order given; only the first is decoded.

    Args:
        paths: At least one file; all pictures have one size, checked as each is read.
        name: What the clip is called in messages.
        fps: Frames per second, for pictures have no times of their own.
    """
    if not paths:
        raise VideoError(f"{name} has no frames; give at least one picture file.")
    if not (np.isfinite(fps) and fps > 0):
        raise VideoError(f"{name} was given {fps} frames per second; it must be above 0.")
    images = ImageFiles(paths)
    return Clip(
        source=name,
        height=images.height,
        width=images.width,
        times=np.arange(len(images), dtype=np.float64) / fps,
        average_fps=float(fps),
        last_frame_seconds=1 / fps,
        has_audio=False,
        frame_source=images,
    )


def _open_file(video: VideoFile, fps_for_stills: float | int) -> Clip:
    check_content(video)
    content = video.content if video.content is not None else video.path
    assert content is not None
    if is_image(content):
        return _open_image(video, content, fps_for_stills)
    timeline, picture, has_audio = read_timeline(video)
    return Clip(
        source=video.name,
        height=picture.height,
        width=picture.width,
        times=timeline.times,
        average_fps=timeline.average_fps,
        last_frame_seconds=timeline.last_frame_seconds,
        has_audio=has_audio,
        frame_source=EncodedFrames(video, timeline, picture),
    )


def _open_image(video: VideoFile, content: bytes | Path, fps_for_stills: float | int) -> Clip:
    frames, seconds = read_animation(content)
    times: np.ndarray | None = None
    if len(frames) > 1:
        # A frame without a duration is shown as browsers show it.
        times = np.cumsum([0.0] + [shown or 0.1 for shown in seconds[:-1]])
    clip = Clip.from_frames(frames, fps=None if times is not None else fps_for_stills, times=times, source=video.name)
    last_seconds = seconds[-1] or 0.1 if times is not None else clip.last_frame_seconds
    return dataclasses.replace(
        clip,
        average_fps=len(frames) / (float(clip.times[-1]) + last_seconds),
        last_frame_seconds=last_seconds,
        frame_source=ArrayFrames(np.stack(frames), content_sha256=video.sha256),
    )


def _open_folder(folder: Path, name: str, fps: float | int) -> Clip:
    if not (np.isfinite(fps) and fps > 0):
        raise VideoError(f"{name} was given fps_for_stills={fps}; frames per second must be above 0.")
    return open_frame_files(folder_images(folder, name), name, fps=fps)
