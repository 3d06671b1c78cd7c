"""From a data set's own ids to a DialogueRecord: tracks read, turns checked, objects named, regions pointed at.

The smallest unit that cannot be used is dropped: a turn whose track is damaged, or that points at something that is
never visible. A record is dropped when none of its turns is left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from sama_video.data.building.draws import Draws
from sama_video.data.clips import ClipOnDisk, FrameClip
from sama_video.data.findings import FaultError, Place
from sama_video.data.formats.dialogues import BOX_FRAMES
from sama_video.data.mask_files import Track
from sama_video.data.record_clips import FileClip, NoClip
from sama_video.data.records import DialogueRecord, RecordTurn, Task
from sama_video.data.stores.json_values import Scalar
from sama_video.data.stores.store import RegionForm
from sama_video.dialogue.markup import SEG, check_tags
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DialogueError, TruncatedVideoWarning, VideoError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, Points, Region
from sama_video.video.sampling import sparse_indices, spread_dense_positions

NOTHING: Final = "<nothing>"
"""Annotation that no frame shows: the target of an expression without one."""


@dataclass(frozen=True)
class PlainTurn:
    """A turn whose regions and targets are still annotations of the data set.

    Attributes:
        name: Which part of the record it is, for findings.
        question: With a `<region>` tag for each of `regions`.
        answer: With a `[SEG]` for each of `targets`.
    """

    name: str
    question: str
    answer: str
    regions: tuple[str, ...] = ()
    targets: tuple[tuple[str, ...], ...] = ()
    spans: tuple[tuple[float | int, float | int], ...] = ()

    @property
    def annotations(self) -> tuple[str, ...]:
        """Everything that it needs, each once."""
        return tuple(dict.fromkeys((*self.regions, *(one for ids in self.targets for one in ids))))


@dataclass(frozen=True)
class Draft:
    """All that a record is made of but its masks.

    Attributes:
        place: Names the record in findings.
        clip: `NoClip` for a dialogue about nothing but words, which then has no annotation.
        track: Gives the masks of an annotation, or raises FaultError.
        labels: What the data set calls an annotation.
        faults: Parts that were dropped already.
        forms: How regions are pointed at, where the data set leaves no choice.
        only_boxes: Its masks are filled boxes.
        converted: Forms of masks that were converted, by `mask_entries.FORM_NOTES`; filled as masks are read.
    """

    record_id: str
    clip: FileClip | NoClip
    turns: tuple[PlainTurn, ...]
    track: Callable[[str], Track]
    place: Place
    source: str
    licence: str
    task: Task
    provenance: Mapping[str, Scalar]
    labels: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[FaultError, ...] = ()
    forms: tuple[RegionForm, ...] = ()
    only_boxes: bool = False
    converted: set[str] = field(default_factory=set)


def finished(
    draft: Draft, draws: Draws, forms: Sequence[RegionForm], tell: Callable[[FaultError], None]
) -> DialogueRecord:
    """Read the masks and put the record together.

    Args:
        draft: The record to be.
        draws: Choose how and where regions are pointed at.
        forms: Ways to point, where the draft leaves a choice.
        tell: Told of each turn that is dropped while others are kept.

    Raises:
        FaultError: No turn is left; it is the fault of the first.
    """
    masklets: dict[str, Masklet | FaultError] = {}
    kept, faults = [], list(draft.faults)
    for turn in draft.turns:
        try:
            _check(turn, draft, masklets)
            kept.append(turn)
        except FaultError as error:
            faults.append(error)
    if not kept:
        raise faults[0] if faults else draft.place.fault("schema_error", "no turn of the record can be used")
    for fault in faults:
        tell(fault)
    sound = {name: one for name, one in masklets.items() if isinstance(one, Masklet)}
    return _put_together(draft, kept, sound, draws, draft.forms or forms)


def _check(turn: PlainTurn, draft: Draft, masklets: dict[str, Masklet | FaultError]) -> None:
    place = draft.place.part(turn.name)
    try:
        check_tags(turn.question, len(turn.regions))
    except DialogueError as error:
        raise place.fault("schema_error", str(error)) from None
    if turn.answer.count(SEG) != len(turn.targets):
        detail = f"the answer has {turn.answer.count(SEG)} {SEG}, and targets for {len(turn.targets)}"
        raise place.fault("seg_count_mismatch", detail)
    for annotation in turn.annotations:
        if annotation not in masklets:
            masklets[annotation] = _masklet(annotation, draft)
        found = masklets[annotation]
        if isinstance(found, FaultError):
            raise found
        if annotation in turn.regions and not found.visible_frames:
            raise place.fault("prompt_never_visible", f"annotation {annotation} is visible on no frame")


def _masklet(annotation: str, draft: Draft) -> Masklet | FaultError:
    clip = draft.clip
    try:
        track: Track = (None,) * clip.num_frames if annotation == NOTHING else draft.track(annotation)
    except FaultError as error:
        return error
    # A name of its own comes later, when it is known which objects are needed.
    return Masklet(annotation, clip.height, clip.width, track, (None,) * len(track))


def _put_together(
    draft: Draft, turns: Sequence[PlainTurn], masklets: Mapping[str, Masklet], draws: Draws, forms: Sequence[RegionForm]
) -> DialogueRecord:
    needed = dict.fromkeys(annotation for turn in turns for annotation in turn.annotations)
    names = _names([masklets[annotation] for annotation in needed])
    annotations = {name: annotation for annotation, name in reversed(names.items())}
    objects = {name: replace(masklets[annotations[name]], object_id=name) for name in dict.fromkeys(names.values())}

    def pointed(annotation: str) -> RegionPrompt:
        return RegionPrompt(point_at(objects[names[annotation]], forms, draws), names[annotation])

    return DialogueRecord(
        record_id=draft.record_id,
        clip=draft.clip,
        objects=tuple(objects.values()),
        turns=tuple(
            RecordTurn(
                turn.question,
                tuple(map(pointed, turn.regions)),
                turn.answer,
                tuple(tuple(dict.fromkeys(names[one] for one in ids)) for ids in turn.targets),
                turn.spans,
            )
            for turn in turns
        ),
        source=draft.source,
        licence=draft.licence,
        task=draft.task,
        provenance=draft.provenance,
        facts={name: _facts(draft, annotations[name], one) for name, one in objects.items()},
    )


def _facts(draft: Draft, annotation: str, one: Masklet) -> dict[str, Scalar]:
    facts: dict[str, Scalar] = {"annotation": annotation}
    if annotation in draft.labels:
        facts["label"] = draft.labels[annotation]
    if draft.only_boxes:
        facts[BOX_FRAMES] = " ".join(map(str, one.visible_frames))
    return facts


def _names(masklets: Sequence[Masklet]) -> dict[str, str]:
    """A name for each object; annotations of one track, as some sets have for each expression, share it."""
    names: dict[str, str] = {}
    known: dict[object, str] = {}
    for one in masklets:
        track = tuple(None if rle is None else rle["counts"] for rle in one.rles)
        key = track if one.visible_frames else one.object_id
        names[one.object_id] = known.setdefault(key, f"obj{len(known) + 1}")
    return names


def point_at(masklet: Masklet, forms: Sequence[RegionForm], draws: Draws) -> Region:
    """Point at an object that is visible somewhere, best on a frame that the model looks at closely.

    The published loader draws any dense frame, whether or not it shows the object.
    """
    visible = set(masklet.visible_frames)
    sparse = sparse_indices(masklet.num_frames)
    dense = [sparse[place] for place in spread_dense_positions(len(sparse))]
    choices = [frame for frame in dense if frame in visible] or [frame for frame in sparse if frame in visible]
    frame = draws.choice(choices or masklet.visible_frames)
    form = draws.choice(forms)
    if form == "box":
        box = masklet.box(frame)
        assert box is not None, "visible"
        return Box(frame, xyxy=box)
    mask = masklet.mask(frame)
    if form == "mask":
        return Mask(frame, mask=mask)
    rows, columns = np.nonzero(mask)
    chosen = draws.below(len(rows))
    return Points(frame, xy=[(int(columns[chosen]), int(rows[chosen]))])


def file_clip(clip: ClipOnDisk, root: Path, stated: tuple[int, int] | None, place: Place) -> FileClip:
    """A clip as a record names it; pictures are looked for, but not decoded where the size is stated.

    Args:
        clip: Of a reader.
        root: What a video's path is to be relative to, if it lies there.
        stated: Height and width as the data set has them.
        place: The record, for the message.

    Raises:
        FaultError: `missing_frame`, `unreadable_frame` or `unreadable_video`.
    """
    if isinstance(clip, FrameClip):
        missing = next((path for path in clip.paths if not path.is_file()), None)
        if missing is not None:
            raise FaultError("missing_frame", str(missing), place.record, f"frame {missing.name} is not there")
        height, width = stated or _read(clip, "unreadable_frame", place)[1]
        if clip.num_frames == 1:  # named itself, for it may lie in the root, which is no path of a clip
            return FileClip((PurePosixPath(clip.folder) / clip.names[0]).as_posix(), 1, height, width, root=clip.root)
        return FileClip(clip.folder, clip.num_frames, height, width, clip.names, root=clip.root)
    num_frames, (height, width) = _read(clip, "unreadable_video", place)
    base = root if clip.path.is_relative_to(root) else clip.path.parent
    path = clip.path.relative_to(base).as_posix()
    return FileClip(path, num_frames, height, width, every=clip.every, root=base)


def _read(clip: ClipOnDisk, reason: str, place: Place) -> tuple[int, tuple[int, int]]:
    try:
        opened = clip.open()
    except (VideoError, TruncatedVideoWarning) as error:
        raise FaultError(reason, str(clip.path), place.record, str(error)) from None
    return opened.num_frames, (opened.height, opened.width)
