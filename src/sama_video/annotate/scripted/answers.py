"""True questions and answers of every kind about a synthetic clip, in several wordings, as a good model writes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sama_video.annotate.scripted.heard import Heard
from sama_video.annotate.scripted.truth import TrueClip, TrueThing
from sama_video.data.building.draws import Draws
from sama_video.data.synthetic.levels import COLORS, SHAPES
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START

Json: TypeAlias = Any
Turn: TypeAlias = dict[str, Json]

_WORDS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_APART: Final = 0.14
_TRIES: Final = 8


class Speaker:
    """Answers about one clip.

    Args:
        truth: What is true of it.
        duration: In seconds, as the request says it.
        draws: Choose wordings.
    """

    def __init__(self, truth: TrueClip, duration: float | int, draws: Draws) -> None:
        self.truth, self.draws = truth, draws
        self._second = duration / truth.num_frames

    def reply(self, heard: Heard) -> dict[str, Json]:
        """Everything that a request wants."""
        turns: list[Turn] = []
        for task, object_ids in heard.turns:
            known = {turn["question"] for turn in turns} | heard.questions
            tries = [self.turn(task, object_ids) for _ in range(_TRIES)]
            turns.append(next((turn for turn in tries if turn["question"] not in known), self._spare(known)))
        return {
            "descriptions": [{"object": name, "text": self.description(name)} for name in heard.describe],
            "turns": turns,
        }

    def description(self, object_id: str) -> str:
        """Two or three sentences about one object."""
        thing = self.truth.thing(object_id)
        first, last = self.seconds(thing.seen[0][0]), self.seconds(thing.seen[-1][1])
        seen = self.draws.choice(
            (f"It can be seen from {first} to {last}.", f"It is in view between {first} and {last}.")
        )
        look = f"Its surface is {thing.texture} and its color is {thing.color}." if thing.color else "It is a drawing."
        size = f"Among the things here it is one of the {'larger' if thing.size == 'large' else 'smaller'} ones."
        return f"{thing.sentence} {self.draws.choice((look, size, f'{look} {size}'))} {seen}"

    def turn(self, task: str, object_ids: Sequence[str]) -> Turn:
        """A turn of a kind about some objects."""
        things = [self.truth.thing(object_id) for object_id in object_ids]
        question, answer, spans = _WRITERS[task](self, things)
        return {
            "task": task,
            "question": question,
            "answer": answer,
            "spans": [{"start": a, "end": b} for a, b in spans],
        }

    def seconds(self, frame: float | int) -> str:
        """A frame's time in words."""
        return f"{self.moment(frame):.2f} s"

    def moment(self, frame: float | int) -> float:
        """A frame's time, as the request counts it."""
        return round(frame * self._second, 2)

    def _spare(self, known: set[str]) -> Turn:
        """A turn when a kind has nothing new to ask: numbers of frames make any number of questions."""
        for frame in range(self.truth.num_frames):
            for thing in self.truth.things:
                question = f"Is {the(thing)} <{thing.object_id}> in view at {self.seconds(frame)}?"
                if question not in known and any(a <= frame <= b for a, b in thing.seen):
                    answer = f"Yes, {phrase(thing)} can be seen then."
                    return {"task": "dialogue", "question": question, "answer": answer, "spans": []}
        raise AssertionError("a clip has more frames than turns")


def the(thing: TrueThing) -> str:
    """An object's name with its article."""
    return f"the {thing.name}"


def phrase(thing: TrueThing, words: str | None = None) -> str:
    """An object's name as a phrase with its tag."""
    return f"{PHRASE_START}{words or the(thing)}{PHRASE_END}<{thing.object_id}>"


def opening(thing: TrueThing, words: str | None = None) -> str:
    """The same at the beginning of a sentence."""
    said = words or the(thing)
    return phrase(thing, said[0].upper() + said[1:])


_Said: TypeAlias = tuple[str, str, Sequence[tuple[float, float]]]


def _description(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    (thing,) = things
    asked = speaker.draws.choice(
        (
            f"What does {the(thing)} <{thing.object_id}> look like, and what does it do?",
            f"Can you describe {the(thing)} <{thing.object_id}> from beginning to end?",
            f"Tell me about {the(thing)} <{thing.object_id}>.",
        )
    )
    answer = f"{opening(thing, f'the {thing.words}')} {thing.motion}. Its size is {thing.size}."
    return asked, answer, ()


def _dialogue(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    (thing,) = things
    tag = f"<{thing.object_id}>"
    said = [
        (f"Which way does {the(thing)} {tag} go?", f"{opening(thing)} {thing.motion}."),
        (f"Is {the(thing)} {tag} large or small?", f"{opening(thing)} is {thing.size}."),
        (f"And what becomes of {the(thing)} {tag}?", f"In the course of the clip {phrase(thing)} {thing.motion}."),
    ]
    if thing.texture:
        said.append((f"What pattern does {the(thing)} {tag} have?", f"{opening(thing)} is {thing.texture}."))
    return (*speaker.draws.choice(said), ())


def _relation(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    one, other = things[0], things[-1]
    tags = f"{the(one)} <{one.object_id}> and {the(other)} <{other.object_id}>"
    said = [
        (
            f"Do {tags} have the same size?",
            f"Yes, {phrase(one)} and {phrase(other)} are both {one.size}."
            if one.size == other.size
            else f"No, {phrase(one)} is {one.size}, while {phrase(other)} is {other.size}.",
        )
    ]
    side = _side(one, other)
    if side:
        said.append(
            (f"How do {tags} stand to each other at the beginning?", f"{opening(one)} is {side} {phrase(other)}.")
        )
    for kind, actor, partner in speaker.truth.events:
        if (actor, partner) == (one.object_id, other.object_id):
            verb = "is hidden by" if kind == "is hidden" else kind
            said.append((f"What happens between {tags}?", f"{opening(one)} {verb} {phrase(other)}."))
    return (*speaker.draws.choice(said), ())


def _temporal(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    (thing,) = things
    doing = {"moves": "moving", "rests": "standing still", "hidden": "hidden"}
    spans = [(doing[verb], span) for verb, span in thing.does if verb in doing]
    verb, (first, last) = speaker.draws.choice([*spans, ("in view", (thing.seen[0][0], thing.seen[-1][1]))])
    question = speaker.draws.choice(
        (
            f"When is {the(thing)} <{thing.object_id}> {verb}?",
            f"During which seconds is {the(thing)} <{thing.object_id}> {verb}?",
        )
    )
    answer = f"{opening(thing)} is {verb} from {speaker.seconds(first)} to {speaker.seconds(last)}."
    return question, answer, [(speaker.moment(first), speaker.moment(last))]


def _counting(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    truth = speaker.truth
    groups: list[tuple[str, list[TrueThing]]] = []
    for attribute in ("color", "kind", "size"):
        for value in dict.fromkeys(getattr(thing, attribute) for thing in truth.things):
            members = [thing for thing in truth.things if getattr(thing, attribute) == value]
            if value and (attribute != "size" or not truth.unnamed) and not _has_unnamed(truth, value):
                groups.append((_plural(value) if attribute == "kind" else f"{value} objects", members))
    words, members = speaker.draws.choice(groups) if groups else ("things that I asked about", list(truth.things))
    question = speaker.draws.choice((f"How many {words} are there?", f"How many {words} can you see in the clip?"))
    listed = _listed([phrase(thing) for thing in members])
    verb, noun = ("is", words.replace("objects", "object")) if len(members) == 1 else ("are", words)
    noun = members[0].kind if len(members) == 1 and not noun.endswith("object") else noun
    return question, f"There {verb} {_WORDS[len(members)]} {noun}: {listed}.", ()


def _reasoning(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    (thing,) = things
    for kind, actor, partner in speaker.truth.events:
        if kind == "is hidden" and actor == thing.object_id:
            other = speaker.truth.thing(partner)
            question = f"Why is {the(thing)} <{thing.object_id}> out of sight for a while?"
            return question, f"Because {phrase(other)} is in front of {phrase(thing)} then.", ()
    question = speaker.draws.choice(
        (
            f"What would {the(thing)} <{thing.object_id}> most likely do if the clip went on?",
            f"What is {the(thing)} <{thing.object_id}> likely to do next?",
        )
    )
    if thing.ways and not thing.motion.endswith("stops"):
        guess = f"It would most likely go on, because {phrase(thing)} still moves {thing.ways[-1]} at the end."
    else:
        guess = f"It would most likely stay where it is, because {phrase(thing)} does not move at the end."
    return question, guess, ()


def _not_there(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    missing = absent_name(speaker.truth, speaker.draws)
    article = "an" if missing[0] in "aeiou" else "a"
    return speaker.draws.choice(
        (
            (f"Is there {article} {missing} in the clip?", f"No, there is no {missing} here.", ()),
            (f"Where can I find the {missing}?", f"There is no {missing} in this clip.", ()),
            (f"Does {article} {missing} appear at some time?", f"No, {article} {missing} never appears.", ()),
        )
    )


def _hard_negative(speaker: Speaker, things: Sequence[TrueThing]) -> _Said:
    (thing,) = things
    tag = f"<{thing.object_id}>"
    wrong = next((way for way in ("left", "right", "up", "down") if way not in thing.ways), None)
    other_size = "small" if thing.size == "large" else "large"
    said = [
        (f"Why is {the(thing)} {tag} so {other_size}?", f"{opening(thing)} is not {other_size}, it is {thing.size}.")
    ]
    if wrong:
        said.append(
            (f"Why does {the(thing)} {tag} go {wrong} first?", f"It does not: {phrase(thing)} {thing.motion} instead.")
        )
    return (*speaker.draws.choice(said), ())


def absent_name(truth: TrueClip, draws: Draws) -> str:
    """A colour and a shape that the clip has not together."""
    there = {thing.name for thing in truth.things} | set(truth.unnamed)
    pairs = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
    return draws.choice([pair for pair in pairs if pair not in there])


def _side(one: TrueThing, other: TrueThing) -> str | None:
    if one.start is None or other.start is None:
        return None
    across, down = one.start[0] - other.start[0], one.start[1] - other.start[1]
    if max(abs(across), abs(down)) < _APART:
        return None
    if abs(across) >= abs(down):
        return "to the left of" if across < 0 else "to the right of"
    return "above" if down < 0 else "below"


def _has_unnamed(truth: TrueClip, word: str) -> bool:
    return any(word in name.split() for name in truth.unnamed)


def _plural(word: str) -> str:
    return f"{word}es" if word.endswith(("s", "x", "ch")) else f"{word}s"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


_WRITERS: Final[Mapping[str, Callable[[Speaker, Sequence[TrueThing]], _Said]]] = {
    "description": _description,
    "dialogue": _dialogue,
    "relation": _relation,
    "temporal": _temporal,
    "counting": _counting,
    "reasoning": _reasoning,
    "not_there": _not_there,
    "hard_negative": _hard_negative,
}
