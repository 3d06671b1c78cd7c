"""A conversation about one clip: ask, point, follow up; phrases of the answers come with masks through the clip."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sama_video.chat.answer import Answer, AnswerReady, Event, MaskletReady, Masklets, TextDelta
from sama_video.chat.frames import FrameChooser, FrameStates
from sama_video.chat.history import AskedTurn, History
from sama_video.chat.masks import MaskMaker, Progress
from sama_video.chat.objects import KnownObject, ObjectBook, Sighting
from sama_video.chat.rules import Ground, token_rule
from sama_video.dialogue.markup import (
    REGION_TAG,
    ObjectTag,
    ParsedAnswer,
    RegionTag,
    check_tags,
    clean_question,
    parse_answer,
    settled_text,
    split_question,
)
from sama_video.dialogue.turns import Dialogue, Phrase, RegionPrompt, Timing, Turn
from sama_video.errors import DialogueError, RegionError, SessionError
from sama_video.model.decoding import DecodedRow, Decoder, Sampling
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import SamaProcessor
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle
from sama_video.regions.shapes import Mask, ObjectRef, Points, Region, at_frame, check_region
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

NOT_VISIBLE = "not visible"
GROUND_CHOICES = ("auto", True, False)


@dataclass(frozen=True)
class Question:
    """A question made ready: what the model reads, and what the session will remember of it."""

    text: str
    prompts: tuple[RegionPrompt, ...]
    asked: AskedTurn


@dataclass(frozen=True)
class Costs:
    """Encoder counts when a turn began."""

    started: float
    vision: int
    segmenter: int


class ChatSession:
    """One conversation about one clip.

    Made by `sama_video.load(...).chat(...)`. Sessions share nothing but the weights. A turn either happens whole or not at
    all: whatever goes wrong in it, the session is as before.

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
        self.states = FrameStates(model.model, clip, processor.vision_pixels)
        bias = 1.0 if chooser.protocol == "paper" else 0.0
        self.history = History(model, processor, clip, self.states, regionless_bias=bias)
        self._closed = False

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

        Args:
            question: `<region>` stands for the next of `regions`, `<obj2>` for a known object.
            regions: One for each `<region>`, in order.
            ground: "auto" leaves phrases and masks to the model; True forces at least one; False gives text only.
            span: Seconds (from, to) that the question is about; the turn then looks at frames of that span.
            progress: Told (frames done, frames in all) while new objects are tracked.

        Raises:
            SamaError: The question, a region or the span breaks a rule; the session is as before.
        """
        self._check_open()
        if ground not in GROUND_CHOICES:
            raise DialogueError(f'ground is {ground!r}; it is "auto", True or False.')
        with self._whole_turn() as costs:
            ready = self.prepare(question, regions, span)
            decoder = self.decoder(ground)
            state, num_prefilled = self.history.prefill(decoder, ready.asked)
            num_reused = self.history.num_read - num_prefilled
            row, first_token, shown = DecodedRow(), 0.0, ""
            for rows in decoder.decode(state):
                row = rows[0]
                first_token = first_token or perf_counter() - costs.started
                settled = settled_text(self.processor.raw_answer(row.ids))
                if settled != shown:
                    yield TextDelta(settled[len(shown) :])
                    shown = settled
            num_answer_read = len(row.ids) - row.finished
            timing = Timing(first_token, 0.0, num_prefilled, num_reused, generated_tokens=len(row.ids))
            answer = None
            for event in self.settle(ready, row, num_answer_read, costs, timing, ground, progress):
                if isinstance(event, AnswerReady):
                    answer = event.answer
                    if answer.text != shown and answer.text.startswith(shown):
                        yield TextDelta(answer.text[len(shown) :])
                yield event

    # objects

    @property
    def objects(self) -> Mapping[str, KnownObject]:
        """Every object the session knows, in the order it met them."""
        return MappingProxyType({object_id: self.book[object_id] for object_id in self.book.object_ids})

    def masklet(self, object_id: str, progress: Progress | None = None) -> Masklet:
        """An object's masks through the clip; one that was only pointed at is tracked now."""
        self._check_open()
        known = self.book[object_id]
        if known.masklet is None:
            self.track_all([object_id], progress)
            known = self.book[object_id]
        assert known.masklet is not None
        return known.masklet

    def track_all(self, object_ids: Sequence[str] | None = None, progress: Progress | None = None) -> None:
        """Track every object that is not tracked yet, in one pass over the clip."""
        wanted = self.book.object_ids if object_ids is None else object_ids
        untracked = [self.book[object_id] for object_id in wanted if self.book[object_id].masklet is None]
        for object_id, masklet in self.masks.track(untracked, progress).items():
            self.book.update(object_id, masklet=masklet)

    def track(self, regions: Sequence[Region], progress: Progress | None = None) -> tuple[str, ...]:
        """Show objects without a word about them, and follow them through the clip; their names in order."""
        self._check_open()
        with self._whole_turn():
            names = tuple(self._place(region).object_id for region in regions)
            self.track_all(names, progress)
        return names

    def refine(self, object_id: str, region: Region, progress: Progress | None = None) -> Masklet:
        """Correct an object by one more region, and track it anew.

        Points refine the mask it has on their frame; a box or mask replaces it there.
        """
        self._check_open()
        known = self.book[object_id]
        if isinstance(region, ObjectRef):
            raise RegionError(f"{object_id} cannot be refined by naming {region.object}; give points, a box or a mask.")
        region = self._resolved(region, refining=True)
        with self._whole_turn():
            hint = None
            if isinstance(region, Points):
                mask = known.mask_on(region.frame)[1] if known.mask_on(region.frame)[0] else None
                mask = mask or self.masklet(object_id, progress).rles[region.frame]
                if mask is None and 1 not in region.labels:
                    raise RegionError(
                        f"{object_id} is not visible on frame {region.frame}, so there is nothing to take away; "
                        "give a point with label 1 to show it there."
                    )
                hint = None if mask is None else self.masks.hint_from(mask)
            mask = self.masks.region_mask(region, hint=hint)
            shown = Mask(frame=region.frame, mask=mask)
            sightings = {**known.sightings, region.frame: Sighting(region.frame, mask, shown)}
            self.book.update(object_id, sightings=sightings, masklet=None)
            return self.masklet(object_id, progress)

    def forget(self, object_id: str) -> None:
        """Drop an object; what was said of it stays, and its name is not used again."""
        self._check_open()
        self.book.forget(object_id)

    # life

    def close(self) -> None:
        """Release caches; the session cannot be asked any more. What it said stays readable."""
        self._closed = True
        self.history.drop_cache()
        self.states.clear()
        if self.masks.tracker.cache is not None:
            self.masks.tracker.cache.clear()

    def __enter__(self) -> "ChatSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(self, folder: str) -> None:
        """Write the session into a folder, from which `model.restore(folder)` continues it."""
        from sama_video.chat.storage import save_session

        save_session(self, folder)

    # one turn, in steps that `answer_batch` shares

    def prepare(
        self, question: str, regions: Sequence[Region] = (), span: tuple[float, float] | None = None
    ) -> Question:
        """Check a question, turn its regions into masks, and choose its frames."""
        text = clean_question(question, line_break=" ")
        if not text:
            raise DialogueError("the question is empty; write what you want to know.")
        prompts = tuple(self._place(region) for region in self._regions_in_order(text, regions))
        if prompts and not self.model.config.has_aggregator:
            raise DialogueError(
                "this checkpoint has no context aggregator, so it cannot read regions; ask without <region> and <objN> tags."
            )
        pointed_at = [prompt.region.frame for prompt in prompts if not isinstance(prompt.region, ObjectRef)]
        frames = self.chooser.choose(self.history.shown, pointed_at, span)
        visible = sorted({*frames.dense, *self.history.shown})
        placed = tuple(self._placed_mask(prompt, visible) for prompt in prompts)
        tags = {ObjectTag, RegionTag}
        model_text = "".join(REGION_TAG if type(piece) in tags else str(piece) for piece in split_question(text))
        return Question(question, prompts, AskedTurn(model_text, placed, frames))

    def decoder(self, ground: Ground) -> Decoder:
        """What grows this turn's answer."""
        return Decoder(
            self.model,
            stop=self.processor.stops,
            num_tokens=len(self.processor.tokenizer),
            rule=token_rule(ground, self.processor, self.sampling.max_new_tokens),
            sampling=replace(self.sampling, seed=self.sampling.seed + len(self.history.turns)),
        )

    def settle(
        self,
        ready: Question,
        row: DecodedRow,
        num_answer_read: int,
        costs: Costs,
        timing: Timing,
        ground: Ground,
        progress: Progress | None = None,
    ) -> Iterator[Event]:
        """Bind a decoded answer's phrases to objects, track the new ones, and add the turn."""
        raw = self.processor.raw_answer(row.ids)
        parsed = parse_answer(raw)
        self.history.close(ready.asked, row.ids, num_answer_read)
        found = self._ground(parsed, row.seg_states if ground is not False else [])
        new = [known for known in dict.fromkeys(found.values()) if known and self.book[known].masklet is None]
        self.track_all(
            [known for known in new if known not in {prompt.object_id for prompt in ready.prompts}], progress
        )
        phrases = tuple(self._phrase(phrase, found) for phrase in parsed.phrases)
        problems = parsed.problems + tuple(
            f"phrase without mask: {phrase.text!r}: {phrase.reason}" for phrase in phrases if phrase.object_id is None
        )
        if ground is not False:
            for object_id in dict.fromkeys(phrase.object_id for phrase in phrases if phrase.object_id):
                yield MaskletReady(object_id, self.masklet(object_id, progress))
        timing = replace(
            timing,
            total_seconds=perf_counter() - costs.started,
            vision_frames_encoded=self.states.frames_encoded - costs.vision,
            segmenter_frames_encoded=self.masks.tracker.frames_encoded - costs.segmenter,
        )
        turn = Turn(ready.text, ready.prompts, parsed.text, raw, phrases, timing)
        self.dialogue = self.dialogue.and_then(turn)
        yield AnswerReady(Answer(turn, Masklets(self, turn.object_ids), problems))

    def costs(self) -> Costs:
        """The counters now."""
        return Costs(perf_counter(), self.states.frames_encoded, self.masks.tracker.frames_encoded)

    # regions in

    def _regions_in_order(self, text: str, regions: Sequence[Region]) -> list[Region]:
        """The regions of a question as its tags name them, known objects included."""
        check_tags(text, len(regions))
        given = iter(regions)
        ordered: list[Region] = []
        for piece in split_question(text):
            if isinstance(piece, RegionTag):
                ordered.append(next(given))
            elif isinstance(piece, ObjectTag):
                ordered.append(ObjectRef(piece.object_id))
        return ordered

    def _place(self, region: Region) -> RegionPrompt:
        """Resolve a region in the clip and name the object it shows: a known one where the masks agree."""
        region = self._resolved(region)
        if isinstance(region, ObjectRef):
            return RegionPrompt(region, self.book[region.object].object_id)
        mask = self.masks.region_mask(region)
        known = self.book.find({region.frame: mask})
        if known is None:
            known = self.book.meet([Sighting(region.frame, mask, region)])
        elif region.frame not in known.sightings:
            sightings = {**known.sightings, region.frame: Sighting(region.frame, mask)}
            self.book.update(known.object_id, sightings=sightings)
        return RegionPrompt(region, known.object_id)

    def _resolved(self, region: Region, *, refining: bool = False) -> Region:
        if not isinstance(region, ObjectRef) and region.seconds is not None:
            region = at_frame(region, self.clip.index_at(region.seconds))
        clip = self.clip
        check_region(region, num_frames=clip.num_frames, height=clip.height, width=clip.width, refining=refining)
        return region

    def _placed_mask(self, prompt: RegionPrompt, visible: Sequence[int]) -> tuple[int, Rle]:
        """Frame and mask by which the language model sees a region, on one of the frames it sees in full.

        A region is seen where the caller pointed, under the consistent protocol. A known object, and every region under the
        published one, is seen on the first of those frames that shows it; it is tracked there if need be.
        """
        region, known = prompt.region, self.book[prompt.object_id]
        if self.chooser.protocol == "paper":
            known = self.book[self.masklet(prompt.object_id).object_id]
        elif not isinstance(region, ObjectRef) and region.frame in visible:
            return region.frame, known.sightings[region.frame].mask or self.masks.region_mask(region)
        if not any(known.mask_on(frame_idx)[1] for frame_idx in visible):
            self.masklet(prompt.object_id)
            known = self.book[prompt.object_id]
        for frame_idx in visible:
            mask = known.mask_on(frame_idx)[1]
            if mask is not None:
                return frame_idx, mask
        raise RegionError(
            f"{prompt.object_id} is on none of the frames the model looks at ({', '.join(map(str, visible))}); point at it "
            "on a frame that shows it, or ask with span= around one."
        )

    # grounding out

    def _ground(self, parsed: ParsedAnswer, seg_states: Sequence[Tensor]) -> dict[int, str | None]:
        """The object of every `[SEG]`: a known one where masks agree, a new one else, `None` where nothing is seen."""
        if not seg_states:
            return {}
        with torch.inference_mode():
            embeddings = self.model.model.grounding_head(torch.stack(list(seg_states)))
        frames = self.prompted_frames()
        names = {phrase.seg: phrase.text for phrase in parsed.phrases if phrase.seg is not None}
        found: dict[int, str | None] = {}
        for index, grounded in enumerate(self.masks.ground(embeddings, frames)):
            if not grounded.is_visible:
                found[index] = None
                continue
            known = self.book.find({sighting.frame_idx: sighting.mask for sighting in grounded.sightings})
            if known is None:
                known = self.book.meet(grounded.sightings, names.get(index))
            elif index in names:
                self.book.update(known.object_id, name=names[index])
            found[index] = known.object_id
        return found

    def prompted_frames(self) -> tuple[int, ...]:
        """Frames on which `[SEG]` prompts are decoded: those the model sees in full; the published inference takes the
        clip's first ones instead, whatever it saw (spec model 7.3)."""
        shown = self.history.shown
        if self.chooser.protocol == "paper":
            return tuple(range(min(len(self.chooser.whole.dense), self.clip.num_frames)))
        return tuple(sorted(set(shown)))

    def _phrase(self, phrase: object, found: Mapping[int, str | None]) -> Phrase:
        if phrase.seg is None:
            return Phrase(phrase.text, phrase.start, phrase.end, None, phrase.problem)
        if phrase.seg not in found:
            return Phrase(phrase.text, phrase.start, phrase.end, None, "masks were not asked for")
        object_id = found[phrase.seg]
        reason = phrase.problem if object_id is not None else NOT_VISIBLE
        return Phrase(phrase.text, phrase.start, phrase.end, object_id, reason)

    # order

    @contextmanager
    def _whole_turn(self) -> Iterator[Costs]:
        """Let everything inside happen, or nothing."""
        book, dialogue = self.book.snapshot(), self.dialogue
        num_turns, num_read = len(self.history.turns), self.history.num_read
        try:
            yield self.costs()
        except BaseException:
            self.book.restore(book)
            self.dialogue = dialogue
            self.history.rewind(num_turns, num_read)
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("the session is closed; start a new one with model.chat(clip), or restore a saved one.")
