"""Every stage of every stored reference inference, through the converter and our own modules.

Tolerances are those of the data's README: what a correct float32 computation on a CPU reaches, with room.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shared_folders
import torch
from reference_case import ReferenceCase

from sama_video.model.convert_sama_weights import convert_checkpoint

FEATURES, LOGITS, SEG_STATE, SEG_EMBED = 1e-4, 2e-4, 1e-4, 2e-4
MASKS, MASKS_HALF_MAX, MASKS_HALF_MEAN, POINTERS_HALF, PIXELS = 1e-3, 0.2, 1e-2, 2e-2, 1e-5

_FOLDER = shared_folders.find_folder(*shared_folders.PARITY)
_PATHS = sorted(_FOLDER.glob("golden_*_*.json")) if _FOLDER else []
INFERENCES = [path for path in _PATHS if "train_forward" not in path.stem]
pytestmark = pytest.mark.skipif(_FOLDER is None, reason="no parity data; set SAMA_PARITY_DIR to a folder that holds it")


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    done: dict[str, Path] = {}

    def convert(name: str) -> Path:
        if name not in done:
            done[name] = tmp_path_factory.mktemp("converted") / "checkpoint"
            convert_checkpoint(_FOLDER / name, done[name])
        return done[name]

    return convert


_RUNS: dict[str, ReferenceCase] = {}


@pytest.fixture(params=INFERENCES, ids=lambda path: path.stem.removeprefix("golden_"), scope="module")
def case(request: pytest.FixtureRequest, converted: Callable[[str], Path]) -> ReferenceCase:
    path = request.param
    if path.stem not in _RUNS:
        _RUNS.clear()
        run = ReferenceCase(path, converted("tiny/" + path.stem.split("_")[1]))
        _RUNS[path.stem] = run
    return _RUNS[path.stem]


def assert_near(ours: torch.Tensor, golden: torch.Tensor, tolerance: float) -> None:
    """Fail when any element is further off than the tolerance, or the shapes differ."""
    assert ours.shape == golden.shape
    worst = (ours.double() - golden.double()).abs().max().item()
    assert worst <= tolerance, f"off by {worst:.2e}, more than {tolerance:.0e}"


def stages(case: ReferenceCase) -> dict[str, tuple[torch.Tensor, float]]:
    """Our tensor and its tolerance for every float stage that this case stores."""
    pixels = case.pixel_values
    computed: dict[str, Callable[[], tuple[torch.Tensor, float]]] = {
        "mid.pixel_values_first": lambda: (pixels[0], PIXELS),
        "mid.pixel_values_frame_mean": lambda: (pixels.flatten(1).mean(1), PIXELS),
        "mid.pixel_values_frame_std": lambda: (pixels.flatten(1).std(1), PIXELS),
        "mid.sam_pixels_frame0": lambda: (case.segmenter_pixels[0], PIXELS),
        "mid.vit_features": lambda: (case.features, FEATURES),
        "mid.spatial_qformer": lambda: (case.spatial, FEATURES),
        "mid.slot_visual_feats": lambda: (case.slots[0], FEATURES),
        "mid.slot_mask_feats": lambda: (case.slots[1], FEATURES),
        "mid.slot_bias": lambda: (case.bias, FEATURES),
        "mid.temporal_qformer": lambda: (case.temporal, FEATURES),
        "mid.context_tokens": lambda: (case.context, FEATURES),
        "mid.inputs_embeds": lambda: (case.embeds[0], FEATURES),
        "out.logits_first4": lambda: (case.logits[:4], LOGITS),
        "out.logits_last4": lambda: (case.logits[-4:], LOGITS),
        "out.seg_hidden": lambda: (case.seg_hidden, SEG_STATE),
        "out.seg_embed": lambda: (case.seg_embed, SEG_EMBED),
        "out.low_res_masks_fp32_memory.0": lambda: (case.full_memory_masks[0], MASKS),
    }
    return {name: make() for name, make in computed.items() if name in case.golden}


@torch.inference_mode()
def test_stages_agree_with_the_reference(case: ReferenceCase) -> None:
    compared = stages(case)
    assert {"mid.vit_features", "mid.context_tokens", "out.logits_last4", "out.seg_embed"} <= set(compared)
    for name, (ours, tolerance) in compared.items():
        try:
            assert_near(ours, case.golden[name], tolerance)
        except AssertionError as error:
            pytest.fail(f"{name}: {error}")


@torch.inference_mode()
def test_frames_masks_and_ids_are_exact(case: ReferenceCase) -> None:
    if not case.is_image:
        assert case.sparse == case.facts["sparse_indices"]
        assert list(case.dense) == case.facts["dense_positions"]
    for region, small in enumerate(case.small_masks):
        assert torch.equal(small.byte(), case.golden[f"in.mask_small.{region}"])
    assert case.input_ids.tolist() == case.golden["in.input_ids"].tolist()
    assert case.inputs.question_ids.tolist() == case.facts["temporal_text_ids"]
    assert (
        case.processor.token_ids(case.processor.template.answer(case.facts["forced_answer"]))
        == case.golden["in.forced_ids"].tolist()
    )


@torch.inference_mode()
def test_greedy_ids_are_exact(case: ReferenceCase) -> None:
    assert case.greedy_ids.tolist() == case.golden["out.greedy_ids"].tolist()


@torch.inference_mode()
def test_masks_with_half_precision_memory_agree(case: ReferenceCase) -> None:
    count = len(case.facts["sam_prompted_frames"])
    for index in range(2):
        if f"out.low_res_masks.{index}" not in case.golden:
            continue
        off = (case.half_memory_masks[index] - case.golden[f"out.low_res_masks.{index}"]).abs()
        assert off.max() <= MASKS_HALF_MAX
        assert off.mean() <= MASKS_HALF_MEAN
        assert off[:count].max() <= MASKS, "prompted frames use no memory"
        width = case.frames.shape[2]
        golden = np.unpackbits(case.golden[f"out.binary_masks.{index}"].numpy(), axis=-1)[..., :width]
        assert np.mean(case.binary_masks(index) != golden.astype(bool)) <= 1e-3


@torch.inference_mode()
def test_prompted_pointers_and_scores_agree(case: ReferenceCase) -> None:
    found = case.prompted_predictions()
    count = len(case.facts["sam_prompted_frames"])
    for index in range(2):
        ours = slice(index * count, (index + 1) * count)
        calls = case.golden[f"out.iou_and_score_calls.{index}"][:count]
        assert_near(found.object_pointer[ours], case.golden[f"out.obj_ptr.{index}"][:count], POINTERS_HALF)
        assert_near(found.iou[ours], calls[:, :3].max(dim=1).values, FEATURES)
        assert_near(found.object_score[ours], calls[:, 3], LOGITS)


@torch.inference_mode()
def test_upsampled_masks_agree(case: ReferenceCase) -> None:
    selected = case.facts["selected_frames"]
    masks = case.half_memory_masks[0][selected][:, None]
    side = case.processor.settings["segmenter_side"]
    full = torch.nn.functional.interpolate(masks, size=(side, side), mode="bilinear", align_corners=False)[:, 0]
    off = (full - case.golden["out.video_res_masks.0.selected"]).abs()
    assert off.max() <= MASKS_HALF_MAX
    assert off.mean() <= MASKS_HALF_MEAN


@torch.inference_mode()
def test_comparison_notices_ten_tolerances(case: ReferenceCase) -> None:
    for name, (ours, tolerance) in stages(case).items():
        moved = case.golden[name].clone()
        moved.view(-1)[moved.numel() // 2] += 10 * tolerance
        with pytest.raises(AssertionError, match="off by"):
            assert_near(ours, moved, tolerance)
