"""The tracker against the models' own inference sessions, and its promises about sharing and memory."""

import gc
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sam_models import SIDE, STYLES, random_clip, reference_track, tiny_model, to_pixels
from torch import Tensor

from sama_video.errors import RegionError
from sama_video.model.segmenter import Segmenter
from sama_video.model.tracking import FeatureCache, TrackedFrame, Tracker, TrackPrompt
from sama_video.video.clip import Clip

MASK = np.zeros((SIDE, SIDE), dtype=bool)
MASK[20:44, 8:40] = True

PROMPTS = {
    "point": [TrackPrompt("a", 3, points=[(30.0, 20.0)])],
    "points": [TrackPrompt("a", 3, points=[(30.0, 20.0), (50.0, 9.5), (3.0, 4.0)], labels=[1, 0, 1])],
    "box": [TrackPrompt("a", 3, box=(8.0, 10.0, 40.0, 50.0))],
    "box and point": [TrackPrompt("a", 3, box=(8.0, 10.0, 40.0, 50.0), points=[(30.0, 20.0)], labels=[0])],
    "mask": [TrackPrompt("a", 3, mask=MASK)],
    "several frames": [
        TrackPrompt("a", 2, points=[(30.0, 20.0)]),
        TrackPrompt("a", 4, mask=MASK),
        TrackPrompt("a", 9, box=(8.0, 10.0, 40.0, 50.0)),
    ],
}


@pytest.fixture(scope="module", params=STYLES)
def model(request: pytest.FixtureRequest) -> object:
    return tiny_model(request.param)


def exact(model: object, **options: object) -> Segmenter:
    return Segmenter(model, memory_dtype=torch.float32, **options)


def follow(tracker: Tracker, clip: Clip, prompts: Sequence[TrackPrompt], **options: object) -> dict:
    return by_object(tracker.track(clip, prompts, **options))


def by_object(frames: Sequence[TrackedFrame]) -> dict[tuple[str, int], tuple[Tensor, float]]:
    found = {}
    for tracked in frames:
        for name, mask, score in zip(tracked.object_ids, tracked.mask_logits, tracked.object_score, strict=True):
            assert (name, tracked.frame_idx) not in found
            found[name, tracked.frame_idx] = (mask, float(score))
    return found


def assert_same(found: tuple[Tensor, float], expected: tuple[Tensor, float], tolerance: float) -> None:
    torch.testing.assert_close(found[0], expected[0], atol=tolerance, rtol=tolerance)
    assert found[1] == pytest.approx(expected[1], abs=tolerance)


@pytest.mark.parametrize("kind", PROMPTS)
def test_one_object_gets_the_numbers_of_the_models_own_session(
    model: object, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = random_clip(24)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "bfloat16", torch.float32)  # the session has no other way to keep exact memories
        expected = reference_track(model, clip, PROMPTS[kind])
    found = follow(Tracker(exact(model), to_pixels), clip, PROMPTS[kind])
    assert sorted(found) == [("a", idx) for idx in range(24)]
    for frame_idx, reference in expected.items():
        assert_same(found["a", frame_idx], reference, 2e-4)


def test_absent_and_present_objects_both_occur_in_these_models(model: object) -> None:
    found = follow(Tracker(exact(model), to_pixels), random_clip(24), PROMPTS["point"])
    assert {score > 0 for _, score in found.values()} == {True, False}


MIXED = [
    TrackPrompt("a", 5, points=[(30.0, 20.0)]),
    TrackPrompt("b", 2, box=(8.0, 10.0, 40.0, 50.0)),
    TrackPrompt("b", 9, mask=MASK),
    TrackPrompt("c", 5, points=[(50.0, 9.0)]),
    TrackPrompt("d", 5, embedding=torch.linspace(-1, 1, 128)),
]


def test_many_objects_together_equal_each_alone(model: object) -> None:
    clip = random_clip(20)
    tracker = Tracker(exact(model), to_pixels)
    together = follow(tracker, clip, MIXED)
    assert len(together) == 4 * 20
    for name in "abcd":
        alone = follow(tracker, clip, [prompt for prompt in MIXED if prompt.object_id == name])
        for key, expected in alone.items():
            assert_same(together[key], expected, 2e-4)


def test_limited_conditioning_memories_are_chosen_as_the_session_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clip = tiny_model("sam2.1", max_cond_frame_num=2), random_clip(24)
    prompts = [TrackPrompt("a", idx, points=[(30.0, 2.0 * idx)]) for idx in (1, 4, 9, 15)]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "bfloat16", torch.float32)
        expected = reference_track(model, clip, prompts)
    found = follow(Tracker(exact(model), to_pixels), clip, prompts)
    for frame_idx, reference in expected.items():
        assert_same(found["a", frame_idx], reference, 2e-4)


def test_memory_is_kept_in_bfloat16_by_default_as_the_session_keeps_it() -> None:
    model, clip = tiny_model("sam2.0"), random_clip(12)
    expected = reference_track(model, clip, PROMPTS["point"])
    found = follow(Tracker(Segmenter(model), to_pixels), clip, PROMPTS["point"])
    for frame_idx, reference in expected.items():
        # A value at a rounding boundary may fall the other way, hence the loose bound.
        assert_same(found["a", frame_idx], reference, 5e-2)


def test_absent_objects_keep_their_masks_when_not_suppressed() -> None:
    model, clip = tiny_model("sam2.0"), random_clip(12)
    found = follow(Tracker(exact(model, suppress_absent=False), to_pixels), clip, PROMPTS["point"])
    assert any(score <= 0 for _, score in found.values())
    assert all(mask.min() > -1000 for mask, _ in found.values())


class CountedFrames:
    """A frame source that notes what is read from it."""

    def __init__(self, clip: Clip) -> None:
        self.inner = clip.frame_source
        self.read_frames: list[int] = []

    def read(self, frame_indices: Sequence[int]) -> object:
        for idx, frame in self.inner.read(frame_indices):
            self.read_frames.append(idx)
            yield idx, frame

    def sha256(self) -> str:
        return self.inner.sha256()

    def close(self) -> None:
        self.inner.close()


def counted_clip(num_frames: int) -> tuple[Clip, CountedFrames]:
    clip = random_clip(num_frames)
    source = CountedFrames(clip)
    object.__setattr__(clip, "frame_source", source)
    return clip, source


def test_each_frame_is_encoded_once_for_all_objects() -> None:
    clip, source = counted_clip(20)
    tracker = Tracker(exact(tiny_model("sam2.0")), to_pixels)
    prompts = [TrackPrompt(name, 5, points=[(3.0 * i, 20.0)]) for i, name in enumerate("abcde")]
    prompts.append(TrackPrompt("a", 11, points=[(5.0, 5.0)]))
    follow(tracker, clip, prompts)
    assert tracker.frames_encoded == 20
    # Frame 11, decoded for its prompt, is passed over once more by the stream of the forward pass.
    assert sorted(source.read_frames) == sorted([*range(20), 11])


def test_later_calls_neither_decode_nor_encode_cached_frames() -> None:
    clip, source = counted_clip(20)
    cache = FeatureCache(max_bytes=10**8)
    tracker = Tracker(exact(tiny_model("sam2.0")), to_pixels, cache=cache)
    first = follow(tracker, clip, MIXED)
    assert (cache.frames_encoded, len(cache)) == (20, 20)
    source.read_frames.clear()
    again = follow(tracker, clip, MIXED)
    assert cache.frames_encoded == 20
    assert not source.read_frames
    for key, expected in first.items():
        assert_same(again[key], expected, 1e-5)


@pytest.mark.slow
def test_a_small_cache_stays_within_its_budget_and_changes_no_number() -> None:
    clip = random_clip(20)
    segmenter = exact(tiny_model("sam2.0"))
    one = Tracker(segmenter, to_pixels).features(clip, [0]).nbytes
    expected = follow(Tracker(segmenter, to_pixels), clip, MIXED)
    for budget in (0, one - 1, 3 * one):
        cache = FeatureCache(max_bytes=budget)
        found = follow(Tracker(segmenter, to_pixels, cache=cache), clip, MIXED)
        assert cache.nbytes <= budget
        assert len(cache) == budget // one
        for key in expected:
            assert_same(found[key], expected[key], 1e-4)


def test_features_come_in_the_order_asked_with_repeats() -> None:
    clip, source = counted_clip(60)
    tracker = Tracker(exact(tiny_model("sam2.0")), to_pixels)
    features = tracker.features(clip, [50, 3, 50])
    assert source.read_frames == [3, 50]
    torch.testing.assert_close(features.low[0], features.low[2])
    torch.testing.assert_close(features.frame(1).low, tracker.features(clip, [3]).low)


def test_predictions_come_in_the_order_of_the_prompts_and_match_the_tracked_ones() -> None:
    clip = random_clip(12)
    tracker = Tracker(exact(tiny_model("sam2.0")), to_pixels)
    prediction = tracker.predict(clip, MIXED)
    tracked = follow(tracker, clip, MIXED)
    for row, prompt in enumerate(MIXED):
        expected = tracked[prompt.object_id, prompt.frame_idx]
        assert_same((prediction.mask_logits[row], float(prediction.object_score[row])), expected, 1e-4)


def test_a_span_is_tracked_like_a_clip_of_its_own() -> None:
    clip = random_clip(20)
    cut = Clip.from_frames(clip.frames(range(4, 16)), fps=10)
    tracker = Tracker(exact(tiny_model("sam2.1")), to_pixels)
    inside = follow(tracker, clip, [TrackPrompt("a", 7, points=[(30.0, 20.0)])], start=4, stop=16)
    alone = follow(tracker, cut, [TrackPrompt("a", 3, points=[(30.0, 20.0)])])
    assert sorted(idx for _, idx in inside) == list(range(4, 16))
    for (name, frame_idx), expected in alone.items():
        assert_same(inside[name, frame_idx + 4], expected, 1e-4)


def test_without_reverse_nothing_before_the_prompt_is_tracked() -> None:
    found = follow(Tracker(exact(tiny_model("sam2.0")), to_pixels), random_clip(9), PROMPTS["point"], reverse=False)
    assert sorted(idx for _, idx in found) == list(range(3, 9))


def test_the_original_decoder_tracks_with_its_own_weights() -> None:
    model, other, clip = tiny_model("sam2.0"), tiny_model("sam2.0", seed=1), random_clip(8)
    both = exact(model, original_mask_decoder=other.mask_decoder)
    found = follow(Tracker(both, to_pixels), clip, PROMPTS["point"], decoder="original")
    model.mask_decoder = other.mask_decoder
    expected = follow(Tracker(exact(model), to_pixels), clip, PROMPTS["point"])
    for key in expected:
        assert_same(found[key], expected[key], 1e-4)


def test_no_prompt_tracks_nothing() -> None:
    assert list(Tracker(exact(tiny_model("sam2.0")), to_pixels).track(random_clip(4), [])) == []


@pytest.mark.parametrize(
    ("prompts", "rule"),
    [
        ([TrackPrompt("a", 9, mask=MASK)], "within reach are 0 to 3"),
        ([TrackPrompt("a", 1, mask=MASK), TrackPrompt("a", 1, mask=MASK)], "second one there"),
    ],
)
def test_impossible_prompts_are_refused_before_anything_is_read(prompts: list[TrackPrompt], rule: str) -> None:
    clip, source = counted_clip(4)
    with pytest.raises(RegionError, match=rule):
        Tracker(exact(tiny_model("sam2.0")), to_pixels).track(clip, prompts)
    assert not source.read_frames


@pytest.mark.parametrize(
    "fields",
    [{}, {"mask": MASK, "box": (0.0, 0.0, 1.0, 1.0)}, {"points": []}, {"points": [(1.0, 1.0)], "labels": [1, 0]}],
)
def test_a_prompt_shows_its_object_in_exactly_one_way(fields: dict) -> None:
    with pytest.raises(RegionError):
        TrackPrompt("a", 0, **fields)


@pytest.mark.slow
def test_memory_kept_during_a_pass_does_not_grow_with_the_clip() -> None:
    segmenter = exact(tiny_model("sam2.0"))
    kept = {}
    for num_frames in (40, 120):
        tracker = Tracker(segmenter, to_pixels)
        for tracked in tracker.track(random_clip(num_frames), PROMPTS["point"], reverse=False):
            if tracked.frame_idx == num_frames - 1:
                kept[num_frames] = live_tensor_bytes()
    assert kept[120] == kept[40]


def live_tensor_bytes() -> int:
    gc.collect()
    storages = {}
    for found in gc.get_objects():
        if type(found) is Tensor and found.device.type == "cpu":
            storages[found.untyped_storage().data_ptr()] = found.untyped_storage().nbytes()
    return sum(storages.values())


def test_pushed_frames_get_the_numbers_of_a_forward_pass() -> None:
    clip = random_clip(20)
    segmenter = exact(tiny_model("sam2.0"))
    expected = follow(Tracker(segmenter, to_pixels), clip, PROMPTS["point"], reverse=False)
    live = Tracker(segmenter, to_pixels).live()
    found = []
    for frame_idx, frame in clip.stream():
        found.append(live.push(frame))
        if frame_idx == 3:
            found += live.add(PROMPTS["point"])
    for key, tracked in by_object(found).items():
        assert_same(tracked, expected[key], 1e-4)


def test_a_prompt_on_a_recent_frame_catches_up_and_leaves_known_objects_alone() -> None:
    clip = random_clip(16)
    segmenter = exact(tiny_model("sam2.0"))
    late = [TrackPrompt("b", 6, box=(8.0, 10.0, 40.0, 50.0))]
    expected = follow(Tracker(segmenter, to_pixels), clip, PROMPTS["point"] + late, reverse=False)
    live = Tracker(segmenter, to_pixels).live(window=6)
    found = []
    for frame_idx, frame in clip.stream():
        found.append(live.push(frame))
        if frame_idx == 3:
            found += live.add(PROMPTS["point"])
        if frame_idx == 10:
            caught_up = live.add(late)
            assert [(tracked.frame_idx, tracked.object_ids) for tracked in caught_up] == [
                (i, ("b",)) for i in range(6, 11)
            ]
            found += caught_up
    for key, tracked in by_object(found).items():
        assert_same(tracked, expected[key], 1e-4)
    with pytest.raises(RegionError, match="within reach are 10 to 15"):
        live.add([TrackPrompt("c", 9, mask=MASK)])
    live.forget("a")
    assert live.push(clip.frame(0)).object_ids == ("b",)


@pytest.mark.slow
def test_live_memory_is_bounded_over_many_pushes_and_prompts() -> None:
    clip = random_clip(10)
    live = Tracker(exact(tiny_model("sam2.0")), to_pixels).live(window=3, max_prompted=2)
    sizes = []
    for count in range(300):
        live.push(clip.frame(count % 10))
        if count % 25 == 0:
            live.add([TrackPrompt("a", count, points=[(30.0, 20.0)]), TrackPrompt(f"b{count}", count, mask=MASK)])
            if count:
                live.forget(f"b{count - 25}")
        if count in (120, 295):
            sizes.append((live.nbytes, live_tensor_bytes()))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_and_answers_in_float32(dtype: torch.dtype) -> None:
    model = tiny_model("sam2.1").to(dtype)
    for tracked in Tracker(Segmenter(model), to_pixels).track(random_clip(10), MIXED):
        assert tracked.mask_logits.dtype == tracked.object_score.dtype == torch.float32
        assert tracked.mask_logits.isfinite().all()
