"""Clips as tasks of Label Studio: one a frame, with brush masks and boxes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sama_video.data.findings import Findings, Place
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, ClipNames
from sama_video.data.formats.coco_entries import frame_names
from sama_video.data.formats.drafts import note_object
from sama_video.data.formats.label_studio_rle import write_brush
from sama_video.data.formats.output import JsonList, new_folder
from sama_video.data.formats.xml_writer import XmlWriter
from sama_video.regions.rle import Rle

FILE_NAME: Final = "tasks.json"
CONFIG: Final = "labels.xml"
PICTURES: Final = "images"
LOCAL_FILES: Final = "/data/local-files/"


def write(clips: Iterable[AnnotatedClip], out: Path, *, findings: Findings, pictures: bool = True) -> None:
    """Write `tasks.json`, `images/CLIP/` and `labels.xml`, the labelling interface to set up the project with.

    Label Studio finds the pictures when its local storage is the folder (`/data/local-files/?d=images/...`).
    """
    names = ClipNames()
    labels: dict[str, None] = {}
    with new_folder(out) as folder:
        with JsonList(folder / FILE_NAME) as tasks:
            for clip in clips:
                names.take(clip.name)
                labels |= dict.fromkeys(one.label for one in clip.objects)
                for frame, name in enumerate(frame_names(clip, folder / PICTURES, pictures)):
                    tasks.add(_task_row(clip, frame, f"{PICTURES}/{name}"))
                for one in clip.objects:
                    if not one.masklet.visible_frames:
                        note_object(one, findings, Place(clip.name))
        _write_config(folder / CONFIG, tuple(labels))


def _task_row(clip: AnnotatedClip, frame: int, path: str) -> dict[str, object]:
    return {
        "data": {
            "image": f"{LOCAL_FILES}?d={quote(path)}",
            "clip": clip.name,
            "frame": frame,
            "source": clip.source,
            "licence": clip.licence,
        },
        "annotations": [
            {"result": [row for one in clip.objects if (row := _result_row(clip, one, frame)) is not None]}
        ],
    }


def _result_row(clip: AnnotatedClip, one: AnnotatedObject, frame: int) -> dict[str, object] | None:
    rle = one.masklet.rles[frame]
    if rle is None:
        return None
    is_box = frame in one.box_frames
    kind = "rectanglelabels" if is_box else "brushlabels"
    form = _box_form(clip, one, frame) if is_box else _brush_form(rle)
    meta: dict[str, object] = {"text": [one.text]} if one.text is not None else {}
    meta |= {"attributes": dict(one.attributes)} if one.attributes else {}
    meta |= {"crowd": True} if one.is_crowd else {}
    return {
        "id": one.object_id,
        "type": kind,
        "from_name": "box" if is_box else "brush",
        "to_name": "image",
        "origin": "manual",
        "original_width": clip.width,
        "original_height": clip.height,
        "image_rotation": 0,
        "value": {**form, kind: [one.label]},
        **({"meta": meta} if meta else {}),
    }


def _brush_form(rle: Rle) -> dict[str, object]:
    return {"format": "rle", "rle": write_brush(rle)}


def _box_form(clip: AnnotatedClip, one: AnnotatedObject, frame: int) -> dict[str, object]:
    box = one.masklet.box(frame)
    assert box is not None, "visible"
    x0, y0, x1, y1 = box
    across, down = 100 / clip.width, 100 / clip.height
    return {
        "x": x0 * across,
        "y": y0 * down,
        "width": (x1 - x0) * across,
        "height": (y1 - y0) * down,
        "rotation": 0,
    }


def _write_config(path: Path, labels: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        xml = XmlWriter(out)
        with xml.element("View"):
            xml.text("Image", "", name="image", value="$image")
            for control, name in (("BrushLabels", "brush"), ("RectangleLabels", "box")):
                with xml.element(control, name=name, toName="image"):
                    for label in labels:
                        xml.text("Label", "", value=label)
