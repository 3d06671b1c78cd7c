"""Detections for `supervision`, built with a small class of the same shape."""

import sys
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np
import pytest

from sama_video.data.formats import clip_detections, frame_detections
from sama_video.errors import MissingExtraError
from sama_video.regions.masklet import Masklet


@dataclass
class Detections:
    """Fields and checks of `supervision.Detections`."""

    xyxy: np.ndarray
    mask: np.ndarray | None = None
    confidence: np.ndarray | None = None
    class_id: np.ndarray | None = None
    tracker_id: np.ndarray | None = None
    data: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        assert self.xyxy.shape == (count, 4)
        assert self.mask is None or (self.mask.ndim == 3 and self.mask.shape[0] == count and self.mask.dtype == bool)
        for values in (self.confidence, self.class_id, self.tracker_id):
            assert values is None or values.shape == (count,)
        assert all(len(values) == count for values in self.data.values())


@pytest.fixture
def supervision(monkeypatch) -> ModuleType:
    module = ModuleType("supervision")
    module.Detections = Detections  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", module)
    return module


def test_each_frame_gets_its_visible_objects(supervision, make_clip):
    clip = make_clip(boxes=True)
    every = list(clip_detections(clip))
    assert len(every) == clip.num_frames
    for frame, found in enumerate(every):
        shown = [one for one in clip.objects if one.masklet.mask(frame).any()]
        assert found.tracker_id.tolist() == [one.number for one in shown]
        assert found.data["class_name"].tolist() == [one.label for one in shown]
        assert found.data["box_only"].tolist() == [one.is_box_only for one in shown]
        assert found.class_id.tolist() == [{"car": 0, "dog & <cat>": 1, "bus": 2}[one.label] for one in shown]
        assert found.confidence is None or not shown
        for row, one in enumerate(shown):
            assert (found.mask[row] == one.masklet.mask(frame)).all()
            assert tuple(found.xyxy[row]) == one.masklet.box(frame)


def test_scores_become_confidence_and_classes_may_be_given(supervision, make_clip):
    clip = make_clip(labels=("car",))
    masklet = Masklet.from_masks("obj1", clip.objects[0].masklet.masks, [0.5] * clip.num_frames)
    clip = replace(clip, objects=(replace(clip.objects[0], masklet=masklet),))
    found = frame_detections(clip, 0, {"car": 17})
    assert found.confidence.tolist() == [0.5]
    assert found.class_id.tolist() == [17]


def test_frame_without_objects_gives_none(supervision, make_clip):
    found = frame_detections(make_clip(), 1)
    assert found.xyxy.shape == (0, 4)
    assert found.mask.shape == (0, 9, 14)


def test_missing_package_tells_how_to_get_it(monkeypatch, make_clip):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match="run: pip install supervision$"):
        frame_detections(make_clip(), 0)
