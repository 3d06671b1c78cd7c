"""What is wrong or odd in a data set: each finding under a short stable reason, counted.

A *fault* is what forgiving loading drops (a turn, a description, a track, a record) or stops on (a file). A *note* is
accepted and counted apart. Readers raise `FaultError` where they cannot go on with a unit; whoever holds the larger
unit catches it, counts it here and goes on without it.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sama_video.errors import DataError

FAULTS: Final = frozenset(
    {
        "missing_frame",
        "unreadable_frame",
        "missing_video",
        "unreadable_video",
        "unknown_source",
        "unsafe_path",
        "mask_size_mismatch",
        "bad_rle",
        "missing_annotation",
        "track_length_mismatch",
        "prompt_never_visible",
        "region_count_mismatch",
        "seg_count_mismatch",
        "region_list_too_short",
        "malformed_phrase",
        "role_order",
        "id_not_in_anno_map",
        "bad_object_key",
        "missing_key",
        "encoding_error",
        "json_error",
        "schema_error",
        "missing_file",
        "unsafe_pickle",
        # Only in annotation formats of other tools.
        "xml_error",
        "unsafe_xml",
        "bad_box",
        "bad_label",
        "keyframe_gap",
        "repeated_id",
        "unknown_category",
        "unsupported_shape",
    }
)
"""Every reason a unit may be dropped for."""

NOTES: Final = frozenset(
    {
        "unanswered_last_message",
        "repeated_annotation_id",
        "old_tag_aliases",
        "byte_order_mark",
        "unpadded_folder_name",
        "empty_conversation",
        "empty_description",
        "chunk_without_seg",
        "object_without_track",
        "mixed_id_types",
        "uncompressed_rle",
        "polygons",
        # Only where a benchmark's rules accept what training refuses.
        "padded_track",
        "resized_masks",
        "prompt_not_visible",
        "malformed_phrase",
        # Running numbers of expressions that turned out to follow the file's order.
        "file_order_keys",
        # Only in annotation formats of other tools.
        "boxes_only",
        "crowd_region",
        "frame_count_mismatch",
        "interpolated_shapes",
        "object_never_visible",
        "overlapping_masks",
        "several_annotations",
        "no_clip",
        "unlabelled_frames",
        "void_pixels",
    }
)
"""Every reason something odd is accepted for."""

MAX_ROWS: Final = 10_000
"""Rows kept for each reason; the counts go on, so that a data set with one odd habit does not fill the memory."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        file: The file at fault, relative to the data set's root where it lies below it.
        record: Which part of it, such as `record 3, turn 1` or `annotation 41`; None for the file as a whole.
        reason: One of `FAULTS` or `NOTES`.
        detail: One line: what was found.
        is_fault: Whether the unit is dropped.
    """

    file: str
    record: str | None
    reason: str
    detail: str
    is_fault: bool

    def to_json(self) -> dict[str, str | None]:
        """The form of a row of `sama data check --json`."""
        return {"file": self.file, "record": self.record, "reason": self.reason, "detail": self.detail}


class FaultError(DataError):
    """A unit of a data set that cannot be used; `finding` says why."""

    def __init__(self, reason: str, file: str, record: str | None, detail: str) -> None:
        assert reason in FAULTS, reason
        self.finding = _finding(reason, file, record, detail, is_fault=True)
        place = self.finding.file if record is None else f"{self.finding.file}, {self.finding.record}"
        super().__init__(f"{place}: {self.finding.detail.rstrip('.')} ({reason}); correct the data or leave it out.")

    def __reduce__(self) -> tuple[type["FaultError"], tuple[str, str, str | None, str]]:
        found = self.finding
        return type(self), (found.reason, found.file, found.record, found.detail)

    def of(self, whole: str) -> "FaultError":
        """The same fault, told as that of a part of something larger, such as a video."""
        found = self.finding
        record = whole if found.record is None else f"{found.record} of {whole}"
        return FaultError(found.reason, found.file, record, found.detail)

    @property
    def reason(self) -> str:
        """The name it is counted under."""
        return self.finding.reason


@dataclass(frozen=True)
class Place:
    """A file, and maybe a part of it, that a finding is about."""

    file: str
    record: str | None = None

    def fault(self, reason: str, detail: str) -> FaultError:
        """The fault to raise here."""
        return FaultError(reason, self.file, self.record, detail)

    def part(self, name: str) -> "Place":
        """A part of this place, such as one turn of a record."""
        return Place(self.file, name if self.record is None else f"{self.record}, {name}")


class Findings:
    """What was found so far.

    Args:
        strict: Raise the first fault instead of counting it.
        base: Folder that files are named relative to in the rows.
    """

    def __init__(self, strict: bool = False, base: Path | None = None) -> None:
        self.strict = strict
        self.base = base
        self.faults: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.rows: list[Finding] = []

    def fault(self, reason: str, file: str, record: str | None, detail: str) -> None:
        """Count something that is dropped.

        Raises:
            FaultError: These findings are strict.
        """
        self.take(FaultError(reason, file, record, detail))

    def take(self, error: FaultError) -> None:
        """Count a fault that a reader raised.

        Raises:
            FaultError: These findings are strict.
        """
        # Strict findings hold one fault: the one that is on its way out already.
        if not (self.strict and self.faults):
            self._keep(error.finding, self.faults)
        if self.strict:
            raise error

    def note(self, reason: str, file: str, record: str | None, detail: str) -> None:
        """Count something odd that is accepted."""
        assert reason in NOTES, reason
        self._keep(_finding(reason, file, record, detail, is_fault=False), self.notes)

    def _keep(self, finding: Finding, counts: Counter[str]) -> None:
        counts[finding.reason] += 1
        if counts[finding.reason] <= MAX_ROWS:
            self.rows.append(replace(finding, file=self._named(finding.file)))

    def _named(self, file: str) -> str:
        if self.base is not None and Path(file).is_relative_to(self.base):
            return Path(file).relative_to(self.base).as_posix()
        return file


def _finding(reason: str, file: str, record: str | None, detail: str, *, is_fault: bool) -> Finding:
    where = None if record is None else _printable(record)
    return Finding(_printable(file), where, reason, _printable(detail), is_fault)


def _printable(text: str) -> str:
    """Text that any stream takes: one line, without halves of surrogate pairs."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
