"""The question type of the diagnostic world, and the few words that all its writers share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.references import Reference, name_of, references
from sama_video.data.synthetic.story import Story
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, REGION_TAG, SEG
from sama_video.errors import DataError

Json: TypeAlias = Any
Form = Literal["point", "box", "mask"]
Ground = Literal["auto"] | bool

R: Final = REGION_TAG
_FORMS: Final[tuple[Form, ...]] = ("point", "box", "mask")


@dataclass(frozen=True)
class Pointed:
    """What a region tag points at: an object on a frame, by a click, a box or an outline."""

    object_idx: int
    frame: int
    form: Form = "mask"


@dataclass(frozen=True)
class Question:
    """One question with its right answer, and what a scorer must find in another answer to count it as right.

    Attributes:
        family: The part of the benchmark that it belongs to.
        kind: What is asked within it.
        text: The question, with one region tag for each of `regions`.
        answer: A right answer, with phrases and mask tokens.
        targets: The objects of each mask token.
        expect: The rule by which answers are judged and what it wants; see `answers`.
        ground: Whether masks are wanted; "auto" leaves it to whoever answers.
        thread: Questions of one conversation share this name; empty for one that stands alone.
        turn: Position in the conversation.
        alone: A follow-up put so that it can be understood without what was said before, with its regions.
        mentions: Objects that the question names or means by "it", in order.
    """

    family: str
    kind: str
    text: str
    answer: str
    expect: Mapping[str, Json]
    regions: tuple[Pointed, ...] = ()
    targets: tuple[tuple[int, ...], ...] = ()
    ground: Ground = False
    thread: str = ""
    turn: int = 0
    alone: tuple[str, tuple[Pointed, ...]] | None = None
    mentions: tuple[int, ...] = field(default=())

    def to_json(self) -> dict[str, Json]:
        """The form of one entry of a questions file; only what is not usual is written."""
        value: dict[str, Json] = {
            "family": self.family,
            "kind": self.kind,
            "question": self.text,
            "regions": [_pointed_json(pointed) for pointed in self.regions],
            "answer": self.answer,
            "targets": [list(group) for group in self.targets],
            "expect": dict(self.expect),
            "ground": self.ground,
        }
        if self.thread:
            value |= {"thread": self.thread, "turn": self.turn}
        if self.alone is not None:
            value["alone"] = {"question": self.alone[0], "regions": [_pointed_json(p) for p in self.alone[1]]}
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Json], place: str) -> "Question":
        """Read the form of one entry; a DataError names the place."""
        try:
            alone = value.get("alone")
            return cls(
                family=str(value["family"]),
                kind=str(value["kind"]),
                text=str(value["question"]),
                answer=str(value["answer"]),
                expect=dict(value["expect"]),
                regions=_pointed_from(value["regions"]),
                targets=tuple(tuple(int(i) for i in group) for group in value["targets"]),
                ground=value["ground"],
                thread=str(value.get("thread", "")),
                turn=int(value.get("turn", 0)),
                alone=None if alone is None else (str(alone["question"]), _pointed_from(alone["regions"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{place}: not a question of ours ({error!r}); write the folder again.") from error


Writer = Callable[[Story, Draw], Sequence[Question]]


def _pointed_json(pointed: Pointed) -> list[Json]:
    return [pointed.object_idx, pointed.frame, pointed.form]


def _pointed_from(rows: Sequence[Sequence[Json]]) -> tuple[Pointed, ...]:
    return tuple(Pointed(int(idx), int(frame), form) for idx, frame, form in rows)


def point_at(story: Story, idx: int, draw: Draw, form: Form | None = None) -> Pointed:
    """A way to point at an object, on a frame on which most of it shows."""
    frames = story.clear[idx].nonzero()[0].tolist()
    frame = draw.pick(frames)
    return Pointed(idx, frame, draw.pick(_FORMS) if form is None else form)


def phrase(words: str) -> str:
    """A phrase with its mask token."""
    return f"{PHRASE_START} {words} {PHRASE_END} {SEG}"


def the(story: Story, idx: int, *, capital: bool = False) -> str:
    """An object's name as a phrase with its mask token."""
    name = name_of(story, idx)
    return phrase(name[0].upper() + name[1:] if capital else name)


def spoken(story: Story, reference: Reference) -> str:
    """A reference with the other object's name in its place."""
    return reference.words if reference.other is None else reference.words.format(name_of(story, reference.other))


def reference_of(story: Story, idx: int, draw: Draw, kind: str | None = None) -> Reference | None:
    """One way to name an object, of one kind or of any."""
    fitting = [reference for reference in references(story, idx) if kind in (None, reference.kind)]
    return draw.pick(fitting) if fitting else None


def indefinite(words: str) -> str:
    """Words with their article.

    >>> indefinite("orange star"), indefinite("star")
    ('an orange star', 'a star')
    """
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def listed(parts: Sequence[str]) -> str:
    """Parts as an English list: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def wants_word(group: str, *words: str) -> dict[str, Json]:
    """Expect exactly these words of a group, in any order."""
    return {"rule": "words", "want": {group: list(words)}}


def wants_name(story: Story, idx: int) -> dict[str, Json]:
    """Expect an object's name: its colour and shape and no other, or a sprite's own name."""
    look = story.look(idx)
    if look.is_sprite:
        return {"rule": "text", "want": [look.shape]}
    return {"rule": "words", "want": {"color": list(story.actors[idx].colors[:1]), "shape": [look.shape]}}


def name_words(story: Story, idx: int) -> dict[str, Json]:
    """The colours and the shape of an object that an answer may name besides the one it is about."""
    actor = story.actors[idx]
    return {"color": list(actor.colors), "shape": [] if actor.look.is_sprite else [actor.look.shape]}


def wants_yes(truth: bool) -> dict[str, Json]:
    """Expect yes or no."""
    return {"rule": "yes", "want": truth}
