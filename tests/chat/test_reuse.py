"""What later turns cost, and that reuse changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import filled, moving_squares, tiny_model

import sama_video as sama
from sama_video.chat.loading import LoadedModel
from sama_video.chat.session import ChatSession
from sama_video.video.clip import Clip
from sama_video.video.writer import write_video

Say = Callable[..., None]
CLICK = sama.Points(frame=0, xy=[(10, 12)])


def told(answer: sama.Answer) -> tuple[object, ...]:
    masklets = {name: answer.masklets[name].rles for name in answer.masklets}
    return answer.raw, answer.phrases, masklets


def questions(chat: ChatSession) -> list[sama.Answer]:
    """Three turns: a click, a text, and a box on a frame not seen before."""
    return [
        chat.ask("What is <region>?", [CLICK], ground=True),
        chat.ask("And what does it pass?", ground=True),
        chat.ask("Is <region> like <obj1>?", [sama.Box(frame=5, xyxy=(44, 10, 62, 34))], ground=True),
    ]


def test_the_second_turn_reads_only_its_own_words(chat: ChatSession) -> None:
    first = chat.ask("What is here?", ground=True)
    read, known = chat.history.num_read, len(chat.history._closed_ids())
    second = chat.ask("And what does it pass?", ground=True)
    assert first.timing.vision_frames_encoded == len(chat.chooser.whole.context)
    assert first.timing.segmenter_frames_encoded == chat.clip.num_frames
    assert (second.timing.vision_frames_encoded, second.timing.segmenter_frames_encoded) == (0, 0)
    own = len(chat.history._turn_ids(chat.history.turns[1], first=False))
    assert second.timing.reused_tokens == read
    assert second.timing.prefill_tokens == own + known - read


def test_a_frame_first_pointed_at_later_is_encoded_once_and_added_as_one_block(chat: ChatSession) -> None:
    chat.ask("What is here?", ground=False)
    frame = next(idx for idx in range(12) if idx not in chat.states._tokens)
    before = chat.history._closed_ids()
    answer = chat.ask("What is <region>?", [sama.Points(frame=frame, xy=[(10, 12)])], ground=False)
    assert answer.timing.vision_frames_encoded == 1
    assert answer.timing.segmenter_frames_encoded == 1
    assert chat.history.turns[-1].frames.dense == (frame,)
    assert chat.history._closed_ids()[: len(before)] == before
    assert frame in chat.history.shown
    again = chat.ask("Where is <region>?", [sama.Points(frame=frame, xy=[(12, 12)])], ground=False)
    assert again.timing.vision_frames_encoded == 0
    assert chat.history.turns[-1].frames.dense == ()


def test_a_dropped_cache_changes_no_answer(model: LoadedModel, clip: Clip) -> None:
    kept, dropping = (model.chat(clip, max_new_tokens=12) for _ in range(2))
    states: dict[str, list[torch.Tensor]] = {"kept": [], "dropping": []}
    for name, chat in (("kept", kept), ("dropping", dropping)):
        record_states(chat, states[name])
    expected = questions(kept)
    found = []
    for ask in (
        lambda: dropping.ask("What is <region>?", [CLICK], ground=True),
        lambda: dropping.ask("And what does it pass?", ground=True),
        lambda: dropping.ask("Is <region> like <obj1>?", [sama.Box(frame=5, xyxy=(44, 10, 62, 34))], ground=True),
    ):
        dropping.history.drop_cache()
        found.append(ask())
    assert [told(answer) for answer in found] == [told(answer) for answer in expected]
    assert dropping.history._closed_ids() == kept.history._closed_ids()
    assert len(states["kept"]) >= 3
    torch.testing.assert_close(torch.stack(states["dropping"]), torch.stack(states["kept"]), atol=2e-5, rtol=1e-4)


def record_states(chat: ChatSession, states: list[torch.Tensor]) -> None:
    bind = chat.bind

    def recording(ready: Any, row: Any, ground: Any, *, num_answer_read: int) -> Any:
        states.extend(row.seg_states)
        return bind(ready, row, ground, num_answer_read=num_answer_read)

    chat.bind = recording  # type: ignore[method-assign]


def test_a_batch_gives_the_answers_of_one_by_one(model: LoadedModel) -> None:
    rows = [
        (moving_squares(12), "What is here?"),
        (moving_squares(3), "What is <region> and where does it go in the end?", [CLICK]),
        (moving_squares(1), "Where is the red square?"),
    ]
    for options in ({}, {"temperature": 0.7}):
        together = model.answer_batch(rows, ground=True, max_new_tokens=14, **options)
        alone = [
            model.chat(row[0], max_new_tokens=14, **options).ask(*row[1:], ground=True)  # type: ignore[arg-type]
            for row in rows
        ]
        assert [told(answer) for answer in together] == [told(answer) for answer in alone]


def test_padding_in_a_batch_leaves_the_states_as_they_were(model: LoadedModel) -> None:
    chat = model.chat(moving_squares(4))
    decoder = chat.decoder("auto")
    torch.manual_seed(0)
    short, long = torch.randn(1, 7, 64), torch.randn(1, 19, 64)
    padded = torch.cat([torch.nn.functional.pad(short, (0, 0, 12, 0)), long])
    state = decoder.prefill(padded, padding=[12, 0])
    for row, embeds in enumerate((short, long)):
        alone = decoder.prefill(embeds)
        torch.testing.assert_close(state.next_logits[row], alone.next_logits[0], atol=1e-5, rtol=1e-4)
        assert int(state.next_positions[row]) == int(alone.next_positions[0])


def test_no_questions_give_no_answers(model: LoadedModel) -> None:
    assert model.answer_batch([]) == []
    with pytest.raises(sama.SamaError, match=r"\(video, question\)"):
        model.answer_batch([("only a video",)])


def sources(tmp_path: Path) -> dict[str, Any]:
    clip = moving_squares(10)
    path = tmp_path / "clip.mp4"
    write_video(path, (clip.frame(idx) for idx in range(10)), fps=10)
    return {"file": str(path), "bytes": path.read_bytes(), "array": clip.frames(range(10)), "clip": clip}


@pytest.mark.parametrize("source", ["file", "bytes", "array", "clip"])
def test_a_restored_session_gives_the_same_next_answer(model: LoadedModel, tmp_path: Path, source: str) -> None:
    video = sources(tmp_path)[source]
    options = {"max_new_tokens": 12, "temperature": 0.5}
    unbroken = model.chat(video, **options)
    unbroken.ask("What is <region>?", [CLICK], ground=True)
    unbroken.ask("And now?", span=(0.2, 0.6))
    unbroken.save(tmp_path / "out")
    restored = model.restore(tmp_path / "out")
    assert restored.dialogue == unbroken.dialogue
    assert restored.clip.duration == unbroken.clip.duration
    assert restored.history._closed_ids() == unbroken.history._closed_ids()
    question = ("Is <obj1> here too, as <region> is?", [sama.Box(frame=7, xyxy=(44, 10, 62, 34))])
    assert told(restored.ask(*question, ground=True)) == told(unbroken.ask(*question, ground=True))
    restored.save(tmp_path / "again")
    assert len(model.restore(tmp_path / "again").dialogue) == 3


def test_a_restored_paper_session_tracks_from_the_same_prompts(model: LoadedModel, clip: Clip, tmp_path: Path) -> None:
    unbroken = model.chat(clip, protocol="paper", max_new_tokens=12)
    name = unbroken.ask("What is here?", ground=True).phrases[0].object_id
    assert name is not None
    unbroken.save(tmp_path)
    restored = model.restore(tmp_path)
    box = sama.Box(frame=9, xyxy=(30, 6, 44, 20))
    assert restored.refine(name, box) == unbroken.refine(name, box)


def test_sessions_do_not_know_each_other(model: LoadedModel, clip: Clip) -> None:
    alone = questions(model.chat(clip, max_new_tokens=12))
    one, other = (model.chat(clip, max_new_tokens=12) for _ in range(2))
    mixed = [one.ask("What is <region>?", [CLICK], ground=True)]
    other.ask("Where is the blue square?", [], ground=True)
    mixed.append(one.ask("And what does it pass?", ground=True))
    other.track([sama.Mask(frame=3, mask=filled((2, 2, 9, 9)))])
    mixed.append(one.ask("Is <region> like <obj1>?", [sama.Box(frame=5, xyxy=(44, 10, 62, 34))], ground=True))
    assert [told(answer) for answer in mixed] == [told(answer) for answer in alone]


def test_nothing_kept_by_the_segmenter_gives_the_same_answers(model: LoadedModel, clip: Clip) -> None:
    cached = questions(model.chat(clip, max_new_tokens=12))
    bare = model.chat(clip, max_new_tokens=12, cache_bytes=0)
    assert [told(answer) for answer in questions(bare)] == [told(answer) for answer in cached]


def test_drawing_tokens_depends_on_the_seed_alone(clip: Clip) -> None:
    from dataclasses import replace

    from sama_video.model.decoding import Sampling

    def raw(seed: int) -> list[str]:
        seeded = replace(tiny_model(), sampling=Sampling(seed=seed))
        chat = seeded.chat(clip, max_new_tokens=12, temperature=1.0)
        return [chat.ask("What is here?", ground=False).raw, chat.ask("And what is here?", ground=False).raw]

    assert raw(3) == raw(3)
    assert raw(3) != raw(4)
    assert len(set(raw(3))) == 2


def test_frames_of_another_shape_of_clip_work(model: LoadedModel) -> None:
    for frames in (1, 2, 7):
        chat = model.chat(moving_squares(frames), max_new_tokens=12)
        answer = chat.ask("What is <region>?", [CLICK], ground=True)
        assert answer.masklets["obj1"].masks.shape == (frames, 48, 64)
        assert chat.ask("And now?", ground=True).phrases
    image = np.full((30, 50, 3), 90, np.uint8)
    assert model.chat(image[None], max_new_tokens=8).ask("What is here?", ground=True).phrases
