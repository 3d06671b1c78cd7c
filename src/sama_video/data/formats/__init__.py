"""Annotation formats of other tools, in and out: people's own labels to train on, our masks for other programs.

Every format reads and writes `AnnotatedClip`; `to_records` makes training records of one. Nothing but names is loaded
before a format is used.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sama_video.data.findings import FaultError, Findings
from sama_video.data.formats.options import UNKNOWN_LICENCE, ReadOptions

if TYPE_CHECKING:
    from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject
    from sama_video.data.formats.detections import clip_detections, frame_detections
    from sama_video.data.formats.dialogues import to_records
    from sama_video.data.formats.media import own_frames

__all__ = [
    "FORMATS",
    "AnnotatedClip",
    "AnnotatedObject",
    "Format",
    "ReadOptions",
    "clip_detections",
    "detect",
    "frame_detections",
    "own_frames",
    "to_records",
]


@dataclass(frozen=True)
class Format:
    """A way in which other tools write annotations.

    Attributes:
        name: Such as `coco`.
        title: As people call it.
        module: Which file here reads and writes it.
    """

    name: str
    title: str
    module: str

    def read(self, path: Path, findings: Findings, options: ReadOptions | None = None) -> "Iterator[AnnotatedClip]":
        """Clips, one at a time, each with a name of its own; whatever cannot be used is counted in the findings.

        Args:
            path: The annotation file, or the folder that holds it.
            findings: Takes faults and notes; strict ones raise the first fault.
            options: Where pictures lie and whose the data is, if the files do not say it.

        Raises:
            DataError: The folder holds several annotation files, or none.
            FaultError: The findings are strict, and there is a fault.
        """
        from sama_video.data.formats.annotated import ClipNames
        from sama_video.data.formats.detecting import files_of

        names, given = ClipNames(), options or ReadOptions()
        for file in files_of(path, self.name):
            try:
                for clip in self._module.read(file, findings, given):
                    # A file may say, in our own words, that nothing is stated.
                    licence = given.licence if clip.licence == UNKNOWN_LICENCE else clip.licence
                    yield replace(clip, name=names.unique(clip.name), licence=licence)
            except FaultError as error:
                if findings.strict:
                    raise
                findings.take(error)

    def write(
        self,
        clips: "Iterable[AnnotatedClip]",
        out: Path,
        *,
        findings: Findings | None = None,
        pictures: bool = True,
    ) -> None:
        """Write clips to a new folder, which appears whole or not at all; the same clips give the same bytes.

        Args:
            clips: Taken one at a time; no two may have one name.
            out: A folder that is not there yet, or empty.
            findings: Takes notes on what the format cannot hold.
            pictures: Write the frames as well; without them other tools, and reading it back, need `media`.

        Raises:
            DataError: The folder cannot be written, or a clip does not fit into the format.
        """
        self._module.write(clips, out, findings=findings or Findings(), pictures=pictures)

    @property
    def _module(self) -> Any:
        return import_module(f"{__name__}.{self.module}")


FORMATS: Final[dict[str, Format]] = {
    one.name: one
    for one in (
        Format("coco", "COCO instances", "coco"),
        Format("youtube-vis", "YouTube-VIS", "youtube_vis"),
        Format("davis", "DAVIS", "davis"),
        Format("cvat-video", "CVAT for video 1.1", "cvat_video"),
        Format("label-studio", "Label Studio JSON", "label_studio"),
    )
}
"""By name; a new format is a file here and a line."""

_HOMES: Final = {
    "AnnotatedClip": "annotated",
    "AnnotatedObject": "annotated",
    "clip_detections": "detections",
    "frame_detections": "detections",
    "own_frames": "media",
    "to_records": "dialogues",
}


def detect(path: Path) -> Format:
    """The format of an annotation file, or of the folder that holds it.

    Raises:
        DataError: It is none of `FORMATS`, or several.
    """
    from sama_video.data.formats.detecting import detect_format

    return FORMATS[detect_format(path)[0]]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
