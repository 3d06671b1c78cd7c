"""YouTube-VIS: videos and their tracks, one mask or null for each frame."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, ClipNames, clip_name, one_line
from sama_video.data.formats.coco_entries import (
    Row,
    box_of_frame,
    category_names,
    category_of,
    entry_mask,
    frame_names,
    id_of,
    is_crowd,
    licence_names,
)
from sama_video.data.formats.drafts import (
    Draft,
    extras_of,
    note_forms,
    note_object,
    object_numbers,
    read_attributes,
    read_text,
)
from sama_video.data.formats.media import check_size, find_frames
from sama_video.data.formats.options import ReadOptions
from sama_video.data.formats.output import JsonLists, Numbers, new_folder
from sama_video.data.json_items import read_document
from sama_video.data.sources.fields import need, need_size, rows_of
from sama_video.regions.rle import area

FILE_NAME: Final = "instances.json"
PICTURES: Final = "JPEGImages"


def read(path: Path, findings: Findings, options: ReadOptions) -> Iterator[AnnotatedClip]:
    """Clips of a YouTube-VIS file, in its order.

    Pictures lie in `JPEGImages` beside the file, or in a folder beside it that is called as the file is.
    """
    document, place = read_document(path, findings), Place(str(path))
    reader = _Reader(path, document, place, options)
    seen: set[object] = set()
    for at, video in rows_of(document, "videos", place):
        try:
            video_id = need(video, "id", int | str, at)
            seen.add(video_id)
            yield reader.clip(video, video_id, at, findings)
        except FaultError as error:
            findings.take(error)
    for video_id in reader.annotations.keys() - seen:
        for at, _ in reader.annotations[video_id]:
            findings.take(at.fault("schema_error", f"video {video_id!r} is not among the videos"))


def write(clips: Iterable[AnnotatedClip], out: Path, *, findings: Findings, pictures: bool = True) -> None:
    """Write `instances.json` and `JPEGImages/CLIP/`; masks go as compressed run lengths, null where hidden."""
    categories, licences, names = Numbers(), Numbers(), ClipNames()
    with new_folder(out) as folder, JsonLists(folder / FILE_NAME, ("videos", "annotations")) as lists:
        for number, clip in enumerate(clips, start=1):
            names.take(clip.name)
            files = frame_names(clip, folder / PICTURES, pictures)
            lists.add("videos", _video_row(clip, number, files, licences.of(clip.licence)))
            for one in clip.objects:
                row = {"id": lists.counts["annotations"] + 1, "video_id": number}
                lists.add("annotations", row | _track_row(one, clip, categories.of(one.label)))
        lists.finish({"info": {}, "licenses": licences.rows(), "categories": categories.rows()})


class _Reader:
    """What the videos of one file share."""

    def __init__(self, path: Path, document: object, place: Place, options: ReadOptions) -> None:
        beside = path.parent / path.stem.removeprefix("instances_")
        usual = [path.parent / PICTURES, beside / PICTURES, path.parent.parent / PICTURES, path.parent, beside]
        self.roots = options.roots(usual)
        self.options = options
        self.categories = category_names(document, place)
        self.licences = licence_names(document)
        self.annotations: dict[object, list[Row]] = defaultdict(list)
        for at, row in rows_of(document, "annotations", place):
            self.annotations[need(row, "video_id", int | str, at)].append((at, row))

    def clip(self, video: Mapping[str, Any], video_id: int | str, place: Place, findings: Findings) -> AnnotatedClip:
        """One video with its tracks.

        Raises:
            FaultError: Its frames cannot be used.
        """
        names = need(video, "file_names", list, place)
        if not names or not all(isinstance(name, str) for name in names):
            raise place.fault("schema_error", "'file_names' is no list of file names")
        frames = find_frames(self.roots, names, place)
        size = check_size(frames, need_size(video, place), place)
        folder = PurePosixPath(names[0]).parent.name
        return AnnotatedClip(
            clip_name(one_line(video.get("name"), folder or str(video_id))),
            frames,
            *size,
            self._objects(self.annotations[video_id], len(names), size, findings),
            one_line(video.get("source"), self.options.source or "youtube-vis"),
            self.licences.get(id_of(video, "license"), self.options.licence),
        )

    def _objects(
        self, rows: Sequence[Row], num_frames: int, size: tuple[int, int], findings: Findings
    ) -> tuple[AnnotatedObject, ...]:
        own = [id_of(row, "instance_id") for _, row in rows]
        ids = [one for one in own if isinstance(one, int)]
        instances = ids if len(set(ids)) == len(rows) else list(range(1, len(rows) + 1))
        numbers = object_numbers(instances)
        objects: list[AnnotatedObject] = []
        for instance, (at, row) in zip(instances, rows, strict=True):
            try:
                draft = self._track(row, num_frames, size, at, findings)
                objects.append(draft.finish(numbers[instance], num_frames, size))
                note_object(objects[-1], findings, at)
            except FaultError as error:
                findings.take(error)
        return tuple(objects)

    def _track(
        self, row: Mapping[str, Any], num_frames: int, size: tuple[int, int], place: Place, findings: Findings
    ) -> Draft:
        draft = Draft(category_of(row, self.categories, place), read_text(row, place), is_crowd(row))
        draft.attributes = read_attributes(row.get("attributes"))
        forms: set[str] = set()
        boxes = row.get("bboxes") or [None] * num_frames
        masks = need(row, "segmentations", list, place) if "segmentations" in row else [None] * num_frames
        if not isinstance(boxes, list) or len(masks) != num_frames or len(boxes) != num_frames:
            raise place.fault("track_length_mismatch", f"{len(masks)} masks for {num_frames} frames")
        for frame, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
            rle, is_box = entry_mask(mask, box, size, place.part(f"frame {frame}"), forms)
            draft.put(frame, rle, place, is_box=is_box)
        note_forms(forms, findings, place)
        return draft


def _video_row(clip: AnnotatedClip, number: int, files: Sequence[str], licence: int) -> dict[str, object]:
    return {
        "id": number,
        "name": clip.name,
        "height": clip.height,
        "width": clip.width,
        "length": len(files),
        "file_names": list(files),
        "license": licence,
        "source": clip.source,
    }


def _track_row(one: AnnotatedObject, clip: AnnotatedClip, category: int) -> dict[str, object]:
    rles = one.masklet.rles
    masks = [
        None if rle is None or frame in one.box_frames else {"size": list(rle["size"]), "counts": rle["counts"]}
        for frame, rle in enumerate(rles)
    ]
    return {
        "category_id": category,
        "segmentations": masks,
        "bboxes": [box_of_frame(one, frame) for frame in range(clip.num_frames)],
        "areas": [None if rle is None else area(rle) for rle in rles],
        "iscrowd": int(one.is_crowd),
        "height": clip.height,
        "width": clip.width,
        "length": clip.num_frames,
        "instance_id": one.number,
        **extras_of(one),
    }
