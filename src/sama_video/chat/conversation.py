"""What a conversation about a clip is made of, and the steps of one of its turns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from operator import eq
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sama_video.chat.answer import Answer, Masklets
from sama_video.chat.binding import LAST_TOKEN, NOT_ASKED_FOR, BoundAnswer, bind_answer, find_objects
from sama_video.chat.frames import FrameChooser, FrameStates
from sama_video.chat.history import AskedTurn, History
from sama_video.chat.masks import MaskMaker, Progress
from sama_video.chat.objects import BookSnapshot, ObjectBook
from sama_video.chat.pointing import Pointing, frame_of, model_question
from sama_video.chat.rules import Ground, token_rule
from sama_video.chat.standing import BookMarks
from sama_video.dialogue.markup import REGION_TAG, clean_question, parse_answer
from sama_video.dialogue.turns import Dialogue, RegionPrompt, Timing, Turn
from sama_video.errors import DialogueError, SessionError
from sama_video.model.decoding import DecodedRow, Decoder, Sampling
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import SamaProcessor
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import ObjectRef, Region
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

TURN_GOES_ON = "a turn of this session still goes on; read its stream to the end, or close the stream, first."
GROUND_CHOICES = ("auto", True, False)


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


class Conversation:
    """A clip, what was said about it, the objects it knows, and the steps that a turn takes.

    A turn either happens whole or not at all: whatever goes wrong in it, the conversation is as before.

    Attributes:
        origin: The loaded model that the conversation is held with.
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

    # objects

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

    # one turn, in steps

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
        parsed, states, why_not = parse_answer(raw), row.seg_states, NOT_ASKED_FOR
        if ground is False and not set(self.processor.grounding_ids).isdisjoint(row.ids):
            return self._words_only(ready, row.ids[:num_answer_read], parsed.text)
        self.history.close(ready.asked, row.ids, num_answer_read)
        if states and self.chooser.protocol == "paper" and row.ids[-1] == self.model.config.seg_token_id:
            states, why_not = states[:-1], LAST_TOKEN
        found: dict[int, str | None] = {}
        if states:
            with torch.inference_mode():
                embeddings = self.model.model.grounding_head(torch.stack(states))
            names = {phrase.seg: phrase.text for phrase in parsed.phrases if phrase.seg is not None}
            found = find_objects(self.masks, self.book, embeddings, self.prompted_frames(), names)
        return bind_answer(raw, parsed, found, why_not)

    def _words_only(self, ready: Question, read: Sequence[int], text: str) -> BoundAnswer:
        """Add an answer to the history as if it had been written without its marks.

        Args:
            read: What the cache holds of the answer as it was written; kept as far as both are the same.
        """
        ids = self.answer_ids(text)
        num_same = sum(1 for _ in takewhile(bool, map(eq, ids, read)))
        self.history.close(ready.asked, ids, num_same)
        self.history.rewind(len(self.history.turns), self.history.num_read)
        return bind_answer(text, parse_answer(text), {})

    def answer_ids(self, raw: str) -> list[int]:
        """The ids of an answer held elsewhere, up to its end mark.

        Raises:
            DialogueError: It holds what only pictures may stand for.
        """
        ids = self.processor.token_ids(self.processor.template.answer(raw))
        if self.model.config.image_token_id in ids:
            raise DialogueError("the answer holds the model's token for pictures; give it without.")
        return ids

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
