"""Annotated clips as dialogue records: short grounded turns made from labels and texts alone.

Three kinds of turns, in an order drawn by a seed:

- a label: "Segment the car." - "<p> The car </p> [SEG]."; where several objects have the label: "Segment every car.",
  and the one `[SEG]` stands for all of them;
- a text: "Segment the red car on the left." - "<p> The red car on the left </p> [SEG].";
- a region: "What is <region>?" - "<p> The car </p> [SEG].", pointed at by a point, a box or a mask, also drawn.

An object that has only a box somewhere is nobody's target, for its masks are not true: it is pointed at by that box,
and the answer is words alone. A label that such an object has is not asked for. Track the boxes to have all turns.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sama_video.data.clips import ClipOnDisk, FrameClip
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject
from sama_video.data.records import DialogueRecord, FileClip, RecordTurn, task_of
from sama_video.data.stores.json_values import Scalar
from sama_video.dialogue.markup import REGION_TAG, parse_answer, render_answer
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError, VideoError
from sama_video.regions.shapes import Box, Mask, Points, Region
from sama_video.video.stills import folder_images

SEGMENT: Final = "Segment {words}."
WHAT_IS: Final = f"What is {REGION_TAG}?"
CROWD, BOX_FRAMES = "crowd", "box_frames"
ATTRIBUTE: Final = "attribute "
"""How a record's fact begins that an annotation tool keeps as an attribute."""

_DETERMINERS: Final = frozenset({"the", "a", "an", "this", "that", "these", "those", "every", "all", "some", "any"})


def to_records(clip: AnnotatedClip, root: Path, *, seed: int = 0, max_turns: int = 8) -> Iterator[DialogueRecord]:
    """Records of a clip, each with up to `max_turns` turns; none for a clip without objects.

    Args:
        clip: Any format's.
        root: Folder that the records' clips are named relative to.
        seed: Draws the order of turns and how regions are pointed at; with the clip's name, so that clips may come in
            any order.
        max_turns: Of one record.

    Raises:
        DataError: The clip does not lie below `root`.
    """
    if max_turns < 1:
        raise DataError(f"max_turns is {max_turns}; a record has at least one turn.")
    where = file_clip(clip, root)
    digest = hashlib.sha256(f"{seed} {clip.source} {clip.name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    turns = list(_turns(clip, rng))
    turns = [turns[place] for place in rng.permutation(len(turns))]
    for number, begin in enumerate(range(0, len(turns), max_turns)):
        chosen = turns[begin : begin + max_turns]
        objects = _objects_of(clip, chosen)
        yield DialogueRecord(
            record_id=f"{clip.name}-{number}",
            clip=where,
            objects=tuple(one.masklet for one in objects),
            turns=tuple(chosen),
            source=clip.source,
            licence=clip.licence,
            task=task_of(chosen),
            facts={one.object_id: _facts(one) for one in objects},
        )


def file_clip(clip: AnnotatedClip, root: Path) -> FileClip:
    """The clip as records name it: a video or some of its frames, a picture, a folder of pictures or some of them.

    Raises:
        DataError: It does not lie below the root.
    """
    on_disk = clip.clip
    path, names, every = _where(on_disk)
    # Not resolved: data sets are often made of links to other folders.
    if not path.absolute().is_relative_to(root.absolute()):
        raise DataError(f"clip {clip.name} lies at {path}, outside {root}; give a root that holds it.")
    relative = path.absolute().relative_to(root.absolute()).as_posix()
    return FileClip(relative, clip.num_frames, *clip.size, names=names, every=every, root=root)


def _where(clip: ClipOnDisk) -> tuple[Path, tuple[str, ...], int]:
    """A clip's path, the names of its frames where the path does not say them, and which frames of a video it has."""
    if not isinstance(clip, FrameClip):
        return clip.path, (), clip.every
    if clip.num_frames == 1:
        return clip.paths[0], (), 1
    try:
        files = folder_images(clip.path, str(clip.path))
    except (VideoError, OSError):
        return clip.path, clip.names, 1
    return clip.path, () if [file.name for file in files] == list(clip.names) else clip.names, 1


def _facts(one: AnnotatedObject) -> dict[str, Scalar]:
    """What a record keeps of an object beside its masks; `labels.known_object` takes it back."""
    facts: dict[str, Scalar] = {"label": one.label}
    if one.text is not None:
        facts["text"] = one.text
    if one.is_crowd:
        facts[CROWD] = 1
    if one.box_frames:
        facts[BOX_FRAMES] = " ".join(map(str, one.box_frames))
    return facts | {f"{ATTRIBUTE}{name}": value for name, value in one.attributes}


def num_turns(clip: AnnotatedClip) -> int:
    """How many turns a clip gives, without looking at a mask's pixels."""
    return len(_by_label(clip)) + sum(
        (_has_text(one)) + (not one.is_crowd) for one in clip.objects if one.masklet.visible_frames
    )


def _turns(clip: AnnotatedClip, rng: np.random.Generator) -> Iterator[RecordTurn]:
    for label, objects in _by_label(clip).items():
        several = len(objects) > 1 or objects[0].is_crowd
        words = f"every {bare_label(label)}" if several else f"the {bare_label(label)}"
        yield _segment(words, objects)
    for one in clip.objects:
        if not one.masklet.visible_frames:
            continue
        if _has_text(one):
            yield _segment(one.text or "", [one])
        if not one.is_crowd:
            yield _region_turn(one, rng)


def _by_label(clip: AnnotatedClip) -> dict[str, list[AnnotatedObject]]:
    """Visible objects by label, of the labels whose every object has masks."""
    by_label: dict[str, list[AnnotatedObject]] = {}
    for one in clip.objects:
        if one.masklet.visible_frames:
            by_label.setdefault(one.label, []).append(one)
    return {label: some for label, some in by_label.items() if not any(one.box_frames for one in some)}


def _has_text(one: AnnotatedObject) -> bool:
    return one.text is not None and not one.box_frames


def _segment(words: str, objects: Sequence[AnnotatedObject]) -> RecordTurn:
    clean = _clean(words)
    question = SEGMENT.format(words=clean)
    return RecordTurn(question, (), _answer(clean), (tuple(one.object_id for one in objects),))


def _region_turn(one: AnnotatedObject, rng: np.random.Generator) -> RecordTurn:
    frames = one.box_frames or one.masklet.visible_frames
    frame = frames[int(rng.integers(len(frames)))]
    prompt = RegionPrompt(_point_at(one, frame, rng), one.object_id)
    words = _clean(f"the {bare_label(one.label)}")
    if one.box_frames:
        return RecordTurn(WHAT_IS, (prompt,), f"{_sentence(words)}.", ())
    return RecordTurn(WHAT_IS, (prompt,), _answer(words), ((one.object_id,),))


def _point_at(one: AnnotatedObject, frame: int, rng: np.random.Generator) -> Region:
    box = one.masklet.box(frame)
    assert box is not None, "visible"
    form = 1 if one.box_frames else int(rng.integers(3))
    if form == 1:
        return Box(frame, xyxy=box)
    mask = one.masklet.mask(frame)
    if form == 2:
        return Mask(frame, mask=mask)
    rows, columns = np.nonzero(mask)
    chosen = int(rng.integers(len(rows)))
    return Points(frame, xy=[(int(columns[chosen]), int(rows[chosen]))])


def _answer(words: str) -> str:
    text = f"{_sentence(words)}."
    return render_answer(text, [(0, len(text) - 1)])


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def bare_label(label: str) -> str:
    """A label without the article that somebody put before it."""
    first, _, rest = label.partition(" ")
    return rest if rest and first.lower() in _DETERMINERS else label


def _clean(words: str) -> str:
    """Words as an answer's clean text would have them, without a full stop at the end."""
    return parse_answer(words).text.rstrip(" .!?") or words


def _objects_of(clip: AnnotatedClip, turns: Sequence[RecordTurn]) -> tuple[AnnotatedObject, ...]:
    named = {name for turn in turns for name in turn.object_ids}
    return tuple(one for one in clip.objects if one.object_id in named)
