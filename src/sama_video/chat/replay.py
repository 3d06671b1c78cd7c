"""A turn that was held elsewhere placed into a conversation, with its objects and masks, without holding it again.

A caller who keeps the conversation sends each past turn back: what was asked, the clean text of the answer, and its
`grounding` as the reply brought it. From that the raw answer, the objects under their names and the token ids are made
again. What comes out depends on what came back:

- With `state` and `raw`, as a reply brings them: the session stands where the one that answered stood, to the last
  token, mask and sighting. Its next answer is that one's, as far as a cache read in one piece and one read turn by turn
  agree in floating point.
- Without `state`: the text is split into tokens anew, which may cut it elsewhere than the model did; frames are chosen
  as for a turn without `span`; an object was first seen as its masklet shows it, which the tracker has redrawn. Without
  `raw`, too, marks stand where the phrases begin and end, so a mark that belonged to no phrase is lost.
- A `state` written by a model with another vocabulary is set aside.
- Without grounding, the answer is plain text, and brings no objects.

Nothing is generated. An object is tracked only where the state says that it had been and its masklet was not sent, or
where a region must be carried to a frame that the model sees.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from sama_video.chat.binding import BoundAnswer
from sama_video.chat.conversation import Question
from sama_video.chat.grounding import KEPT, NONE, SEND_UNCHANGED, Grounding, TurnState, grounding_digest, read_grounding
from sama_video.chat.history import AskedTurn
from sama_video.chat.masks import mask_region
from sama_video.chat.objects import KnownObject, Sighting, object_number
from sama_video.chat.pointing import frame_of, model_question
from sama_video.chat.session import ChatSession
from sama_video.dialogue.markup import REGION_TAG, SEG, parse_answer, render_answer
from sama_video.dialogue.parsing import PhraseSpan
from sama_video.dialogue.turns import Phrase, RegionPrompt, Timing, Turn
from sama_video.errors import DialogueError, SessionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import ObjectRef, Region

NO_SEG = f"phrase without {SEG}"


@dataclass(frozen=True)
class PastTurn:
    """A turn as a caller sends it back.

    Attributes:
        question: With `<region>` and `<objN>` tags.
        regions: One for each `<region>`.
        content: The answer's clean text.
        grounding: What the reply said of its masks, as parsed JSON; `None` when the caller did not keep it.
    """

    question: str
    regions: tuple[Region, ...] = ()
    content: str = ""
    grounding: Any = field(default=None, repr=False)


def replay(session: ChatSession, past: PastTurn) -> Turn:
    """Place a past turn after those that the session knows; whole or not at all.

    Raises:
        SamaError: The turn contradicts itself, the clip, or the turns before it.
    """
    if past.grounding is None:
        return session.adopt(past.question, past.regions, answer=past.content)
    device = session.masks.tracker.segmenter.device
    grounding = read_grounding(past.grounding, session.clip, device=device)
    with session.whole_turn() as costs:
        book = session.book.snapshot()
        text = session.words_of(past.question)
        regions = session.pointing.regions_of(text, past.regions)
        raw = _raw_answer(session, past.content, grounding)
        state = _usable_state(session, grounding, text)
        if state is not None:
            prompts, asked = _by_state(session, grounding, state, regions)
        else:
            prompts, asked = _by_phrases(session, grounding, text, regions, session.answer_ids(raw))
        _check_objects(session, grounding)
        bound = BoundAnswer(raw, past.content, grounding.phrases, (), ())
        turn = session.conclude(Question(past.question, prompts, asked, book), bound, Timing(), costs).turn
        session.marks.tell(len(session.dialogue), grounding_digest(past.grounding))
    return turn


def _raw_answer(session: ChatSession, content: str, grounding: Grounding) -> str:
    """The answer with its marks, which says what the content says."""
    raw = grounding.raw
    if raw is None:
        spans = [_span(phrase.start, phrase.end, phrase.object_id, phrase.reason) for phrase in grounding.phrases]
        return render_answer(content, [span for span in spans if span.start < span.end])
    if session.processor.template.without_stop(raw).strip() != raw:
        raise DialogueError(f"grounding: raw goes on after the answer's end; {SEND_UNCHANGED}.")
    parsed = parse_answer(raw)
    if parsed.text != content:
        raise DialogueError(
            f"the grounding is of an answer that begins {parsed.text[:40]!r}, but the answer is {content[:40]!r}; "
            f"{SEND_UNCHANGED}."
        )
    told = [(phrase.text, phrase.start, phrase.end) for phrase in grounding.phrases]
    if told != [(phrase.text, phrase.start, phrase.end) for phrase in parsed.phrases]:
        raise DialogueError(f"grounding: phrases and raw do not mark the same words; {SEND_UNCHANGED}.")
    return raw


def _span(start: int, end: int, object_id: str | None, reason: str | None) -> PhraseSpan:
    return PhraseSpan(start, end, object_id is not None or NO_SEG not in (reason or ""))


# with the state


def _usable_state(session: ChatSession, grounding: Grounding, text: str) -> TurnState | None:
    """The state, unless it is of another model or follows other turns, as when a caller left out the oldest."""
    state, shown = grounding.state, session.history.shown
    if state is None or grounding.raw is None or state.turns_before != len(session.history.turns):
        return None
    _check_turn(session, state.turn, text)
    frames = state.turn.frames
    visible = {frame for frame, _ in state.turn.regions} <= {*frames.dense, *shown}
    if set(frames.dense) & set(shown) or not visible or not _wrote(session, state, grounding.raw):
        return None
    return state


def _wrote(session: ChatSession, state: TurnState, raw: str) -> bool:
    """Whether the state's ids are this model's for the raw answer."""
    ids, processor = list(state.turn.answer_ids or ()), session.processor
    most = session.model.config.text_config.max_position_embeddings
    if not ids or len(ids) > most or max(ids) >= len(processor.tokenizer):
        return False
    if session.model.config.image_token_id in ids:
        raise DialogueError(f"the answer holds the model's token for pictures; {SEND_UNCHANGED}.")
    spoken = processor.tokenizer.decode(ids[:-1] if ids[-1] == processor.tokenizer.eos_token_id else ids)
    rest = spoken.removeprefix(processor.template.without_stop(spoken)).strip()
    if rest and rest not in processor.template.stop_strings:
        raise DialogueError(f"grounding: the state's answer goes on after its end; {SEND_UNCHANGED}.")
    return processor.raw_answer(ids) == raw


def _check_turn(session: ChatSession, turn: AskedTurn, text: str) -> None:
    """A turn's state shows no more than a turn may, and is of its question."""
    chooser = session.chooser
    most_context = max(len(chooser.whole.context), chooser.max_frames or chooser.config.max_frames)
    most_dense = max(len(chooser.whole.dense), chooser.num_dense) + len(turn.regions)
    context, dense = turn.frames.context, turn.frames.dense
    ordered = all(list(frames) == sorted(set(frames)) for frames in (context, dense))
    within = max((*context, *dense), default=0) < chooser.clip.num_frames
    if not (context and ordered and within and len(context) <= most_context and len(dense) <= most_dense):
        raise SessionError(
            f"grounding: the state shows {len(context)} and {len(dense)} frames; a turn about this clip shows up to "
            f"{most_context} and {most_dense} of its {chooser.clip.num_frames}, in order; {SEND_UNCHANGED}."
        )
    size = [session.clip.height, session.clip.width]
    question = model_question(text)
    fits = len(turn.regions) == question.count(REGION_TAG) and all(mask["size"] == size for _, mask in turn.regions)
    if turn.question != question or not fits:
        raise DialogueError(f"the grounding is of another question than {text[:60]!r}; {SEND_UNCHANGED}.")


def _by_state(
    session: ChatSession, grounding: Grounding, state: TurnState, regions: Sequence[Region]
) -> tuple[tuple[RegionPrompt, ...], AskedTurn]:
    """Objects and question as they were."""
    for name in state.forgotten:
        if name in session.book:
            session.book.forget(name)
    met: dict[str, KnownObject] = {}
    for known in state.objects:
        _check_embeddings(session, known)
        kept = state.became[known.object_id] == KEPT and known.object_id in session.book
        met[known.object_id] = replace(known, masklet=session.book[known.object_id].masklet) if kept else known
    # An object of an earlier turn whose grounding the caller did not keep.
    met |= {name: KnownObject(name, {}) for name in grounding.masklets if name not in met and name not in session.book}
    _meet(session, met)
    session.book.spend(state.met)
    _take_masklets(session, grounding.masklets)
    session.track_all([name for name, became in state.became.items() if became != NONE])
    names = _names(grounding, len(regions))
    if names is None:
        raise DialogueError(f"grounding has a state, but no regions; {SEND_UNCHANGED}.")
    prompts = _prompts(session, regions, names)
    session.history.close(state.turn, state.turn.answer_ids or (), 0)
    return prompts, state.turn


def _check_embeddings(session: ChatSession, known: KnownObject) -> None:
    wanted = session.model.model.grounding_head.linear_2.out_features
    for sighting in known.sightings.values():
        if isinstance(sighting.shown_as, Tensor) and sighting.shown_as.shape != (wanted,):
            raise SessionError(
                f"grounding: {known.object_id} has an embedding of {sighting.shown_as.numel()} numbers, but those of "
                f"this model have {wanted}; {SEND_UNCHANGED}."
            )


# without


def _by_phrases(
    session: ChatSession, grounding: Grounding, text: str, regions: Sequence[Region], ids: list[int]
) -> tuple[tuple[RegionPrompt, ...], AskedTurn]:
    """Objects and question as nearly as phrases and masklets tell."""
    names = _names(grounding, len(regions))
    if grounding.state is None:
        _check_order(session, grounding.phrases)
    if names is None:
        names = tuple(session.pointing.name(region).object_id for region in regions)
        shown: dict[str, KnownObject] = {}
    else:
        shown = _shown(session, regions, names)
    found = [name for name in grounding.masklets if name not in session.book and name not in shown]
    _meet(session, {**shown, **{name: KnownObject(name, {}) for name in found}})
    _take_masklets(session, grounding.masklets)
    prompts = _prompts(session, regions, names)
    asked = session.lay_out(text, prompts)
    session.history.close(asked, ids, 0)
    for name in found:
        session.book.update(name, sightings=_seen_in(grounding.masklets[name], session.prompted_frames()))
    for phrase in grounding.phrases:
        if phrase.object_id is not None and phrase.object_id in session.book:
            session.book.update(phrase.object_id, name=phrase.text)
    return prompts, asked


def _shown(session: ChatSession, regions: Sequence[Region], names: Sequence[str]) -> dict[str, KnownObject]:
    """The objects that the question's regions show, under the names they got."""
    shown: dict[str, KnownObject] = {}
    for region, name in zip(regions, names, strict=True):
        resolved = session.pointing.resolve(region)
        if isinstance(resolved, ObjectRef):
            continue
        frame_idx, mask = frame_of(resolved), session.masks.region_mask(resolved)
        is_new = name not in session.book and name not in shown
        known = shown.get(name) or (KnownObject(name, {}) if is_new else session.book[name])
        seen = known.sightings.get(frame_idx) or Sighting(frame_idx, mask, resolved if is_new else None)
        shown[name] = replace(known, sightings={**known.sightings, frame_idx: seen})
    return shown


def _check_order(session: ChatSession, phrases: Sequence[Phrase]) -> None:
    named = dict.fromkeys(phrase.object_id for phrase in phrases if phrase.object_id is not None)
    fresh = [name for name in named if name not in session.book]
    if fresh != sorted(fresh, key=object_number):
        raise SessionError(f"the phrases' new objects are {', '.join(fresh)}; they are named in the order of the text.")


def _seen_in(masklet: Masklet, frames: Iterable[int]) -> dict[int, Sighting]:
    return {idx: Sighting(idx, masklet.rles[idx], mask_region(idx, masklet.rles[idx])) for idx in frames}


# either way


def _names(grounding: Grounding, num_regions: int) -> tuple[str, ...] | None:
    """The objects of the question's regions, if told."""
    if grounding.names is not None and len(grounding.names) != num_regions:
        raise DialogueError(
            f"grounding names {len(grounding.names)} objects of the question's {num_regions} regions; {SEND_UNCHANGED}."
        )
    return grounding.names


def _prompts(session: ChatSession, regions: Sequence[Region], names: Sequence[str]) -> tuple[RegionPrompt, ...]:
    return tuple(
        RegionPrompt(session.pointing.resolve(region), session.book[name].object_id)
        for region, name in zip(regions, names, strict=True)
    )


def _meet(session: ChatSession, objects: Mapping[str, KnownObject]) -> None:
    """Take in objects, new ones in the order of their names."""
    for name in sorted(objects, key=object_number):
        session.book.put(objects[name])


def _take_masklets(session: ChatSession, masklets: Mapping[str, Masklet]) -> None:
    """Give known objects the masklets that were sent; where a refined one differs, it replaces what was seen."""
    for name, masklet in masklets.items():
        if name not in session.book:
            continue
        known = session.book[name]
        if known.masklet is None:
            session.book.update(name, masklet=masklet)
        elif known.masklet != masklet:
            session.book.put(replace(known, masklet=masklet, sightings=_seen_in(masklet, known.sightings)))


def _check_objects(session: ChatSession, grounding: Grounding) -> None:
    """Whatever the grounding names is known by now."""
    named = [*grounding.object_ids, *grounding.masklets]
    named += [phrase.object_id for phrase in grounding.phrases if phrase.object_id is not None]
    for name in named:
        if name not in session.book:
            raise SessionError(
                f"grounding names {name[:40]}, which neither it nor a turn before it shows; {SEND_UNCHANGED}."
            )
