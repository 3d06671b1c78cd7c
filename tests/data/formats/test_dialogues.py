"""Records made of annotated clips: true to the labels, the same for the same seed, fit to be written."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sama_video.data.clips import FrameClip, VideoClip
from sama_video.data.formats import own_frames, to_records
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject
from sama_video.data.formats.dialogues import WHAT_IS
from sama_video.data.records import DialogueRecord, read_records, write_records
from sama_video.dialogue.markup import parse_answer
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box
from sama_video.video.writer import write_video


def turns_of(records: list[DialogueRecord]):
    return [turn for record in records for turn in record.turns]


def test_labels_texts_and_regions_become_turns(make_clip, tmp_path):
    clip = make_clip()
    records = list(to_records(clip, tmp_path))
    found = {(turn.question, turn.answer, turn.targets) for turn in turns_of(records)}
    assert found == {
        ("Segment every car.", "<p> Every car </p> [SEG].", (("obj1", "obj3"),)),
        ("Segment the dog & <cat>.", "<p> The dog & <cat> </p> [SEG].", (("obj2",),)),
        ('Segment the "old" one, über 5 < 6.', '<p> The "old" one, über 5 < 6 </p> [SEG].', (("obj2",),)),
        (WHAT_IS, "<p> The car </p> [SEG].", (("obj1",),)),
        (WHAT_IS, "<p> The dog & <cat> </p> [SEG].", (("obj2",),)),
        (WHAT_IS, "<p> The car </p> [SEG].", (("obj3",),)),
    }
    assert all(not parse_answer(turn.answer).problems for turn in turns_of(records))
    (record,) = records
    assert (record.clip.path, record.source, record.licence) == ("pictures/walk", "mine", "CC-BY-4.0")


def test_regions_point_at_their_object(make_clip, tmp_path):
    clip = make_clip()
    forms = set()
    for seed in range(12):
        for turn in turns_of(list(to_records(clip, tmp_path, seed=seed))):
            for prompt in turn.regions:
                one = next(one for one in clip.objects if one.object_id == prompt.object_id)
                forms.add(type(prompt.region).__name__)
                assert prompt.region.frame in one.masklet.visible_frames
                if isinstance(prompt.region, Box):
                    assert prompt.region.xyxy == one.masklet.box(prompt.region.frame)
    assert forms == {"Points", "Box", "Mask"}


def test_records_are_written_and_read_and_the_same_each_time(make_clip, tmp_path):
    clip = make_clip()
    first = list(to_records(clip, tmp_path, seed=3, max_turns=2))
    assert [len(record.turns) for record in first] == [2, 2, 2]
    assert [record.record_id for record in first] == ["walk-0", "walk-1", "walk-2"]
    write_records(tmp_path / "a.jsonl", first)
    assert list(read_records(tmp_path / "a.jsonl")) == first == list(to_records(clip, tmp_path, seed=3, max_turns=2))
    orders = {tuple(turn.question for turn in turns_of(list(to_records(clip, tmp_path, seed=s)))) for s in range(6)}
    assert len(orders) > 1
    for record in first:
        named = {name for turn in record.turns for ids in turn.targets for name in ids}
        assert {masklet.object_id for masklet in record.objects} == named


def test_objects_with_boxes_alone_are_never_targets(make_clip, tmp_path):
    clip = make_clip(labels=(), boxes=True)
    (record,) = to_records(clip, tmp_path)
    (turn,) = record.turns
    assert (turn.question, turn.answer, turn.targets) == (WHAT_IS, "The bus.", ())
    assert isinstance(turn.regions[0].region, Box)


def test_a_label_that_a_box_has_is_not_asked_for(make_clip, tmp_path):
    clip = make_clip(labels=("bus",), boxes=True)
    questions = [turn.question for turn in turns_of(list(to_records(clip, tmp_path)))]
    assert questions == [WHAT_IS, WHAT_IS]


def test_crowds_are_every_one_of_them(make_clip, tmp_path):
    clip = make_clip(labels=("the people",))
    clip = replace(clip, objects=(replace(clip.objects[0], is_crowd=True),))
    (turn,) = turns_of(list(to_records(clip, tmp_path)))
    assert (turn.question, turn.answer) == ("Segment every people.", "<p> Every people </p> [SEG].")


def test_a_clip_without_objects_gives_no_record(make_clip, tmp_path):
    assert list(to_records(make_clip(labels=()), tmp_path)) == []


def test_a_lone_picture_and_a_whole_video_are_named_by_their_files(make_clip, tmp_path):
    clip = make_clip(num_frames=1)
    (record,) = to_records(clip, tmp_path / "pictures")
    assert record.clip.path == "walk/00000.png"


def test_part_of_a_folder_is_named_frame_by_frame_or_gets_a_folder_of_its_own(make_clip, tmp_path):
    clip = make_clip(num_frames=4)
    Image.new("RGB", (14, 9)).save(clip.clip.path / "unlabelled.png")
    (part,) = to_records(clip, tmp_path)
    assert part.clip.names == clip.clip.names
    assert part.clip.open().num_frames == 4
    own = own_frames(clip, tmp_path / "own")
    assert isinstance(own.clip, FrameClip)
    (record,) = to_records(own, tmp_path)
    assert (record.clip.path, record.clip.names) == ("own/walk", ())
    with pytest.raises(DataError, match="exists already"):
        own_frames(clip, tmp_path / "own")


@pytest.mark.parametrize("every", [1, 3])
def test_some_frames_of_a_video_are_named_by_their_distance(make_clip, tmp_path, every):
    path = tmp_path / "a.mp4"
    write_video(path, [np.full((32, 32, 3), 30 * idx, np.uint8) for idx in range(7)], fps=5)
    clip = VideoClip(path, every=every)
    masks = np.ones((clip.num_frames, 32, 32), bool)
    one = AnnotatedObject(Masklet.from_masks("obj1", masks), "car", "the red car", attributes=(("age", "3"),))
    (record,) = to_records(AnnotatedClip("a", clip, 32, 32, (one,), "mine", "CC0-1.0"), tmp_path)
    assert (record.clip.path, record.clip.every, record.clip.num_frames) == ("a.mp4", every, clip.num_frames)
    assert record.clip.open().num_frames == clip.num_frames
    assert record.facts == {"obj1": {"label": "car", "text": "the red car", "attribute age": "3"}}


def test_a_clip_outside_the_root_is_refused(make_clip, tmp_path):
    with pytest.raises(DataError, match="outside"):
        list(to_records(make_clip(), tmp_path / "elsewhere"))
