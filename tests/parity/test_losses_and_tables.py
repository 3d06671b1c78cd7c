"""The reference's mask, dice and text losses, and its tables of frames and tiles."""

import json

import pytest
import shared_folders
import torch
from safetensors.torch import load_file

from sama_video.train import losses
from sama_video.video.sampling import sparse_indices, tile_grid, training_dense_positions

_FOLDER = shared_folders.find_folder(*shared_folders.PARITY)
LOSSES = sorted(_FOLDER.glob("golden_losses*.safetensors")) if _FOLDER else []
TABLES = sorted(_FOLDER.glob("golden_tables*.json")) if _FOLDER else []
TOLERANCE = 1e-5  # the stored float32 values are good to 1e-6
pytestmark = pytest.mark.skipif(_FOLDER is None, reason="no parity data; set SAMA_PARITY_DIR to a folder that holds it")


@pytest.mark.parametrize("path", LOSSES, ids=lambda path: path.stem)
def test_losses_agree_with_the_reference(path) -> None:
    golden, settings = load_file(path), json.loads(path.with_suffix(".json").read_text())
    logits, targets = golden["in.mask_logits"], golden["in.mask_targets"].float()
    points = losses.sample_uncertain_points(
        logits, golden["in.random_candidates"], golden["in.random_extra"], settings["num_points"]
    )
    sampled = losses.sample_at_points(logits, points), losses.sample_at_points(targets, points)
    torch.testing.assert_close(points, golden["mid.point_coords"], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(sampled[0], golden["mid.sampled_logits"], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(sampled[1], golden["mid.sampled_targets"], atol=TOLERANCE, rtol=0)
    dense = logits.flatten(1), targets.flatten(1)
    ours = {
        "out.loss_mask": losses.point_sampled_mask_loss(*sampled),
        "out.loss_dice": losses.dice_loss(*sampled),
        "out.loss_mask_dense": losses.point_sampled_mask_loss(*dense),
        "out.loss_dice_dense": losses.dice_loss(*dense),
        "out.loss_ce": losses.text_loss(golden["in.lm_logits"], golden["in.lm_labels"]),
    }
    for name, value in ours.items():
        torch.testing.assert_close(value.reshape(1), golden[name], atol=TOLERANCE, rtol=0, msg=name)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_frames_are_chosen_as_in_the_reference(path) -> None:
    tables = json.loads(path.read_text())
    for count, indices in tables["sparse"].items():
        assert sparse_indices(int(count)) == indices
    for count, indices in tables["sparse_max_frames_128"].items():
        assert sparse_indices(int(count), max_frames=128) == indices
    for count, positions in tables["dense_positions_training"].items():
        assert training_dense_positions(int(count)) == positions
    for row in tables["dynamic_tiles"]:
        columns, rows = tile_grid(row["width"], row["height"])
        assert [columns, rows] == row["grid_cols_rows"], row
        assert columns * rows + (columns * rows > 1) == row["num_images"]
