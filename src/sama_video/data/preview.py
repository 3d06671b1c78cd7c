"""A page of records with their masks drawn: `sama data preview`.

All records of a folder are read, as loading reads them, and some are kept by chance, so that memory holds those few.
Their frames and masks are opened one record at a time, while the page is being written.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from sama_video.data.building.draws import Draws
from sama_video.data.checking import EXPRESSIONS, expression_videos, layouts_below
from sama_video.data.checking_sources import Advance, sources_of
from sama_video.data.findings import FaultError, Finding, Findings, Place
from sama_video.data.json_items import BOM, missing_file
from sama_video.data.preview_page import card, page_parts
from sama_video.data.preview_pictures import Strip, draw_strip
from sama_video.data.preview_subjects import (
    Subject,
    cut,
    dialogue_subject,
    dropped,
    expression_subject,
    record_subject,
    refcoco_subject,
    sama_subject,
)
from sama_video.data.sources.layouts import Layout, record_files, splits_of
from sama_video.data.sources.refcoco import read_refcoco
from sama_video.data.sources.sama import every_record
from sama_video.data.sources.to_records import Entries, built
from sama_video.data.stores.shards import open_shards
from sama_video.data.stores.store import RecordStore, StoreOptions
from sama_video.errors import ConfigError, DataError

MOST_RECORDS: Final = 200
MOST_BYTES: Final = 32 * 2**20
"""A page that has grown to this gets no more pictures; browsers slow down on larger ones."""

LEFT_OUT_SHOWN: Final = 40

Candidate: TypeAlias = Callable[[], Subject]
"""Opens a record that was read; holds little until then."""


@dataclass
class Preview:
    """What a preview found, and what it shows.

    Attributes:
        records: All that were read, dropped ones counted.
        shown: Titles of those on the page.
        left_out: Findings of no record that was kept, the first of them; `left_out_counts` has all.
        plain: Records without pictures because the page had grown large.
    """

    out: Path
    layouts: list[str] = field(default_factory=list)
    records: int = 0
    shown: list[str] = field(default_factory=list)
    left_out: list[Finding] = field(default_factory=list)
    left_out_counts: Counter[str] = field(default_factory=Counter)
    plain: int = 0
    bytes: int = 0

    def take(self, findings: Iterable[Finding]) -> None:
        """Keep findings that belong to no record."""
        for finding in findings:
            self.left_out_counts[finding.reason] += 1
            if len(self.left_out) < LEFT_OUT_SHOWN:
                self.left_out.append(finding)

    def to_json(self) -> dict[str, Any]:
        """The document of `sama data preview --json`."""
        return {
            "out": str(self.out),
            "bytes": self.bytes,
            "layouts": self.layouts,
            "records": self.records,
            "shown": self.shown,
            "without_pictures": self.plain,
            "left_out": dict(sorted(self.left_out_counts.items())),
        }


def choose_records(base: Path, preview: Preview, limit: int, seed: int, advance: Advance) -> list[Candidate]:
    """Read all records below a folder and keep some by chance, each as likely as any other, in the order of reading.

    Args:
        base: Holds layouts directly, or is one.
        preview: Takes counts and the findings of no record.
        limit: Most records to keep.
        seed: Chooses; the same seed keeps the same records.
        advance: Told of each record.

    Raises:
        DataError: The folder has no layout that is known, or not one record.
    """
    kept: list[tuple[int, Candidate]] = []
    chance = random.Random(seed)
    for layout in layouts_below(base):
        preview.layouts.append(layout.name)
        for candidate in _candidates(layout, preview):
            place = preview.records if preview.records < limit else chance.randrange(preview.records + 1)
            if place < len(kept):
                kept[place] = preview.records, candidate
            elif place < limit:
                kept.append((preview.records, candidate))
            preview.records += 1
            advance(1)
    if not kept:
        why = f" ({preview.left_out[0].detail})" if preview.left_out else ""
        raise DataError(f"{base} has no record to show{why}; run sama data check {base} to see what is there.")
    return [candidate for _, candidate in sorted(kept, key=lambda item: item[0])]


def write_preview(base: Path, chosen: Iterable[Candidate], preview: Preview, advance: Advance) -> None:
    """Write the page; it gets its name only when it is whole.

    Args:
        base: What the page is about.
        chosen: From `choose_records`.
        preview: Says where; takes what is shown.
        advance: Told of each record.

    Raises:
        ConfigError: The page cannot be written there.
    """
    out = preview.out
    partial_page = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with partial_page.open("w", encoding="utf-8", newline="\n") as page:
            _write(page, base, chosen, preview, advance)
        preview.bytes = partial_page.stat().st_size
        partial_page.replace(out)
    except OSError as error:
        why = f"cannot be written ({error.strerror}); name a file in a folder of yours."
        raise ConfigError(f"--out {out} {why}") from error
    finally:
        with contextlib.suppress(OSError):  # a folder that is none has no such file to be removed
            partial_page.unlink()


def _write(page: IO[str], base: Path, chosen: Iterable[Candidate], preview: Preview, advance: Advance) -> None:
    candidates = list(chosen)
    lead = f"{len(candidates)} of {preview.records} records"
    before, after = page_parts(base.resolve().name or str(base), lead, preview.left_out, preview.left_out_counts)
    size = page.write(before)
    for number, candidate in enumerate(candidates):
        subject = candidate()
        if size < MOST_BYTES:
            strip = draw_strip(subject)
        else:
            strip = Strip(problem="no pictures: the page has grown large; ask for fewer records with --limit")
            preview.plain += 1
        size += page.write(card(number, subject, strip))
        preview.shown.append(cut(subject.title, 160))
        advance(1)
    page.write(after)


def _candidates(layout: Layout, preview: Preview) -> Iterator[Candidate]:
    findings = Findings(base=layout.base)
    readers = {
        "sama239k": _sama,
        "sama_bench": _sama,
        "refcoco": _refcoco,
        "records": _records,
        "record_shards": _shards,
    }
    try:
        reader = readers.get(layout.kind, _expressions if layout.kind in EXPRESSIONS else _entries)
        yield from reader(layout, preview, findings)
    except FaultError as error:
        findings.take(error)
    preview.take(_drained(findings))


def _sama(layout: Layout, preview: Preview, findings: Findings) -> Iterator[Candidate]:
    for video in every_record(layout.path, findings, benchmark=layout.kind == "sama_bench"):
        rows = _drained(findings)
        preview.take(row for row in rows if row.record is None)
        own = tuple(row for row in rows if row.record is not None)
        open_record = partial(dropped, layout, own) if video is None else partial(sama_subject, layout, video, own)
        yield partial(_with_names, open_record, layout)


def _expressions(layout: Layout, preview: Preview, findings: Findings) -> Iterator[Candidate]:
    for split in splits_of(layout):
        for video in expression_videos(layout, split, findings):
            rows = _drained(findings)
            own = tuple(row for row in rows if _concerns(row, video.video))
            # A video that is dropped is never given out, so its findings come with the next one's.
            preview.take(row for row in rows if row not in own)
            yield partial(_with_names, partial(expression_subject, layout, split, video, own), layout)


def _refcoco(layout: Layout, preview: Preview, findings: Findings) -> Iterator[Candidate]:
    for found in read_refcoco(layout.path, findings):
        preview.take(_drained(findings))
        yield partial(_with_names, partial(refcoco_subject, layout, found), layout)


def _entries(layout: Layout, preview: Preview, findings: Findings) -> Iterator[Candidate]:
    for name, source in sources_of(layout):
        for entry in source.entries(findings):
            for number, _ in enumerate(source.tasks(entry, findings)):
                yield partial(_with_names, partial(_built, layout, name, source, entry, number), layout)
            preview.take(_drained(findings))


def _built(layout: Layout, name: str, source: Entries, entry: Any, number: int) -> Subject:
    told = Findings()
    try:
        record = built(source, entry, number, Draws("preview", number), 0, StoreOptions().region_forms, told.take)
    except FaultError as error:
        return dropped(layout, [error.finding])
    return replace(dialogue_subject(record, layout.path.resolve().name + f", {name}"), findings=tuple(told.rows))


def _records(layout: Layout, preview: Preview, findings: Findings) -> Iterator[Candidate]:
    for path in record_files(layout.path):
        try:
            for number, offset in _lines(path):
                yield partial(_with_names, partial(_record, layout, path, number, offset), layout)
        except OSError as error:
            findings.take(missing_file(path, error))


def _shards(layout: Layout, preview: Preview, findings: Findings) -> Iterator[Candidate]:
    for store in open_shards(layout.path, findings):
        for index in range(len(store)):
            yield partial(_with_names, partial(_of_shard, layout, store, index), layout)


def _of_shard(layout: Layout, store: RecordStore, index: int) -> Subject:
    try:
        record = store.record(index)
    except FaultError as error:
        return dropped(layout, [error.finding])
    return dialogue_subject(record, store.name if layout.name == "." else f"{layout.name}, {store.name}")


def _lines(path: Path) -> Iterator[tuple[int, int]]:
    """Number and first byte of each line that says something."""
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, offset
            offset += len(line)


def _record(layout: Layout, path: Path, number: int, offset: int) -> Subject:
    place = Place(str(path), f"line {number}")
    try:
        with path.open("rb") as lines:
            lines.seek(offset)
            line = lines.readline()
    except OSError as error:
        return dropped(layout, [missing_file(path, error).finding])
    return record_subject(layout, line.removeprefix(BOM), place)


def _with_names(open_record: Candidate, layout: Layout) -> Subject:
    """A record whose findings name files below the folder that was given, as those of the reading do."""
    subject = open_record()
    return replace(subject, findings=tuple(_named(row, layout.base) for row in subject.findings))


def _named(finding: Finding, base: Path) -> Finding:
    below = Path(finding.file).is_relative_to(base)
    return replace(finding, file=Path(finding.file).relative_to(base).as_posix()) if below else finding


def _concerns(finding: Finding, video: str) -> bool:
    record = finding.record or ""
    return record == video or record.startswith(f"{video},") or record.endswith(f" of {video}")


def _drained(findings: Findings) -> tuple[Finding, ...]:
    """The findings since this was asked last; they are let go of, so that memory holds those of one record."""
    rows = tuple(findings.rows)
    findings.rows.clear()
    findings.faults.clear()
    findings.notes.clear()
    return rows
