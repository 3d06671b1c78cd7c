"""Every stage's loss reaches every part it is to train, and nothing else."""

import numpy as np
import pytest
import torch

from sama_video.model.modeling_sama import shuffle_pixels
from sama_video.model.processing_sama import IMAGE_MEAN, IMAGE_STD
from sama_video.train.config import TrainConfig, load_recipe
from sama_video.train.lessons.attributes import NUM_CLASSES, gray_shapes_loss
from sama_video.train.lessons.scenes import cell_labels
from sama_video.train.run_folder import RunFolder
from sama_video.train.stage_plan import plan_stages
from sama_video.train.stages import STAGES
from sama_video.train.stages.plain import PlainSegmentStage
from sama_video.train.stages.see import SeeStage
from sama_video.train.stages.segment import SegmentBatch, SegmentStage
from sama_video.train.stages.track import TrackStage

SMALL = ["segment.batch=1", "track.batch=1", "track.long_share=0", "track.frames=3", "see.batch=2"]


@pytest.fixture(scope="module")
def run():
    return load_recipe("nano", SMALL)


@pytest.fixture(scope="module")
def track(run):
    torch.manual_seed(0)
    stage = TrackStage(run)
    stage.start({"segment": SegmentStage(run).result()})
    return stage


def _silent(stage, batch):
    """Names of trained parameters that the loss of a batch does not reach."""
    stage.zero_grad(set_to_none=True)
    loss, logs = stage(batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(np.isfinite(value) for value in logs.values())
    return {name for name, p in stage.named_parameters() if p.requires_grad and p.grad is None}


def _track_batches(track, wanted):
    """The first batch of each kind of prompt, and of single frames."""
    found = {}
    for seed in range(60):
        batch = TrackStage.batch(track, np.random.default_rng(seed))
        kind = "frames" if isinstance(batch, SegmentBatch) else next(iter(batch.given))
        found.setdefault(kind, batch)
        if set(found) >= wanted:
            break
    return {kind: found[kind] for kind in wanted}


def test_single_frames_train_all_but_the_memory(track):
    batch = _track_batches(track, {"frames"})["frames"]
    silent = _silent(track, batch)
    memory = (
        "memory_",
        "object_pointer",
        "no_object",
        "no_memory_positional",
        "mask_downsample",
        "prompt_encoder.mask",
    )
    assert {name for name in silent if not name.removeprefix("segmenter.").startswith(memory)} == set()
    assert track.attribute_prompts.tables[0].weight.grad is None


def test_tracking_trains_the_memory_and_leaves_the_encoder(track):
    reached = set()
    for batch in _track_batches(track, {"points", "boxes", "masks"}).values():
        silent = _silent(track, batch)
        reached |= {name for name, p in track.named_parameters() if p.requires_grad and name not in silent}
    assert not any("vision_encoder" in name for name in reached)
    wanted = ("memory_attention", "memory_encoder", "mask_decoder", "object_pointer_proj", "mask_downsample")
    for part in wanted:
        names = {name for name, _ in track.segmenter.named_parameters() if name.startswith(part)}
        assert {name for name in names if f"segmenter.{name}" not in reached} == set()


def test_masks_are_given_on_several_frames_and_never_scored_there(track):
    batch = _track_batches(track, {"masks"})["masks"]
    scored = [frame for frame, *_ in track.unroll(batch)]
    assert set(scored) == set(range(batch.num_frames)) - set(batch.prompted)


def test_a_stage_hands_on_what_the_next_one_takes(run, track):
    result = track.result()
    assert all(name.startswith("segmenter.") for name in result)
    again = TrackStage(run)
    again.take_over(result)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in result.items())


def test_seeing_trains_the_whole_tower(run):
    torch.manual_seed(0)
    stage = SeeStage(run)
    assert _silent(stage, stage.batch(np.random.default_rng(0))) <= {"vision_tower.embeddings.mask_token"}


def test_a_tower_is_told_places_and_shapes_without_color(run):
    batch = SeeStage(run).batch(np.random.default_rng(0))
    assert batch.gray_values is not None
    gray = batch.gray_values * torch.tensor(IMAGE_STD)[:, None, None] + torch.tensor(IMAGE_MEAN)[:, None, None]
    assert (gray.amax(1) - gray.amin(1)).max() < 1e-5
    apart = SeeStage(load_recipe("nano", ["see.batch=2", "see.place_weight=0"]))
    places = apart.spot_head.weight.requires_grad_(True)
    apart(apart.batch(np.random.default_rng(0)))[0].backward()
    assert not places.grad.any()


def test_shapes_are_learnt_from_gray_and_only_copied_with_color():
    torch.manual_seed(0)
    logits, gray = (torch.randn(6, sum(NUM_CLASSES), requires_grad=True) for _ in range(2))
    ids = torch.tensor([[1, 2, 3, 1], [4, 8, 2, 2], [8, 1, 4, 2], [2, 3, 1, 1], [5, 5, 5, 2], [0, 0, 0, 0]]).clamp(
        max=4
    )
    with_color = gray_shapes_loss(logits, gray, ids)
    with_color.backward()
    color, shape, *_ = gray.grad.split(NUM_CLASSES, dim=-1)
    assert not color.any()
    assert shape.any(1).all()
    copied = logits.grad.split(NUM_CLASSES, dim=-1)[1]
    wanted = [
        (part.softmax(-1)).detach() for part in (logits.split(NUM_CLASSES, -1)[1], gray.split(NUM_CLASSES, -1)[1])
    ]
    torch.testing.assert_close(copied, (wanted[0] - wanted[1]) / len(ids) / 4)


def test_cells_of_a_token_are_the_patches_it_folds_together(run):
    stage = SeeStage(run)
    batch = stage.batch(np.random.default_rng(0))
    side = stage.tokens_per_side
    patches = torch.arange((2 * side) ** 2).float().view(1, -1, 1)
    folded = shuffle_pixels(patches, 2)[0].long()
    labels = batch.cell_labels[0].flatten(0, 1)
    grid = torch.zeros((2 * side) ** 2, 4, dtype=torch.long)
    grid[folded.flatten()] = labels
    rng = np.random.default_rng(0)
    clip = stage.world.frame(rng, stage.world.draw(rng))
    truth = cell_labels(clip.masks[:, 0], clip.looks[:, 0], 2 * side, 0.4)
    assert torch.equal(grid.view(2 * side, 2 * side, 4), torch.from_numpy(truth))


def test_plain_stages_lead_to_their_namesakes(run, track):
    assert SegmentStage.predecessors(run) == ("plain_segment", "plain_track")
    assert SegmentStage.predecessors(TrainConfig()) == ()
    plain = PlainSegmentStage(run)
    assert plain.predecessors(run) == ()
    assert plain.world.shapes != SegmentStage(run).world.shapes
    assert plain.segment_settings == run.plain_segment
    stage = SegmentStage(run)
    stage.start({"plain_segment": plain.result(), "plain_track": track.result()})
    assert torch.equal(stage.attribute_prompts.tables[0].weight, plain.attribute_prompts.tables[0].weight)
    memory = "segmenter.memory_attention.layer_norm.weight"
    assert torch.equal(stage.state_dict()[memory], track.result()[memory])
    conv = "segmenter.vision_encoder.neck.convs.0.weight"
    assert torch.equal(stage.state_dict()[conv], track.result()[conv])


def test_a_plan_counts_what_each_stage_moves(tmp_path):
    run = load_recipe("nano", ["stages=[see,joint]", "see.steps=7", "see.batch=3"])
    see, joint = plan_stages(run, STAGES, RunFolder(tmp_path))
    assert {part.name for part in see.parts} == {"vision_tower", "patch_head", "object_head", "spot_head"}
    assert see.trained == sum(p.numel() for p in STAGES["see"](run).parameters())
    assert (see.to_json()["records"], see.state_bytes) == (21, 16 * see.trained)
    parts = {part.name: part for part in joint.parts}
    assert parts["vision_tower"].trained == 0 < parts["vision_tower"].parameters
    assert 0 < parts["segmenter"].trained < parts["segmenter"].parameters  # its mask decoder alone
    assert "21 records" in next(see.lines())


def test_the_table_of_stages_names_them_rightly():
    assert all(kind.name == name and kind.products for name, kind in STAGES.items())
