"""Records of ours and saved sessions in any format: `sama data export`."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from sama_video.data.findings import Findings
from sama_video.data.formats import Format
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.data.formats.from_records import read_record_clips
from sama_video.data.formats.from_sessions import read_session_clips, session_folders
from sama_video.data.formats.importing import Counts, told
from sama_video.data.sources.layouts import record_files
from sama_video.errors import DataError


def clips_below(folder: Path, findings: Findings, media: Path | None = None) -> Iterator[AnnotatedClip]:
    """Clips of a saved session, of a folder of such, or of record files.

    Raises:
        DataError: The folder holds neither.
    """
    if folder.is_dir() and session_folders(folder):
        return read_session_clips(folder, findings, media)
    if (folder.is_file() and folder.suffix == ".jsonl") or (folder.is_dir() and record_files(folder)):
        return read_record_clips(folder, findings)
    what = "holds no records (.jsonl) and no session (answers.json)" if folder.is_dir() else "is no folder"
    raise DataError(f"{folder} {what}; give what sama data import or synth, or sama chat --out, wrote.")


def export_clips(
    clips: Iterator[AnnotatedClip],
    form: Format,
    out: Path,
    findings: Findings,
    advance: Callable[[int], None],
    *,
    pictures: bool = True,
) -> Counts:
    """Write clips in a format; the folder appears whole or not at all.

    Raises:
        DataError: There is no clip that can be used, or the format cannot hold one.
        FaultError: The findings are strict, and there is a fault.
    """
    counts = Counts()
    first = next(clips, None)
    if first is None:
        raise DataError(
            f"there is nothing to export{told(findings)}; sama data check tells what is wrong with records."
        )

    def counted() -> Iterator[AnnotatedClip]:
        for clip in chain([first], clips):
            yield clip
            counts.clips += 1
            counts.objects += len(clip.objects)
            advance(1)

    form.write(counted(), out, findings=findings, pictures=pictures)
    return counts
