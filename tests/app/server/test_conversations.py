"""What the server remembers of conversations: who gets which session, at what cost, and what is dropped."""

import json
import threading
from collections.abc import Iterator

import pytest
import torch
from tiny_model import filled, moving_squares, tiny_model

import sama_video as sama
from sama_video.app.server.conversations import Conversations
from sama_video.chat.grounding import grounding_json
from sama_video.chat.loading import LoadedModel
from sama_video.chat.replay import PastTurn
from sama_video.chat.session import ChatSession
from sama_video.errors import SamaError, SessionError

PLENTY = 1 << 30
CLICK = sama.Mask(frame=2, mask=filled((4, 6, 18, 20)))
LATER = sama.Mask(seconds=0.3, mask=filled((44, 20, 60, 40)))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip() -> sama.Clip:
    return moving_squares(4)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    from dataclasses import replace

    from sama_video.model.decoding import Sampling

    return replace(tiny_model(), sampling=Sampling(max_new_tokens=8))


@pytest.fixture
def kept(model: LoadedModel) -> Conversations:
    return Conversations(model, PLENTY)


class Caller:
    """Somebody who keeps a conversation and sends all of it each time.

    Args:
        grounded: Whether groundings are sent back, through JSON.
    """

    def __init__(self, kept: Conversations, clip: sama.Clip, *, key: str = "key", grounded: bool = True) -> None:
        self.kept, self.clip, self.key, self.grounded = kept, clip, key, grounded
        self.turns: list[PastTurn] = []
        self.session: ChatSession | None = None

    def ask(self, question: str, *regions: sama.Region, ground: bool = False) -> sama.Answer:
        with self.kept.open(self.key, "clip", self.clip, self.turns) as session:
            answer = session.ask(question, regions, ground=ground)
            sent = json.loads(json.dumps(grounding_json(session, answer)))
            self.session = session
        self.turns.append(PastTurn(question, regions, answer.text, sent if self.grounded else None))
        return answer

    def but(self, *, turns: int | None = None, grounded: bool | None = None, key: str | None = None) -> "Caller":
        """The same caller, who sends less, or has another key."""
        other = Caller(self.kept, self.clip, key=key or self.key, grounded=self.grounded)
        other.turns = self.turns[:turns]
        if grounded is False:
            other.turns = [PastTurn(turn.question, turn.regions, turn.content) for turn in other.turns]
        return other


def told(answer: sama.Answer) -> tuple[object, ...]:
    return answer.raw, answer.phrases, answer.segs, {name: answer.masklets[name] for name in answer.masklets}


@pytest.mark.parametrize("grounded", [True, False])
def test_a_second_turn_reads_only_its_own_words(kept: Conversations, clip: sama.Clip, grounded: bool) -> None:
    caller = Caller(kept, clip, grounded=grounded)
    caller.ask("What is <region>?", CLICK, ground=True)
    first = caller.session
    second = caller.ask("And <obj1>, beside <region>?", LATER, ground=True)
    third = caller.ask("And now?")
    assert caller.session is first
    assert (second.timing.vision_frames_encoded, third.timing.vision_frames_encoded) == (0, 0)
    assert third.timing.reused_tokens > second.timing.reused_tokens > second.timing.prefill_tokens
    stats = kept.stats()
    assert (stats.hits, stats.partial_hits, stats.misses, stats.forks) == (2, 0, 0, 0)
    assert (stats.turns_reused, stats.turns_replayed, stats.conversations, stats.clips) == (3, 0, 1, 1)


def test_forgetting_costs_time_only(kept: Conversations, model: LoadedModel, clip: sama.Clip) -> None:
    caller, forgetful = Caller(kept, clip), Caller(Conversations(model, 0), clip)
    answers = []
    for question, regions in (("What is <region>?", [CLICK]), ("And <obj1>, <region>?", [LATER]), ("Where?", [])):
        answers.append([someone.ask(question, *regions, ground=True) for someone in (caller, forgetful)])
    assert caller.turns == forgetful.turns
    assert [told(one) for one, _ in answers] == [told(other) for _, other in answers]
    stats = forgetful.kept.stats()
    assert (stats.hits, stats.misses, stats.turns_replayed) == (0, 2, 3)
    assert (stats.conversations, stats.clips, stats.bytes, stats.evictions) == (0, 0, 0, 3)


def test_a_fork_goes_on_from_where_the_session_stood(kept: Conversations, model: LoadedModel, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    for question in ("What is here?", "And there?", "And now?"):
        caller.ask(question, ground=True)
    forked, apart = caller.but(turns=1), caller.but(turns=1)
    apart.kept = Conversations(model, PLENTY)
    answer = forked.ask("Where does it go?", ground=True)
    assert told(answer) == told(apart.ask("Where does it go?", ground=True))
    assert (answer.timing.vision_frames_encoded, answer.timing.segmenter_frames_encoded) == (0, 0)
    assert answer.timing.reused_tokens > answer.timing.prefill_tokens
    assert forked.session is not caller.session
    caller.ask("And then?")
    stats = kept.stats()
    assert (stats.forks, stats.turns_replayed, stats.misses, stats.conversations) == (1, 0, 0, 2)


def test_a_session_in_use_is_nobody_elses(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    expected = caller.ask("What is <region>?", CLICK, ground=True)
    with (
        kept.open("key", "clip", clip, caller.turns) as one,
        kept.open("key", "clip", clip, caller.but(grounded=False).turns) as two,
    ):
        assert kept.stats().in_use == 2
        assert one is not two
        assert one.dialogue == two.dialogue
        assert two.masklet("obj1") == expected.masklets["obj1"]
        stream = one.stream("And now?")
        next(stream)
        answer = two.ask("And now?")
        *_, last = stream
        assert last.answer.raw == answer.raw
    assert kept.stats().in_use == 0


def test_a_turn_left_half_way_is_not_remembered(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    caller.ask("What is here?")
    with kept.open("key", "clip", clip, caller.turns) as session:
        stream = session.stream("And now?")
        next(stream)
    assert kept.stats().conversations == 0
    stream.close()
    assert caller.ask("And now?").text == Caller.ask(caller.but(turns=1), "And now?").text


def test_no_key_gets_what_another_said_or_saw(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip, key="one")
    caller.ask("What is <region>?", CLICK, ground=True)
    other = caller.but(key="two")
    answer = other.ask("And <obj1>?")
    assert other.session is not caller.session
    assert other.session is not None
    assert caller.session is not None
    assert other.session.states is not caller.session.states
    assert other.session.masks.tracker.cache is not caller.session.masks.tracker.cache
    assert answer.timing.vision_frames_encoded > 0
    stranger = caller.but(key="three", grounded=False)
    with pytest.raises(SessionError, match="'obj9' is no object"):
        stranger.ask("And <obj9>?")
    assert (kept.stats().hits, kept.stats().misses, kept.stats().clips) == (0, 2, 3)


def test_options_keep_conversations_apart(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    caller.ask("What is here?")
    with kept.open("key", "clip", clip, caller.turns, protocol="paper") as session:
        assert session.chooser.protocol == "paper"
        assert session is not caller.session
    with kept.open("key", "other", clip, caller.turns) as session:
        assert session is not caller.session
    assert kept.stats().misses == 2


def test_content_alone_is_known_and_edited_grounding_is_not(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    caller.ask("What is <region>?", CLICK, ground=True)
    [turn] = caller.turns
    as_javascript = json.loads(json.dumps(turn.grounding), parse_float=lambda text: _plain(float(text)))
    reordered = dict(reversed(as_javascript.items()))
    for same in (None, turn.grounding, reordered):
        with kept.open("key", "clip", clip, [PastTurn(turn.question, turn.regions, turn.content, same)]) as session:
            assert session is caller.session
    moment = sama.Mask(seconds=0.2, mask=CLICK.mask)
    with kept.open("key", "clip", clip, [PastTurn(turn.question, (moment,), turn.content)]) as session:
        assert session is caller.session
    edited = json.loads(json.dumps(turn.grounding))
    edited["masklets"][0]["frames"][1].update(mask=CLICK.mask)
    for other in (
        PastTurn(turn.question, turn.regions, turn.content, edited),
        PastTurn(turn.question, turn.regions, "Something else."),
        PastTurn(turn.question, (sama.Mask(frame=3, mask=CLICK.mask),), turn.content),
        PastTurn("What is <region>, then?", turn.regions, turn.content),
    ):
        with kept.open("key", "clip", clip, [other]) as session:
            assert session is not caller.session
    assert (kept.stats().hits, kept.stats().misses) == (4, 4)
    with kept.open("key", "clip", clip, [PastTurn(turn.question, turn.regions, turn.content, edited)]) as session:
        assert session.masklet(edited["masklets"][0]["object"]).rles[1] == CLICK.mask
    assert kept.stats().hits == 5


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() else number


def test_masks_are_preferred_to_plain_text(kept: Conversations, model: LoadedModel, clip: sama.Clip) -> None:
    source = Caller(Conversations(model, PLENTY), clip)
    source.ask("What is <region>?", CLICK, ground=True)
    source.kept = kept
    for grounded in (False, True):
        with kept.open("key", "clip", clip, source.but(grounded=grounded).turns):
            pass
    assert kept.stats().misses == 2
    with kept.open("key", "clip", clip, source.but(grounded=False).turns) as session:
        assert session.dialogue[0].raw == source.session.dialogue[0].raw  # type: ignore[union-attr]
        assert "[SEG]" in session.dialogue[0].raw


def test_a_refused_turn_leaves_what_came_before(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    caller.ask("What is here?")
    bad = PastTurn("And <obj7>?", (), "A square.")
    for refused in (bad, PastTurn("And?", (), "Yes.", {"phrases": 3}), PastTurn("And?", (), "Yes.", deep())):
        with pytest.raises(SamaError):
            kept.open("key", "clip", clip, [*caller.turns, refused])
    assert kept.stats().in_use == 0
    first = caller.session
    caller.ask("And now?")
    assert caller.session is first


def deep() -> dict[str, object]:
    nested: dict[str, object] = {}
    for _ in range(200):
        nested = {"phrases": nested}
    return nested


def test_the_least_recently_used_goes_first_and_clips_last(model: LoadedModel, clip: sama.Clip) -> None:
    kept = Conversations(model, PLENTY)
    callers = [Caller(kept, clip) for _ in range(3)]
    for number, caller in enumerate(callers):
        caller.ask(f"What is here {number}?")
    callers[0].ask("And now?")
    before = kept.stats()
    kept.byte_budget = before.bytes
    extra = Caller(kept, clip)
    extra.ask("What else?")
    after = kept.stats()
    assert after.bytes <= before.bytes
    assert after.evictions >= 1
    assert after.clips == 1
    for caller, hit in ((callers[0], 1), (callers[1], 0)):
        hits = kept.stats().hits
        with kept.open("key", "clip", clip, caller.turns):
            assert kept.stats().hits - hits == hit
    kept.byte_budget = 0
    Caller(kept, clip).ask("And?")
    assert (kept.stats().bytes, kept.stats().clips, kept.stats().conversations) == (0, 0, 0)


def test_bytes_are_those_of_the_tensors_and_masks(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    caller.ask("What is here?", ground=True)
    session = caller.session
    assert session is not None
    state, features = session.history._cache, session.masks.tracker.cache
    assert state is not None
    assert features is not None
    keys = sum(layer.keys.nbytes + layer.values.nbytes for layer in state.cache.layers)  # type: ignore[union-attr,operator]
    frames = sum(kept.nbytes for kept in session.states._tokens.values())
    text = sum(len(rle["counts"]) for known in session.objects.values() for rle in known.masklet.rles if rle)  # type: ignore[union-attr]
    assert kept.stats().bytes >= keys + frames + features.nbytes + text
    assert session.nbytes >= keys + text
    assert session.shared_nbytes >= frames + features.nbytes


def test_a_clip_that_goes_takes_its_conversations_along(kept: Conversations, clip: sama.Clip) -> None:
    caller = Caller(kept, clip)
    caller.ask("What is here?")
    kept.forget("other")
    assert kept.stats().conversations == 1
    kept.forget("clip")
    assert (kept.stats().conversations, kept.stats().clips, kept.stats().bytes) == (0, 0, 0)


def test_threads_get_what_each_would_get_alone(model: LoadedModel, clip: sama.Clip) -> None:
    kept = Conversations(model, 1 << 20)
    start = Caller(kept, clip)
    start.ask("What is here?", ground=True)
    found: dict[int, list[object]] = {}

    def talk(number: int) -> None:
        caller = start.but(turns=number % 2)
        found[number] = [told(caller.ask(f"Where is it {number}?", ground=True)), told(caller.ask("And now?"))]

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        caller = start.but(turns=number % 2)
        caller.kept = Conversations(model, PLENTY)
        alone = [told(caller.ask(f"Where is it {number}?", ground=True)), told(caller.ask("And now?"))]
        assert found[number] == alone
    assert kept.stats().in_use == 0


def test_short_conversations_do_not_pile_up(model: LoadedModel, clip: sama.Clip) -> None:
    kept = Conversations(model, 400_000)
    sizes = []
    for number in range(60):
        with kept.open(f"key {number % 7}", f"clip {number}", clip, []) as session:
            session.adopt(f"What is here {number}?", answer="A square.")
        sizes.append((kept.stats().conversations, len(kept._by_chain), len(kept._rooms), len(kept._recent)))
        assert kept.stats().bytes <= 400_000
    assert kept.stats().evictions > 0
    assert max(sizes[40:]) == max(sizes[20:40])
