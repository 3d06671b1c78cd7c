"""The stages that talk: what they show is what a conversation shows, and every part they train is reached."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from sama_video.chat.frames import FrameChooser
from sama_video.chat.loading import load
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.levels import COLORS, HELD_OUT, SEEDS, SHAPES
from sama_video.data.synthetic.wording import split_words
from sama_video.dialogue.markup import IMAGE_CONTEXT, REGION_TAG, SEG
from sama_video.errors import CheckpointError
from sama_video.model.grounding import GroundingHead
from sama_video.train.config import load_recipe, to_yaml
from sama_video.train.export import command, export
from sama_video.train.lessons.dialogues import encode_told, pointed_mask, turns_of
from sama_video.train.lessons.level_dialogues import REGION_KINDS, TALKING_KINDS, LevelTeller
from sama_video.train.lessons.plain_dialogues import PlainTeller
from sama_video.train.lessons.rewording import OTHERWISE
from sama_video.train.lessons.vocabulary import VOCABULARY, nano_tokenizers
from sama_video.train.lessons.worlds import LevelWorld, PlainWorld
from sama_video.train.run_folder import RunFolder
from sama_video.train.stages import STAGES
from sama_video.train.stages.joint import JointStage
from sama_video.train.stages.plain import PlainReferStage
from sama_video.train.stages.reading import HEADS
from sama_video.train.stages.refer import ReferStage
from sama_video.train.stages.see import SeeStage
from sama_video.train.stages.seg_codes import class_codes, translate_head
from sama_video.train.stages.segment import SegmentStage
from sama_video.train.stages.speak import SpeakStage
from sama_video.video.clip import Clip

SMALL = [
    "speak.batch=2",
    "refer.batch=2",
    "joint.batch=2",
    "refer.turns=6",
    "joint.turns=6",
    "joint.text_share=0",
    "joint.mask_share=1",
]
ALWAYS_LATE = {"kinds": {"attribute": 1.0, "click": 1.0, "grounding": 1.0}, "late_share": 1.0}


@pytest.fixture(scope="module")
def run():
    return load_recipe("nano", [*SMALL, "refer.evaluation_scenes=2", "joint.evaluation_scenes=2"])


def _told(config, seed, num_turns=6, *, plain_share=0.0, **settings):
    rng, kinds = np.random.default_rng(seed), {"kinds": TALKING_KINDS}
    scene = LevelWorld().draw(rng)
    return LevelTeller(plain_share).tell(rng, scene, config, num_turns, **{**kinds, **settings})


# words


def test_every_word_of_the_language_is_one_token(processor):
    for word in VOCABULARY:
        begins = word[0].isupper() or not word[0].isalpha()
        assert len(processor.tokenizer.encode(word if begins else f" {word}")) == 1
        assert len(processor.qformer_tokenizer.encode(word, add_special_tokens=False)) == 1
    for tenths in range(100):
        assert len(processor.tokenizer.encode(f"{tenths / 10:.1f}")) == 1


def test_the_vocabulary_is_what_the_worlds_say():
    world = DiagnosticWorld(2)
    said = {
        word
        for seed in range(SEEDS["train"].start + 5000, SEEDS["train"].start + 5030)
        for turn in world.talk(seed).turns
        for text in (turn.text, turn.answer)
        for word in split_words(text)
    }
    assert {word for word in said if word[0] != "<" and word != SEG and not word.isdigit()} <= set(VOCABULARY)


def test_any_text_comes_back_from_its_tokens(processor):
    for text in ("from 1.2 s to 12.3 s, or 7?", "Où est l'étoile\n x_y 3.14"):
        assert processor.tokenizer.decode(processor.tokenizer.encode(text)) == text


def test_tokenizers_fit_the_model_and_come_out_the_same_again(config, processor):
    first, second = nano_tokenizers(), nano_tokenizers.__wrapped__()
    for one, other in zip(first, second, strict=True):
        assert one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
    assert len(processor.tokenizer) <= config.text_config.vocab_size
    assert len(processor.qformer_tokenizer) <= config.aggregator_config.vocab_size


# layout


@pytest.mark.parametrize("seed", range(6))
def test_frames_are_chosen_as_a_conversation_chooses_them(config, seed):
    told = _told(config, seed, **ALWAYS_LATE)
    clip = Clip.from_frames(told.shot.frames[list(told.context)], times=told.shot.times[list(told.context)])
    whole = FrameChooser(config, clip).whole
    assert [told.context[i] for i in whole.dense] == list(told.dense)
    shown = set()
    for index, spec in enumerate(told.specs):
        wanted = (set(told.dense) if index == 0 else set()) | {region.frame_position for region in spec.regions}
        assert set(spec.dense_positions) == wanted - shown
        assert list(spec.dense_positions) == sorted(spec.dense_positions)
        assert spec.dense_times == tuple(told.shot.times[list(spec.dense_positions)])
        shown |= wanted


def test_a_frame_that_is_not_shown_is_pointed_at_when_asked_for(config):
    later = [_told(config, seed, **ALWAYS_LATE).specs[1:] for seed in range(8)]
    assert any(spec.dense_positions for specs in later for spec in specs)


def test_region_dialogues_show_no_frame_in_full(config, processor):
    told = _told(config, 1, kinds=REGION_KINDS, region_only=True)
    assert all(spec.dense_positions == () for spec in told.specs)
    row = encode_told(processor, told)
    per_turn = len(told.context) * len(told.turns) + 2 * len(told.region_objects)
    assert (row.input_ids == config.image_token_id).sum() == per_turn


def test_regions_lie_on_objects_that_can_be_seen(config):
    for seed in range(10):
        told = _told(config, seed, kinds={"attribute": 1.0}, late_share=0.5)
        regions = [region for spec in told.specs for region in spec.regions]
        for region, object_idx in zip(regions, told.region_objects, strict=True):
            true = told.shot.masks[object_idx, region.frame_position]
            assert true.any()
            assert (region.mask & true).any()


def test_every_mark_has_its_object_and_every_tag_its_region(config):
    for seed in range(12):
        told = _told(config, seed, num_turns=8, plain_share=0.3)
        for turn, spec in zip(told.turns, told.specs, strict=True):
            assert turn.answer.count(SEG) == len(turn.seg_objects)
            assert turn.question.count("<region>") == len(turn.region_objects) == len(spec.regions)
            assert "<obj" not in turn.question


def test_regions_are_told_by_what_they_look_like_where_they_are_pointed_at(config):
    for seed in range(6):
        told = _told(config, seed)
        assert told.region_looks.shape == (len(told.region_objects), 4)
        for look, object_idx in zip(told.region_looks, told.region_objects, strict=True):
            assert (look[1:] == told.shot.looks[object_idx, 0, 1:]).all()


@pytest.mark.slow
def test_no_question_is_about_a_pair_that_is_held_out(config):
    unseen = [f"{color} {shape}" for split in ("val", "test") for color, shape in HELD_OUT[split]]
    kinds = {"not-there": 1.0, "attribute": 0.2}
    asked = [turn.question for seed in range(30) for turn in _told(config, seed, kinds=kinds).turns]
    assert any("Is there" in question for question in asked)
    assert not [question for question in asked if any(re.search(rf"\b{name}\b", question) for name in unseen)]


def test_clips_without_color_are_talked_about_without_its_words(config, processor):
    looks, kinds = [], set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        told = LevelTeller(gray_share=1.0).tell(rng, LevelWorld().draw(rng), config, 8, kinds=TALKING_KINDS)
        said = split_words(" ".join(f"{turn.question} {turn.answer}" for turn in told.turns))
        assert not {"color", "colors", *COLORS} & set(said)
        frames = told.shot.frames
        assert (frames == frames[..., :1]).all()
        assert frames.std() > 1
        assert (told.shot.looks[..., 0] == 0).all()
        assert len(told.specs) == len(told.turns)
        assert len(encode_told(processor, told).input_ids) > len(told.dense) * config.tokens_per_side**2
        looks.append(told.region_looks)
        kinds |= {turn.kind for turn in told.turns}
    assert "attribute" in kinds
    assert len({int(shape) for rows in looks for shape in rows[:, 1]}) > 4


def test_names_that_no_clip_shows_are_heard_where_nobody_sees(config):
    unseen = {f"{color} {shape}" for split in ("val", "test") for color, shape in HELD_OUT[split]}
    heard = {0.0: set(), 0.5: set()}
    for share, names in heard.items():
        for seed in range(20):
            rng = np.random.default_rng(seed)
            blind = LevelTeller(renamed_share=share).tell_blind(rng, LevelWorld().draw(rng), 10)
            text = " ".join(f"{turn.question} {turn.answer}" for turn in blind.turns)
            names |= {name for name in unseen if re.search(rf"\b{name}\b", text)}
            assert len({tuple(row) for row in blind.names.tolist()}) == len(blind.names)
    assert heard[0.0] == set()
    assert len(heard[0.5]) > 5


def test_questions_come_in_other_words_and_are_answered_the_same(config):
    usual, other, heard = [], [], set()
    for seed in range(8):
        both = []
        for share in (0.0, 1.0):
            rng = np.random.default_rng(seed)
            teller = LevelTeller(reworded_share=share)
            both.append(teller.tell(rng, LevelWorld().draw(rng), config, 16, kinds=TALKING_KINDS).turns)
        usual += both[0]
        other += both[1]
    assert [turn.answer for turn in usual] == [turn.answer for turn in other]
    assert [turn.region_objects for turn in usual] == [turn.region_objects for turn in other]
    for before, after in zip(usual, other, strict=True):
        assert after.question.count(REGION_TAG) == before.question.count(REGION_TAG)
        kept, given = set(split_words(after.question)), set(split_words(before.question))
        assert kept & {*COLORS, *SHAPES} == given & {*COLORS, *SHAPES}
        assert REGION_TAG in given or ("it" in kept) == ("it" in given)
        heard |= {after.question} - {before.question}
    assert len(heard) > 50
    assert {"What is <region> doing?", "Where is <region> going?"} & heard


def test_every_other_wording_stands_for_a_question_that_is_asked():
    said = {turn.text for seed in range(100) for turn in DiagnosticWorld(2).talk(SEEDS["train"].start + seed).turns}
    asked = {re.sub("<obj[0-9]>", REGION_TAG, text) for text in said}
    for pattern, others in OTHERWISE.items():
        found = [match for text in asked if (match := re.fullmatch(pattern, text))]
        assert found, pattern
        assert not [other for other in others for match in found if "\\" in match.expand(other)]
        assert len(set(others)) == len(others) > 1


def test_the_plain_worlds_dialogues_are_laid_out_alike(config, processor):
    rng = np.random.default_rng(5)
    told = PlainTeller().tell(rng, PlainWorld().draw(rng), config, 6, kinds=PlainTeller.usual["all"], late_share=1.0)
    assert len(told.specs) == len(told.turns) == 6
    assert set(told.dense) <= set(told.specs[0].dense_positions)
    assert len(encode_told(processor, told).input_ids) > len(told.dense) * config.tokens_per_side**2


def test_pointed_masks_are_never_empty():
    speck = np.zeros((16, 16), bool)
    speck[5, 5] = True
    assert all(pointed_mask(np.random.default_rng(seed), speck).any() for seed in range(30))


def test_labels_are_the_answers_and_their_end(config, processor):
    told = _told(config, 2)
    row = encode_told(processor, told)
    turns = turns_of(row.labels)
    for index, turn in enumerate(told.turns):
        assert processor.tokenizer.decode(row.labels[turns == index]) == f"{turn.answer}<|im_end|>"


def test_rows_hold_a_placeholder_for_every_feature(config, processor):
    told = _told(config, 3, late_share=1.0)
    row = encode_told(processor, told)
    text = processor.tokenizer.decode(row.input_ids)
    blocks = [len(match) // len(IMAGE_CONTEXT) for match in re.findall(f"<img>((?:{IMAGE_CONTEXT})+)</img>", text)]
    assert blocks == [config.tokens_per_side**2] * sum(len(spec.dense_positions) for spec in told.specs)


# stages


def _silent(stage, batch):
    """Names of trained parameters that the loss of a batch does not reach."""
    stage.zero_grad(set_to_none=True)
    loss, logs = stage(batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(np.isfinite(value) for value in logs.values())
    return {name for name, p in stage.named_parameters() if p.requires_grad and p.grad is None}


def test_speak_trains_decoder_and_grounding_head_alone(run):
    stage = SpeakStage(run)
    batch = stage.batch(np.random.default_rng(0))
    silent = _silent(stage, batch)
    assert {name.split(".")[0] for name in silent} <= set(HEADS)
    moved = {name.split(".")[2] for name, p in stage.named_parameters() if p.grad is not None}
    assert moved == {"language_model", "grounding_head"}
    assert {name.split(".")[0] for name in stage.result()} == {"language_model", "grounding_head"}


def test_speak_learns_only_answers_that_name_their_object(run):
    stage, rng = SpeakStage(run), np.random.default_rng(1)
    blinds = [stage.tell_blind(rng, stage.world.draw(rng), 6) for _ in range(8)]
    batch = stage.stack_text(blinds)
    said = stage.processor.tokenizer.decode(batch.labels[batch.labels != -100])
    assert "Sure, it is" in said
    assert " moves " not in said
    assert len(batch.seg_classes) == sum(len(turn.seg_objects) for blind in blinds for turn in blind.turns)
    assert (batch.seg_classes[:, 2:] == 0).all()


def test_dialogues_about_plain_clips_come_before_those_of_the_recipes_world(run):
    stage = PlainReferStage(run)
    assert isinstance(stage.teller, PlainTeller)
    assert stage.settings is run.plain_refer
    assert isinstance(ReferStage(run).teller, LevelTeller)
    bundled = load_recipe("nano")
    assert ReferStage.predecessors(bundled) == ("see", "speak", "plain_refer")
    assert ReferStage.predecessors(replace(bundled, plain_refer=replace(run.plain_refer, steps=0))) == ("see", "speak")
    for stage_of in map(STAGES.__getitem__, bundled.stages):
        done = bundled.stages[: bundled.stages.index(stage_of.name)]
        assert set(stage_of.predecessors(bundled)) <= set(done)


def test_half_of_the_heads_start_by_looking_back(run):
    torch.manual_seed(0)
    decoder = SpeakStage(run).sama.model.language_model
    decoder.config._attn_implementation = "eager"
    with torch.no_grad():
        embeds = 0.06 * torch.randn(1, 300, decoder.config.hidden_size)
        seen = decoder(inputs_embeds=embeds, output_attentions=True, use_cache=False).attentions[0][0, :, 100:]
    near = torch.stack([row[:, i + 96 : i + 101].sum(-1) for i, row in enumerate(seen.unbind(1))]).mean(0)
    assert (near[:2] > 0.5).all()
    assert (near[2:] < 0.1).all()


@pytest.fixture(scope="module")
def joint(run):
    torch.manual_seed(0)
    segment, refer = SegmentStage(run), ReferStage(run)
    stage = JointStage(run)
    results = {"segment": segment.result(), "track": {}, "see": {}, "refer": refer.result()}
    spoken = refer.sama.model.grounding_head(torch.ones(1, stage.config.text_config.hidden_size))
    stage.start(results)
    return stage, segment, spoken


def test_refer_reaches_every_part_it_hands_on(run):
    stage = ReferStage(run)
    batch = stage.stack_seen([_told(stage.config, seed) for seed in (1, 2)])
    silent = _silent(stage, batch)
    # The decoder's tokens see the first query's position and the question; nothing asks for the class table's first row
    assert silent == set()
    assert stage.sama.model.vision_tower.embeddings.cls_token.grad is None


def test_refer_accepts_a_batch_without_segs_and_regions(run):
    stage = ReferStage(run)
    told = next(
        told for seed in range(99) if not (told := _told(stage.config, seed, 2, kinds={"ambiguous": 1.0})).seg_objects
    )
    batch = stage.stack_seen([told])
    assert len(batch.seg_classes) == 0
    loss, _ = stage(batch)
    loss.backward()
    assert torch.isfinite(loss)


def test_joint_starts_where_the_prompts_of_the_segmenter_are(joint):
    stage, segment, spoken = joint
    assert torch.equal(stage.attribute_prompts.tables[0].weight, segment.attribute_prompts.tables[0].weight)
    said = stage.sama.model.grounding_head(torch.ones(1, stage.config.text_config.hidden_size))
    assert not torch.allclose(said, spoken)


def test_joint_trains_the_mask_decoder_and_not_the_image_encoder(joint):
    stage, *_ = joint
    told = [_told(stage.config, seed, kinds={"grounding": 1.0, "attribute": 1.0}) for seed in (1, 2)]
    silent = _silent(stage, stage.stack_seen(told, np.random.default_rng(0)))
    assert {name.rsplit(".", 2)[-3] for name in silent if "mask_decoder" not in name} == set()
    segmenter = stage.sama.model.segmenter
    assert segmenter.mask_decoder.output_hypernetworks_mlps[1].proj_in.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in segmenter.vision_encoder.parameters())
    rates = [group.learning_rate for group in stage.parameter_groups()]
    assert rates == [stage.language_settings.learning_rate, stage.language_settings.decoder_learning_rate]


def test_joint_scores_answers_and_masks(joint):
    stage, *_ = joint
    scores = stage.evaluate()
    assert {"mask_iou", "mask_presence", "distillation"} <= set(scores)
    assert all(np.isfinite(value) for value in scores.values())


def test_a_head_is_translated_exactly_between_sums_of_class_codes():
    torch.manual_seed(0)
    head, names = GroundingHead(32, 16), LevelWorld().name_classes()
    codes, prompts = class_codes(16), torch.randn(18, 16)
    colors, shapes = codes.split((9, 9))
    spoken = colors[names[:, 0]] + shapes[names[:, 1]]
    other_colors, other_shapes = prompts.split((9, 9))
    wanted = other_colors[names[:, 0]] + other_shapes[names[:, 1]]
    head.linear_2.weight.data.zero_()
    for target, answer in zip(spoken[:5], wanted[:5], strict=True):
        head.linear_2.bias.data.copy_(target)
        translate_head(head, spoken, wanted)
        assert torch.allclose(head(torch.zeros(1, 32))[0], answer, atol=1e-3)


# the finished model


def test_what_the_stages_leave_makes_a_model_that_loads(run, joint, tmp_path):
    stage, segment, _ = joint
    results = {"segment": segment.result(), "see": SeeStage(run).result(), "refer": ReferStage(run).result()}
    for name, weights in {**results, "joint": stage.result()}.items():
        (tmp_path / "run" / "stages" / name).mkdir(parents=True)
        save_file(weights, tmp_path / "run" / "stages" / name / "final.safetensors")
    figures = [{"step": 2 * n, "seconds": 60.0 * n, "evaluation": {"click_iou": n / 4}} for n in (1, 2)]
    (tmp_path / "run" / "stages" / "segment" / "metrics.jsonl").write_text("\n".join(map(json.dumps, figures)))
    (tmp_path / "run" / "recipe.yaml").write_text(to_yaml(run))
    done = CliRunner().invoke(command, [str(tmp_path / "run"), str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    assert sum(path.stat().st_size for path in (tmp_path / "model").rglob("*") if path.is_file()) < 40e6
    loaded = load(tmp_path / "model", device="cpu")
    taught = stage.result()["grounding_head.linear_2.weight"]
    assert torch.allclose(loaded.model.model.grounding_head.linear_2.weight, taught, rtol=1e-3, atol=1e-3)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| segment | 4 | 2.0 | click_iou 0.500 |" in card
    assert "| segment | click_iou | 2: 0.250, 4: 0.500 |" in card
    assert "| joint | mask_iou |  |" in card


def test_a_run_without_a_trained_part_makes_no_model(run, tmp_path):
    (tmp_path / "stages" / "see").mkdir(parents=True)
    save_file(SeeStage(run).result(), tmp_path / "stages" / "see" / "final.safetensors")
    with pytest.raises(CheckpointError, match="no finished stage trained .*language_model"):
        export(run, RunFolder(tmp_path), tmp_path / "model")
