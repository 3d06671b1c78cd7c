"""A model of ours under test gives its sessions' answers, whatever is shared and wherever a run goes on."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import moving_squares, tiny_model

from sama_video.bench.models import ModelChoice, Outcome, own_device
from sama_video.bench.models.session import SessionModel, as_drawn, dialogues, open_model, readable
from sama_video.bench.task import Prediction, Sample, TaskOptions
from sama_video.errors import CheckpointError, ConfigError
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points

OPTIONS = {"max_new_tokens": 10}
CLICK, SQUARE = Points(frame=0, xy=[(10, 12)]), Box(frame=5, xyxy=(44, 10, 62, 34))


@pytest.fixture(scope="module")
def clip():
    return moving_squares(8)


@pytest.fixture(scope="module")
def samples(clip):
    def sample(turn, question, *regions, **changes):
        return Sample(
            f"q{turn}",
            "squares",
            "",
            str(turn),
            lambda: clip,
            question,
            regions,
            ground=True,
            reference_text=f"<p> the square </p> [SEG] moves {turn}.",
            reference_tracks=lambda: pytest.fail("a reference mask was read"),
            dialogue="d",
            turn_idx=turn,
            **changes,
        )

    return [
        sample(0, "What is <region>?", CLICK),
        sample(1, "And what does it pass?"),
        sample(2, "Is <region> like it?", SQUARE),
    ]


def ask(samples, history="single", known=(), batch=1, **options):
    model = SessionModel(tiny_model(), OPTIONS | options, batch)
    stored = {sample_id: stub(sample_id) for sample_id in known}
    return list(model.answer(samples, TaskOptions(history=history), stored))


def stub(sample_id):
    return Prediction(sample_id, "", "", "", "squares", "", "", "", (), (), "stored before")


def told(outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(outcome, seconds=0) for outcome in outcomes]


def test_questions_on_their_own_get_the_answers_of_fresh_sessions(clip, samples) -> None:
    for sample, outcome in zip(samples, ask(samples), strict=True):
        session = tiny_model().chat(clip, **OPTIONS)
        answer = session.ask(sample.question, sample.regions, ground=True)
        assert outcome.text == answer.raw
        assert outcome.phrases == tuple(phrase.text.lower() for phrase in answer.phrases)
        assert outcome.tracks == tuple(answer.masklets[name].rles for name in answer.segs)
        assert len(outcome.tracks) == answer.raw.count("[SEG]") > 0
        assert all(len(track) == 8 for track in outcome.tracks)
        shown = session.history.turns[0].frames
        assert outcome.frames == tuple(sorted({*shown.context, *shown.dense}))
        assert outcome.history == ()
        assert outcome.error is None
        assert outcome.seconds > 0


def test_frames_are_encoded_once_for_all_questions(samples, monkeypatch) -> None:
    model = tiny_model().model.model
    encoded, encode = [], model.encode_frames
    monkeypatch.setattr(model, "encode_frames", lambda pixels: encoded.append(len(pixels)) or encode(pixels))
    ask(samples)
    assert 0 < sum(encoded) <= 8


def test_the_teachers_answers_go_before_a_question_and_the_teachers_masks_do_not(clip, samples) -> None:
    outcomes = ask(samples, "teacher")
    session = tiny_model().chat(clip, **OPTIONS)
    for sample in samples[:2]:
        session.adopt(sample.question, sample.regions, answer=sample.reference_text)
    last = session.ask(samples[2].question, samples[2].regions, ground=True)
    assert outcomes[2].text == last.raw
    assert outcomes[2].history == tuple((sample.question, sample.reference_text) for sample in samples[:2])
    assert outcomes[0] == replace(ask(samples[:1])[0], seconds=outcomes[0].seconds)
    # samples' reference_tracks fail the test when they are called


def test_its_own_answers_go_before_a_question(clip, samples) -> None:
    outcomes = ask(samples, "self")
    session = tiny_model().chat(clip, **OPTIONS)
    answers = [session.ask(sample.question, sample.regions, ground=True) for sample in samples]
    assert [outcome.text for outcome in outcomes] == [answer.raw for answer in answers]
    assert outcomes[2].history == tuple((s.question, a.raw) for s, a in zip(samples[:2], answers, strict=False))


@pytest.mark.parametrize("history", ["single", "teacher", "self"])
def test_a_run_that_goes_on_gives_the_answers_of_an_unbroken_one(samples, history) -> None:
    whole = told(ask(samples, history))
    for known in (["q0"], ["q0", "q1"], ["q1"]):
        rest = told(ask(samples, history, known))
        assert rest == [outcome for outcome in whole if outcome.sample_id not in known]


@pytest.mark.parametrize("history", ["single", "teacher"])
def test_a_batch_gives_the_answers_of_one_by_one(samples, history) -> None:
    alone = told(ask(samples, history))
    assert told(ask(samples, history, batch=2)) == alone
    assert told(ask(samples, history, known=["q0"], batch=2)) == alone[1:]


def test_nothing_is_asked_of_a_video_that_is_known(samples) -> None:
    for history in ("single", "self"):
        assert ask(samples, history, known=["q0", "q1", "q2"]) == []


def test_a_question_that_fails_leaves_the_others_alone(samples) -> None:
    broken = [
        samples[0],
        replace(samples[1], question="What is <region>?", regions=(Box(frame=99, xyxy=(1, 1, 9, 9)),)),
    ]
    for batch in (1, 2):
        good, bad = ask(broken, batch=batch)
        assert good.error is None
        assert "box on frame 99, but the clip has 8 frames" in bad.error
        assert (bad.text, bad.tracks) == (None, ())


def test_a_dialogue_of_its_own_ends_where_a_turn_fails(samples) -> None:
    broken = replace(samples[1], regions=(CLICK,))
    outcomes = ask([samples[0], broken, samples[2]], "self")
    assert [outcome.error is None for outcome in outcomes] == [True, False, False]
    assert outcomes[2].error == "the dialogue broke off at q1, so its later turns were not asked"


def test_a_teacher_without_answers_is_a_failure(samples) -> None:
    mute = [replace(samples[0], reference_text=""), samples[1]]
    assert "q0 has no reference answer to show first" in ask(mute, "teacher")[1].error


def test_dialogues_are_told_apart_and_turns_put_in_order(samples) -> None:
    alone = replace(samples[0], sample_id="x", dialogue="")
    other = replace(samples[0], sample_id="y", dialogue="")
    groups = dialogues([samples[2], alone, samples[0], other])
    assert [[sample.sample_id for sample in group] for group in groups] == [["q0", "q2"], ["x"], ["y"]]


class Blind:
    """A session whose segmenter finds nothing."""

    def __init__(self, clip) -> None:
        self.real = tiny_model().chat(clip)
        self.clip, self.pointing, self.masks = clip, self.real.pointing, self

    def region_mask(self, region):
        from sama_video.errors import RegionError

        raise RegionError("no object was found")


def test_a_region_in_which_nothing_is_found_is_shown_as_it_was_drawn(clip) -> None:
    box, points, mask = readable(Blind(clip), [SQUARE, Points(frame=2, xy=[(0, 0), (20, 30)], labels=[1, 0]), MASK])
    assert (box.frame, int(box.dense().sum())) == (5, 18 * 24)
    assert box.dense()[10:34, 44:62].all()
    assert (points.frame, int(points.dense().sum())) == (2, 4)
    assert mask is MASK
    found = readable(tiny_model().chat(clip), [SQUARE])
    assert found == (SQUARE,)


MASK = Mask(frame=1, mask=np.ones((48, 64), bool))


def test_pixels_that_a_box_touches_are_in_it() -> None:
    drawn = as_drawn(Box(frame=0, xyxy=(0.5, 1.2, 2.1, 2.0)), 4, 5)
    assert drawn.dense().astype(int).tolist() == [[0] * 5, [1, 1, 1, 0, 0], [0] * 5, [0] * 5]
    assert as_drawn(ObjectRef("obj1"), 4, 5) == ObjectRef("obj1")


def test_the_revision_tells_all_that_changes_an_answer() -> None:
    model = SessionModel(tiny_model("paper"), {}, 4, ("max_frames=3", "batch=4"))
    assert model.revision == "unsaved paper float32 max_frames=3 batch=4"
    assert model.name == "tiny"


def test_a_model_is_opened_by_what_stands_before_the_colon(tmp_path) -> None:
    assert ModelChoice("nano").adapter == "session"
    assert ModelChoice("openai:gpt").adapter == "endpoint"
    assert ModelChoice("hf:Qwen/x").adapter == "transformers_chat"
    assert ModelChoice("file:p.jsonl").adapter == "file"
    assert [ModelChoice(spec).reads_clips for spec in ("nano", "hf:x", "file:p")] == [True, True, False]
    with pytest.raises(CheckpointError):
        ModelChoice(str(tmp_path)).open()
    with pytest.raises(ConfigError, match=r"file:nowhere.jsonl names no file"):
        ModelChoice("file:nowhere.jsonl").open()


def test_the_nano_opens_with_the_options_of_the_command_line() -> None:
    model = open_model("nano", max_frames=4, batch=3, device="cpu", dtype="bfloat16", protocol="paper")
    weights, *settings = model.revision.split()
    assert settings == ["paper", "bfloat16", "max_frames=4", "batch=3"]
    assert len(weights) == 12


def test_processes_share_the_accelerators_out(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [own_device("auto", rank) for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert own_device("cuda:1", 0) == "cuda:1"
    assert own_device("cpu", 3) == "cpu"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert own_device("auto", 1) == "auto"
