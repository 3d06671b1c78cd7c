"""Models that are shown pictures and told to point: what an endpoint's model and one of `transformers` share.

Their boxes and points become masks through the clip by a tracker of ours, whose weights are part of the model's
revision. What cannot be read of an answer, or shows nothing, gives no mask; `problems` says why, and the log names the
question.
"""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sama_video.bench.models import Outcome, failed
from sama_video.bench.models.answer_regions import Pointed, mark_phrases, plain_text, read_answer
from sama_video.bench.models.picture_prompts import PROMPT_VERSION, Showing, Talk, make_talk
from sama_video.bench.models.session import dialogues
from sama_video.bench.parsing import phrases
from sama_video.bench.task import Prediction, Sample, TaskOptions, Track
from sama_video.errors import ConfigError, DataError, RegionError, SamaError
from sama_video.regions.rle import Rle, union
from sama_video.regions.shapes import Region

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel
    from sama_video.chat.session import ChatSession

_LOG = logging.getLogger(__name__)

Earlier = tuple[tuple[Sample, str], ...]
"""Turns before a question, with their answers."""


@runtime_checkable
class Speaker(Protocol):
    """A model that reads pictures and words, and replies with words."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes its replies."""
        ...

    def say(self, talks: Iterable[Talk]) -> Iterator[str | SamaError]:
        """A reply to each in order, or why there is none; raises what ends them all."""
        ...


class PromptedModel:
    """A speaker and a tracker as one model under test.

    Attributes:
        problems: What could not be read of an answer, by sample id.
    """

    def __init__(self, speaker: Speaker, tracker: "LoadedModel", showing: Showing) -> None:
        self.speaker = speaker
        self.tracker = tracker
        self.showing = showing
        self.problems: dict[str, tuple[str, ...]] = {}

    @property
    def name(self) -> str:
        """The speaker's."""
        return self.speaker.name

    @property
    def revision(self) -> str:
        """Hash of the speaker's settings, the wording, what is shown, and the tracker's weights."""
        showing = [self.showing.coordinates, self.showing.frames, self.showing.side]
        parts = [self.name, dict(self.speaker.settings), PROMPT_VERSION, showing, self.tracker.revision]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def answer(
        self, samples: Sequence[Sample], options: TaskOptions, known: Mapping[str, Prediction]
    ) -> Iterator[Outcome]:
        """Answer every sample that is not known, each with the history that the options tell."""
        with self.tracker.chat(samples[0].open_clip()) as session:
            if options.history == "self":
                for turns in dialogues(samples):
                    yield from self._dialogue(turns, known, session)
            else:
                pending = [sample for sample in samples if sample.sample_id not in known]
                yield from self._independent(pending, samples, session, teacher=options.history == "teacher")

    def _independent(
        self, pending: Sequence[Sample], samples: Sequence[Sample], session: "ChatSession", *, teacher: bool
    ) -> Iterator[Outcome]:
        """Questions that do not depend on each other's answers; the speaker may read several at a time."""
        made: deque[tuple[Sample, Talk | SamaError, Earlier]] = deque()

        def talks() -> Iterator[Talk]:
            for sample in pending:
                try:
                    earlier = _reference_turns(sample, samples) if teacher else ()
                    talk = make_talk(sample, earlier, session.clip, self.showing)
                except SamaError as error:
                    made.append((sample, error, ()))
                else:
                    made.append((sample, replace(talk, turns=()), earlier))  # its pictures are not needed again
                    yield talk

        began = perf_counter()
        for reply in self.speaker.say(talks()):
            yield from _refused(made)
            sample, talk, earlier = made.popleft()
            assert isinstance(talk, Talk), "those that were refused have no reply"
            yield self._outcome(sample, talk, earlier, reply, session, began)
            began = perf_counter()
        yield from _refused(made)

    def _dialogue(
        self, turns: Sequence[Sample], known: Mapping[str, Prediction], session: "ChatSession"
    ) -> Iterator[Outcome]:
        """A dialogue in which the model reads its own answers; those known from before are read as they were."""
        earlier: Earlier = ()
        broken = ""
        for turn in turns:
            text = known[turn.sample_id].pred_text if turn.sample_id in known else None
            if text is None and broken:
                why = DataError(f"the dialogue broke off at {broken}, so its later turns were not asked")
                yield failed(turn, why)
            elif text is None:
                outcome = self._turn(turn, earlier, session)
                yield outcome
                text = outcome.text
            if text is None:
                broken = broken or turn.sample_id
            else:
                earlier = (*earlier, (turn, text))

    def _turn(self, sample: Sample, earlier: Earlier, session: "ChatSession") -> Outcome:
        began = perf_counter()
        try:
            talk = make_talk(sample, earlier, session.clip, self.showing)
        except SamaError as error:
            return failed(sample, error)
        return self._outcome(sample, talk, earlier, next(self.speaker.say([talk])), session, began)

    def _outcome(
        self, sample: Sample, talk: Talk, earlier: Earlier, reply: str | SamaError, session: "ChatSession", began: float
    ) -> Outcome:
        if isinstance(reply, SamaError):
            return failed(sample, reply, perf_counter() - began)
        try:
            text, pointed, tracks = self._grounded(sample, talk, reply, session)
        except SamaError as error:
            return failed(sample, error, perf_counter() - began)
        marked = phrases(text)
        return Outcome(
            sample.sample_id,
            text,
            (*marked, *(one.phrase.strip().lower() for one in pointed[len(marked) :])),
            tracks,
            talk.view.frames,
            perf_counter() - began,
            tuple((turn.question, answer) for turn, answer in earlier),
            note="; ".join(self.problems.get(sample.sample_id, ())),
        )

    def _grounded(
        self, sample: Sample, talk: Talk, reply: str, session: "ChatSession"
    ) -> tuple[str, tuple[Pointed, ...], tuple[Track, ...]]:
        """Text with its phrases marked, what they point at, and the track of each."""
        if not talk.grounded:
            return plain_text(reply), (), ()
        answer = read_answer(reply, talk.view)
        found, blind = _tracks(session, [region for one in answer.pointed for region in one.regions])
        seen = [Pointed(one.phrase, tuple(filter(found.__contains__, one.regions))) for one in answer.pointed]
        if problems := (*answer.problems, *blind):
            self.problems[sample.sample_id] = problems
            _LOG.warning("%s: %s", sample.sample_id, "; ".join(problems))
        text, pointed = mark_phrases(answer.text, [one for one in seen if one.regions])
        return text, pointed, tuple(_joined([found[region] for region in one.regions]) for one in pointed)


def _refused(made: "deque[tuple[Sample, Talk | SamaError, Earlier]]") -> Iterator[Outcome]:
    """The questions at the front of the queue that could not be put."""
    while made and isinstance(made[0][1], SamaError):
        yield failed(made[0][0], made[0][1])
        made.popleft()


def _reference_turns(sample: Sample, samples: Sequence[Sample]) -> Earlier:
    """Earlier turns of the sample's dialogue with the reference's answers."""
    turns = next(turns for turns in dialogues(samples) if sample in turns)
    earlier = turns[: turns.index(sample)]
    for turn in earlier:
        if not turn.reference_text:
            raise ConfigError(f"{turn.sample_id} has no reference answer to go before; use --history single or self.")
    return tuple((turn, turn.reference_text) for turn in earlier)


def _tracks(session: "ChatSession", regions: Sequence[Region]) -> tuple[dict[Region, Track], tuple[str, ...]]:
    """What each region shows, followed through the clip; and why some show nothing.

    A box around nothing is the model's mistake and costs it a mask; it is no failure of the question.
    """
    if not regions:
        return {}, ()
    # Objects of other questions must not take these for known ones.
    fresh = session.another()
    try:
        names = fresh.track(regions)
        return {region: fresh.masklet(name).rles for region, name in zip(regions, names, strict=True)}, ()
    except RegionError:
        return _tracks_one_by_one(fresh, regions)


def _tracks_one_by_one(
    session: "ChatSession", regions: Sequence[Region]
) -> tuple[dict[Region, Track], tuple[str, ...]]:
    """As above, at the price of a pass over the clip for each."""
    found: dict[Region, Track] = {}
    problems: list[str] = []
    for region in regions:
        try:
            (name,) = session.track([region])
        except RegionError as error:
            problems.append(str(error))
        else:
            found[region] = session.masklet(name).rles
    return found, tuple(problems)


def _joined(tracks: Sequence[Track]) -> Track:
    if len(tracks) == 1:
        return tracks[0]
    return tuple(_union([rle for rle in frame if rle is not None]) for frame in zip(*tracks, strict=True))


def _union(rles: Sequence[Rle]) -> Rle | None:
    return union(rles) if rles else None
