"""What a data set in its official layout holds, by the readers' passes over record files; frames stay shut."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from sama_video.data.findings import Findings
from sama_video.data.sources.expression_videos import ExpressionVideo
from sama_video.data.sources.expressions import (
    read_mevis,
    read_ref_davis17,
    read_ref_sav,
    read_ref_youtube_vos,
    read_revos,
)
from sama_video.data.sources.gcg import read_gcg
from sama_video.data.sources.layouts import REF_SAV_FILE, Layout, sav_root
from sama_video.data.sources.refcoco import read_refcoco
from sama_video.data.sources.region_caption import read_region_captions
from sama_video.data.sources.sama import every_record
from sama_video.data.sources.videorefer import ReferItem, read_descriptions, read_questions

Advance: TypeAlias = Callable[[int], None]

CountPart: TypeAlias = Callable[[Path, Path, str, Findings, Advance], dict[str, int]]
"""Counts a part: its folder, the folder of all data sets, the part's name, where faults go, whom to tell of records."""


def _sama239k(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _sama(root, findings, advance, benchmark=False)


def _sama_bench(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _sama(root, findings, advance, benchmark=True)


def _sama(root: Path, findings: Findings, advance: Advance, *, benchmark: bool) -> dict[str, int]:
    counts = Counter(records=0, turns=0, descriptions=0, tracks=0)
    for video in every_record(root, findings, benchmark=benchmark):
        counts["records"] += 1
        if video is not None:
            counts["turns"] += len(video.turns)
            counts["descriptions"] += len(video.descriptions)
            counts["tracks"] += len(video.annotation_ids)
        advance(1)
    return dict(counts)


def _mevis(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _expressions(read_mevis(root, part, findings), advance)


def _revos(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _expressions(read_revos(root, part, findings), advance)


def _ref_youtube_vos(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _expressions(read_ref_youtube_vos(root, part, findings), advance)


def _ref_davis17(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _expressions(read_ref_davis17(root, part, findings), advance)


def _ref_sav(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    file = root / REF_SAV_FILE
    return _expressions(read_ref_sav(file, sav_root(Layout("ref_sav", file, base)), findings), advance)


def _expressions(videos: Iterator[ExpressionVideo], advance: Advance) -> dict[str, int]:
    counts = Counter(videos=0, expressions=0, tracks=0)
    for video in videos:
        counts["videos"] += 1
        counts["expressions"] += len(video.expressions)
        counts["tracks"] += len(video.annotation_ids)
        advance(1)
    return dict(counts)


def _refcoco(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    counts = Counter(pictures=0, objects=0, sentences=0)
    for found in read_refcoco(root, findings):
        counts["pictures"] += 1
        counts["objects"] += len(found.objects)
        counts["sentences"] += sum(len(one.sentences) for one in found.objects)
        advance(1)
    return dict(counts)


def _gcg(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    counts = Counter(pictures=0, phrases=0)
    for found in read_gcg(root, part, findings):
        counts["pictures"] += 1
        counts["phrases"] += len(found.phrases)
        advance(1)
    return dict(counts)


def _region_caption(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    counts = Counter(regions=0, captions=0)
    for region in read_region_captions(root, findings):
        counts["regions"] += 1
        counts["captions"] += len(region.captions)
        advance(1)
    return dict(counts)


def _videorefer_d(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _refer_items(read_descriptions(root, findings), advance)


def _videorefer_q(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    return _refer_items(read_questions(root, findings), advance)


def _refer_items(items: Iterable[ReferItem], advance: Advance) -> dict[str, int]:
    videos: set[str] = set()
    count = 0
    for item in items:
        videos.add(item.video)
        count += 1
        advance(1)
    return {"videos": len(videos), "items": count}


COUNTERS: Final[dict[str, CountPart]] = {
    "sama239k": _sama239k,
    "sama_bench": _sama_bench,
    "mevis": _mevis,
    "revos": _revos,
    "ref_youtube_vos": _ref_youtube_vos,
    "ref_davis17": _ref_davis17,
    "ref_sav": _ref_sav,
    "refcoco": _refcoco,
    "gcg": _gcg,
    "region_caption": _region_caption,
    "videorefer_d": _videorefer_d,
    "videorefer_q": _videorefer_q,
}
"""By the `reader` of a part."""
