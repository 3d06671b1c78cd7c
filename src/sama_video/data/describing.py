"""What a folder of data sets holds, counted without opening a frame or unpacking a mask: `sama data info`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sama_video.data.checking import EXPRESSIONS, expression_videos, layouts_below, record_lines
from sama_video.data.checking_sources import count_entries, sources_of
from sama_video.data.clips import FrameClip
from sama_video.data.findings import FaultError, Findings
from sama_video.data.json_items import parse
from sama_video.data.licences import TERMS
from sama_video.data.mask_files import FittedTracks
from sama_video.data.sources.layouts import Layout, is_published, record_files, splits_of
from sama_video.data.sources.refcoco import read_refcoco
from sama_video.data.sources.sama import SOURCES, SamaVideo, every_record
from sama_video.data.stores.shards import open_shards

OWN_TERMS: Final = "that of the records, see README.md"
"""Of a data set of one's own in an official layout, whose makers' terms do not concern it."""


@dataclass(frozen=True)
class Part:
    """One source or split of a layout.

    Attributes:
        layout: Where it lies below the folder.
        name: The source or split.
        licence: As its publisher states it.
        counts: How many of what.
    """

    layout: str
    name: str
    licence: str
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """One entry of `sama data info --json`."""
        return {"layout": self.layout, "part": self.name, "licence": self.licence, "counts": self.counts}


def describe(base: Path, findings: Findings) -> Iterator[Part]:
    """Count what the layouts directly below a folder hold.

    Args:
        base: The folder.
        findings: Takes what had to be left out of the counts.

    Raises:
        DataError: The folder has no layout that is known.
    """
    describers = {
        "sama239k": _sama,
        "sama_bench": _sama,
        "refcoco": _refcoco,
        "records": _records,
        "record_shards": _records,
    }
    for layout in layouts_below(base):
        try:
            describer = describers.get(layout.kind, _expressions if layout.kind in EXPRESSIONS else _entries)
            yield from describer(layout, findings)
        except FaultError as error:
            findings.take(error)


def _sama(layout: Layout, findings: Findings) -> Iterator[Part]:
    benchmark = layout.kind == "sama_bench"
    by_source: dict[str, Counter[str]] = {}
    videos: dict[str, set[str]] = {}
    for video in every_record(layout.path, findings, benchmark=benchmark):
        if video is None:
            continue
        counts = by_source.setdefault(video.source, Counter())
        videos.setdefault(video.source, set()).add(video.video)
        counts["records"] += 1
        counts["turns"] += len(video.turns)
        counts["descriptions"] += len(video.descriptions)
        counts["tracks"] += len(video.annotation_ids)
        counts["frames"] += _num_frames(video)
    texts = TERMS["SAMA-Bench" if benchmark else "SAMA-239K"].licence
    for source in SOURCES:
        if source in by_source:
            counts = by_source[source]
            ordered = {"records": counts["records"], "videos": len(videos[source])} | counts
            official = f"videos: {TERMS[source].licence}; {texts}"
            yield Part(layout.name, source, OWN_TERMS if is_published(layout.base) else official, ordered)


def _num_frames(video: SamaVideo) -> int:
    """Frames of a clip, taken from a track's length where only the video itself would tell."""
    if isinstance(video.clip, FrameClip):
        return video.clip.num_frames
    if not video.annotation_ids or not isinstance(video.tracks, FittedTracks):
        return 0
    return video.tracks.masks.num_entries(video.annotation_ids[0])


def _expressions(layout: Layout, findings: Findings) -> Iterator[Part]:
    for split in splits_of(layout):
        counts: Counter[str] = Counter()
        tracks: set[str] = set()
        for video in expression_videos(layout, split, findings):
            counts["videos"] += 1
            counts["expressions"] += len(video.expressions)
            tracks |= {f"{video.video} {annotation_id}" for annotation_id in video.annotation_ids}
            if isinstance(video.clip, FrameClip):
                counts["frames"] += video.clip.num_frames
        counts["tracks"] = len(tracks)
        yield Part(layout.name, split, TERMS[layout.kind].licence, dict(counts))


def _entries(layout: Layout, findings: Findings) -> Iterator[Part]:
    for name, source in sources_of(layout):
        for licence, counts in count_entries(layout, source, findings):
            yield Part(layout.name, name, licence, counts)


def _refcoco(layout: Layout, findings: Findings) -> Iterator[Part]:
    by_split: dict[str, Counter[str]] = {}
    for found in read_refcoco(layout.path, findings):
        for split in {one.split for one in found.objects}:
            by_split.setdefault(split, Counter())["pictures"] += 1
        for one in found.objects:
            by_split[one.split]["objects"] += 1
            by_split[one.split]["sentences"] += len(one.sentences)
    for split, counts in sorted(by_split.items()):
        yield Part(layout.name, split, TERMS["refcoco"].licence, dict(counts))


def _records(layout: Layout, findings: Findings) -> Iterator[Part]:
    by_source: dict[tuple[str, str], Counter[str]] = {}
    for record in _values(layout, findings):
        if isinstance(record, dict):
            key = str(record.get("source")), str(record.get("licence"))
            counts = by_source.setdefault(key, Counter())
            counts["records"] += 1
            for name, field in (("turns", "turns"), ("tracks", "objects")):
                counts[name] += len(record[field]) if isinstance(record.get(field), list) else 0
    for (source, licence), counts in sorted(by_source.items()):
        yield Part(layout.name, source, licence, dict(counts))


def _values(layout: Layout, findings: Findings) -> Iterator[object]:
    """Records as they stand in their files, unchecked."""
    if layout.kind == "record_shards":
        for store in open_shards(layout.path, findings):
            yield from (store.value(index)[0] for index in range(len(store)))
        return
    for path in record_files(layout.path):
        for place, line in record_lines(path, findings):
            try:
                yield parse(line, place.file, place.record, 0)
            except FaultError as error:
                findings.take(error)
