"""Everything below a folder, read: what `sama data check` reports.

One checker for each layout, in `CHECKERS`. A checker counts what loading would keep and tells the findings what it
would drop; it holds one record at a time.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import BOM, iterate_object, missing_file, note_bom, parse
from sama_video.data.records import DialogueRecord, FileClip
from sama_video.data.sources.expression_videos import ExpressionVideo
from sama_video.data.sources.expressions import (
    read_mevis,
    read_ref_davis17,
    read_ref_sav,
    read_ref_youtube_vos,
    read_revos,
)
from sama_video.data.sources.layouts import Kind, Layout, find_layouts, record_files, splits_of
from sama_video.data.sources.refcoco import check_masks, read_refcoco
from sama_video.data.sources.sama import every_record
from sama_video.data.sources.sama_samples import dialogue_samples
from sama_video.data.sources.verified import verified_expressions, verified_record
from sama_video.errors import DataError, RegionError, SamaError, SamaWarning, VideoError

Advance: TypeAlias = Callable[[int], None]
"""Told after each record, video or picture."""


@dataclass
class CheckReport:
    """What was found below a folder, so far.

    Attributes:
        records: Records of SAMA's and of our own record files, unusable ones counted.
        turns_kept, descriptions: Those that loading keeps.
    """

    findings: Findings
    records: int = 0
    turns_kept: int = 0
    descriptions: int = 0
    layouts: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The document of `sama data check --json`."""
        return {
            "records": self.records,
            "turns_kept": self.turns_kept,
            "descriptions": self.descriptions,
            "faults": dict(sorted(self.findings.faults.items())),
            "notes": dict(sorted(self.findings.notes.items())),
            "rows": [finding.to_json() for finding in self.findings.rows],
        }


Checker: TypeAlias = Callable[[Layout, CheckReport, Advance], None]


def check_folder(base: Path, report: CheckReport, advance: Advance) -> None:
    """Read everything in the layouts directly below a folder.

    Args:
        base: The folder.
        report: Filled as reading goes on, so that it is there when strict findings end it.
        advance: Told of each record.

    Raises:
        DataError: The folder has no layout that is known.
        FaultError: The report's findings are strict, and there is a fault.
    """
    for layout in layouts_below(base):
        report.layouts.append(layout.name)
        try:
            CHECKERS[layout.kind](layout, report, advance)
        except FaultError as error:
            if report.findings.strict:
                raise
            report.findings.take(error)


def layouts_below(base: Path) -> list[Layout]:
    """The layouts directly below a folder.

    Raises:
        DataError: There is none.
    """
    found = find_layouts(base) if base.is_dir() else []
    if not found:
        what = "has no data set that is known" if base.is_dir() else "is no folder"
        raise DataError(
            f"{base} {what}; give a folder that holds sama239k_data/, sama_bench/, video_datas/ or ref_seg/ directly, "
            "or one with .jsonl records of ours."
        )
    return found


def _check_sama(layout: Layout, report: CheckReport, advance: Advance) -> None:
    benchmark = layout.kind == "sama_bench"
    for video in every_record(layout.path, report.findings, benchmark=benchmark):
        report.records += 1
        usable = None if video is None else verified_record(video, report.findings, benchmark=benchmark)
        if usable is not None:
            report.turns_kept += len(usable.turns)
            report.descriptions += len(usable.descriptions)
            if not benchmark:
                for _ in dialogue_samples(usable, report.findings):
                    pass
        advance(1)


def _check_expressions(layout: Layout, report: CheckReport, advance: Advance) -> None:
    splits = splits_of(layout)
    if not splits:
        report.findings.fault("missing_file", str(layout.path), None, "there is no meta_expressions file")
    for split in splits:
        for video in expression_videos(layout, split, report.findings):
            verified_expressions(video, report.findings)
            advance(1)


def expression_videos(layout: Layout, split: str, findings: Findings) -> Iterator[ExpressionVideo]:
    """The videos of one split of an expression set."""
    match layout.kind:
        case "mevis":
            return read_mevis(layout.path, split, findings)
        case "revos":
            return read_revos(layout.path, split, findings)
        case "ref_youtube_vos":
            return read_ref_youtube_vos(layout.path, split, findings)
        case "ref_davis17":
            return read_ref_davis17(layout.path, split, findings)
        case "ref_sav":
            return read_ref_sav(layout.path, sav_root(layout), findings)
    raise AssertionError(layout.kind)


def sav_root(layout: Layout) -> Path:
    """The folder that stands for the first part of Ref-SAV's paths: that part itself, or where SAMA-239K has SA-V."""
    try:
        _, entry = next(iterate_object(layout.path, Findings()))
    except (FaultError, StopIteration):
        return layout.path.parent
    path = entry.get("video_path") if isinstance(entry, dict) else None
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if len(parts) < 2 or ".." in parts:
        return layout.path.parent
    folders = (layout.path.parent / parts[0], layout.base / "sama239k_data", layout.path.parent)
    return next((folder for folder in folders if (folder / parts[1]).exists()), folders[0])


def _check_refcoco(layout: Layout, report: CheckReport, advance: Advance) -> None:
    for found in read_refcoco(layout.path, report.findings):
        try:
            found.picture.open()
            check_masks(found, report.findings)
        except FaultError as error:
            report.findings.take(error)
        advance(1)


def _check_records(layout: Layout, report: CheckReport, advance: Advance) -> None:
    for path in record_files(layout.path):
        for place, line in record_lines(path, report.findings):
            report.records += 1
            try:
                report.turns_kept += len(_checked_record(line, layout.path, place).turns)
            except FaultError as error:
                report.findings.take(error)
            advance(1)


def record_lines(path: Path, findings: Findings) -> Iterator[tuple[Place, bytes]]:
    """The lines of a record file of ours, each with its place."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1 and line.startswith(BOM):
                    note_bom(path, findings)
                    line = line.removeprefix(BOM)
                if line.strip():
                    yield Place(str(path), f"line {number}"), line
    except OSError as error:
        findings.take(missing_file(path, error))


def _checked_record(line: bytes, root: Path, place: Place) -> DialogueRecord:
    value = parse(line, place.file, place.record, 0)
    try:
        record = DialogueRecord.from_json(value, root)
    except SamaError as error:
        damaged = isinstance(error, RegionError) or isinstance(error.__cause__, RegionError)
        raise place.fault("bad_rle" if damaged else "schema_error", str(error)) from None
    if isinstance(record.clip, FileClip):
        _check_clip(record.clip, Place(place.file, f"{place.record} ({record.record_id})"))
    return record


def _check_clip(clip: FileClip, place: Place) -> None:
    try:
        opened = clip.open()
    except FaultError as error:
        raise FaultError(error.reason, error.finding.file, place.record, error.finding.detail) from None
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamaWarning)
        try:
            for _ in opened.stream():
                pass
        except (VideoError, SamaWarning) as error:
            raise FaultError("unreadable_video", opened.source, place.record, str(error)) from None


CHECKERS: dict[Kind, Checker] = {
    "sama239k": _check_sama,
    "sama_bench": _check_sama,
    "mevis": _check_expressions,
    "revos": _check_expressions,
    "ref_youtube_vos": _check_expressions,
    "ref_davis17": _check_expressions,
    "ref_sav": _check_expressions,
    "refcoco": _check_refcoco,
    "records": _check_records,
}
"""How each layout is checked; a new layout is a kind in `sources/layouts.py` and a line here."""
