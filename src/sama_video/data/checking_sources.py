"""Data sets that are looked at as the records they become: what check, info and preview make of them.

Every set that has a class of entries can be looked at in this way; those with rules of their own (SAMA's, expressions,
RefCOCO) have checkers of their own beside these.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from sama_video.data.building.draft import Draft, finished
from sama_video.data.building.draws import Draws
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.drafts import note_forms
from sama_video.data.licences import TERMS
from sama_video.data.record_clips import FileClip
from sama_video.data.records import DialogueRecord
from sama_video.data.sources.layouts import Layout
from sama_video.data.sources.to_records import OPENERS, Entries, parts_of
from sama_video.data.sources.verified import check_clip
from sama_video.data.stores.store import StoreOptions

Advance: TypeAlias = Callable[[int], None]

_COUNTED: Final = {
    "turns": "turns",
    "descriptions": "descriptions",
    "phrases": "phrases",
    "sentences": "sentences",
    "segmentations": "regions",
    "objects": "objects",
    "object_ids": "masklets",
}
"""What an entry has several of, and what people call them."""


def sources_of(layout: Layout) -> Iterator[tuple[str, Entries]]:
    """The parts of a data set, by the names that `open_store` takes, with the split where there are several."""
    for name, split in parts_of(layout):
        options = StoreOptions(split=split) if split else StoreOptions()
        yield (f"{name} {split}" if split else name), OPENERS[name](layout.path, options)


def check_entries(source: Entries, findings: Findings, advance: Advance) -> tuple[int, int]:
    """Put every record of a data set together and decode its frames; gives entries, and turns that loading keeps."""
    entries = turns = 0
    for entry in source.entries(findings):
        entries += 1
        seen: set[FileClip] = set()
        try:
            for number, _ in enumerate(source.tasks(entry, findings)):
                turns += _checked_turns(source, entry, number, seen, findings)
        except FaultError as error:
            findings.take(error)
        advance(1)
    return entries, turns


def _checked_turns(source: Entries, entry: Any, number: int, seen: set[FileClip], findings: Findings) -> int:
    """The turns of one record that can be used; a fault of its clip is one of the whole entry.

    Raises:
        FaultError: The clip cannot be read.
    """
    try:
        made = source.draft(entry, number, Draws("check", number), 0)
        record = made if isinstance(made, DialogueRecord) else finished(made, Draws("check"), ("box",), findings.take)
    except FaultError as error:
        findings.take(error)
        return 0
    place = Place(record.source, record.record_id)
    if isinstance(made, Draft):
        place = made.place
        note_forms(made.converted, findings, place)
    if isinstance(record.clip, FileClip) and record.clip not in seen:
        check_clip(record.clip, place)
        seen.add(record.clip)
    return len(record.turns)


def count_entries(layout: Layout, source: Entries, findings: Findings) -> Iterator[tuple[str, dict[str, int]]]:
    """What a data set holds under each licence, without opening a frame."""
    counts: dict[str, Counter[str]] = {}
    for entry in source.entries(findings):
        own = TERMS[layout.kind].licence if layout.kind in TERMS else str(entry.licence)
        one = counts.setdefault(own, Counter())
        one["entries"] += 1
        for name, told in _COUNTED.items():
            one[told] += len(getattr(entry, name, ()))
        one["without a picture"] += getattr(entry, "clip", entry) is None
        for task in source.tasks(entry, findings):
            one["records"] += 1
            one[f"{task} records"] += 1
    for licence, found in sorted(counts.items()):
        yield licence, {name: count for name, count in found.items() if count}
