from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from annotate_world import SIDE, drawn_clips, square_masklet

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.inputs.records import RecordInput
from sama_video.annotate.selecting import SelectSettings
from sama_video.annotate.stages import Dropped, Kept
from sama_video.annotate.tracking import (
    ModelFollower,
    Quality,
    TrackSettings,
    bad_track,
    quality_of,
    track_iou,
    track_subject,
    tracked,
)
from sama_video.data.findings import Findings
from sama_video.errors import ConfigError, RegionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Region
from sama_video.video.clip import Clip

LOOSE = SelectSettings(visible_frames=1, visible_share=0, object_area=(0, 1))


def drawn_subject() -> Subject:
    """A drawn clip whose objects are known by a box each."""
    source = RecordInput(drawn_clips() / "records.jsonl")
    subject = source.load(next(iter(source.listed(Findings()))).locator)
    things = [replace(thing, masklet=None, prompts=(box_of(thing),)) for thing in subject.things]
    return replace(subject, things=tuple(things))


def box_of(thing: Thing) -> Box:
    masklet = thing.masklet
    assert masklet is not None
    frame = max(masklet.visible_frames, key=lambda idx: masklet.mask(idx).sum())
    return Box(frame, xyxy=masklet.box(frame) or (0, 0, 1, 1))


class FakeFollower:
    """Gives masklets that were prepared: the first pass, then the pass back."""

    name = "fake@1"

    def __init__(self, *passes: Sequence[Masklet]) -> None:
        self.passes = list(passes)
        self.asked: list[list[Sequence[Region]]] = []

    def follow(self, clip: Clip, prompts: Sequence[Sequence[Region]]) -> list[Masklet]:
        self.asked.append(list(prompts))
        return list(self.passes.pop(0))


def subject_with(count: int) -> Subject:
    subject = drawn_subject()
    things = tuple(Thing(f"obj{n}", None, (Box(0, xyxy=(n, n, n + 9, n + 9)),)) for n in range(1, count + 1))
    return replace(subject, things=things)


def steady(number: int, frames: int, shift: int = 0) -> Masklet:
    return square_masklet(f"obj{number}", [(5 + shift, 5, 25 + shift, 25)] * frames)


def test_good_tracks_are_kept_and_bad_ones_dropped_with_their_reason() -> None:
    subject = subject_with(3)
    frames = subject.clip.num_frames
    jumping = square_masklet("obj3", [(0, 0, 4, 4) if n % 2 else (0, 0, 30, 30) for n in range(frames)])
    forward = [steady(1, frames), steady(2, frames), jumping]
    back = [steady(1, frames, 1), steady(2, frames, 18), jumping]
    follower = FakeFollower(forward, back)
    result = track_subject(subject, follower, TrackSettings(), LOOSE)
    assert isinstance(result, Kept)
    payload = result.payload
    assert payload["things"] == ["obj1"]
    assert payload["lost"] == {"obj2": "tracks_disagree", "obj3": "unstable"}
    assert payload["quality"]["obj1"]["agreement"] == pytest.approx(19 * 20 / (21 * 20), abs=1e-3)
    assert payload["quality"]["obj3"]["jumps"] == 1
    assert payload["tracker"] == "fake@1"
    after = tracked(subject, payload)
    assert [thing.object_id for thing in after.things] == ["obj1"]
    assert after.things[0].masklet == forward[0]


def test_the_pass_back_starts_from_the_last_frame_that_shows_the_object() -> None:
    subject = subject_with(1)
    frames = subject.clip.num_frames
    gone = square_masklet("obj1", [(5, 5, 25, 25)] * (frames - 4) + [None] * 4)
    follower = FakeFollower([gone], [gone])
    track_subject(subject, follower, TrackSettings(), LOOSE)
    start = follower.asked[1][0][0]
    assert getattr(start, "frame", None) == frames - 5


def test_a_subject_without_a_good_track_is_dropped() -> None:
    subject = subject_with(1)
    frames = subject.clip.num_frames
    result = track_subject(subject, FakeFollower([steady(1, frames)], [steady(1, frames, 18)]), TrackSettings(), LOOSE)
    assert result == Dropped("no_good_track", "obj1 tracks_disagree")


def test_tracks_are_measured_as_any_other_object() -> None:
    subject = subject_with(1)
    frames = subject.clip.num_frames
    follower = FakeFollower([steady(1, frames)])
    small = SelectSettings(object_area=(0.5, 1))
    result = track_subject(subject, follower, TrackSettings(both_ways=False), small)
    assert result == Dropped("no_good_track", "obj1 too_small")
    assert len(follower.asked) == 1


class Blind(FakeFollower):
    """Finds nothing at one object's prompt."""

    def follow(self, clip: Clip, prompts: Sequence[Sequence[Region]]) -> list[Masklet]:
        boxes = [getattr(regions[0], "xyxy", None) for regions in prompts]
        if (2, 2, 11, 11) in boxes:
            raise RegionError("no object was found")
        return [steady(n, clip.num_frames) for n, _ in enumerate(prompts, start=1)]


def test_one_prompt_that_shows_nothing_does_not_spoil_the_others() -> None:
    result = track_subject(subject_with(3), Blind(), TrackSettings(both_ways=False), LOOSE)
    assert isinstance(result, Kept)
    assert result.payload["things"] == ["obj1", "obj3"]
    assert result.payload["lost"] == {"obj2": "nothing_there"}


def test_things_that_have_masklets_are_left_alone() -> None:
    source = RecordInput(drawn_clips() / "records.jsonl")
    subject = source.load(next(iter(source.listed(Findings()))).locator)
    follower = FakeFollower()
    result = track_subject(subject, follower, TrackSettings())
    assert isinstance(result, Kept)
    assert tracked(subject, result.payload) == subject
    assert follower.asked == []


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (Quality(1, 0, 0.9, 0.9), None),
        (Quality(1, 0, None), None),
        (Quality(1, 0, 0.9, 0.4), "tracks_disagree"),
        (Quality(0.4, 0, 0.9), "unstable"),
        (Quality(1, 0.2, 0.9), "area_jumps"),
        (Quality(1, 0, 0.4), "low_score"),
    ],
)
def test_reasons_of_bad_tracks(quality: Quality, reason: str | None) -> None:
    assert bad_track(quality, TrackSettings()) == reason


def test_an_object_that_moves_without_changing_is_stable() -> None:
    moving = square_masklet("obj1", [(n, 2 * n, n + 12, 2 * n + 9) for n in range(10)])
    assert quality_of(moving, 2) == Quality(1, 0, None)
    growing = square_masklet("obj1", [(0, 0, 6 * n + 6, 6 * n + 6) for n in range(8)])
    found = quality_of(growing, 2)
    assert 0.4 < found.stability < 0.8
    assert found.jumps == pytest.approx(2 / 7, abs=1e-3)
    blinking = square_masklet("obj1", [(0, 0, 5, 5), None, (0, 0, 5, 5), None])
    assert quality_of(blinking, 2).stability == 1


def test_scores_are_those_of_frames_that_show_the_object() -> None:
    masks = np.zeros((3, SIDE, SIDE), dtype=np.bool_)
    masks[0, :4, :4] = masks[1, :4, :4] = True
    masklet = Masklet.from_masks("obj1", masks, [0.8, 0.6, 0.01])
    assert quality_of(masklet, 2).score == pytest.approx(0.7)
    assert track_iou(masklet, masklet) == 1
    empty = square_masklet("obj1", [None] * 3)
    assert track_iou(empty, empty) == 0


def test_impossible_thresholds_are_refused() -> None:
    for wrong in ({"least_agreement": 2}, {"jump": 1}, {"most_jumps": -0.1}):
        with pytest.raises(ConfigError):
            TrackSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_our_tracker_follows_drawn_objects_from_boxes() -> None:
    source = RecordInput(drawn_clips() / "records.jsonl")
    truth = source.load(next(iter(source.listed(Findings()))).locator)
    subject = drawn_subject()
    # The clips are of 64 pixels, a quarter of what the nano learnt on.
    any_track = TrackSettings(least_agreement=0, least_stability=0, most_jumps=1, least_score=0)
    result = track_subject(subject, ModelFollower("nano", "cpu"), any_track, LOOSE)
    assert isinstance(result, Kept)
    found = tracked(subject, result.payload)
    pairs = [(truth.thing(name), thing) for name, thing in zip(result.payload["things"], found.things, strict=True)]
    overlaps = [track_iou(own.masklet, thing.masklet) for own, thing in pairs if own and own.masklet and thing.masklet]
    assert overlaps
    assert min(overlaps) > 0.4
    assert result.payload["tracker"].startswith("nano@")
