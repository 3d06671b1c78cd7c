"""RefCOCO, RefCOCO+ and RefCOCOg: pictures, their objects, and sentences that single one out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_entries import FORM_NOTES, read_mask
from sama_video.data.pickles import load_pickle
from sama_video.data.sources.fields import need, need_id, need_size, numbered, rows_of
from sama_video.data.sources.pictures import Picture, find_picture
from sama_video.regions.rle import Rle

INSTANCES: Final = "instances.json"
REFS: Final = ("refs(umd).p", "refs(unc).p")
"""Named by who made the splits: RefCOCOg has the first, the others the second."""

PICTURE_FOLDERS: Final = ("coco2014/train2014", "train2014", "../coco2014/train2014", "../train2014")

Row: TypeAlias = tuple[Place, Mapping[str, Any]]


@dataclass(frozen=True)
class RefSentence:
    """One way to name an object.

    Attributes:
        text: As evaluations ask it: lower case, without punctuation.
        raw: As it was written.
    """

    sentence_id: str
    text: str
    raw: str


@dataclass(frozen=True)
class RefObject:
    """An object that sentences name.

    Attributes:
        split: Such as `val` or `testA`.
        segmentation: As the file has it: polygons, or run lengths.
        place: Its annotation.
    """

    ref_id: str
    annotation_id: str
    split: str
    sentences: tuple[RefSentence, ...]
    size: tuple[int, int]
    segmentation: Any = field(repr=False)
    place: Place

    def mask(self, forms: set[str] | None = None) -> Rle:
        """What any of its polygons covers; `forms` gets the names of forms that had to be converted.

        Raises:
            FaultError: `bad_rle` or `mask_size_mismatch`.
        """
        return _needed(read_mask(self.segmentation, self.place, size=self.size, forms=forms), self.place)

    def polygon_masks(self) -> tuple[Rle, ...]:
        """The mask of each polygon by itself.

        Raises:
            FaultError: As `mask`.
        """
        parts = self.segmentation if isinstance(self.segmentation, Sequence) else [self.segmentation]
        return tuple(_needed(read_mask([part], self.place, size=self.size), self.place) for part in parts)


@dataclass(frozen=True)
class RefPicture:
    """A picture and the objects on it that some split asks for."""

    image_id: str
    picture: Picture
    objects: tuple[RefObject, ...]


def read_refcoco(root: Path, findings: Findings, splits: Collection[str] | None = None) -> Iterator[RefPicture]:
    """Pictures in the order in which the references come; no polygon is filled before it is asked for.

    Args:
        root: The folder that holds `instances.json` and `refs(unc).p` or `refs(umd).p`.
        findings: Takes what is dropped.
        splits: Only these; all if not given.

    Raises:
        FaultError: A file is missing or cannot be read as a whole.
    """
    instances = _Instances(root, read_document(root / INSTANCES, findings))
    by_image: dict[str, list[Row]] = {}
    for place, ref in _refs(root):
        if splits is None or need(ref, "split", str, place) in splits:
            by_image.setdefault(need_id(ref, "image_id", place), []).append((place, ref))
    for image_id, refs in by_image.items():
        found = _read_picture(instances, image_id, refs, findings)
        if found is not None:
            yield found


def count_entries(root: Path, findings: Findings) -> dict[str, int]:
    """Images, annotations, references and sentences of both files, used or not.

    Raises:
        FaultError: A file is missing or cannot be read as a whole.
    """
    document, place = read_document(root / INSTANCES, findings), Place(str(root / INSTANCES))
    refs = [need(ref, "sentences", list, at) for at, ref in _refs(root)]
    return {
        **{key: len(need(document, key, list, place)) for key in ("images", "annotations")},
        "refs": len(refs),
        "sentences": sum(map(len, refs)),
    }


def check_masks(found: RefPicture, findings: Findings) -> int:
    """Fill every polygon of a picture's objects; gives how many masks there are."""
    count = 0
    for one in found.objects:
        forms: set[str] = set()
        try:
            one.mask(forms)
            count += 1
        except FaultError as error:
            findings.take(error)
        for form in sorted(forms - {"polygons"}):  # polygons are what this data set has
            findings.note(form, one.place.file, one.place.record, FORM_NOTES[form])
    return count


def _refs(root: Path) -> Iterator[Row]:
    path = next((root / name for name in REFS if (root / name).is_file()), root / REFS[-1])
    return numbered(load_pickle(path), "ref", Place(str(path)))


class _Instances:
    """The COCO file by id."""

    def __init__(self, root: Path, document: object) -> None:
        place = Place(str(root / INSTANCES))
        self._root = root
        self._images = {need_id(row, "id", here): (here, row) for here, row in rows_of(document, "images", place)}
        self._annotations = {
            need_id(row, "id", here): (here, row) for here, row in rows_of(document, "annotations", place)
        }

    def picture(self, image_id: str, asking: Place) -> Picture:
        if image_id not in self._images:
            raise asking.fault("missing_annotation", f"{INSTANCES} has no image {image_id}")
        place, row = self._images[image_id]
        return find_picture(
            self._root, PICTURE_FOLDERS, need(row, "file_name", str, place), need_size(row, place), place
        )

    def annotation(self, annotation_id: str, asking: Place) -> Row:
        if annotation_id not in self._annotations:
            raise asking.fault("missing_annotation", f"{INSTANCES} has no annotation {annotation_id}")
        return self._annotations[annotation_id]


def _read_picture(instances: _Instances, image_id: str, refs: list[Row], findings: Findings) -> RefPicture | None:
    try:
        picture = instances.picture(image_id, refs[0][0])
    except FaultError as error:
        findings.take(error)
        return None
    objects: list[RefObject] = []
    for place, ref in refs:
        try:
            objects.append(_read_object(instances, picture, ref, place))
        except FaultError as error:
            findings.take(error)
    return RefPicture(image_id, picture, tuple(objects)) if objects else None


def _read_object(instances: _Instances, picture: Picture, ref: Mapping[str, Any], place: Place) -> RefObject:
    annotation_id = need_id(ref, "ann_id", place)
    annotated_at, annotation = instances.annotation(annotation_id, place)
    return RefObject(
        ref_id=need_id(ref, "ref_id", place),
        annotation_id=annotation_id,
        split=need(ref, "split", str, place),
        sentences=tuple(
            RefSentence(need_id(row, "sent_id", at), need(row, "sent", str, at), need(row, "raw", str, at))
            for at, row in rows_of(ref, "sentences", place)
        ),
        size=picture.size,
        segmentation=need(annotation, "segmentation", list | dict, annotated_at),
        place=Place(annotated_at.file, f"annotation {annotation_id}"),
    )


def _needed(rle: Rle | None, place: Place) -> Rle:
    if rle is None:
        raise place.fault("missing_annotation", "the annotation has no polygon")
    return rle
