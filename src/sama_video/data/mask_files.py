"""Mask dictionaries: each annotation's mask on every frame, read one annotation at a time.

    {"41": [RLE, null, [RLE, RLE], ...], ...}                      JSON, or a pickle of the same
    {"41": {"segmentations": [RLE, null, ...], ...}, ...}          LV-VIS in the benchmark
    {"a/video": {"masks_rle": [RLE, ...], ...}, ...}               ReVOS' foregrounds

A JSON dictionary gets an index of where each annotation is (`mask_index`), made once in a pass of bounded memory. A
pickle has no such places, so it is read whole once, through an unpickler that takes plain values only, and its index
holds the tracks' text as well: that one pass needs memory for the whole dictionary, some four times the pickle's size,
and a disk as large as its JSON form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import Span, missing_file, note_bom, parse, read_bytes, scan_items
from sama_video.data.mask_entries import FORM_NOTES, read_mask
from sama_video.data.mask_index import (
    Index,
    Stamp,
    index_in_memory,
    index_places,
    make_index,
    read_index,
    write_index,
    write_index_with_text,
)
from sama_video.data.pickles import load_pickle
from sama_video.errors import DataError
from sama_video.regions.rle import Rle, decode, encode, resize_nearest

Track: TypeAlias = tuple[Rle | None, ...]
"""One object's masks: None where the dictionary has null, a mask without pixels where it has one."""

Fit: TypeAlias = Literal["exact", "padded", "benchmark"]
"""How a track must fit its clip: as long and as large; maybe shorter; or in the way that SAMA-Bench accepts."""

INDEX_ABOVE_BYTES: Final = 2**20
"""A smaller dictionary is scanned anew each time, which takes no longer than reading an index."""

_LIST_KEYS: Final = ("segmentations", "masks_rle")
_PICKLE_SUFFIXES: Final = (".pkl", ".pickle", ".p")
_MAX_NODES_PER_BYTE: Final = 64


@runtime_checkable
class TrackSource(Protocol):
    """Gives masks by annotation id, fitted to a clip."""

    def __contains__(self, annotation_id: object) -> bool:
        """Whether there is such an annotation."""
        ...

    def place(self, annotation_id: str) -> Place:
        """Names an annotation in a finding."""
        ...

    def fitted(self, annotation_id: str, num_frames: int, size: tuple[int, int]) -> Track:
        """One entry for each frame of a clip; FaultError where the track cannot be used."""
        ...


class MaskFile:
    """An open mask dictionary. Cheap to open, to pickle and to share between threads: it holds no file open."""

    def __init__(self, path: Path, index: Index, findings: Findings, under: str | None = None) -> None:
        self.path = path
        self._index = index
        self._findings = findings
        self._under = under
        self._noted: set[str] = set()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self._under)

    def __contains__(self, annotation_id: object) -> bool:
        return isinstance(annotation_id, str) and self._index.find(annotation_id) is not None

    def __len__(self) -> int:
        return len(self._index)

    def ids(self) -> Iterator[str]:
        """All annotation ids, in the file's order."""
        return self._index.ids()

    def track(self, annotation_id: str, size: tuple[int, int] | None = None, *, any_size: bool = False) -> Track:
        """One annotation's masks, a list of parts united.

        Args:
            annotation_id: Its key.
            size: Height and width that every mask must have; needed where masks are polygons.
            any_size: Take run lengths of another size as they are.

        Raises:
            FaultError: `missing_annotation`, `bad_rle`, `mask_size_mismatch`, `schema_error` or `json_error`.
        """
        place = self.place(annotation_id)
        forms: set[str] = set()
        rles = tuple(
            read_mask(entry, place.part(f"frame {frame_idx}"), size=size, any_size=any_size, forms=forms)
            for frame_idx, entry in enumerate(self._entries(annotation_id, place))
        )
        self._note_forms(annotation_id, forms)
        return rles

    def num_entries(self, annotation_id: str) -> int:
        """For how many frames an annotation has an entry; decodes no mask."""
        return len(self._entries(annotation_id, self.place(annotation_id)))

    def raw_text(self, annotation_id: str) -> bytes | None:
        """An annotation's JSON text, None if there is no such annotation; equal texts are equal tracks."""
        span = self._index.find(annotation_id)
        return None if span is None else self._bytes(span)

    def place(self, annotation_id: str) -> Place:
        """Names an annotation in a finding."""
        return Place(str(self.path), f"annotation {annotation_id}")

    def _entries(self, annotation_id: str, place: Place) -> list[object]:
        span = self._index.find(annotation_id)
        if span is None:
            raise place.fault("missing_annotation", "the mask dictionary has no such annotation")
        value = self._read(span, place)
        if isinstance(value, Mapping):
            keys = [key for key in (self._under, *_LIST_KEYS) if key in value]
            value = value[keys[0]] if keys else value
        if not isinstance(value, list):
            raise place.fault("schema_error", f"the track is a {type(value).__name__}; it should be a list of masks")
        return value

    def _read(self, span: Span, place: Place) -> object:
        if not isinstance(self._index.text, bytes):
            _check_unchanged(self.path, self._index.stamp)
        return parse(self._bytes(span), place.file, place.record, span.start)

    def _bytes(self, span: Span) -> bytes:
        text = self._index.text
        if isinstance(text, bytes):
            return text[span.start : span.start + span.length]
        return read_bytes(text or self.path, span)

    def _note_forms(self, annotation_id: str, forms: set[str]) -> None:
        if forms and annotation_id not in self._noted:
            self._noted.add(annotation_id)
            place = self.place(annotation_id)
            for form in sorted(forms):
                self._findings.note(form, place.file, place.record, FORM_NOTES[form])


@dataclass(frozen=True)
class FittedTracks:
    """A mask dictionary whose tracks must fit the clips they are asked for."""

    masks: MaskFile
    fit: Fit = "exact"

    def __contains__(self, annotation_id: object) -> bool:
        return annotation_id in self.masks

    def place(self, annotation_id: str) -> Place:
        """Names an annotation in a finding."""
        return self.masks.place(annotation_id)

    def fitted(self, annotation_id: str, num_frames: int, size: tuple[int, int]) -> Track:
        """One entry for each frame of a clip.

        Raises:
            FaultError: As `MaskFile.track`, or `track_length_mismatch`.
        """
        if self.fit == "benchmark":
            found = self.masks.track(annotation_id, size, any_size=True)[:num_frames]
            track: Track = tuple(None if rle is None else resized(rle, size) for rle in found)
        else:
            track = self.masks.track(annotation_id, size)
        missing = num_frames - len(track)
        if missing < 0 or (missing > 0 and self.fit == "exact"):
            detail = f"the track has {len(track)} entries, the clip {num_frames} frames"
            raise self.place(annotation_id).fault("track_length_mismatch", detail)
        return track + (None,) * missing


def resized(rle: Rle, size: tuple[int, int]) -> Rle:
    """A mask brought to another height and width, each pixel taken from the nearest one at its upper left."""
    return rle if tuple(rle["size"]) == size else encode(resize_nearest(decode(rle), size))


def open_mask_file(
    path: Path, findings: Findings, *, under: str | None = None, index_above: int = INDEX_ABOVE_BYTES
) -> MaskFile:
    """Open a mask dictionary without reading it; the first time, its index is made.

    Args:
        path: A JSON file or a pickle.
        findings: Takes what is odd about it and, later, about its tracks.
        under: Key of the list in each entry, for files that have it under a name of their own.
        index_above: A file of fewer bytes gets no index on disk.

    Raises:
        FaultError: `missing_file`, `encoding_error`, `json_error`, `schema_error` or `unsafe_pickle`.
    """
    try:
        with path.open("rb") as stream:
            stamp = Stamp.of(stream)
            index = _stored_index(path, stamp) if stamp.size >= index_above else None
            if index is None:
                on_disk = stamp.size >= index_above
                index = _from_pickle(path, stamp, on_disk) if _is_pickle(path) else _from_json(stream, path, on_disk)
    except OSError as error:
        raise missing_file(path, error) from None
    if index.has_bom:
        note_bom(path, findings)
    return MaskFile(path, index, findings, under)


def _reopen(path: Path, under: str | None) -> MaskFile:
    """Open the dictionary in another process; what it finds odd is counted where it was opened first."""
    return open_mask_file(path, Findings(), under=under)


def _is_pickle(path: Path) -> bool:
    return path.suffix.lower() in _PICKLE_SUFFIXES


def _stored_index(path: Path, stamp: Stamp) -> Index | None:
    found = (read_index(place, stamp) for place in index_places(path))
    return next((index for index in found if index is not None), None)


def _from_json(stream: BufferedIOBase, path: Path, on_disk: bool) -> Index:
    stamp = Stamp.of(stream)
    items = scan_items(stream, str(path))
    if not items.is_object:
        raise FaultError("schema_error", str(path), None, "the file is a list; it should map annotation ids to masks")
    _check_unchanged(path, stamp)
    index = make_index(items, stamp)
    if on_disk and any(write_index(place, index) for place in index_places(path)):
        return _stored_index(path, stamp) or index
    return index


def _from_pickle(path: Path, stamp: Stamp, on_disk: bool) -> Index:
    document = load_pickle(path)
    if not isinstance(document, Mapping):
        what = type(document).__name__
        raise FaultError("schema_error", str(path), None, f"the pickle is a {what}; it should map ids to masks")
    _check_unchanged(path, stamp)
    plain = _Plain(str(path), limit=_MAX_NODES_PER_BYTE * stamp.size)
    if on_disk and any(write_index_with_text(place, stamp, plain.items(document)) for place in index_places(path)):
        index = _stored_index(path, stamp)
        if index is not None:
            return index
    return index_in_memory(stamp, plain.items(document))


def _check_unchanged(path: Path, stamp: Stamp) -> None:
    try:
        with path.open("rb") as stream:
            now = Stamp.of(stream)
    except OSError as error:
        raise missing_file(path, error) from None
    if now != stamp:
        raise DataError(f"{path} changes while it is in use; let its download finish and open it again.")


class _Plain:
    """Turns unpickled values into what JSON can hold.

    A pickle may hold one list many times, so a small one can stand for a text of any length; `limit` ends that.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._left = limit
        self._limit = limit

    def items(self, document: Mapping[object, object]) -> Iterator[tuple[str, object]]:
        """Ids as text, and their tracks."""
        self._left = self._limit
        for key, value in document.items():
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise FaultError(
                    "schema_error", self._name, None, f"an annotation id is {key!r}; ids are numbers or text"
                )
            yield str(key), self._value(value, f"annotation {key}")

    def _value(self, value: object, record: str, depth: int = 0) -> object:
        self._left -= 1
        if self._left < 0 or depth > 6:
            raise FaultError("unsafe_pickle", self._name, record, "its values repeat within each other without end")
        match value:
            case None | bool() | int() | float() | str():
                return value
            case bytes():
                return value.decode("latin-1")
            case list() | tuple():
                return [self._value(item, record, depth + 1) for item in value]
            case Mapping():
                return {str(key): self._value(item, record, depth + 1) for key, item in value.items()}
            case _:
                raise FaultError("schema_error", self._name, record, f"a mask holds a {type(value).__name__}")
