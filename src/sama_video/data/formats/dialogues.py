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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sama_video.data.clips import ClipOnDisk, FrameClip
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject
from sama_video.data.records import DialogueRecord, FileClip, RecordTurn
from sama_video.dialogue.markup import REGION_TAG, parse_answer, render_answer
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError, VideoError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, Points, Region
from sama_video.video.stills import folder_images

SEGMENT: Final = "Segment {words}."
WHAT_IS: Final = f"What is {REGION_TAG}?"

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
        DataError: The clip is not all of a video or folder below `root`, which is what a record can name.
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
        yield DialogueRecord(
            record_id=f"{clip.name}-{number}",
            clip=where,
            objects=_objects_of(clip, chosen),
            turns=tuple(chosen),
            source=clip.source,
            licence=clip.licence,
        )


def file_clip(clip: AnnotatedClip, root: Path) -> FileClip:
    """The clip as records name it: a video, a picture or a whole folder of pictures below a root.

    Raises:
        DataError: It is none of these.
    """
    path = _whole_path(clip.clip)
    if path is None:
        raise DataError(
            f"clip {clip.name} is only a part of {clip.clip.path}, or in another order, which a record cannot name; "
            "copy its frames with own_frames(clip, root)."
        )
    # Not resolved: data sets are often made of links to other folders.
    if not path.absolute().is_relative_to(root.absolute()):
        raise DataError(f"clip {clip.name} lies at {path}, outside {root}; give a root that holds it.")
    relative = path.absolute().relative_to(root.absolute()).as_posix()
    return FileClip(relative, clip.num_frames, *clip.size)


def _whole_path(clip: ClipOnDisk) -> Path | None:
    if not isinstance(clip, FrameClip):
        return clip.path if clip.every == 1 else None
    if clip.num_frames == 1:
        return clip.paths[0]
    try:
        files = folder_images(clip.path, str(clip.path))
    except (VideoError, OSError):
        return None
    return clip.path if [file.name for file in files] == list(clip.names) else None


def _turns(clip: AnnotatedClip, rng: np.random.Generator) -> Iterator[RecordTurn]:
    visible = [one for one in clip.objects if one.masklet.visible_frames]
    by_label: dict[str, list[AnnotatedObject]] = {}
    for one in visible:
        by_label.setdefault(one.label, []).append(one)
    for label, objects in by_label.items():
        if not any(one.box_frames for one in objects):
            several = len(objects) > 1 or objects[0].is_crowd
            words = f"every {_bare(label)}" if several else f"the {_bare(label)}"
            yield _segment(words, objects)
    for one in visible:
        if one.text is not None and not one.box_frames:
            yield _segment(one.text, [one])
        if not one.is_crowd:
            yield _region_turn(one, rng)


def _segment(words: str, objects: Sequence[AnnotatedObject]) -> RecordTurn:
    clean = _clean(words)
    question = SEGMENT.format(words=clean)
    return RecordTurn(question, (), _answer(clean), (tuple(one.object_id for one in objects),))


def _region_turn(one: AnnotatedObject, rng: np.random.Generator) -> RecordTurn:
    frames = one.box_frames or one.masklet.visible_frames
    frame = frames[int(rng.integers(len(frames)))]
    prompt = RegionPrompt(_point_at(one, frame, rng), one.object_id)
    words = _clean(f"the {_bare(one.label)}")
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


def _bare(label: str) -> str:
    """A label without the article that somebody put before it."""
    first, _, rest = label.partition(" ")
    return rest if rest and first.lower() in _DETERMINERS else label


def _clean(words: str) -> str:
    """Words as an answer's clean text would have them, without a full stop at the end."""
    return parse_answer(words).text.rstrip(" .!?") or words


def _objects_of(clip: AnnotatedClip, turns: Sequence[RecordTurn]) -> tuple[Masklet, ...]:
    named: Mapping[str, None] = dict.fromkeys(
        name
        for turn in turns
        for name in (*(prompt.object_id for prompt in turn.regions), *(one for ids in turn.targets for one in ids))
    )
    return tuple(one.masklet for one in clip.objects if one.object_id in named)
