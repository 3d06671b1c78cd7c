"""DAVIS: frames in `JPEGImages`, and beside each in `Annotations` a picture whose palette index is the object.

Index 0 is background; 255 is void, which belongs to no object and is ignored. YouTube-VOS has the same layout without
the folder of a resolution. DAVIS has no words: labels come from `davis_semantics.json` where it is there, and what it
cannot hold (texts, source, licence) lies in `objects.json`, a file of ours that other tools pass over.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.data.clips import FrameClip
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, ClipNames, clip_name, one_line, read_words
from sama_video.data.formats.drafts import Draft, note_object, read_attributes, read_text
from sama_video.data.formats.media import check_size, is_file, note_unlabelled, write_frames
from sama_video.data.formats.options import ReadOptions
from sama_video.data.formats.output import new_folder, write_json
from sama_video.data.json_items import read_document
from sama_video.errors import DataError, VideoError
from sama_video.regions.rle import encode, overlap_areas
from sama_video.video.stills import folder_images

PICTURES: Final = "JPEGImages"
LABELS: Final = "Annotations"
RESOLUTION: Final = "Full-Resolution"
SPLIT: Final = "ImageSets/2017/train.txt"
SEMANTICS: Final = "davis_semantics.json"
OBJECTS: Final = "objects.json"
VOID: Final = 255
NO_LABEL: Final = "object"
"""Label of an object that nobody named."""

PALETTE: Final = tuple(
    sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3))
    for index in range(256)
    for channel in range(3)
)
"""Colours of the indices, as PASCAL VOC began them and DAVIS goes on: each bit of an index lights one channel."""


def read(path: Path, findings: Findings, options: ReadOptions) -> Iterator[AnnotatedClip]:
    """Clips of a DAVIS folder, in the order of their names, of the finest resolution that is there."""
    words = _Words(path, findings)
    labels = _resolution(path / LABELS)
    pictures = (options.media or path / PICTURES) / labels.relative_to(path / LABELS)
    sequences = sorted(one for one in labels.iterdir() if one.is_dir()) if labels.is_dir() else []
    if not sequences:
        raise FaultError("missing_file", str(labels), None, "there is no folder of a sequence")
    for folder in sequences:
        try:
            yield _read_clip(folder, pictures / folder.name, words, findings, options)
        except FaultError as error:
            findings.take(error)


def write(clips: Iterable[AnnotatedClip], out: Path, *, findings: Findings, pictures: bool = True) -> None:
    """Write the folders of DAVIS, one sequence a clip.

    A pixel has one object: where masks overlap, the object that comes first in the clip keeps it, and it is noted. A
    frame with a box alone is written as the filled box, and noted.

    Raises:
        DataError: A clip has an object above number 254, more than an index can tell apart.
    """
    names = ClipNames()
    semantics: dict[str, dict[str, str]] = {}
    objects: dict[str, object] = {}
    with new_folder(out) as folder:
        for clip in clips:
            names.take(clip.name)
            _write_clip(clip, folder, findings, pictures)
            semantics[clip.name] = {str(one.number): one.label for one in clip.objects}
            objects[clip.name] = _words_of(clip)
        split = folder / SPLIT
        split.parent.mkdir(parents=True)
        split.write_text("".join(f"{name}\n" for name in semantics), encoding="utf-8")
        write_json(folder / SEMANTICS, semantics)
        write_json(folder / OBJECTS, objects)


def is_davis(path: Path) -> bool:
    """Whether a folder has DAVIS's two folders."""
    return (path / PICTURES).is_dir() and (path / LABELS).is_dir()


class _Words:
    """Labels, and what else is known in words, of all sequences."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self.place = Place(str(root / OBJECTS))
        self.ours = self._load(root / OBJECTS, findings)
        self.semantics = self._load(root / SEMANTICS, findings)

    def draft(self, clip: str, index: int) -> Draft:
        """An object with what is said of it.

        Raises:
            FaultError: `bad_label`.
        """
        row = _member(_member(_member(self.ours, clip), "objects"), str(index))
        label = row.get("label", _member(self.semantics, clip).get(str(index), NO_LABEL))
        place = self.place.part(clip)
        attributes = read_attributes(row.get("attributes"))
        return Draft(read_words(label, place), read_text(row, place), row.get("crowd") is True, attributes)

    def of_clip(self, clip: str, key: str, otherwise: str) -> str:
        """Source or licence of a clip."""
        return one_line(_member(self.ours, clip).get(key), otherwise)

    @staticmethod
    def _load(path: Path, findings: Findings) -> Mapping[str, Any]:
        if not is_file(path):
            return {}
        document = read_document(path, findings)
        if not isinstance(document, Mapping):
            raise FaultError("schema_error", str(path), None, f"the file is a {type(document).__name__}, not an object")
        return document


def _member(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _resolution(labels: Path) -> Path:
    """The folder that holds a folder for each sequence."""
    inner = [one for one in sorted(labels.iterdir()) if one.is_dir()] if labels.is_dir() else []
    finer = [one for one in inner if any(below.is_dir() for below in one.iterdir())]
    return next((one for one in finer if one.name == RESOLUTION), finer[0] if finer else labels)


def _read_clip(labels: Path, pictures: Path, words: _Words, findings: Findings, options: ReadOptions) -> AnnotatedClip:
    place = Place(str(labels))
    try:
        frames = folder_images(pictures, str(pictures))
    except (VideoError, OSError):
        raise FaultError("missing_frame", str(pictures), None, "there are no pictures for the labels") from None
    labelled = [frame for frame in frames if is_file(labels / f"{frame.stem}.png")]
    stray = {one.stem for one in labels.glob("*.png")} - {frame.stem for frame in frames}
    if stray or not labelled:
        what = f"{min(stray)}.png has no picture" if stray else "no picture has labels"
        raise place.fault("missing_frame" if stray else "missing_annotation", what)
    note_unlabelled(len(frames) - len(labelled), len(frames), findings, place)
    clip = FrameClip(pictures.parent, pictures.name, tuple(frame.name for frame in labelled))
    size = check_size(clip, None, place)
    return AnnotatedClip(
        clip_name(labels.name),
        clip,
        *size,
        _read_objects(labels, clip, size, words, findings),
        words.of_clip(labels.name, "source", options.source or "davis"),
        words.of_clip(labels.name, "licence", options.licence),
    )


def _read_objects(
    labels: Path, clip: FrameClip, size: tuple[int, int], words: _Words, findings: Findings
) -> tuple[AnnotatedObject, ...]:
    drafts: dict[int, Draft] = {}
    void = 0
    for frame, stem in enumerate(clip.stems):
        place = Place(str(labels / f"{stem}.png"))
        indices = _read_indices(labels / f"{stem}.png", size, place)
        for index in np.unique(indices).tolist():
            if index == VOID:
                void += int((indices == VOID).sum())
            elif index:
                if index not in drafts:
                    drafts[index] = words.draft(labels.name, index)
                drafts[index].put(frame, encode(np.asarray(indices == index)), place)
    if void:
        findings.note("void_pixels", str(labels), None, f"{void} pixels are void; they belong to no object")
    objects = [drafts[index].finish(index, clip.num_frames, size) for index in sorted(drafts)]
    for one in objects:
        note_object(one, findings, Place(str(labels)))
    return tuple(objects)


def _read_indices(path: Path, size: tuple[int, int], place: Place) -> UInt8[np.ndarray, "height width"]:
    """Palette indices of a picture; its size is looked at before it is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as image:
                if image.mode not in ("P", "L", "1"):
                    raise place.fault("schema_error", f"the picture is {image.mode}; labels are palette indices")
                if (image.height, image.width) != size:
                    found = f"{image.height}x{image.width}"
                    raise place.fault("mask_size_mismatch", f"labels are {found}, the frame {size[0]}x{size[1]}")
                return np.array(image).astype(np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise place.fault("unreadable_frame", f"the labels cannot be decoded ({error})") from None


def _write_clip(clip: AnnotatedClip, folder: Path, findings: Findings, pictures: bool) -> None:
    too_high = next((one for one in clip.objects if one.number >= VOID), None)
    if too_high is not None:
        raise DataError(
            f"clip {clip.name} has the object {too_high.object_id}, and DAVIS has indices for 1 to {VOID - 1}; "
            "leave objects out, number them anew, or write another format."
        )
    stems = [f"{frame:05d}" for frame in range(clip.num_frames)]
    if pictures:
        names = write_frames(clip.clip, folder / PICTURES / RESOLUTION / clip.name)
        stems = [name.rpartition(".")[0] for name in names]
    labels = folder / LABELS / RESOLUTION / clip.name
    labels.mkdir(parents=True)
    for frame, stem in enumerate(stems):
        image = Image.fromarray(_indices(clip, frame))
        image.putpalette(PALETTE)  # makes a palette picture of it
        image.save(labels / f"{stem}.png")
    _note_losses(clip, findings)


def _indices(clip: AnnotatedClip, frame: int) -> UInt8[np.ndarray, "height width"]:
    indices = np.zeros(clip.size, np.uint8)
    for one in reversed(clip.objects):
        if one.masklet.rles[frame] is not None:
            indices[one.masklet.mask(frame)] = one.number
    return indices


def _note_losses(clip: AnnotatedClip, findings: Findings) -> None:
    place = Place(clip.name)
    overlaps = [
        (frame, one, other)
        for frame in range(clip.num_frames)
        for position, one in enumerate(clip.objects)
        for other in clip.objects[position + 1 :]
        if overlap_areas(one.masklet.rles[frame], other.masklet.rles[frame])[0]
    ]
    if overlaps:
        frame, one, other = overlaps[0]
        detail = f"{one.object_id} keeps pixels of {other.object_id} on frame {frame}; {len(overlaps)} such overlaps"
        findings.note("overlapping_masks", place.file, None, detail)
    for one in clip.objects:
        note_object(one, findings, place)


def _words_of(clip: AnnotatedClip) -> dict[str, object]:
    rows: dict[str, object] = {}
    for one in clip.objects:
        row: dict[str, object] = {"label": one.label}
        row |= {"text": one.text} if one.text is not None else {}
        row |= {"attributes": dict(one.attributes)} if one.attributes else {}
        rows[str(one.number)] = row | ({"crowd": True} if one.is_crowd else {})
    return {"source": clip.source, "licence": clip.licence, "objects": rows}
