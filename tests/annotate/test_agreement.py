from collections.abc import Mapping

import numpy as np
import pytest
from annotate_case import make_draft, make_subject, square

from sama_video.annotate.agreement import Talker, disagreements, joined_track, phrase_agreement, track_iou
from sama_video.annotate.drafts import DraftTurn
from sama_video.chat.answer import Answer
from sama_video.dialogue.turns import Phrase, Turn
from sama_video.regions.masklet import Masklet

SUBJECT = make_subject(labels=(None, None, None), names=(None, None, None))


class Finder:
    """Finds by each phrase what it was told to."""

    def __init__(self, finds: Mapping[str, np.ndarray]) -> None:
        self.finds = finds
        self.asked: list[str] = []

    def __call__(self) -> Talker:
        return self

    def ask(self, question: str, *, ground: bool | str = "auto") -> Answer:
        assert ground is True
        self.asked.append(question)
        masks = self.finds.get(question.removeprefix("Segment ").removesuffix("."))
        if masks is None:
            return Answer(Turn(question, (), "No.", "No.", ()), {})
        phrase = Phrase("It", 0, 2, "obj7")
        return Answer(Turn(question, (), "It.", "It.", (phrase,)), {"obj7": Masklet.from_masks("obj7", masks)})


def answers(*answers: str) -> list[DraftTurn]:
    return [DraftTurn("What does the dog <obj1> do?", answer, "dialogue") for answer in answers]


def test_a_phrase_by_which_another_object_is_found_is_held_against_its_turn() -> None:
    finder = Finder({"the brown dog": square(2), "the white dog": square(24), "a bird": np.ones_like(square(2))})
    draft = make_draft(
        *answers(
            "<p>The brown dog</p><obj1> runs.",
            "<p>the white dog</p><obj1> runs past <p>the brown dog</p><obj1>.",
            "<p>a bird</p><obj3> sings.",
            "<p>a ghost</p><obj3> sings.",
        )
    )
    results = phrase_agreement(finder, SUBJECT, draft)
    assert [one.finding for one in results] == ["agrees", "other", "agrees", "unclear", "unclear"]
    assert results[0].iou == 1.0
    assert (results[1].best_id, results[1].best_iou, results[1].iou) == ("obj2", 1.0, 0.0)
    assert len(finder.asked) == 4  # equal words are asked for once
    (problem,) = disagreements(results)
    assert (problem.place, problem.reason) == ("turn 2", "masks_disagree")
    assert "obj2 (IoU 1.00), not obj1 (IoU 0.00)" in problem.detail


def test_a_group_is_found_when_all_of_it_is() -> None:
    both = square(2) | square(24)
    draft = make_draft(*answers("<p>The two dogs</p><obj1><obj2> run."))
    (result,) = phrase_agreement(Finder({"the two dogs": both}), SUBJECT, draft)
    assert result.finding == "agrees"
    assert result.iou == 1.0
    (half,) = phrase_agreement(Finder({"the two dogs": square(2)}), SUBJECT, draft, least_iou=0.6)
    assert half.iou == 0.5
    assert half.finding == "unclear"


def test_overlap_is_that_of_volumes() -> None:
    one, other = (Masklet.from_masks("obj1", square(2, shown)).rles for shown in (range(10), range(5, 15)))
    assert track_iou(one, other) == pytest.approx(5 / 15)
    assert track_iou([None, None], [None, None]) == 0.0
    assert joined_track([one]) is one
    assert sum(rle is not None for rle in joined_track([one, other])) == 15
