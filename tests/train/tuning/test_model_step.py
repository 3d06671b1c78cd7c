"""One step: the published losses, summed so that it does not matter how records are dealt out."""

import pytest
import torch
from tuning_world import ListStore, synthetic_record, tiny_base, tiny_mixture, tiny_settings, verbal

from sama_video.data.records import DialogueRecord
from sama_video.model.presets import preset_config
from sama_video.train import losses
from sama_video.train.tuning.base import prepare
from sama_video.train.tuning.collate import Collate, ReadExample, TuneBatch
from sama_video.train.tuning.examples import ExampleMaker
from sama_video.train.tuning.model_step import COUNT_MARGIN, SUMS, TuningModel, averages, normalised
from sama_video.train.tuning.settings import LossSettings
from sama_video.train.tuning.trainer import tuning_model

SETTINGS = tiny_settings()
RECORDS = [synthetic_record(0), synthetic_record(1, num_turns=3)]


@pytest.fixture(scope="module")
def model() -> TuningModel:
    base = tiny_base()
    prepare(base.model, SETTINGS)
    return tuning_model(base.model, SETTINGS).train()


def batch_of(*records: DialogueRecord) -> TuneBatch:
    from tiny_model import build_processor

    maker = ExampleMaker(preset_config("tiny"), build_processor(), SETTINGS.data)
    made = [ReadExample(maker.make(record, record.clip.open(), place)) for place, record in enumerate(records)]
    return Collate(0)(made)["batch"]


def run(model: TuningModel, batch: TuneBatch, labels: float | int, prompts: float | int) -> dict[str, torch.Tensor]:
    return model(batch, torch.tensor(float(labels)), torch.tensor(float(prompts)))


def by_name(out: dict[str, torch.Tensor]) -> dict[str, float]:
    return dict(zip(SUMS, out["sums"].tolist(), strict=True))


@torch.no_grad()
def test_text_loss_is_that_of_the_whole_model(model: TuningModel) -> None:
    batch = batch_of(*RECORDS)
    out = run(model, batch, batch.num_labels, batch.num_prompts)
    whole = model.sama(input_ids=batch.input_ids, videos=batch.videos, labels=batch.labels)
    sums = by_name(out)
    assert sums["text_sum"] / sums["labels"] == pytest.approx(whole.loss.item(), rel=1e-5)
    assert sums["text_sum"] / sums["labels"] == pytest.approx(
        losses.text_loss(whole.logits, batch.labels).item(), rel=1e-5
    )
    assert sums["labels"] == batch.num_labels
    assert sums["records"] == 2


@torch.no_grad()
def test_loss_is_the_published_sum_for_one_batch(model: TuningModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(*RECORDS)
    assert batch.targets is not None
    kept: list[torch.Tensor] = []
    draw = losses.sample_at_points
    monkeypatch.setattr(losses, "sample_at_points", lambda maps, points: kept.append(draw(maps, points)) or kept[-1])
    out = run(model, batch, batch.num_labels, batch.num_prompts)
    wanted, sampled = kept[-2:]
    sums = by_name(out)
    published = (
        sums["text_sum"] / sums["labels"]
        + losses.point_sampled_mask_loss(sampled, wanted)
        + losses.dice_loss(sampled, wanted)
    )
    assert out["loss"].item() == pytest.approx(float(published), rel=1e-5)
    assert wanted.shape == (batch.num_prompts, SETTINGS.loss.points_per_mask)


def test_shares_of_separate_batches_add_up(model: TuningModel) -> None:
    together = batch_of(*RECORDS)
    apart = [Collate(0)([ReadExample(example)])["batch"] for example in examples()]
    with torch.no_grad():
        whole = run(model, together, together.num_labels, together.num_prompts)["loss"]
        parts = [run(model, one, together.num_labels, together.num_prompts)["loss"] for one in apart]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-5)


def examples() -> list:
    from tiny_model import build_processor

    maker = ExampleMaker(preset_config("tiny"), build_processor(), SETTINGS.data)
    return [maker.make(record, record.clip.open(), place) for place, record in enumerate(RECORDS)]


def test_batch_without_masks_costs_no_segmenter(model: TuningModel) -> None:
    calls: list[str] = []
    parts = [
        ("encoder", model.sama.model.segmenter.vision_encoder.backbone),
        ("decoder", model.sama.model.segmenter.mask_decoder),
    ]
    hooks = [part.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, part in parts]
    try:
        with torch.no_grad():
            run(model, batch_of(verbal(RECORDS[0])), 5, 0)
            assert calls == []
            run(model, batch_of(*RECORDS), 5, 5)
            assert calls == ["encoder", "decoder"]  # all objects of the batch in one pass
    finally:
        for hook in hooks:
            hook.remove()


def test_every_trained_weight_gets_a_gradient_even_without_masks(model: TuningModel) -> None:
    model.zero_grad()
    batch = batch_of(verbal(RECORDS[0]))
    run(model, batch, batch.num_labels, 0)["loss"].backward()
    trained = dict(model.trained())
    assert any(name.startswith("model.segmenter.mask_decoder") for name in trained)
    assert not any(name.startswith(("model.vision_tower", "model.language_model", "lm_head")) for name in trained)
    assert all(parameter.grad is not None for parameter in trained.values())
    model.zero_grad()
    batch = batch_of(*RECORDS)
    run(model, batch, batch.num_labels, batch.num_prompts)["loss"].backward()
    moved = {name.split(".")[1] for name, parameter in trained.items() if parameter.grad.abs().sum() > 0}
    assert moved == {"multi_modal_projector", "aggregator", "region_encoder", "grounding_head", "segmenter"}
    assert all(parameter.grad is None for _, parameter in model.named_parameters() if not parameter.requires_grad)
    model.zero_grad()


def test_answers_are_counted_by_their_segs(model: TuningModel) -> None:
    batch = batch_of(*RECORDS)
    logits = torch.zeros(batch.num_labels, model.config.text_config.vocab_size)
    learnt = batch.labels[:, 1:] != -100
    targets = batch.labels[:, 1:][learnt]
    right = logits.scatter(1, targets[:, None], 1.0)
    answers, said_right, grounded, said = (int(n) for n in model._seg_counts(right, targets, learnt))
    assert answers == said_right == 5
    assert 0 < grounded == said <= 5
    silent = [int(n) for n in model._seg_counts(logits, targets, learnt)]
    assert silent == [5, 5 - grounded, grounded, 0]


def test_pixels_are_normalised_as_the_processor_does() -> None:
    from tiny_model import build_processor

    frames = torch.randint(0, 255, (2, 40, 60, 3), dtype=torch.uint8).numpy()
    processor = build_processor()
    side = processor.settings["segmenter_side"]
    from sama_video.model.processing_sama import resize_frames

    squares = torch.from_numpy(resize_frames(frames, side)).permute(0, 3, 1, 2)
    rounded = processor.settings["rounded_segmenter_pixels"]
    assert torch.equal(normalised(squares, rounded=rounded), processor.segmenter_pixels(frames))


def test_figures_are_means_over_what_was_learnt() -> None:
    sums = torch.tensor([20.0, 10, 64.0, 1.0, 2, 4, 3, 2, 1, 5, 100])
    figures = averages(sums, LossSettings(points_per_mask=64))
    assert figures == {"text_loss": 2.0, "seg_rate": 0.75, "mask_loss": 1.0, "dice_loss": 0.25, "seg_said": 0.5}
    assert pytest.approx(1e-4, rel=1e-2) == COUNT_MARGIN
    assert len(ListStore(RECORDS)) == len(tiny_mixture(RECORDS)) == 2
