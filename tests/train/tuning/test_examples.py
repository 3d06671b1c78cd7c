"""What a record becomes: the tokens a session reads, labels on answers, masks for every `[SEG]`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_model import build_processor, tiny_model
from tuning_world import synthetic_record

from sama_video.data.records import DialogueRecord, RecordTurn
from sama_video.dialogue.markup import SEG
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError
from sama_video.model.frame_choice import context_frames, dense_frames
from sama_video.model.presets import preset_config
from sama_video.model.processing_sama import SamaProcessor
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points
from sama_video.train.tuning.examples import IGNORED, Example, ExampleMaker
from sama_video.train.tuning.settings import DataSettings
from sama_video.video.clip import Clip


def maker(processor: SamaProcessor | None = None, **settings: object) -> ExampleMaker:
    return ExampleMaker(preset_config("tiny"), processor or build_processor(), DataSettings(**settings))


def make(record: DialogueRecord, seed: int = 0, **settings: object) -> Example:
    return maker(**settings).make(record, record.clip.open(), seed)


def dialogue(num_frames: int = 12, *, late_frame: int = 1) -> DialogueRecord:
    """Three turns: words for masks, a region on some frame with a mask, a region that is only named."""
    record = synthetic_record(3, num_frames=num_frames, side=48)
    first, second = record.objects
    mask = Mask(frame=late_frame, mask=first.mask(late_frame))
    turns = (
        RecordTurn(
            "Show  both\nof them.", (), f"<p> one </p> {SEG} and <p> all </p> {SEG}.", (("obj1",), ("obj1", "obj2"))
        ),
        RecordTurn("What is <region>?", (RegionPrompt(mask, "obj1"),), f"It is <p> a shape </p> {SEG}. ", (("obj1",),)),
        RecordTurn("And <region>, is it <obj1>?", (RegionPrompt(ObjectRef("obj2"), "obj2"),), "No.", ()),
    )
    assert first.visible_frames
    assert second.visible_frames
    return replace(record, turns=turns)


def timeless() -> SamaProcessor:
    """Of a checkpoint that reads no frame times, as the published ones: their training shows other frames than use."""
    own = build_processor()
    return SamaProcessor(own.tokenizer, own.qformer_tokenizer, {**own.settings, "frame_times": False})


def replayed_ids(record: DialogueRecord, protocol: str, processor: SamaProcessor) -> list[int]:
    """What a session has read when the same dialogue was held in it."""
    session = replace(tiny_model(), processor=processor).chat(record.clip.open(), protocol=protocol)
    names: dict[str, str] = {}
    for turn in record.turns:
        regions = [
            ObjectRef(names[prompt.object_id]) if isinstance(prompt.region, ObjectRef) else prompt.region
            for prompt in turn.regions
        ]
        for prompt, region in zip(turn.regions, regions, strict=True):
            if not isinstance(region, ObjectRef):
                names[prompt.object_id] = f"obj{len(names) + 1}"
        session.adopt(turn.question, regions, answer=turn.answer)
    return session.history._closed_ids()


@pytest.mark.parametrize("protocol", ["consistent", "paper"])
@pytest.mark.parametrize("late_frame", [0, 1])
def test_tokens_are_those_of_a_session(protocol: str, late_frame: int) -> None:
    record = dialogue(late_frame=late_frame)
    mask = record.turns[1].regions[0].region
    shown = replace(record, turns=(*record.turns[:2], RecordTurn("And <obj1>?", (), "No.", ())))
    assert isinstance(mask, Mask)
    processor = build_processor() if protocol == "consistent" else timeless()
    example = maker(processor, protocol=protocol).make(shown, shown.clip.open(), 0)
    assert example.row.input_ids.tolist() == replayed_ids(shown, protocol, processor)


@pytest.mark.parametrize("protocol", ["consistent", "paper"])
def test_an_image_is_read_as_a_session_reads_it(protocol: str) -> None:
    record = synthetic_record(5, num_frames=1, side=48)
    turns = (RecordTurn("What is there?", (), f"<p> A shape </p> {SEG}.", (("obj1",),)),)
    record = replace(record, turns=turns)
    example = make(record, protocol=protocol)
    assert example.row.input_ids.tolist() == replayed_ids(record, protocol, build_processor())
    assert example.targets is not None
    assert example.targets.pixels.shape[0] == 1


def test_labels_are_the_answers_and_what_ends_them() -> None:
    processor, record = build_processor(), dialogue()
    labels = make(record).row.labels
    learnt = processor.tokenizer.decode(labels[labels != IGNORED])
    suffix = processor.template.answer_suffix
    assert learnt == "".join(f"{turn.answer.strip()}{suffix}" for turn in record.turns)


def test_every_seg_gets_its_masks_on_shown_frames() -> None:
    record, config = dialogue(), preset_config("tiny")
    example = make(record, max_objects=9, mask_frames=99)
    assert example.num_segs == 3
    targets = example.targets
    assert targets is not None
    base = dense_frames(config, context_frames(config, 12))
    late = sorted({*base, 1})
    per_seg = [targets.frame[targets.seg == seg].tolist() for seg in range(3)]
    assert [len(frames) for frames in per_seg] == [len(base), len(base), len(late)]
    first = {masklet.object_id: masklet for masklet in record.objects}["obj1"]
    place = int((targets.seg == 0).nonzero()[0, 0])
    share = targets.masks[place].float().mean()
    assert abs(share - first.mask(base[0]).mean()) < 0.05
    both = targets.masks[int((targets.seg == 1).nonzero()[0, 0])]
    assert both.sum() > targets.masks[place].sum()


def test_too_many_masks_are_thinned_the_same_way_each_time() -> None:
    record = dialogue()
    one, again, other = (make(record, seed, max_objects=1, mask_frames=2).targets for seed in (0, 0, 5))
    assert one is not None
    assert again is not None
    assert other is not None
    assert len(one) == 2
    assert torch.equal(one.masks, again.masks)
    assert torch.equal(one.seeds, again.seeds)
    assert not torch.equal(one.seeds, other.seeds)


def test_regions_carry_the_objects_true_mask() -> None:
    record = dialogue()
    (first,) = [masklet for masklet in record.objects if masklet.object_id == "obj1"]
    clicked = RegionPrompt(Points(1, xy=[(3.0, 3.0)]), "obj1")
    record = replace(record, turns=(replace(record.turns[1], regions=(clicked,)),))
    video = make(record).row.video
    (turn,) = video.turns
    assert turn.regions is not None
    example_shape = turn.regions.shapes[0].view(preset_config("tiny").region_mask_side, -1)
    rows = np.flatnonzero(first.mask(1).any(1))
    seen = np.flatnonzero(example_shape.any(1).numpy())
    assert seen[0] / len(example_shape) == pytest.approx(rows[0] / first.height, abs=0.1)


def hidden(record: DialogueRecord, object_id: str) -> DialogueRecord:
    """The same record with an object that no frame shows."""
    objects = [
        Masklet(m.object_id, m.height, m.width, (None,) * m.num_frames, m.scores) if m.object_id == object_id else m
        for m in record.objects
    ]
    return replace(record, objects=tuple(objects))


def test_a_turn_about_what_is_never_seen_is_left_out() -> None:
    record = hidden(dialogue(), "obj2")
    example = make(record)
    assert example.left_out == ("prompt_never_visible",)
    assert len(example.row.video.turns) == 2


def test_a_box_stands_for_itself_where_its_object_has_no_mask() -> None:
    record = hidden(dialogue(), "obj1")
    box = RegionPrompt(Box(1, xyxy=(4, 4, 20, 20)), "obj1")
    example = make(replace(record, turns=(replace(record.turns[1], regions=(box,), targets=(("obj2",),)),)))
    regions = example.row.video.turns[0].regions
    assert regions is not None
    assert regions.shapes.any()


def test_record_without_usable_turn_is_refused() -> None:
    record = hidden(dialogue(), "obj2")
    with pytest.raises(DataError, match="none of its turns"):
        make(replace(record, turns=record.turns[2:]))


def test_a_long_dialogue_loses_its_last_turns() -> None:
    record = dialogue()
    whole = len(make(record).row.input_ids)
    short = make(record, max_tokens=whole - 1)
    assert short.left_out == ("too_long",)
    assert len(short.row.video.turns) == 2
    assert len(short.row.input_ids) < whole
    with pytest.raises(DataError, match="its first turn has"):
        make(record, max_tokens=10)


def test_paper_protocol_moves_regions_onto_dense_frames() -> None:
    record = dialogue(late_frame=1)
    example = make(record, protocol="paper")
    config = preset_config("tiny")
    context = context_frames(config, 12)
    dense = [context.index(frame) for frame in dense_frames(config, context)]
    turns = example.row.video.turns
    assert [turn.dense_positions for turn in turns] == [tuple(dense), (), ()]
    assert all(int(p) in dense for turn in turns if turn.regions for p in turn.regions.frame_positions)


def test_words_about_an_unknown_object_are_refused() -> None:
    record = dialogue()
    turn = RecordTurn("What is <obj7>?", (), "Nothing.", ())
    with pytest.raises(DataError, match="obj7"):
        make(replace(record, turns=(turn,)))


def test_clip_of_other_pixels_gives_other_frames() -> None:
    record = dialogue()
    clip = record.clip.open()
    dark = Clip.from_frames(np.zeros_like(clip.frames(range(12))), fps=10)
    bright, black = (maker().make(record, each, 0).row.video.pixel_values for each in (clip, dark))
    assert not torch.equal(bright, black)
