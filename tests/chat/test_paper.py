"""The published inference, quirks included."""

import numpy as np
import pytest
from tiny_model import filled, moving_squares

import sama_video as sama
from sama_video.chat.loading import LoadedModel
from sama_video.chat.masks import MaskMaker
from sama_video.dialogue.markup import IMAGE_CONTEXT, IMAGE_START
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import area, encode

CLICK = sama.Points(frame=0, xy=[(10, 12)])


def test_the_model_sees_the_first_of_the_sparse_frames(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(40), protocol="paper", max_new_tokens=12)
    chat.ask("What is here?", ground=True)
    frames = chat.history.turns[0].frames
    assert frames.dense == frames.context[:5]
    assert chat.prompted_frames() == (0, 1, 2, 3, 4)
    sightings = next(iter(chat.objects.values())).sightings
    assert tuple(sightings) == (0, 1, 2, 3, 4)
    assert all(hasattr(sighting.shown_as, "shape") for sighting in sightings.values())


def test_a_region_elsewhere_is_followed_to_the_models_frames(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(40), protocol="paper", max_new_tokens=12)
    answer = chat.ask("What is <region>?", [sama.Box(frame=33, xyxy=(4, 4, 44, 30))], ground=False)
    turn = chat.history.turns[0]
    assert 33 not in turn.frames.dense
    assert turn.regions[0][0] in turn.frames.dense
    assert chat.objects["obj1"].masklet is not None
    assert answer.timing.vision_frames_encoded == len(turn.frames.context)


def test_a_region_on_one_of_them_costs_no_tracking(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(40), protocol="paper", max_new_tokens=12)
    answer = chat.ask("What is <region>?", [CLICK], ground=False)
    assert answer.timing.segmenter_frames_encoded == 1
    assert chat.history.turns[0].regions[0][0] == 0


def test_the_constant_for_questions_without_regions_is_added(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(6), protocol="paper", max_new_tokens=12)
    plain = model.chat(moving_squares(6), max_new_tokens=12)
    assert (chat.history.regionless_bias, plain.history.regionless_bias) == (1.0, 0.0)
    chat.ask("What is here?", ground=False)
    biased = chat.history._placeholders(chat.history.turns[0])
    chat.history.regionless_bias = 0.0
    assert not np.allclose(biased, chat.history._placeholders(chat.history.turns[0]))


def test_absence_is_not_acted_upon(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    bias = model.model.model.segmenter.mask_decoder.pred_obj_score_head.proj_out.bias
    monkeypatch.setattr(bias, "data", bias.data - 100)
    answers = [
        model.chat(moving_squares(6), protocol=protocol, max_new_tokens=8).ask("What is here?", ground=True)
        for protocol in ("paper", "consistent")
    ]
    assert answers[0].phrases[0].object_id == "obj1"
    assert answers[0].masklets["obj1"].visible_frames
    assert (answers[1].phrases[0].object_id, answers[1].phrases[0].reason) == (None, "not visible")


def test_a_single_image_is_seen_as_tiles_in_one_block(model: LoadedModel) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8)
    chat = model.chat(image[None], protocol="paper", max_new_tokens=12)
    answer = chat.ask("What is <region>?", [sama.Box(frame=0, xyxy=(10, 10, 60, 50))], ground=True)
    tiles = len(chat.processor.image_tiles(image))
    assert tiles == 3
    tokens = chat.model.config.tokens_per_frame
    read = chat.processor.tokenizer.decode(chat.history._turn_ids(chat.history.turns[0], first=True))
    assert read.count(IMAGE_START) == 1
    assert IMAGE_CONTEXT * (tokens * tiles) + "</img>" + IMAGE_CONTEXT * tiles in read
    assert chat.history.turns[0].regions[0][0] == tiles - 1
    assert answer.timing.vision_frames_encoded == tiles
    assert answer.masklets["obj1"].masks.shape == (1, 60, 120)
    second = chat.ask("And <obj1>?", ground=True)
    assert second.timing.vision_frames_encoded == 0
    chat.history.drop_cache()
    assert chat.ask("And <obj1>?", ground=False).phrases == ()


def test_a_restored_image_session_sees_the_same_tiles(model: LoadedModel, tmp_path: object) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8)
    chat = model.chat(image[None], protocol="paper", max_new_tokens=12)
    chat.ask("What is here?", ground=True)
    chat.save(tmp_path)
    assert model.restore(tmp_path).ask("And now?", ground=True).raw == chat.ask("And now?", ground=True).raw


def test_a_region_on_none_of_its_frames_is_an_empty_mask_on_the_first(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = model.chat(moving_squares(40), protocol="paper", max_new_tokens=8)
    nowhere = (None,) * 33 + (encode(filled((4, 4, 44, 30))),) + (None,) * 6
    masklet = Masklet("obj1", 48, 64, nowhere, (None,) * 40)
    monkeypatch.setattr(MaskMaker, "track", lambda *_: {"obj1": masklet})
    answer = chat.ask("What is <region>?", [sama.Box(frame=33, xyxy=(4, 4, 44, 30))], ground=False)
    frame, mask = chat.history.turns[0].regions[0]
    assert (frame, area(mask)) == (0, 0)
    assert answer.raw
    assert np.isfinite(chat.history._placeholders(chat.history.turns[0]).numpy()).all()
