"""Everything below a folder, read: what `sama data check` reports.

One checker for each layout, in `CHECKERS`. A checker counts what loading would keep and tells the findings what it
would drop; it holds one record at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from sama_video.data.checking_sources import Advance, check_entries, sources_of
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats import detect
from sama_video.data.json_items import BOM, missing_file, note_bom, parse
from sama_video.data.records import DialogueRecord, FileClip
from sama_video.data.sources.expression_videos import ExpressionVideo
from sama_video.data.sources.expressions import (
    read_mevis,
    read_ref_davis17,
    read_ref_sav,
    read_ref_youtube_vos,
    read_revos,
)
from sama_video.data.sources.layouts import Kind, Layout, find_layouts, record_files, sav_root, splits_of
from sama_video.data.sources.refcoco import check_masks, read_refcoco
from sama_video.data.sources.sama import every_record
from sama_video.data.sources.sama_samples import dialogue_samples
from sama_video.data.sources.verified import check_clip, verified_expressions, verified_record
from sama_video.data.stores.jsonl import record_of_json
from sama_video.data.stores.shards import open_shards
from sama_video.errors import DataError


@dataclass
class CheckReport:
    """What was found below a folder, so far.

    Attributes:
        records: Records of SAMA's and of our own record files, unusable ones counted; of sets that are checked as the
            records they become, entries that can be read.
        turns_kept, descriptions: Those that loading keeps; a set of expressions has neither.
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


EXPRESSIONS: Final = frozenset({"mevis", "revos", "ref_youtube_vos", "ref_davis17", "ref_sav"})
"""Kinds of layouts that are videos with expressions."""

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
    found = (find_layouts(base) or _annotations(base)) if base.is_dir() else []
    if not found:
        what = "has no data set that is known" if base.is_dir() else "is no folder"
        raise DataError(
            f"{base} {what}; give a folder that holds sama239k_data/, sama_bench/, video_datas/, ref_seg/, "
            "glamm_data/, llava_data/ or osprey-724k/ directly, or one with records of ours (.jsonl files, Parquet or "
            "tar shards) or another tool's annotations."
        )
    return found


def _annotations(base: Path) -> list[Layout]:
    """The folder as annotations of another tool, if it is that."""
    try:
        detect(base)
    except DataError:
        return []
    return [Layout("annotations", base, base)]


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


def _check_refcoco(layout: Layout, report: CheckReport, advance: Advance) -> None:
    for found in read_refcoco(layout.path, report.findings):
        try:
            found.picture.open()
            check_masks(found, report.findings)
        except FaultError as error:
            report.findings.take(error)
        advance(1)


def _check_records(layout: Layout, report: CheckReport, advance: Advance) -> None:
    clips = CheckedClips()
    for path in record_files(layout.path):
        for place, line in record_lines(path, report.findings):
            report.records += 1
            try:
                record = _record_of_line(line, layout.path, place)
                clips.check(record, Place(place.file, f"{place.record} ({record.record_id})"))
                report.turns_kept += len(record.turns)
            except FaultError as error:
                report.findings.take(error)
            advance(1)


def _check_shards(layout: Layout, report: CheckReport, advance: Advance) -> None:
    clips = CheckedClips()
    for store in open_shards(layout.path, report.findings):
        for index in range(len(store)):
            report.records += 1
            try:
                record, place = store.record(index), store.value(index)[1]
                clips.check(record, Place(place.file, f"{place.record} ({record.record_id})"))
                report.turns_kept += len(record.turns)
            except FaultError as error:
                report.findings.take(error)
            advance(1)


class CheckedClips:
    """Clips that were decoded to their end; several records are mostly about one."""

    def __init__(self) -> None:
        self._faults: dict[FileClip, FaultError | None] = {}

    def check(self, record: DialogueRecord, place: Place) -> None:
        """Decode every frame of a record's clip, unless that was done.

        Raises:
            FaultError: The clip cannot be used; each of its records is told apart.
        """
        clip = record.clip
        if not isinstance(clip, FileClip):
            return
        if clip not in self._faults:
            try:
                check_clip(clip, place)
                self._faults[clip] = None
            except FaultError as error:
                self._faults[clip] = error
        fault = self._faults[clip]
        if fault is not None:
            raise FaultError(fault.reason, fault.finding.file, place.record, fault.finding.detail)


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


def _record_of_line(line: bytes, root: Path, place: Place) -> DialogueRecord:
    return record_of_json(parse(line, place.file, place.record, 0), root, place)


def _check_as_records(layout: Layout, report: CheckReport, advance: Advance) -> None:
    for _, source in sources_of(layout):
        entries, turns = check_entries(source, report.findings, advance)
        report.records += entries
        report.turns_kept += turns


CHECKERS: dict[Kind, Checker] = {
    "sama239k": _check_sama,
    "sama_bench": _check_sama,
    "mevis": _check_expressions,
    "revos": _check_expressions,
    "ref_youtube_vos": _check_expressions,
    "ref_davis17": _check_expressions,
    "ref_sav": _check_expressions,
    "refcoco": _check_refcoco,
    "gcg": _check_as_records,
    "llava": _check_as_records,
    "chat_univi": _check_as_records,
    "osprey": _check_as_records,
    "videorefer_700k": _check_as_records,
    "vidstg": _check_as_records,
    "sav": _check_as_records,
    "annotations": _check_as_records,
    "records": _check_records,
    "record_shards": _check_shards,
}
"""How each layout is checked; a new layout is a kind in `sources/layouts.py` and a line here."""
