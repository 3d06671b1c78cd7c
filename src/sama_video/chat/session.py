"""A conversation about one clip: ask, point, follow up; phrases of the answers come with masks through the clip."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sama_video.chat.answer import Answer, AnswerReady, Event, MaskletReady, Masklets, TextDelta
from sama_video.chat.binding import ADOPTED, LAST_TOKEN, NOT_ASKED_FOR, BoundAnswer, bind_answer, find_objects
from sama_video.chat.frames import FrameChooser, FrameStates
from sama_video.chat.history import AskedTurn, History
from sama_video.chat.masks import MaskMaker, Progress
from sama_video.chat.objects import BookSnapshot, KnownObject, ObjectBook, Sighting, book_bytes
from sama_video.chat.pointing import Pointing, frame_of, model_question
from sama_video.chat.rules import Ground, token_rule
from sama_video.chat.standing import BookMarks, Standing, words_bytes
from sama_video.dialogue.markup import REGION_TAG, clean_question, parse_answer, settled_text
from sama_video.dialogue.turns import Dialogue, RegionPrompt, Timing, Turn
from sama_video.errors import DialogueError, RegionError, SessionError
from sama_video.model.decoding import DecodedRow, Decoder, Sampling
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import SamaProcessor
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Mask, ObjectRef, Points, Region
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

TURN_GOES_ON = "a turn of this session still goes on; read its stream to the end, or close the stream, first."
GROUND_CHOICES = ("auto", True, False)
HALF_READ = "\ufffd"
"""What a tokenizer writes for a character whose bytes have not all come yet."""


@dataclass(frozen=True)
class Question:
    """A question made ready: what the model reads, and what the session will remember of it.

    Attributes:
        book: The objects as they were before it named any.
    """

    text: str
    prompts: tuple[RegionPrompt, ...]
    asked: AskedTurn
    book: BookSnapshot


@dataclass(frozen=True)
class Costs:
    """Encoder counts when a turn began."""

    started: float
    vision: int
    segmenter: int


class ChatSession:
    """One conversation about one clip.

    Made by `sama_video.load(...).chat(...)`. Sessions share nothing but the weights, unless one is made by `another`. A
    turn either happens whole or not at all: whatever goes wrong in it, the session is as before.

    Attributes:
        origin: The loaded model that the session talks with.
        clip: What the conversation is about.
        dialogue: The turns so far.
    """

    def __init__(
        self,
        model: SamaForConditionalGeneration,
        processor: SamaProcessor,
        clip: Clip,
        *,
        masks: MaskMaker,
        chooser: FrameChooser,
        sampling: Sampling,
        origin: "LoadedModel",
        states: FrameStates | None = None,
    ) -> None:
        self.origin = origin
        self.clip = clip
        self.dialogue = Dialogue()
        self.model = model
        self.processor = processor
        self.chooser = chooser
        self.sampling = sampling
        self.masks = masks
        self.book = ObjectBook()
        self.marks = BookMarks()
        self.pointing = Pointing(clip, masks, self.book, self)
        self.states = states or FrameStates(model.model, chooser.clip, processor.vision_pixels)
        bias = 1.0 if chooser.protocol == "paper" else 0.0
        self.history = History(
            model, processor, chooser.clip, self.states, regionless_bias=bias, one_block=chooser.tiled
        )
        self._closed = False
        self._in_turn = False

    # asking

    def ask(
        self,
        question: str,
        regions: Sequence[Region] = (),
        *,
        ground: Ground = "auto",
        span: tuple[float, float] | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Ask, and wait for the whole answer; arguments as for `stream`."""
        answer: Answer | None = None
        for event in self.stream(question, regions, ground=ground, span=span, progress=progress):
            if isinstance(event, AnswerReady):
                answer = event.answer
        assert answer is not None, "a turn ends with its answer"
        return answer

    def stream(
        self,
        question: str,
        regions: Sequence[Region] = (),
        *,
        ground: Ground = "auto",
        span: tuple[float, float] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Event]:
        """Ask, and get the answer as it is made: text first, then masks, then the whole.

        The turn begins when the first event is read. Whoever stops reading before the whole answer undoes it.

        Args:
            question: `<region>` stands for the next of `regions`, `<obj2>` for a known object.
            regions: One for each `<region>`, in order.
            ground: "auto" leaves phrases and masks to the model; True forces at least one; False gives text only.
            span: Seconds (from, to) that the question is about; the turn then looks at frames of that span.
            progress: Told (frames done, frames in all) while new objects are tracked.

        Raises:
            SamaError: The question, a region or the span breaks a rule; the session is as before.
        """
        with self.whole_turn() as costs:
            decoder = self.decoder(ground)
            ready = self.prepare(question, regions, span)
            state, num_prefilled = self.history.prefill(decoder, ready.asked)
            num_reused = self.history.num_read - num_prefilled
            row, first_token, shown = DecodedRow(), 0.0, ""
            for rows in decoder.decode(state):
                self._check_open()
                row = rows[0]
                first_token = first_token or perf_counter() - costs.started
                settled = settled_text(self.processor.raw_answer(row.ids)).rstrip(HALF_READ)
                if settled != shown:
                    yield TextDelta(settled[len(shown) :])
                    shown = settled
            bound = self.bind(ready, row, ground, num_answer_read=len(row.ids) - row.finished)
            if bound.text != shown:
                yield TextDelta(bound.text[len(shown) :])
            self.track_all(bound.object_ids, progress)
            for object_id in bound.object_ids:
                yield MaskletReady(object_id, self.masklet(object_id))
            timing = Timing(first_token, 0.0, num_prefilled, num_reused, generated_tokens=len(row.ids))
            answer = self.conclude(ready, bound, timing, costs)
        yield AnswerReady(answer)

    def adopt(self, question: str, regions: Sequence[Region] = (), *, answer: str) -> Turn:
        """Place a turn that was held elsewhere into the conversation, such as a reference answer.

        The next turn reads it as if it had been held here. Nothing is generated or grounded: the question's regions
        become objects, but the answer's phrases have none, so no later answer gets its masks from there.

        Args:
            answer: As a model writes it, with its marks.
        """
        with self.whole_turn() as costs:
            ready = self.prepare(question, regions)
            raw = self.processor.template.without_stop(answer).strip()
            self.history.close(ready.asked, self.answer_ids(raw), 0)
            bound = bind_answer(raw, parse_answer(raw), {}, ADOPTED)
            return self.conclude(ready, bound, Timing(), costs).turn

    def answer_ids(self, raw: str) -> list[int]:
        """The ids of an answer held elsewhere, up to its end mark.

        Raises:
            DialogueError: It holds what only pictures may stand for.
        """
        ids = self.processor.token_ids(self.processor.template.answer(raw))
        if self.model.config.image_token_id in ids:
            raise DialogueError("the answer holds the model's token for pictures; give it without.")
        return ids

    # objects

    @property
    def objects(self) -> Mapping[str, KnownObject]:
        """Every object the session knows, in the order it met them."""
        return MappingProxyType({object_id: self.book[object_id] for object_id in self.book.object_ids})

    def masklet(self, object_id: str, progress: Progress | None = None) -> Masklet:
        """An object's masks through the clip; one that was only pointed at is tracked now."""
        self.track_all([object_id], progress)
        masklet = self.book[object_id].masklet
        assert masklet is not None, "tracking gives every object a masklet"
        return masklet

    def track_all(self, object_ids: Sequence[str] | None = None, progress: Progress | None = None) -> None:
        """Track every object that is not tracked yet, in one pass over the clip."""
        wanted = self.book.object_ids if object_ids is None else object_ids
        untracked = [self.book[object_id] for object_id in wanted if self.book[object_id].masklet is None]
        if not untracked:
            return
        self._check_open()
        for object_id, masklet in self.masks.track(untracked, progress).items():
            self.book.update(object_id, masklet=masklet)

    def track(self, regions: Sequence[Region], progress: Progress | None = None) -> tuple[str, ...]:
        """Show objects without a word about them, and follow them through the clip; their names in order."""
        with self.whole_turn():
            names = tuple(self.pointing.name(region).object_id for region in regions)
            self.track_all(names, progress)
        return names

    def refine(self, object_id: str, region: Region, progress: Progress | None = None) -> Masklet:
        """Correct an object by one more region, and track it anew.

        Points refine the mask it has on their frame; a box or mask replaces it there.
        """
        if isinstance(region, ObjectRef):
            raise RegionError(f"{object_id} cannot be refined by naming {region.object}; give points, a box or a mask.")
        with self.whole_turn():
            known = self.book[object_id]
            resolved = self.pointing.resolve(region, refining=True)
            assert not isinstance(resolved, ObjectRef)
            hint = self._hint(known, resolved, progress) if isinstance(resolved, Points) else None
            mask = self.masks.region_mask(resolved, hint=hint)
            frame_idx = frame_of(resolved)
            shown = Mask(frame=frame_idx, mask=mask)
            sightings = {**known.sightings, frame_idx: Sighting(frame_idx, mask, shown)}
            self.book.update(object_id, sightings=sightings, masklet=None)
            return self.masklet(object_id, progress)

    def forget(self, object_id: str) -> None:
        """Drop an object; what was said of it stays, and its name is not used again."""
        self._check_idle()
        self.book.forget(object_id)

    # life

    def close(self) -> None:
        """Release caches; the session cannot be asked any more. What it said stays readable."""
        self._closed = True
        self.history.drop_cache()
        self.states.clear()
        if self.masks.tracker.cache is not None:
            self.masks.tracker.cache.clear()

    @property
    def nbytes(self) -> int:
        """About how many bytes this conversation holds for itself: its cache, its objects, its words."""
        return self.history.nbytes + book_bytes([self.book.snapshot(), *self.marks.books]) + words_bytes(self.dialogue)

    @property
    def shared_nbytes(self) -> int:
        """Bytes of what was encoded of the clip, which every session made by `another` shares."""
        cache = self.masks.tracker.cache
        return self.states.nbytes + (0 if cache is None else cache.nbytes)

    @property
    def is_idle(self) -> bool:
        """Whether it can be asked: it is open, and no turn of it goes on."""
        return not self._in_turn and not self._closed

    def another(self) -> "ChatSession":
        """A new conversation about the same clip, which shares what was encoded of it, and nothing that was said.

        Closing either lets go of what both share; the other encodes anew what it needs.
        """
        return ChatSession(
            self.model,
            self.processor,
            self.clip,
            masks=self.masks,
            chooser=self.chooser,
            sampling=self.sampling,
            origin=self.origin,
            states=self.states,
        )

    def standing(self, num_turns: int | None = None) -> Standing:
        """Where the conversation stands, or stood when its next turn began after that many.

        Raises:
            SessionError: It never stood there, or goes on from where another one stood later.
        """
        book = self.book.snapshot()
        if num_turns is not None and num_turns != len(self.dialogue):
            if num_turns not in self.marks.before:
                raise SessionError(
                    f"the session cannot go back to turn {num_turns}; it has {len(self.dialogue)} turns, and knows "
                    f"where it stood after {', '.join(map(str, self.marks.before)) or 'none of them'}."
                )
            book = self.marks.before[num_turns]
        return Standing(tuple(self.history.turns[:num_turns]), Dialogue(self.dialogue.turns[:num_turns]), book)

    def stand(self, standing: Standing) -> None:
        """Go on from where another conversation about the clip stands; the next turn reads all of it."""
        self._check_idle()
        self.history.drop_cache()
        self.history.turns = list(standing.turns)
        self.dialogue = standing.dialogue
        self.book.restore(standing.book)
        self.marks = BookMarks().up_to(len(standing.turns), standing.book)

    def fork(self, num_turns: int | None = None) -> "ChatSession":
        """A conversation that goes on apart from here, or from where this one stood after that many turns.

        It shares what `another` shares, and starts with a copy of the cache, so its next turn reads only its own words.
        """
        self._check_idle()
        forked = self.fork_at(self.standing(num_turns), self.marks)
        forked.history.copy_cache(self.history)
        return forked

    def fork_at(self, standing: Standing, marks: BookMarks) -> "ChatSession":
        """As `fork`, while this conversation may be in a turn: from values alone, so without its cache."""
        forked = self.another()
        forked.stand(standing)
        forked.marks = marks.up_to(len(standing.turns), standing.book)
        return forked

    def __enter__(self) -> "ChatSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(self, folder: str | Path) -> None:
        """Write the session into a folder, from which `model.restore(folder)` continues it."""
        from sama_video.chat.storage import save_session

        if self._in_turn:
            raise SessionError(TURN_GOES_ON)
        save_session(self, folder)

    # one turn, in steps that `answer_batch` shares

    def prepare(
        self, question: str, regions: Sequence[Region] = (), span: tuple[float, float] | None = None
    ) -> Question:
        """Check a question, turn its regions into masks, and choose its frames."""
        book = self.book.snapshot()
        text = self.words_of(question)
        prompts = tuple(self.pointing.name(region) for region in self.pointing.regions_of(text, regions))
        return Question(question, prompts, self.lay_out(text, prompts, span), book)

    def words_of(self, question: str) -> str:
        """A question without media placeholders and line breaks; at least one word."""
        text = clean_question(question, line_break=" ")
        if not text:
            raise DialogueError("the question is empty; write what you want to know.")
        if REGION_TAG in model_question(text) and not self.model.config.has_aggregator:
            raise DialogueError(
                "this checkpoint has no context aggregator, so it cannot read regions; "
                "ask without <region> and <objN> tags."
            )
        return text

    def lay_out(
        self, text: str, prompts: tuple[RegionPrompt, ...], span: tuple[float, float] | None = None
    ) -> AskedTurn:
        """Choose a question's frames, and lay its regions, whose objects are named, on them."""
        asked = model_question(text)
        pointed_at = [frame_of(prompt.region) for prompt in prompts if not isinstance(prompt.region, ObjectRef)]
        frames = self.chooser.choose(
            self.history.shown,
            pointed_at,
            span,
            likeness=lambda frames: self.states.likeness(frames, self._words(text)),
        )
        visible = sorted({*frames.dense, *self.history.shown})
        placed = tuple(
            self.chooser.as_shown(*self.pointing.place(prompt, self.chooser.in_clip(visible))) for prompt in prompts
        )
        return AskedTurn(asked, placed, frames)

    def decoder(self, ground: Ground) -> Decoder:
        """What grows this turn's answer."""
        if ground not in GROUND_CHOICES:
            raise DialogueError(f'ground is {ground!r}; it is "auto", True or False.')
        return Decoder(
            self.model,
            stop=self.processor.stops,
            num_tokens=len(self.processor.tokenizer),
            rule=token_rule(ground, self.processor, self.sampling.max_new_tokens),
            sampling=replace(self.sampling, seed=self.sampling.seed + len(self.history.turns)),
            banned=(self.model.config.image_token_id,),
        )

    def bind(self, ready: Question, row: DecodedRow, ground: Ground, *, num_answer_read: int) -> BoundAnswer:
        """Add a decoded answer to the history, and find the objects it speaks of.

        Args:
            num_answer_read: How many of its tokens the cache holds.
        """
        raw = self.processor.raw_answer(row.ids)
        parsed = parse_answer(raw)
        self.history.close(ready.asked, row.ids, num_answer_read)
        states, why_not = (row.seg_states, NOT_ASKED_FOR) if ground is not False else ([], NOT_ASKED_FOR)
        if states and self.chooser.protocol == "paper" and row.ids[-1] == self.model.config.seg_token_id:
            states, why_not = states[:-1], LAST_TOKEN
        found: dict[int, str | None] = {}
        if states:
            with torch.inference_mode():
                embeddings = self.model.model.grounding_head(torch.stack(states))
            names = {phrase.seg: phrase.text for phrase in parsed.phrases if phrase.seg is not None}
            found = find_objects(self.masks, self.book, embeddings, self.prompted_frames(), names)
        return bind_answer(raw, parsed, found, why_not)

    def conclude(self, ready: Question, bound: BoundAnswer, timing: Timing, costs: Costs) -> Answer:
        """Add the turn to the dialogue."""
        timing = replace(
            timing,
            total_seconds=perf_counter() - costs.started,
            vision_frames_encoded=self.states.frames_encoded - costs.vision,
            segmenter_frames_encoded=self.masks.tracker.frames_encoded - costs.segmenter,
        )
        turn = Turn(ready.text, ready.prompts, bound.text, bound.raw, bound.phrases, timing)
        self.dialogue = self.dialogue.and_then(turn)
        self.marks.set(len(self.dialogue), ready.book, self.book.snapshot())
        object_ids = tuple(dict.fromkeys((*turn.object_ids, *bound.object_ids)))
        return Answer(turn, Masklets(self, object_ids), bound.problems, bound.segs)

    def costs(self) -> Costs:
        """The counters now."""
        return Costs(perf_counter(), self.states.frames_encoded, self.masks.tracker.frames_encoded)

    def _words(self, question: str) -> Tensor:
        """The question's token embeddings."""
        ids = torch.tensor([self.processor.token_ids(question)], device=self.model.lm_head.weight.device)
        with torch.inference_mode():
            return self.model.model.embed_tokens(ids, None)[0]

    def _hint(self, known: KnownObject, points: Points, progress: Progress | None) -> Tensor | None:
        """The object's mask on the points' frame, for them to refine."""
        frame_idx = frame_of(points)
        mask = known.mask_on(frame_idx)[1] or self.masklet(known.object_id, progress).rles[frame_idx]
        if mask is not None:
            return self.masks.hint_from(mask)
        if 1 not in points.labels:
            raise RegionError(
                f"{known.object_id} is not visible on frame {frame_idx}, so there is nothing to take away; "
                "give a point with label 1 to show it there."
            )
        return None

    def prompted_frames(self) -> tuple[int, ...]:
        """Frames on which `[SEG]` prompts are decoded: those the model sees in full.

        The published inference takes the clip's first ones instead, whatever it saw (spec model 7.3).
        """
        if self.chooser.protocol == "paper":
            return tuple(range(min(len(self.chooser.whole.dense), self.clip.num_frames)))
        return tuple(sorted(set(self.history.shown)))

    # order

    @contextmanager
    def whole_turn(self) -> Iterator[Costs]:
        """Let everything inside happen, or nothing."""
        self._check_idle()
        book, dialogue = self.book.snapshot(), self.dialogue
        num_turns, num_read = len(self.history.turns), self.history.num_read
        self._in_turn = True
        try:
            yield self.costs()
        except BaseException:
            self.book.restore(book)
            self.dialogue = dialogue
            self.marks.drop(num_turns)
            self.history.rewind(num_turns, num_read)
            raise
        finally:
            self._in_turn = False

    def _check_idle(self) -> None:
        self._check_open()
        if self._in_turn:
            raise SessionError(TURN_GOES_ON)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the session is closed; start a new one with model.chat(clip), or restore a saved one.")
