"""A conversation about one clip: ask, point, follow up; phrases of the answers come with masks through the clip."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

from torch import Tensor

from sama_video.chat.answer import Answer, AnswerReady, Event, MaskletReady, TextDelta
from sama_video.chat.binding import ADOPTED, bind_answer
from sama_video.chat.conversation import TURN_GOES_ON, Conversation
from sama_video.chat.masks import Progress
from sama_video.chat.objects import KnownObject, Sighting, book_bytes
from sama_video.chat.pointing import frame_of
from sama_video.chat.rules import Ground
from sama_video.chat.standing import BookMarks, Standing, words_bytes
from sama_video.dialogue.markup import parse_answer, settled_text
from sama_video.dialogue.turns import Dialogue, Timing, Turn
from sama_video.errors import RegionError, SessionError
from sama_video.model.decoding import DecodedRow, DecodeState, Unread
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Mask, ObjectRef, Points, Region

HALF_READ = "\ufffd"
"""What a tokenizer writes for a character whose bytes have not all come yet."""


@dataclass(frozen=True, eq=False)
class TextOver:
    """All of an answer's tokens are known; what follows are masks.

    Attributes:
        state: The cache, into which nothing more is read for this turn.
    """

    state: DecodeState


Step = Event | Unread | TextOver


class ChatSession(Conversation):
    """One conversation about one clip.

    Made by `sama_video.load(...).chat(...)`. Sessions share nothing but the weights, unless one is made by `another`.
    """

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
        with closing(self.steps(question, regions, ground=ground, span=span, progress=progress)) as steps:  # type: ignore[type-var]
            for step in steps:
                if isinstance(step, Unread):
                    step.read()
                elif not isinstance(step, TextOver):
                    yield step

    def steps(
        self,
        question: str,
        regions: Sequence[Region] = (),
        *,
        ground: Ground = "auto",
        span: tuple[float, float] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Step]:
        """As `stream`, but whoever iterates reads the answer's tokens, and so may do it for several sessions at once.

        Each `Unread` must have been read before the next step is asked for; `TextOver` comes after the last of them.
        """
        with self.whole_turn() as costs:
            decoder = self.decoder(ground)
            ready = self.prepare(question, regions, span)
            state, num_prefilled = self.history.prefill(decoder, ready.asked)
            num_reused = self.history.num_read - num_prefilled
            row, first_token, shown = DecodedRow(), 0.0, ""
            for unread in decoder.steps(state):
                self._check_open()
                row = unread.rows[0]
                first_token = first_token or perf_counter() - costs.started
                settled = settled_text(self.processor.raw_answer(row.ids)).rstrip(HALF_READ)
                if settled != shown:
                    yield TextDelta(settled[len(shown) :])
                    shown = settled
                if unread.wanted:
                    yield unread
            yield TextOver(state)
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

    # objects

    @property
    def objects(self) -> Mapping[str, KnownObject]:
        """Every object the session knows, in the order it met them."""
        return MappingProxyType({object_id: self.book[object_id] for object_id in self.book.object_ids})

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
