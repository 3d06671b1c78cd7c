"""MeViS, Ref-YouTube-VOS, ReVOS, Ref-DAVIS17 and Ref-SAV: videos with referring expressions and the masks they mean."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.mask_files import FittedTracks, open_mask_file
from sama_video.data.sources.expression_videos import (
    Expression,
    ExpressionVideo,
    frames_in,
    read_meta,
    read_videos,
)
from sama_video.data.sources.ref_sav import read_ref_sav
from sama_video.data.sources.running_numbers import running_numbers

__all__ = [
    "Expression",
    "ExpressionVideo",
    "read_mevis",
    "read_ref_davis17",
    "read_ref_sav",
    "read_ref_youtube_vos",
    "read_revos",
]

YOUTUBE_MASKS = ("mask_dict.pkl", "ref_youtube_train_mask_dict.pkl", "../ref_youtube_train_mask_dict.pkl")
"""Names of the Ref-YouTube-VOS pickle; SAMA-239K keeps it a folder above."""


def read_mevis(root: Path, split: str, findings: Findings) -> Iterator[ExpressionVideo]:
    """Videos of one MeViS split, in file order.

    Args:
        root: Its `split` folder holds `meta_expressions.json`, `JPEGImages` and, where there is ground truth,
            `mask_dict.json`.
        split: `train`, `valid_u` or `valid`.
        findings: Takes what is dropped.
    """
    folder = root / split
    yield from _with_annotation_ids(
        folder / "meta_expressions.json", folder / "mask_dict.json", (folder / "JPEGImages",), findings
    )


def read_revos(root: Path, split: str, findings: Findings) -> Iterator[ExpressionVideo]:
    """Videos of one ReVOS split, in file order.

    Args:
        root: Holds `meta_expressions_<split>_.json`, `mask_dict.json`, and the pictures, themselves or in `JPEGImages`.
        split: `train` or `valid`.
        findings: Takes what is dropped.
    """
    meta = root / f"meta_expressions_{split}_.json"
    yield from _with_annotation_ids(meta, root / "mask_dict.json", (root, root / "JPEGImages"), findings)


def read_ref_youtube_vos(root: Path, split: str, findings: Findings) -> Iterator[ExpressionVideo]:
    """Videos of one Ref-YouTube-VOS split, in file order; annotation ids are the running numbers of the mask pickle.

    Args:
        root: Holds `meta_expressions/<split>/meta_expressions.json`, `<split>/JPEGImages` and the pickle.
        split: `train`, or `valid` and `test`, which have no ground truth.
        findings: Takes what is dropped.
    """
    places = [root / name for name in YOUTUBE_MASKS] if split == "train" else []
    masks = next((place for place in places if place.is_file()), places[0] if places else None)
    yield from _with_running_numbers(root, split, masks, findings, sorted_videos=False)


def read_ref_davis17(root: Path, split: str, findings: Findings) -> Iterator[ExpressionVideo]:
    """Videos of one Ref-DAVIS17 split, in the order of their names; annotation ids are the pickle's running numbers.

    Args:
        root: Holds `meta_expressions/<split>/meta_expressions.json` and `<split>` with `JPEGImages`, `mask_dict.pkl`.
        split: `train` or `valid`.
        findings: Takes what is dropped.
    """
    yield from _with_running_numbers(root, split, root / split / "mask_dict.pkl", findings, sorted_videos=True)


def _with_annotation_ids(
    meta: Path, masks: Path, picture_roots: tuple[Path, ...], findings: Findings
) -> Iterator[ExpressionVideo]:
    try:
        videos = read_meta(meta, findings)
        # A split whose ground truth is kept on a server has no annotation ids, and no masks to be missed.
        tracks = FittedTracks(open_mask_file(masks, findings)) if _has_annotation_ids(videos) else None
    except FaultError as error:
        findings.take(error)
        return
    yield from read_videos(meta, frames_in(*picture_roots), videos, tracks, findings)


def _has_annotation_ids(videos: Mapping[str, object]) -> bool:
    entries = (entry.get("expressions") for entry in videos.values() if isinstance(entry, Mapping))
    words = (one for expressions in entries if isinstance(expressions, Mapping) for one in expressions.values())
    return any(isinstance(one, Mapping) and "anno_id" in one for one in words)


def _with_running_numbers(
    root: Path, split: str, masks: Path | None, findings: Findings, *, sorted_videos: bool
) -> Iterator[ExpressionVideo]:
    meta = root / "meta_expressions" / split / "meta_expressions.json"
    numbers = tracks = None
    try:
        videos = read_meta(meta, findings)
        if masks is not None:
            tracks = FittedTracks(open_mask_file(masks, findings))
            numbers = running_numbers(videos, tracks.masks, Place(str(meta)), findings, sorted_videos=sorted_videos)
    except FaultError as error:
        findings.take(error)
        return
    if sorted_videos:
        videos = dict(sorted(videos.items()))
    pictures = frames_in(root / split / "JPEGImages")
    yield from read_videos(meta, pictures, videos, tracks, findings, numbers=numbers)
