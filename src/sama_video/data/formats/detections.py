"""Our masks as `supervision.Detections`, for its annotators, trackers and metrics."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.errors import MissingExtraError, SamaError


class MissingSupervisionError(MissingExtraError):
    """The package `supervision`, which belongs to no extra of ours, is not installed."""

    def __init__(self) -> None:
        SamaError.__init__(self, "supervision is not installed, but this needs it; run: pip install supervision")


def frame_detections(clip: AnnotatedClip, frame_idx: int, class_ids: Mapping[str, int] | None = None) -> Any:
    """The objects visible on one frame, as a `supervision.Detections`.

    Boxes are those of the masks, half open; `tracker_id` is the object's number; `confidence` is there when every
    object has a score; `data` has `class_name`, and `box_only` for objects whose mask is a filled box.

    Args:
        clip: Whose objects.
        frame_idx: Frame of the clip.
        class_ids: Number of each label; by default the order in which the clip's objects have them.

    Raises:
        MissingExtraError: `supervision` is not installed.
    """
    known = label_numbers(clip) if class_ids is None else class_ids
    shown = [one for one in clip.objects if one.masklet.box(frame_idx) is not None]
    scores = [one.masklet.scores[frame_idx] for one in shown]
    masks = [one.masklet.mask(frame_idx) for one in shown]
    return _supervision().Detections(
        xyxy=np.array([one.masklet.box(frame_idx) for one in shown], dtype=np.float64).reshape(-1, 4),
        mask=np.stack(masks) if masks else np.zeros((0, *clip.size), np.bool_),
        confidence=np.array(scores, dtype=np.float64) if None not in scores else None,
        class_id=np.array([known[one.label] for one in shown], dtype=np.int64),
        tracker_id=np.array([one.number for one in shown], dtype=np.int64),
        data={
            "class_name": np.array([one.label for one in shown], dtype=np.str_),
            "box_only": np.array([frame_idx in one.box_frames for one in shown], dtype=np.bool_),
        },
    )


def clip_detections(clip: AnnotatedClip, class_ids: Mapping[str, int] | None = None) -> Iterator[Any]:
    """The same for each frame in turn; only one frame's masks are unpacked at a time.

    Raises:
        MissingExtraError: `supervision` is not installed.
    """
    return (frame_detections(clip, frame_idx, class_ids) for frame_idx in range(clip.num_frames))


def label_numbers(clip: AnnotatedClip) -> dict[str, int]:
    """A number for each label of a clip, from 0, in the order of its objects."""
    return {label: number for number, label in enumerate(dict.fromkeys(one.label for one in clip.objects))}


def _supervision() -> ModuleType:
    try:
        return import_module("supervision")
    except ModuleNotFoundError as error:
        if error.name != "supervision":
            raise
        raise MissingSupervisionError from None
