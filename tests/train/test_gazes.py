"""Where words and regions are taught to look, and that the attention that is judged is the decoder's own."""

import re

import numpy as np
import pytest
import torch

from sama_video.data.synthetic.language import SyntheticTurn
from sama_video.dialogue.markup import IMAGE_CONTEXT, IMAGE_END, REGION_END
from sama_video.model.processing_sama import PlacedRegion, TurnSpec
from sama_video.train.config import load_recipe
from sama_video.train.lessons.attributes import ATTRIBUTES
from sama_video.train.lessons.dialogues import Told, encode_told, names_only
from sama_video.train.lessons.gazes import gazes_of
from sama_video.train.lessons.level_dialogues import LevelTeller
from sama_video.train.lessons.scenes import Shot
from sama_video.train.lessons.worlds import LevelWorld
from sama_video.train.stages.looking import attention, gaze_loss
from sama_video.train.stages.refer import ReferStage

SIDE = 128
CELL = 16  # pixels of a frame token, each way
RED_STAR, BLUE_STAR = (1, 4, 1, 2), (6, 4, 1, 1)  # classes of colour, shape, texture and size


def _moving_star(*turns, looks=(RED_STAR,)):
    """Five frames, each object one token large: the first goes right along the top row, the others rest below it."""
    count = 5
    masks = np.zeros((len(looks), count, SIDE, SIDE), bool)
    for frame in range(count):
        masks[0, frame, :CELL, CELL * frame : CELL * (frame + 1)] = True
        for other in range(1, len(looks)):
            masks[other, frame, CELL * 2 * other : CELL * (2 * other + 1), :CELL] = True
    centers = np.array([[[np.flatnonzero(m.any(a)).mean() + 0.5 for a in (0, 1)] for m in each] for each in masks])
    classes = np.repeat(np.array(looks)[:, None], count, axis=1)
    shot = Shot(np.zeros((count, SIDE, SIDE, 3), np.uint8), masks, classes, centers, np.arange(count) / 10)
    return shot, names_only(np.array(looks)), tuple(turns)


def _told(processor, *turns, looks=(RED_STAR,)):
    shot, names, turns = _moving_star(*turns, looks=looks)
    frames = tuple(range(5))
    specs = []
    for number, turn in enumerate(turns):
        regions = tuple(PlacedRegion(0, shot.masks[i, 0]) for i in turn.region_objects)
        fresh = frames if number == 0 else ()
        specs.append(TurnSpec(turn.question, regions, fresh, tuple(shot.times[list(fresh)]), turn.answer))
    return Told(shot, frames, frames, names, turns, tuple(specs), region_only=False)


def _gazes(processor, config, told):
    row = encode_told(processor, told)
    return row, gazes_of(processor.tokenizer, [told], [row], config.tokens_per_side)


def _frame_token(processor, row, frame, cell):
    """Position in the row of a frame's token, by the frame's own pair of tags."""
    ids = row.input_ids.tolist()
    ends = [i for i, token in enumerate(ids) if token == processor.tokenizer.convert_tokens_to_ids(IMAGE_END)]
    return ends[frame] - 64 + cell


def _at(gazes, position, *, is_late):
    (number,) = np.flatnonzero((gazes.position == position).numpy() & (gazes.is_late.numpy() == is_late))
    return [np.flatnonzero(targets[number].numpy()).tolist() for targets in (gazes.near, gazes.far)]


def _position(processor, row, word):
    (position,) = [
        i for i, token in enumerate(row.input_ids.tolist()) if processor.tokenizer.decode([token]).strip() == word
    ]
    return position


GREETING = SyntheticTurn("not-there", "Hello?", (), "Yes.", ())


def test_a_name_looks_at_its_object_on_all_frames_and_later_on_the_first_and_last(processor, config):
    told = _told(processor, SyntheticTurn("grounding", "Segment the red star.", (), "Sure.", ()))
    row, gazes = _gazes(processor, config, told)
    places = [_frame_token(processor, row, frame, frame) for frame in range(5)]
    assert row.input_ids[places].eq(processor.tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT)).all()
    star = _position(processor, row, "star")
    assert _at(gazes, star, is_late=False) == [places, places]
    assert _at(gazes, star, is_late=True) == [places[:1], places[-1:]]


def test_what_fits_nothing_looks_at_the_first_token(processor, config):
    turn = SyntheticTurn("not-there", "Is there a blue star?", (), "No, there is no blue thing.", ())
    row, gazes = _gazes(processor, config, _told(processor, turn))
    star = _position(processor, row, "star")
    assert _at(gazes, star, is_late=False) == [[0], [0]]
    assert _at(gazes, star, is_late=True) == [[0], [0]]
    end_of_question = int(np.flatnonzero(row.labels.numpy() >= 0)[0]) - 1
    assert _at(gazes, end_of_question, is_late=True) == [[0], [0]]


def test_words_that_fit_several_look_at_all_of_them_and_at_no_moment(processor, config):
    turn = SyntheticTurn("counting", "How many stars are there?", (), "Two.", ())
    row, gazes = _gazes(processor, config, _told(processor, turn, looks=(RED_STAR, BLUE_STAR)))
    stars = _position(processor, row, "stars")
    near, far = _at(gazes, stars, is_late=False)
    assert near == far == sorted(_frame_token(processor, row, f, cell) for f in range(5) for cell in (f, 16))
    assert not (gazes.is_late & (gazes.position == stars)).any()


def test_a_region_and_the_question_about_it_look_at_its_object(processor, config):
    turn = SyntheticTurn("motion", "Which way does <region> move?", (0,), "It moves right.", (0,))
    row, gazes = _gazes(processor, config, _told(processor, turn))
    (region,) = np.flatnonzero(row.input_ids == processor.tokenizer.convert_tokens_to_ids(REGION_END))
    ends = [[_frame_token(processor, row, frame, frame)] for frame in (0, 4)]
    assert _at(gazes, region, is_late=True) == ends
    assert _at(gazes, int(np.flatnonzero(row.labels.numpy() >= 0)[0]) - 1, is_late=True) == ends


def test_a_thing_looks_for_itself_on_the_frame_before_and_tells_its_way(processor, config):
    row, gazes = _gazes(processor, config, _told(processor, GREETING))
    token = [_frame_token(processor, row, frame, frame) for frame in range(5)]
    assert _at(gazes, token[3], is_late=False) == [[token[2]], [token[0]]]
    (number,) = np.flatnonzero(gazes.position == token[3])
    assert gazes.is_thing[number]
    assert gazes.moved[number].tolist() == pytest.approx([1 / 8, 0, 3 / 8, 0])


def test_gazes_never_look_ahead_and_regions_alone_have_none(config, processor):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        told = LevelTeller().tell(
            rng, LevelWorld().draw(rng), config, 8, kinds=LevelTeller.usual["all"], region_only=seed == 5
        )
        _, gazes = _gazes(processor, config, told)
        assert (len(gazes.row) == 0) == (seed == 5)
        for targets in (gazes.near, gazes.far):
            assert all(row[position:].sum() == 0 for row, position in zip(targets, gazes.position, strict=True))
            assert ((targets.amax(1) > 0) & (targets.amax(1) <= 1)).all()


def test_names_are_read_in_every_form_the_world_has(config, processor):
    """Each gaze of a word stands at a shape or an "object", whatever the dialogue."""
    shapes = {*ATTRIBUTES["shape"], "object", "thing"}
    seen = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        told = LevelTeller().tell(rng, LevelWorld().draw(rng), config, 10, kinds=LevelTeller.usual["all"])
        row, gazes = _gazes(processor, config, told)
        middle = gazes.position[~gazes.is_late & ~gazes.is_thing]
        words = [processor.tokenizer.decode([row.input_ids[i]]).strip() for i in middle.tolist()]
        words = [word for word in words if word != REGION_END]
        assert {
            re.sub("crosses$", "cross", word).removesuffix("s") if word not in shapes else word for word in words
        } <= shapes
        seen.update(words)
    assert {"star", "circle", "object"} <= seen


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    return ReferStage(
        load_recipe("nano", ["refer.batch=2", "refer.turns=6", "refer.gaze_weight=1", "refer.region_only_share=0"])
    )


def test_attention_is_the_decoders_own(stage):
    decoder = stage.sama.model.language_model
    embeds = torch.randn(2, 40, decoder.config.hidden_size)
    kind = decoder.config._attn_implementation
    decoder.config._attn_implementation = "eager"
    try:
        with torch.no_grad():
            whole = decoder(inputs_embeds=embeds, output_attentions=True, output_hidden_states=True, use_cache=False)
    finally:
        decoder.config._attn_implementation = kind
    rows, positions = torch.tensor([0, 1, 1]), torch.tensor([39, 0, 17])
    for layer in range(decoder.config.num_hidden_layers):
        own = attention(decoder, whole.hidden_states[layer], layer, rows, positions)
        torch.testing.assert_close(own, whole.attentions[layer][rows, 2:, positions], rtol=1e-4, atol=1e-5)


def test_gazes_are_learnt(stage):
    batch = stage.seen_batch(np.random.default_rng(3))
    decoder = stage.sama.model.language_model
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-3)
    costs = []
    for _ in range(12):
        embeds, _ = stage.read_pictures(batch)
        _, layers = stage.read(embeds.detach())
        loss = gaze_loss(decoder, layers, batch.gazes)
        costs.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert costs[-1] < 0.5 * costs[0]


def test_nothing_to_look_at_costs_nothing(stage):
    batch = stage.seen_batch(np.random.default_rng(3))
    none = batch.gazes.__class__(**{name: value[:0] for name, value in vars(batch.gazes).items()})
    embeds, _ = stage.read_pictures(batch)
    _, layers = stage.read(embeds)
    assert gaze_loss(stage.sama.model.language_model, layers, none).item() == 0.0
    assert stage.move_loss(layers, none).item() == 0.0
