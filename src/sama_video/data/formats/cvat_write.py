"""A clip as a task of CVAT for video 1.1."""

from collections.abc import Iterator, Mapping
from typing import IO

from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject
from sama_video.data.formats.cvat_masks import write_cvat_mask
from sama_video.data.formats.xml_writer import XmlWriter


def write_task(clip: AnnotatedClip, out: IO[str]) -> None:
    """Write one file: what the task is, then a track for each mask and one for an object's boxes."""
    xml = XmlWriter(out)
    with xml.element("annotations"):
        xml.text("version", "1.1")
        with xml.element("meta"), xml.element("task"):
            _write_meta(xml, clip)
        number = 0
        for one in clip.objects:
            attributes = _attributes_of(one)
            for frame in one.masklet.visible_frames:
                if frame not in one.box_frames:
                    _write_mask(xml, number, one, frame, attributes)
                    number += 1
            if one.box_frames:
                _write_boxes(xml, number, one, attributes)
                number += 1


def _write_meta(xml: XmlWriter, clip: AnnotatedClip) -> None:
    xml.text("name", clip.name)
    xml.text("size", str(clip.num_frames))
    xml.text("mode", "interpolation")
    xml.text("start_frame", "0")
    xml.text("stop_frame", str(clip.num_frames - 1))
    with xml.element("labels"):
        for label, names in _labels_of(clip).items():
            with xml.element("label"):
                xml.text("name", label)
                with xml.element("attributes"):
                    for name in names:
                        with xml.element("attribute"):
                            xml.text("name", name)
                            xml.text("mutable", "False")
                            xml.text("input_type", "text")
                            xml.text("default_value", "")
                            xml.text("values", "")
    with xml.element("original_size"):
        xml.text("width", str(clip.width))
        xml.text("height", str(clip.height))


def _write_mask(xml: XmlWriter, number: int, one: AnnotatedObject, frame: int, attributes: Mapping[str, str]) -> None:
    rle = one.masklet.rles[frame]
    assert rle is not None, "visible"
    form = write_cvat_mask(rle)
    with xml.element("track", id=str(number), label=one.label, source="manual"):
        for at, outside in ((frame, False), (frame + 1, True)):
            if at < one.masklet.num_frames:
                _write_shape(xml, "mask", at, outside, form, attributes)


def _write_boxes(xml: XmlWriter, number: int, one: AnnotatedObject, attributes: Mapping[str, str]) -> None:
    with xml.element("track", id=str(number), label=one.label, source="manual"):
        for at, outside, box in _box_frames(one):
            edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{edge:.2f}" for edge in box), strict=True))
            _write_shape(xml, "box", at, outside, edges, attributes)


def _box_frames(one: AnnotatedObject) -> Iterator[tuple[int, bool, tuple[int, int, int, int]]]:
    """Each frame with a box, and behind each run of them the frame on which the box is gone."""
    for frame in one.box_frames:
        box = one.masklet.box(frame)
        assert box is not None, "visible"
        yield frame, False, box
        if frame + 1 < one.masklet.num_frames and frame + 1 not in one.box_frames:
            yield frame + 1, True, box


def _write_shape(
    xml: XmlWriter, kind: str, frame: int, outside: bool, form: Mapping[str, str], attributes: Mapping[str, str]
) -> None:
    given = {"frame": str(frame), "keyframe": "1", "outside": str(int(outside)), "occluded": "0"}
    with xml.element(kind, **given, **form, z_order="0"):
        for name, value in attributes.items():
            xml.text("attribute", value, name=name)


def _labels_of(clip: AnnotatedClip) -> dict[str, list[str]]:
    """Names of the attributes of each label."""
    labels: dict[str, list[str]] = {}
    for one in clip.objects:
        names = labels.setdefault(one.label, [])
        names += [name for name in _attributes_of(one) if name not in names]
    return labels


def _attributes_of(one: AnnotatedObject) -> dict[str, str]:
    """What CVAT keeps for a shape, the object's name and text among it: it has no other place for them."""
    text = {} if one.text is None else {"text": one.text}
    crowd = {"crowd": "true"} if one.is_crowd else {}
    return {**dict(one.attributes), "object": one.object_id, **text, **crowd}
