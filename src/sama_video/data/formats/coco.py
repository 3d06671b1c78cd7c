"""COCO instances: pictures and their objects, as polygons or run lengths.

COCO knows pictures only. What came from one clip is tied together by the keys of COCO-VID, which other readers pass
over: `videos`, an image's `video_id` and `frame_id`, an annotation's `instance_id`. Reading takes them back; a picture
without them is a clip of one frame.
"""

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
PICTURES: Final = "images"


def read(path: Path, findings: Findings, options: ReadOptions) -> Iterator[AnnotatedClip]:
    """Clips of an instances file, in the order of its images."""
    document, place = read_document(path, findings), Place(str(path))
    file = _File(path, document, place, options)
    groups = _grouped(document, place)
    known = {row["id"] for rows in groups.values() for _, row in rows}
    for image_id in file.annotations.keys() - known:
        for at, _ in file.annotations[image_id]:
            findings.take(at.fault("schema_error", f"image {image_id!r} is not among the images"))
    for clip, rows in groups.items():
        try:
            yield _read_clip(file, clip, rows, findings)
        except FaultError as error:
            findings.take(error.of(f"video {clip[1]}") if clip[0] == "video" else error)


def write(clips: Iterable[AnnotatedClip], out: Path, *, findings: Findings, pictures: bool = True) -> None:
    """Write `instances.json` and `images/CLIP/`; masks go as compressed run lengths."""
    categories, licences, names = Numbers(), Numbers(), ClipNames()
    with new_folder(out) as folder, JsonLists(folder / FILE_NAME, ("videos", "images", "annotations")) as lists:
        for number, clip in enumerate(clips, start=1):
            names.take(clip.name)
            files = frame_names(clip, folder / PICTURES, pictures)
            video = {"id": number, "name": clip.name, "source": clip.source, "licence": clip.licence}
            lists.add("videos", video)
            first = lists.counts["images"] + 1
            for frame, name in enumerate(files):
                lists.add("images", _image_row(clip, first + frame, number, frame, name, licences.of(clip.licence)))
            for one in clip.objects:
                _add_object(lists, one, first, number, categories.of(one.label))
                if not one.masklet.visible_frames:
                    note_object(one, findings, Place(str(out), f"clip {clip.name}"))
        lists.finish({"info": {}, "licenses": licences.rows(), "categories": categories.rows()})


class _File:
    """What the entries of one file share."""

    def __init__(self, path: Path, document: object, place: Place, options: ReadOptions) -> None:
        parent, split = path.parent, path.stem.removeprefix("instances_")
        folders = [parent / PICTURES, parent, parent / split, parent.parent / PICTURES / split]
        self.roots = options.roots([*folders, parent.parent / split, parent.parent / PICTURES, parent.parent])
        self.options = options
        self.categories = category_names(document, place)
        self.licences = licence_names(document)
        videos = rows_of(document, "videos", place) if isinstance(document, Mapping) and "videos" in document else ()
        self.videos: dict[object, Mapping[str, Any]] = {id_of(row): row for _, row in videos}
        self.annotations: dict[object, list[Row]] = defaultdict(list)
        for at, row in rows_of(document, "annotations", place):
            self.annotations[need(row, "image_id", int | str, at)].append((at, row))


def _grouped(document: object, place: Place) -> dict[tuple[str, object], list[Row]]:
    """Images by clip: those of a video in the order of their frames, any other by itself."""
    groups: dict[tuple[str, object], list[Row]] = defaultdict(list)
    for at, row in rows_of(document, "images", place):
        image_id = need(row, "id", int | str, at)
        video_id = row.get("video_id")
        is_frame = isinstance(video_id, int | str) and isinstance(row.get("frame_id"), int)
        groups[("video", video_id) if is_frame else ("image", image_id)].append((at, row))
    for (kind, _), rows in groups.items():
        if kind == "video":
            rows.sort(key=lambda row: row[1]["frame_id"])
    return groups


def _read_clip(file: _File, key: tuple[str, object], rows: Sequence[Row], findings: Findings) -> AnnotatedClip:
    (place, first), (kind, number) = rows[0], key
    names = [need(row, "file_name", str, at) for at, row in rows]
    sizes = {need_size(row, at) for at, row in rows}
    if len(sizes) > 1 or len({row["id"] for _, row in rows}) < len(rows):
        raise place.fault("schema_error", "the images of a clip have several sizes, or one id twice")
    frames = find_frames(file.roots, names, place)
    size = check_size(frames, sizes.pop(), place)
    video = file.videos.get(number, {}) if kind == "video" else {}
    title = one_line(video.get("name"), str(number)) if kind == "video" else PurePosixPath(names[0]).stem
    return AnnotatedClip(
        clip_name(title),
        frames,
        *size,
        _read_objects(file, rows, size, findings, is_video=kind == "video"),
        one_line(video.get("source"), file.options.source or "coco"),
        one_line(video.get("licence"), file.licences.get(id_of(first, "license"), file.options.licence)),
    )


def _read_objects(
    file: _File, rows: Sequence[Row], size: tuple[int, int], findings: Findings, *, is_video: bool
) -> tuple[AnnotatedObject, ...]:
    """Objects of a clip; one with a damaged annotation is dropped whole, for a hole in a track is a wrong label."""
    entries = [(frame, at, one) for frame, (_, row) in enumerate(rows) for at, one in file.annotations[row["id"]]]
    drafts: dict[int, Draft] = {}
    broken: set[int | None] = set()
    forms: set[str] = set()
    for order, (frame, at, row) in enumerate(entries, start=1):
        instance: int | None = None
        try:
            instance = need(row, "instance_id", int, at) if is_video else order
            _add_entry(drafts, instance, frame, row, at, file, size, forms)
        except FaultError as error:
            findings.take(error)
            broken.add(instance)
    note_forms(forms, findings, rows[0][0])
    objects = []
    for instance, number in object_numbers(drafts).items():
        if instance not in broken:
            objects.append(drafts[instance].finish(number, len(rows), size))
            note_object(objects[-1], findings, rows[0][0])
    return tuple(objects)


def _add_entry(
    drafts: dict[int, Draft],
    instance: int,
    frame: int,
    row: Mapping[str, Any],
    place: Place,
    file: _File,
    size: tuple[int, int],
    forms: set[str],
) -> None:
    label = category_of(row, file.categories, place)
    if instance not in drafts:
        text, attributes = read_text(row, place), read_attributes(row.get("attributes"))
        drafts[instance] = Draft(label, text, is_crowd(row), attributes)
    elif drafts[instance].label != label:
        raise place.fault("schema_error", f"instance {instance} is {drafts[instance].label} before and {label} here")
    mask, is_box = entry_mask(row.get("segmentation") or None, row.get("bbox"), size, place, forms)
    drafts[instance].put(frame, mask, place, is_box=is_box)


def _image_row(clip: AnnotatedClip, number: int, video: int, frame: int, name: str, licence: int) -> dict[str, object]:
    return {
        "id": number,
        "file_name": name,
        "height": clip.height,
        "width": clip.width,
        "license": licence,
        "video_id": video,
        "frame_id": frame,
    }


def _add_object(lists: JsonLists, one: AnnotatedObject, first_image: int, video: int, category: int) -> None:
    for frame in one.masklet.visible_frames:
        rle = one.masklet.rles[frame]
        assert rle is not None, "visible"
        row: dict[str, object] = {
            "id": lists.counts["annotations"] + 1,
            "image_id": first_image + frame,
            "category_id": category,
            "bbox": box_of_frame(one, frame),
            "area": area(rle),
            "iscrowd": int(one.is_crowd),
            "video_id": video,
            "instance_id": one.number,
        }
        if frame not in one.box_frames:
            row["segmentation"] = {"size": list(rle["size"]), "counts": rle["counts"]}
        lists.add("annotations", row | extras_of(one))
