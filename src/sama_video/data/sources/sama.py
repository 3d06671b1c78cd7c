"""SAMA-239K and SAMA-Bench: one record per video, with a dialogue, descriptions and the masks of its objects.

    for video in read_sama239k(Path("data/sama239k_data"), findings):
        for turn in video.turns:
            masks = [video.track(annotation_id) for annotation_id in turn.region_ids]

Reading looks at the record file and at which annotations and folders there are, and at nothing else; `verified` opens
frames and masks as well.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from sama_video.data.clips import ClipOnDisk, FrameClip, VideoClip, frame_file_name, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import iterate_list
from sama_video.data.mask_files import Fit, FittedTracks, Track, TrackSource, open_mask_file
from sama_video.data.sources.sama_turns import (
    SamaDescription,
    SamaTurn,
    read_anno_map,
    read_descriptions,
    read_turns,
)

SOURCES: Final = ("mevis", "lvvis", "ref_youtube_vos", "vidstg", "sav")
"""Names of the five video sources, as `SamaVideo.source` and the benchmark's subsets have them."""

RECORD_FILE: Final = "sama239k_train_final.json"
TRAINING_MASKS: Final = {
    "mevis": "mevis_train_mask_dict.json",
    "lvvis": "lvvis_train_mask_dict.json",
    "ref_youtube_vos": "ref_youtube_train_mask_dict.pkl",
    "vidstg": "VidSTG_mask_dict_train_updated.json",
    "sav": "SAV_mask_dict_train.json",
}
BENCHMARK_MASKS: Final = {
    "mevis": "Mevis_mask_dict_val.json",
    "lvvis": "LVVIS_mask_dict_val.json",
    "ref_youtube_vos": "RefYoutube_mask_dict_val.json",
    "vidstg": "VidSTG_mask_dict_val_updated.json",
}
BENCHMARK_FILES: Final = re.compile(r"(mevis|lvvis|ref_youtube_vos|VidSTG)(?:_(\d+))?\.json")
LVVIS_DIGITS: Final = 5


@dataclass(frozen=True)
class SamaVideo:
    """One record: a clip, its objects, a dialogue and descriptions.

    Attributes:
        file: The record file.
        record: Where in it, for messages.
        video: The record's own path of the video, which is its name.
        source: One of `SOURCES`.
        anno_map: Annotation of each object number; None where the object has no track that can be used.
        turns, descriptions: Those that the rules keep, in order.
        num_rounds: Rounds of the record, dropped ones counted.
        stated_size: Height and width as the record has them; None where it leaves that to the pictures.
        tracks: Where the masks come from; see `track`.
    """

    file: Path
    record: str
    video: str
    source: str
    clip: ClipOnDisk
    anno_map: tuple[str | None, ...]
    turns: tuple[SamaTurn, ...]
    descriptions: tuple[SamaDescription, ...]
    num_rounds: int
    stated_size: tuple[int, int] | None
    tracks: TrackSource = field(repr=False, compare=False)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames: the record's, else the first picture's."""
        return self.stated_size or self.clip.size

    @property
    def height(self) -> int:
        """Height of the frames in pixels."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Width of the frames in pixels."""
        return self.size[1]

    @property
    def place(self) -> Place:
        """Names the record in a finding."""
        return Place(str(self.file), self.record)

    @property
    def annotation_ids(self) -> tuple[str, ...]:
        """Annotations of the record's objects, each once, in order."""
        return tuple(dict.fromkeys(annotation_id for annotation_id in self.anno_map if annotation_id is not None))

    def without(self, annotation_ids: Set[str]) -> "SamaVideo":
        """The record less these annotations and what cannot do without them."""
        return replace(
            self,
            anno_map=tuple(None if known in annotation_ids else known for known in self.anno_map),
            turns=tuple(turn for turn in self.turns if annotation_ids.isdisjoint(turn.annotation_ids)),
            descriptions=tuple(text for text in self.descriptions if text.annotation_id not in annotation_ids),
        )

    def track(self, annotation_id: str) -> Track:
        """One annotation's masks, one entry for each frame of the clip; None or a mask without pixels: not visible.

        Raises:
            FaultError: There is no such track, or it is damaged, of another length or of another size.
        """
        try:
            return self.tracks.fitted(annotation_id, self.clip.num_frames, self.size)
        except FaultError as error:
            raise error.of(self.video) from None


@dataclass(frozen=True)
class SamaOptions:
    """What may differ in reading SAMA-239K.

    Attributes:
        sources: Only records of these.
        exclude: Leave out records whose `video` contains one of these fragments.
        pad_tracks: Fill tracks that are shorter than their clip with empty masks instead of refusing them.
    """

    sources: Sequence[str] = SOURCES
    exclude: Sequence[str] = ()
    pad_tracks: bool = False


ALL_RECORDS: Final = SamaOptions()


def read_sama239k(root: Path, findings: Findings, options: SamaOptions = ALL_RECORDS) -> Iterator[SamaVideo]:
    """Records of SAMA-239K that can be used, in file order.

    Args:
        root: The folder that holds `sama239k_train_final.json` and the mask dictionaries.
        findings: Takes what is dropped and what is odd.
        options: What to read, and how forgiving to be about tracks.
    """
    reader = _Reader(root, TRAINING_MASKS, "padded" if options.pad_tracks else "exact", findings)
    for video in reader.records(root / RECORD_FILE):
        if video is None or video.source not in options.sources:
            continue
        if not any(fragment in video.video for fragment in options.exclude):
            yield video


def read_sama_bench(root: Path, findings: Findings) -> Iterator[SamaVideo]:
    """Records of SAMA-Bench that can be used, in the order of its question files.

    Tracks are filled with empty masks up to the clip's length, and masks of another size are brought to the pictures'.

    Args:
        root: The folder that holds `mevis.json` and the others.
        findings: Takes what is dropped and what is odd.
    """
    for video in every_record(root, findings, benchmark=True):
        if video is not None:
            yield video


def every_record(root: Path, findings: Findings, *, benchmark: bool) -> Iterator[SamaVideo | None]:
    """As the two readers, with a None for each record that is dropped, so that records can be counted."""
    if benchmark:
        reader = _Reader(root, BENCHMARK_MASKS, "benchmark", findings)
        files = question_files(root, findings)
    else:
        reader = _Reader(root, TRAINING_MASKS, "exact", findings)
        files = [root / RECORD_FILE]
    for file in files:
        yield from reader.records(file)


def question_files(root: Path, findings: Findings) -> list[Path]:
    """The benchmark's question files that are there, in the official order: by source, then by number."""
    order = [*BENCHMARK_MASKS]
    found = [(match, path) for path in root.iterdir() if (match := BENCHMARK_FILES.fullmatch(path.name)) is not None]
    if not found:
        findings.fault("missing_file", str(root / "mevis.json"), None, "no question file is there")
    return [path for _, path in sorted(found, key=lambda item: (order.index(item[0][1].lower()), int(item[0][2] or 0)))]


def source_of(video: str, place: Place) -> str:
    """The source that a record's `video` names by its first part.

    Raises:
        FaultError: `unknown_source`.
    """
    first = PurePosixPath(video).parts[0].lower()
    for source in SOURCES:
        if first == source or first.startswith(f"{source}_"):
            return source
    raise place.fault("unknown_source", f"video {video!r} begins with none of {', '.join(SOURCES)}")


class _Reader:
    """Reads record files of one layout; opens each mask dictionary when the first record needs it."""

    def __init__(self, root: Path, masks: Mapping[str, str], fit: Fit, findings: Findings) -> None:
        self._root = root
        self._masks = masks
        self._fit: Fit = fit
        self._findings = findings
        self._opened: dict[str, FittedTracks | None] = {}

    def records(self, file: Path) -> Iterator[SamaVideo | None]:
        """Every record of a file, None for a dropped one; the first unreadable one ends the file."""
        entries = iterate_list(file, self._findings)
        while True:
            try:
                number, entry = next(entries)
            except StopIteration:
                return
            except FaultError as error:
                self._findings.take(error)
                return
            yield self._record(entry, Place(str(file), f"record {number}"))

    def _record(self, entry: object, place: Place) -> SamaVideo | None:
        try:
            return self._usable(entry, place)
        except FaultError as error:
            self._findings.take(error)
            return None

    def _usable(self, entry: object, place: Place) -> SamaVideo | None:
        if not isinstance(entry, Mapping):
            raise place.fault("schema_error", f"the record is a {type(entry).__name__}; it should be an object")
        if "video" not in entry:
            raise place.fault("missing_key", "the record has no video")
        video = entry["video"]
        if not isinstance(video, str) or not video:
            raise place.fault("schema_error", "video is no text")
        place = Place(place.file, f"{place.record} ({video})")
        safe_path(self._root, video, place.file, place.record)
        source = source_of(video, place)
        if source not in self._masks:
            raise place.fault("unknown_source", f"{source} is none of the sources here: {', '.join(self._masks)}")
        anno_map = read_anno_map(entry, place, self._findings)
        clip = _clip(self._root, source, entry, place, self._findings)
        tracks = self._tracks(source)
        return None if tracks is None else self._video(entry, place, source, clip, tracks, anno_map)

    def _video(
        self,
        entry: Mapping[str, object],
        place: Place,
        source: str,
        clip: ClipOnDisk,
        tracks: FittedTracks,
        anno_map: tuple[str | None, ...],
    ) -> SamaVideo:
        known = [annotation_id for annotation_id in dict.fromkeys(anno_map) if annotation_id is not None]
        turns = read_turns(entry, place, known, self._findings, benchmark=self._fit == "benchmark")
        descriptions = read_descriptions(entry, place, anno_map, self._findings)
        video = str(entry["video"])
        gone = {annotation_id for annotation_id in known if annotation_id not in tracks}
        for annotation_id in sorted(gone):
            where = tracks.place(annotation_id)
            self._findings.fault(
                "missing_annotation", where.file, f"{where.record} of {video}", "there is no such track"
            )
        messages = entry.get("conversation")
        whole = SamaVideo(
            file=Path(place.file),
            record=str(place.record),
            video=video,
            source=source,
            clip=clip,
            anno_map=anno_map,
            turns=turns,
            descriptions=descriptions,
            num_rounds=len(messages) // 2 if isinstance(messages, list) else 0,
            stated_size=_stated_size(entry, source, place),
            tracks=tracks,
        )
        return whole.without(gone) if gone else whole

    def _tracks(self, source: str) -> FittedTracks | None:
        """The source's mask dictionary; None, and one fault in all, if it cannot be opened."""
        if source not in self._opened:
            try:
                masks = open_mask_file(self._root / self._masks[source], self._findings)
                self._opened[source] = FittedTracks(masks, self._fit)
            except FaultError as error:
                self._findings.take(error)
                self._opened[source] = None
        return self._opened[source]


def _clip(root: Path, source: str, entry: Mapping[str, object], place: Place, findings: Findings) -> ClipOnDisk:
    video = str(entry["video"])
    path = safe_path(root, video, place.file, place.record)
    names = entry.get("frames")
    if source == "sav":
        if names is not None:
            raise place.fault("schema_error", "frames of a SA-V record are not null; its pictures are in the mp4 file")
        if not path.is_file():
            raise place.fault("missing_video", f"there is no file {video}")
        return VideoClip(path)
    if "frames" not in entry:
        raise place.fault("missing_key", "the record has no frames")
    if not isinstance(names, list) or not names:
        raise place.fault("schema_error", "frames is no list of frame names")
    files = tuple(frame_file_name(name, place) for name in names)
    return FrameClip(root, _folder(root, video, source, place, findings), files)


def _folder(root: Path, video: str, source: str, place: Place, findings: Findings) -> str:
    """The folder of a record's frames, relative to the root."""
    folder = PurePosixPath(video)
    if (root / folder).is_dir():
        return str(folder)
    padded = folder.with_name(folder.name.zfill(LVVIS_DIGITS))
    if source != "lvvis" or not folder.name.isdecimal() or not (root / padded).is_dir():
        raise place.fault("missing_video", f"there is no folder {video}")
    findings.note("unpadded_folder_name", place.file, place.record, f"the folder is {padded}")
    return str(padded)


def _stated_size(entry: Mapping[str, object], source: str, place: Place) -> tuple[int, int] | None:
    """Height and width as the record has them; SA-V's are those of the decoded frames, whatever the record says."""
    sides = [entry.get(key) for key in ("height", "width")]
    if source == "sav" or None in sides:
        return None
    height, width = (side if isinstance(side, int) and not isinstance(side, bool) else 0 for side in sides)
    if height <= 0 or width <= 0:
        raise place.fault(
            "schema_error", f"height and width are {sides[0]!r} and {sides[1]!r}; they are pixels or null"
        )
    return height, width
