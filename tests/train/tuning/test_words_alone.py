"""Dialogues without a picture: the words a session would read, and neither tower nor SAM 2 for a batch of them."""

import json
from pathlib import Path

import pytest
import torch
from tiny_model import build_processor
from tuning_world import ListStore, synthetic_record, tiny_base, tiny_settings, verbal

from sama_video.data.mixture_shares import MixturePart
from sama_video.data.records import DialogueRecord, NoClip, RecordTurn
from sama_video.errors import ConfigError, DataError
from sama_video.model.presets import preset_config
from sama_video.train.tuning.base import prepare
from sama_video.train.tuning.collate import Collate, ReadExample, TuneBatch
from sama_video.train.tuning.examples import IGNORED, TOO_LONG, Example, ExampleMaker
from sama_video.train.tuning.model_step import TuningModel
from sama_video.train.tuning.reading import ExampleData, SourceMixture, open_stream
from sama_video.train.tuning.recipes import read_recipe
from sama_video.train.tuning.settings import DataSettings, LossSettings, SourceSettings
from sama_video.train.tuning.trainer import tuning_model

SETTINGS = tiny_settings()
TURNS = (RecordTurn("Two and\ntwo?", (), "Four.", ()), RecordTurn("And one?", (), " Five. ", ()))
WORDS = DialogueRecord("words", NoClip(), (), TURNS, "mine", "CC0-1.0")


def maker(**changes: int) -> ExampleMaker:
    return ExampleMaker(preset_config("tiny"), build_processor(), DataSettings(**changes))


def batch_of(*records: DialogueRecord) -> TuneBatch:
    makes = maker(mask_frames=2, max_objects=2)
    examples: list[Example] = []
    for record in records:
        clip = None if isinstance(record.clip, NoClip) else record.clip.open()
        examples.append(makes.make(record, clip, 0))
    return Collate(0)([ReadExample(example) for example in examples])["batch"]


@pytest.fixture(scope="module")
def model() -> TuningModel:
    base = tiny_base()
    prepare(base.model, SETTINGS)
    return tuning_model(base.model, SETTINGS).train()


def step(model: TuningModel, batch: TuneBatch) -> dict[str, torch.Tensor]:
    return model(batch, torch.tensor(float(batch.num_labels)), torch.tensor(float(batch.num_prompts)))


def test_the_row_is_the_words_in_the_template() -> None:
    processor, example = build_processor(), maker().make(WORDS, None, 0)
    form = processor.template
    text = f"{form.question('Two and two?')}{form.answer('Four.')}{form.separator}"
    text += f"{form.question('And one?')}{form.answer('Five.')}"
    assert processor.tokenizer.decode(example.row.input_ids) == processor.tokenizer.decode(processor.token_ids(text))
    assert preset_config("tiny").image_token_id not in example.row.input_ids
    learnt = example.row.labels[example.row.labels != IGNORED]
    assert processor.tokenizer.decode(learnt) == f"{form.answer('Four.')}{form.answer('Five.')}"
    assert (example.targets, len(example.row.video.pixel_values)) == (None, 0)


def test_turns_that_do_not_fit_are_left_out() -> None:
    first = len(maker().make(DialogueRecord("one", NoClip(), (), TURNS[:1], "mine", "CC0-1.0"), None, 0).row.input_ids)
    assert maker(max_tokens=first + 1).make(WORDS, None, 0).left_out == (TOO_LONG,)
    with pytest.raises(DataError, match="too_long"):
        maker(max_tokens=first - 1).make(WORDS, None, 0)


def test_a_record_that_speaks_of_objects_needs_its_clip() -> None:
    with pytest.raises(DataError, match="give the clip"):
        maker().make(synthetic_record(0), None, 0)


def test_a_batch_of_words_costs_no_tower_and_no_segmenter(model: TuningModel) -> None:
    calls: list[str] = []
    parts = {"tower": model.sama.model.vision_tower, "segmenter": model.sama.model.segmenter.vision_encoder.backbone}
    hooks = [part.register_forward_hook(lambda *_, name=name: calls.append(name)) for name, part in parts.items()]
    try:
        model.zero_grad()
        out = step(model, batch_of(WORDS, WORDS))
        assert calls == []
        out["loss"].backward()
        assert all(parameter.grad is not None for _, parameter in model.trained())
        with torch.no_grad():
            step(model, batch_of(WORDS, synthetic_record(0)))
        assert calls == ["tower", "segmenter"]
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def test_its_loss_is_the_same_beside_pictures_and_alone(model: TuningModel) -> None:
    pictured = verbal(synthetic_record(0))
    mixed, words, other = batch_of(WORDS, pictured), batch_of(WORDS), batch_of(pictured)
    labels = torch.tensor(float(mixed.num_labels))
    whole, one, two = (model(batch, labels, torch.tensor(0.0))["loss"].item() for batch in (mixed, words, other))
    assert one + two == pytest.approx(whole, rel=1e-5)
    plain = model.sama(input_ids=words.input_ids, labels=words.labels).loss
    assert step(model, words)["loss"].item() == pytest.approx(plain.item(), rel=1e-5)


def test_sharded_engines_look_at_a_blank_frame_that_changes_nothing(model: TuningModel) -> None:
    sharded = TuningModel(model.sama, LossSettings(points_per_mask=64), always_looks=True).train()
    calls: list[int] = []
    hook = model.sama.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    try:
        batch = batch_of(WORDS)
        with torch.no_grad():
            assert step(sharded, batch)["loss"].item() == pytest.approx(step(model, batch)["loss"].item(), rel=1e-6)
        assert calls == [1]
        model.sama.model.vision_tower.requires_grad_(True)
        model.sama.zero_grad()
        step(sharded, batch)["loss"].backward()
        layer = model.sama.model.vision_tower.encoder.layer[0]
        grads = [parameter.grad for parameter in layer.parameters()]
        assert all(grad is not None and not grad.any() for grad in grads)
    finally:
        hook.remove()
        model.sama.model.vision_tower.requires_grad_(False)
    assert tuning_model(model.sama, SETTINGS).always_looks is False


def test_a_recipe_reaches_every_option_of_a_store(tmp_path: Path) -> None:
    given = ["data.sources.sama.options.ask_for_masks=true", "data.sources.sama.options.region_forms=[box]"]
    (sama,) = [one for one in read_recipe("sama-1b", given).settings().data.sources if one.name == "sama"]
    assert (sama.options.ask_for_masks, sama.options.region_forms, sama.options.keep_verbal) == (True, ("box",), True)
    with pytest.raises(ConfigError, match=r"unknown key 'data\.sources\[14\]\.options\.ask_for_mask'.*ask_for_masks"):
        read_recipe("sama-1b", ["data.sources.sama.options.ask_for_mask=true"])
    with pytest.raises(ConfigError, match="absent is 'hide'; it is one of say, empty_mask, drop"):
        read_recipe("sama-1b", ["data.sources.sama.options.absent=hide"]).settings()
    rows = [{"id": "a", "conversations": [{"from": "human", "value": "Hm?"}, {"from": "gpt", "value": "Yes."}]}]
    (tmp_path / "talks.json").write_text(json.dumps(rows))
    source = SourceSettings("talks.json", layout="llava", name="talks")
    stream = open_stream(DataSettings(sources=(source,), balance="none"), 3, root=tmp_path)
    data = ExampleData(stream, maker(), 1)
    assert data[0].example.record_id == "a (record 0)"
    assert stream.parts[0].store._options.seed == 3  # the run's, where the recipe names none


def test_an_epoch_of_passes_sees_each_source_as_often_as_it_weighs() -> None:
    stores = [ListStore([WORDS] * count) for count in (64, 32)]
    parts = [MixturePart("rare", stores[0], 1.0), MixturePart("often", stores[1], 2.0)]
    stream = SourceMixture(parts, balance="none", weighting="passes")
    assert len(stream) == 64 + 2 * 32
    seen = [(choice.part, choice.index) for choice in map(stream.choice, range(len(stream)))]
    assert {one: seen.count(one) for one in seen} == {(0, i): 1 for i in range(64)} | {(1, i): 2 for i in range(32)}
    assert len(SourceMixture(parts, balance="none")) == 96
    settings = DataSettings(sources=(SourceSettings("a"), SourceSettings("b", weight=2.0)), weighting="passes")
    assert settings.epoch_length([64, 32]) == 128
