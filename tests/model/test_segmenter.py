"""The segmenter's parts: prompts in, masks out, gradients through."""

import pytest
import torch
from sam_models import SIDE, STYLES, random_clip, tiny_model, to_pixels

from sama_video.errors import ConfigError
from sama_video.model.segmenter import FrameFeatures, Segmenter


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(tiny_model("sam2.1"), suppress_absent=False, memory_dtype=torch.float32)


@pytest.fixture(scope="module")
def features(segmenter: Segmenter) -> FrameFeatures:
    with torch.no_grad():
        return segmenter.encode(to_pixels(random_clip(3).frames([0, 1, 2])))


def test_prompts_on_several_frames_in_one_batch_equal_one_by_one(segmenter: Segmenter, features: FrameFeatures) -> None:
    points, frames = torch.rand(4, 2, 2) * SIDE, torch.tensor([2, 0, 0, 1])
    together = segmenter.predict(features, frames, points=points)
    for row, position in enumerate(frames.tolist()):
        alone = segmenter.predict(features.frame(position), None, points=points[row : row + 1])
        torch.testing.assert_close(together.mask_logits[row], alone.mask_logits[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.object_pointer[row], alone.object_pointer[0], atol=1e-4, rtol=1e-4)


def test_an_embedding_is_one_token_after_two_empty_points(segmenter: Segmenter) -> None:
    embeddings = torch.randn(2, 128)
    sparse, dense = segmenter.embed_prompts(embeddings=embeddings)
    empty = segmenter.model.prompt_encoder.not_a_point_embed.weight
    torch.testing.assert_close(sparse, torch.stack([torch.cat([empty, empty, e[None]]) for e in embeddings]))
    torch.testing.assert_close(dense[0, :, 0, 0], segmenter.model.prompt_encoder.no_mask_embed.weight[0])


def test_the_candidate_of_highest_predicted_iou_is_chosen(segmenter: Segmenter, features: FrameFeatures) -> None:
    sparse, dense = segmenter.embed_prompts(embeddings=torch.randn(3, 128))
    image = segmenter.with_no_memory(features.low)
    decoded = segmenter.decode(image, features, None, sparse, dense, multimask=True)
    chosen = segmenter.choose(decoded)
    assert decoded.mask_logits.shape[:2] == (3, 3)
    torch.testing.assert_close(chosen.iou, decoded.iou.max(dim=1).values)
    for row in range(3):
        torch.testing.assert_close(chosen.mask_logits[row], decoded.mask_logits[row, decoded.iou[row].argmax()])


def test_absent_objects_are_suppressed_only_when_asked(features: FrameFeatures) -> None:
    model = tiny_model("sam2.1")
    points = torch.rand(30, 1, 2) * SIDE
    frames = torch.arange(30) % 3
    kept = Segmenter(model, suppress_absent=False).predict(features, frames, points=points)
    replaced = Segmenter(model).predict(features, frames, points=points)
    absent = kept.object_score <= 0
    assert (kept.mask_logits > -1000).all()
    assert (replaced.mask_logits[absent] == -1024).all()
    torch.testing.assert_close(replaced.mask_logits[~absent], kept.mask_logits[~absent])
    torch.testing.assert_close(kept.object_pointer[absent], model.no_object_pointer.expand(int(absent.sum()), -1))


def test_a_given_mask_is_its_own_answer_at_any_size(segmenter: Segmenter, features: FrameFeatures) -> None:
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    mask[:, 16:48, 8:40] = True
    large = mask.repeat_interleave(3, dim=1).repeat_interleave(5, dim=2)
    small = mask[:, ::8, ::8]
    for given in (mask, large, small):
        prediction = segmenter.mask_as_output(features.frame(0), None, segmenter.fit_masks(given))
        assert torch.equal(prediction.mask_logits > 0, mask[:, 1::4, 1::4])
        assert prediction.object_score.item() == 10


def test_an_empty_mask_stands_for_an_absent_object(segmenter: Segmenter, features: FrameFeatures) -> None:
    fitted = segmenter.fit_masks(torch.zeros(1, 20, 30, dtype=torch.bool))
    prediction = segmenter.mask_as_output(features.frame(0), None, fitted)
    assert prediction.object_score.item() == -10
    torch.testing.assert_close(prediction.object_pointer, segmenter.model.no_object_pointer.data)


def test_a_mask_hint_changes_the_mask(segmenter: Segmenter, features: FrameFeatures) -> None:
    points = torch.tensor([[[30.0, 20.0]]])
    plain = segmenter.predict(features.frame(0), None, points=points)
    hinted = segmenter.predict(features.frame(0), None, points=points, mask_inputs=torch.randn(1, 40, 40) * 10)
    assert not torch.allclose(plain.mask_logits, hinted.mask_logits, atol=1e-2)


def test_no_prompts_give_empty_masks(segmenter: Segmenter, features: FrameFeatures) -> None:
    prediction = segmenter.predict(features, torch.zeros(0, dtype=torch.long), embeddings=torch.zeros(0, 128))
    assert prediction.mask_logits.shape == (0, SIDE // 4, SIDE // 4)
    assert prediction.object_pointer.shape == (0, 128)


@pytest.mark.parametrize("style", STYLES)
def test_gradients_reach_every_part_through_memory(style: str) -> None:
    model = tiny_model(style)
    segmenter = Segmenter(model, memory_dtype=torch.float32, suppress_absent=False)
    features = segmenter.encode(to_pixels(random_clip(2).frames([0, 1])))
    embeddings = torch.randn(2, 128, requires_grad=True)
    first = segmenter.predict(features.frame(0), None, embeddings=embeddings)
    memory = segmenter.encode_memory(features.low[:1], first.mask_logits, first.object_score, prompted=False)
    mixed = segmenter.condition_on_memory(
        features.low[1:], memory[:, None], torch.tensor([[1]]), first.object_pointer[:, None], torch.tensor([[1.0]])
    )
    sparse, dense = segmenter.embed_prompts()
    decoded = segmenter.decode(mixed, features.frame(1), None, sparse.expand(2, -1, -1), dense, multimask=True)
    (decoded.mask_logits.square().mean() + first.object_pointer.sum()).backward()
    parts = ["vision_encoder", "prompt_encoder", "mask_decoder", "memory_attention", "memory_encoder"]
    for part in parts + (["spatial_perceiver"] if style == "edgetam" else []):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in getattr(model, part).parameters()), part
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0
    assert model.memory_temporal_positional_encoding.grad.abs().sum() > 0


def test_training_works_after_constants_were_made_in_inference_mode() -> None:
    segmenter = Segmenter(tiny_model("sam2.0"))
    pixels = to_pixels(random_clip(1).frames([0]))
    with torch.inference_mode():
        segmenter.predict(segmenter.encode(pixels), None, points=torch.rand(1, 1, 2))
    segmenter.predict(segmenter.encode(pixels), None, points=torch.rand(1, 1, 2)).iou.sum().backward()


def test_every_decoder_gets_fine_maps_of_its_own() -> None:
    model, other = tiny_model("sam2.0"), tiny_model("sam2.0", seed=1)
    features = Segmenter(model, original_mask_decoder=other.mask_decoder).encode(to_pixels(random_clip(1).frames([0])))
    assert set(features.high) == {"main", "original"}
    assert not torch.allclose(features.high["main"][0], features.high["original"][0])
    one = [features.low, *features.high["main"], *features.high["original"]]
    assert features.nbytes == sum(level.numel() * 4 for level in one)


def test_a_single_conditioning_memory_is_refused() -> None:
    with pytest.raises(ConfigError, match="use -1 for no limit"):
        Segmenter(tiny_model("sam2.0", max_cond_frame_num=1))
