"""A record looked at in full: every frame decoded, every track read, and what cannot be used taken out.

The readers look at record files alone. Whoever wants to be sure before a long run, `sama data check` above all, looks
at pictures and masks as well, once; the rules are those of loading: what is reported is what would be dropped.
"""

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from sama_video.data.clips import ClipOnDisk, FrameClip
from sama_video.data.findings import FaultError, Finding, Findings, Place
from sama_video.data.mask_files import Track
from sama_video.data.record_clips import FileClip
from sama_video.data.sources.expression_videos import ExpressionVideo
from sama_video.data.sources.sama import SamaVideo
from sama_video.errors import SamaWarning, VideoError
from sama_video.regions.rle import area
from sama_video.video.stills import read_image

Video = TypeVar("Video", SamaVideo, ExpressionVideo)


def verified_record(video: SamaVideo, findings: Findings, *, benchmark: bool = False) -> SamaVideo | None:
    """A record of SAMA without what its frames and masks rule out; None if its frames cannot be used.

    Args:
        video: As read.
        findings: Takes a fault for each frame, track and turn that is dropped.
        benchmark: Keep a turn whose region is never visible: a benchmark asks about it all the same.
    """
    checked = _with_sound_tracks(video, findings)
    if checked is None:
        return None
    found, visible = checked
    hidden = frozenset(found.annotation_ids) - visible
    if not benchmark:
        return _without_hidden_prompts(found, hidden, findings)
    pointed_at = {known for turn in found.turns for known in turn.region_ids}
    pointed_at |= {text.annotation_id for text in found.descriptions}
    for annotation_id in sorted(hidden & pointed_at):
        detail = f"annotation {annotation_id} is pointed at and visible on no frame"
        findings.note("prompt_not_visible", str(found.file), found.record, detail)
    return found


def verified_expressions(video: ExpressionVideo, findings: Findings) -> ExpressionVideo | None:
    """A video without the expressions whose masks are damaged; None if its frames cannot be used."""
    checked = _with_sound_tracks(video, findings)
    return None if checked is None else checked[0]


def check_frames(clip: ClipOnDisk, place: Place) -> tuple[int, int]:
    """Decode every frame of a clip; gives their height and width.

    Raises:
        FaultError: `missing_frame`, `unreadable_frame` or `unreadable_video`.
    """
    return _check_pictures(clip, place) if isinstance(clip, FrameClip) else _check_video(clip, place)


def check_clip(clip: FileClip, place: Place) -> None:
    """Decode every frame of a record's clip.

    Raises:
        FaultError: It is not there, cannot be read, or is not as the record states.
    """
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


def _check_pictures(clip: FrameClip, place: Place) -> tuple[int, int]:
    absent = [path for path in clip.paths if not path.is_file()]
    if absent:
        more = f", and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise FaultError("missing_frame", str(absent[0]), place.record, f"frame {absent[0].name} is not there{more}")
    size: tuple[int, int] | None = None
    for path in clip.paths:
        try:
            height, width = read_image(path).shape[:2]
        except VideoError as error:
            raise FaultError("unreadable_frame", str(path), place.record, str(error)) from None
        if size is not None and (height, width) != size:
            detail = f"the frame is {height}x{width}, the ones before it {size[0]}x{size[1]}"
            raise FaultError("unreadable_frame", str(path), place.record, detail)
        size = height, width
    assert size is not None, "a clip has frames"
    return size


def _check_video(clip: ClipOnDisk, place: Place) -> tuple[int, int]:
    assert not isinstance(clip, FrameClip)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamaWarning)
        try:
            opened = clip.open()
            for _ in opened.stream():
                pass
        except (VideoError, SamaWarning) as error:
            raise FaultError("unreadable_video", str(clip.path), place.record, str(error)) from None
    return opened.height, opened.width


def _with_sound_tracks(video: Video, findings: Findings) -> tuple[Video, frozenset[str]] | None:
    """The video without damaged tracks, and which of its annotations are visible on some frame."""
    try:
        size = check_frames(video.clip, video.place)
        if video.stated_size not in (None, size):
            raise video.place.fault("schema_error", f"the file says {video.stated_size}, the frames are {size}")
    except FaultError as error:
        findings.take(error)
        return None
    damaged: set[str] = set()
    visible: set[str] = set()
    told: set[Finding] = set()
    for annotation_id in video.annotation_ids:
        try:
            if _is_visible(video.track(annotation_id)):
                visible.add(annotation_id)
        except FaultError as error:
            damaged.add(annotation_id)
            # A file that cannot be read at all is one fault, however many tracks it holds.
            if error.finding not in told:
                told.add(error.finding)
                findings.take(error)
    return (video.without(damaged) if damaged else video), frozenset(visible)


def _is_visible(track: Track) -> bool:
    return any(rle is not None and area(rle) > 0 for rle in track)


def _without_hidden_prompts(video: SamaVideo, hidden: frozenset[str], findings: Findings) -> SamaVideo:
    """Drop turns and descriptions that point at an object which no frame shows."""
    turns, descriptions = [], []
    for turn in video.turns:
        if _shown(turn.region_ids, hidden, video.place.part(f"turn {turn.round_idx}"), findings):
            turns.append(turn)
    for text in video.descriptions:
        if _shown((text.annotation_id,), hidden, video.place.part(f"object {text.object_number}"), findings):
            descriptions.append(text)
    return replace(video, turns=tuple(turns), descriptions=tuple(descriptions))


def _shown(region_ids: Iterable[str], hidden: frozenset[str], place: Place, findings: Findings) -> bool:
    unseen = [annotation_id for annotation_id in region_ids if annotation_id in hidden]
    if unseen:
        findings.take(place.fault("prompt_never_visible", f"annotation {unseen[0]} is visible on no frame"))
    return not unseen
