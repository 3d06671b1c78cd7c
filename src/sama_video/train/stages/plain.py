"""Stages `plain_segment`, `plain_track`, `plain_see` and `plain_refer`: the same lessons on the older, plainer world.

Objects there are twice as large and nothing happens to them. Clicks, shapes, memories and what a question points at are
found there in minutes; from nothing, clips of the diagnostic world teach them far more slowly.
"""

from typing import Any, ClassVar

from sama_video.train.config import SeeConfig, SegmentConfig, TrackConfig, TrainConfig
from sama_video.train.lessons.worlds import PlainWorld, World
from sama_video.train.stages.base import Stage
from sama_video.train.stages.refer import ReferStage
from sama_video.train.stages.see import SeeStage
from sama_video.train.stages.segment import SegmentStage
from sama_video.train.stages.track import TrackStage


class OnPlainClips(Stage):
    """A first lesson: on clips of the plain world, after no other stages than the class itself names."""

    @classmethod
    def predecessors(cls, run: TrainConfig) -> tuple[str, ...]:
        """Those of `starts_from`, whatever else the recipe has."""
        return cls.starts_from

    @property
    def world(self) -> World[Any]:
        """The plain one."""
        return PlainWorld()


class PlainSegmentStage(OnPlainClips, SegmentStage):
    """Single frames from nothing."""

    name: ClassVar[str] = "plain_segment"
    starts_from: ClassVar[tuple[str, ...]] = ()

    @property
    def segment_settings(self) -> SegmentConfig:
        """The stage's part of the recipe."""
        return self.run.plain_segment


class PlainTrackStage(OnPlainClips, TrackStage):
    """Memory from nothing."""

    name: ClassVar[str] = "plain_track"
    starts_from: ClassVar[tuple[str, ...]] = ("plain_segment",)

    @property
    def segment_settings(self) -> SegmentConfig:
        """The single frames that are mixed in are like those before."""
        return self.run.plain_segment

    @property
    def track_settings(self) -> TrackConfig:
        """The stage's part of the recipe."""
        return self.run.plain_track


class PlainSeeStage(OnPlainClips, SeeStage):
    """The vision tower from nothing."""

    name: ClassVar[str] = "plain_see"
    starts_from: ClassVar[tuple[str, ...]] = ()

    @property
    def see_settings(self) -> SeeConfig:
        """The stage's part of the recipe."""
        return self.run.plain_see


class PlainReferStage(OnPlainClips, ReferStage):
    """Dialogues after nothing but sight and words."""

    name: ClassVar[str] = "plain_refer"
    starts_from: ClassVar[tuple[str, ...]] = ("plain_see", "speak")
