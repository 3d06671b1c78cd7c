"""Running numbers as annotation ids: an unwritten convention of two data sets, and the check that it holds.

Ref-YouTube-VOS and Ref-DAVIS17 give expressions no annotation ids. Their mask pickles are keyed by counting expressions
over all videos; inside a video, the ids count in the order of *text* ("0", "1", "10", "2", ...). Other loaders count in
the file's order, so a pickle may have been made that way. What tells: expressions of one object have one track.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, pairwise

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.mask_files import MaskFile

Numbers = dict[tuple[str, str], str]
"""Annotation id of each (video, expression)."""


def running_numbers(
    videos: Mapping[str, object], masks: MaskFile, place: Place, findings: Findings, *, sorted_videos: bool
) -> Numbers:
    """Number the expressions of a file in the way that its mask pickle was numbered.

    Args:
        videos: From `read_meta`.
        masks: The pickle.
        place: The expression file.
        findings: Takes a note if the numbers follow the file's order.
        sorted_videos: Count the videos in the order of their names, not of the file.

    Raises:
        FaultError: `schema_error`: expressions of one object have different tracks whatever the order.
    """
    ids = {video: list(_expressions(entry)) for video, entry in videos.items()}
    order = sorted(ids) if sorted_videos else list(ids)
    by_text = _count(order, ids, sorted)
    if (differing := _first_disagreement(videos, by_text, masks)) is None:
        return by_text
    in_file_order = _count(order, ids, list)
    if _first_disagreement(videos, in_file_order, masks) is None:
        findings.note("file_order_keys", str(masks.path), None, "its keys count expressions in the file's order")
        return in_file_order
    raise place.fault(
        "schema_error",
        f"{differing} mean one object, but their tracks in {masks.path.name} differ, whether expressions are counted "
        "in the order of text or of the file",
    )


def _expressions(entry: object) -> Mapping[str, object]:
    """A video's expressions; none for a video of another form, which is reported where it is read."""
    found = entry.get("expressions") if isinstance(entry, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _count(
    order: Iterable[str], ids: Mapping[str, list[str]], arranged: Callable[[Iterable[str]], list[str]]
) -> Numbers:
    numbers = count()
    return {(video, expression): str(next(numbers)) for video in order for expression in arranged(ids[video])}


def _first_disagreement(videos: Mapping[str, object], numbers: Numbers, masks: MaskFile) -> str | None:
    """Two expressions of one object whose tracks differ, in words; None if there are none."""
    for video, entry in videos.items():
        for one, other in _of_one_object(entry):
            keys = numbers[video, one], numbers[video, other]
            if not _same(masks, *keys, _num_frames(entry)):
                return f"expressions {one} and {other} of {video}"
    return None


def _of_one_object(entry: object) -> Iterator[tuple[str, str]]:
    by_object: dict[str, list[str]] = {}
    for expression, words in _expressions(entry).items():
        if isinstance(words, Mapping) and "obj_id" in words:
            by_object.setdefault(str(words["obj_id"]), []).append(expression)
    for expressions in by_object.values():
        yield from pairwise(expressions)


def _num_frames(entry: object) -> int | None:
    frames = entry.get("frames") if isinstance(entry, Mapping) else None
    return len(frames) if isinstance(frames, list) else None


def _same(masks: MaskFile, one: str, other: str, num_frames: int | None) -> bool:
    """Whether two tracks are equal; one that is missing or damaged says nothing, and is reported where it is used."""
    texts = masks.raw_text(one), masks.raw_text(other)
    if None in texts or texts[0] == texts[1]:
        return True
    try:
        tracks = masks.track(one), masks.track(other)
    except FaultError:
        return True
    if any(len(track) != num_frames for track in tracks) or len(_sizes(tracks[0] + tracks[1])) > 1:
        return True
    return tracks[0] == tracks[1]


def _sizes(track: tuple[object, ...]) -> set[tuple[int, ...]]:
    return {tuple(rle["size"]) for rle in track if isinstance(rle, dict)}
