"""The stages of a run, each a module whose forward is its loss."""

from sama_video.train.stages.base import Stage
from sama_video.train.stages.joint import JointStage
from sama_video.train.stages.plain import PlainReferStage, PlainSeeStage, PlainSegmentStage, PlainTrackStage
from sama_video.train.stages.refer import ReferStage
from sama_video.train.stages.see import SeeStage
from sama_video.train.stages.segment import SegmentStage
from sama_video.train.stages.speak import SpeakStage
from sama_video.train.stages.track import TrackStage

STAGES: dict[str, type[Stage]] = {
    kind.name: kind
    for kind in (
        *(PlainSegmentStage, PlainTrackStage, PlainSeeStage, PlainReferStage),
        *(SegmentStage, TrackStage, SeeStage, SpeakStage, ReferStage, JointStage),
    )
}
