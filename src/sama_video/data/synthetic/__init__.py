"""A world of moving shapes with exact masks, and a small closed language about it; everything follows from a seed."""

from sama_video.data.synthetic.language import (
    KIND_WEIGHTS,
    VOCABULARY,
    Story,
    SyntheticTurn,
    corpus,
    sample_dialogue,
    split_words,
    story_of,
)
from sama_video.data.synthetic.scene import Scene, sample_scene
from sama_video.data.synthetic.shapes import ObjectSpec
from sama_video.data.synthetic.world import SyntheticClip, World, frame_times, render

__all__ = [
    "KIND_WEIGHTS",
    "VOCABULARY",
    "ObjectSpec",
    "Scene",
    "Story",
    "SyntheticClip",
    "SyntheticTurn",
    "World",
    "corpus",
    "frame_times",
    "render",
    "sample_dialogue",
    "sample_scene",
    "split_words",
    "story_of",
]
