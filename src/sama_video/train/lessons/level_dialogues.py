"""Dialogues about the diagnostic world: its own questions of all families, and some in the plain world's words."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Bool

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.episode import Actor, Episode
from sama_video.data.synthetic.language import Story as PlainStory
from sama_video.data.synthetic.language import SyntheticTurn, sample_dialogue
from sama_video.data.synthetic.levels import COLORS, HELD_OUT
from sama_video.data.synthetic.questions import FAMILIES, Question, Talk
from sama_video.data.synthetic.questions.talk import WEIGHTS, talk
from sama_video.data.synthetic.shapes import ObjectSpec
from sama_video.data.synthetic.story import Story, story_of
from sama_video.dialogue.markup import REGION_TAG, ObjectTag, RegionTag, parse_answer, split_question
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.frame_choice import context_frames, dense_frames
from sama_video.train.lessons.attributes import ATTRIBUTES, UNSAID, attribute_ids
from sama_video.train.lessons.dialogues import Blind, Kinds, Showing, Teller, Told, names_only
from sama_video.train.lessons.plain_dialogues import is_named
from sama_video.train.lessons.rewording import reworded
from sama_video.train.lessons.scenes import Shot, without_color
from sama_video.train.lessons.worlds import LevelWorld

REFERRING_KINDS: Final = {
    "attribute": 4.0,
    "click": 0.5,
    "box": 0.5,
    "grounding": 1.5,
    "dialogue": 0.8,
    "motion": 1.2,
    "temporal": 0.5,
    "not-there": 1.2,
    "ambiguous": 0.4,
    "counting": 0.4,
    "comparison": 0.6,
    "events": 0.4,
    "caption": 0.2,
}
"""Families of questions while the model learns to read regions."""

TALKING_KINDS: Final = {
    "attribute": 1.0,
    "click": 0.5,
    "box": 0.5,
    "grounding": 3.0,
    "dialogue": 1.6,
    "motion": 3.2,
    "temporal": 1.4,
    "not-there": 2.0,
    "ambiguous": 1.2,
    "counting": 0.9,
    "comparison": 0.6,
    "events": 1.4,
    "caption": 0.4,
}
"""Families of the last stage."""

REGION_KINDS: Final = {"attribute": 4.0, "click": 0.7, "box": 0.7, "comparison": 0.8}
"""Families that can be answered from regions and context alone."""

GRAY_KINDS: Final = {"attribute": 4.0, "motion": 1.5, "comparison": 0.6, "counting": 0.3}
"""Families of which something can be said of a clip without colour."""

TEXT_KINDS: Final = {"grounding": 3.0, "caption": 0.7, "dialogue": 0.5}
"""Families without any picture: only the prompts of the objects named in their answers are learnt from them."""

PLAIN_KINDS: Final = {
    "attribute": 3.0,
    "what": 3.0,
    "segment_text": 2.0,
    "segment_region": 1.0,
    "absent": 1.0,
    "exists": 1.0,
    "count": 0.4,
}
"""What the plain world's language can truly say of any clip in which nothing changes its colour."""

PLAIN_REGION_KINDS: Final = {"attribute": 1.0, "what": 1.0, "segment_region": 0.4}
PLAIN_TEXT_KINDS: Final = {"segment_text": 1.0}

_PAIRS_UNSEEN: Final = tuple(pair for split in ("val", "test") for pair in sorted(HELD_OUT[split]))
_NAME_UNSEEN: Final = re.compile(rf"\b({'|'.join(f'{color} {shape}' for color, shape in _PAIRS_UNSEEN)})\b")
_COLOR: Final = tuple(ATTRIBUTES).index("color")
_COLOR_WORD: Final = re.compile(rf"\b(colors?|{'|'.join(COLORS)})\b")
_NOTHING: Final = (SyntheticTurn("not-there", "Is there a camera in the video?", (), "No, there is no camera.", ()),)
"""For the rare clip of which nothing else can be asked."""

_WORDS_ONLY_SHARE: Final = 0.4  # of answers whose objects nobody asked to be shown
_FEWER: Final = 3  # turns by which a dialogue may fall short


@dataclass(frozen=True)
class LevelTeller(Teller):
    """Clips are seen as a session sees them: every frame of an episode, ten a second.

    Attributes:
        plain_share: Share of dialogues in the plain world's words, for other ways to ask the same.
        gray_share: Share of dialogues about clips without colour, of which none is named then.
        renamed_share: Share of objects of clips that nobody sees that take a name which no clip shows.
        reworded_share: Share of questions about pictures that are put in other words than the benchmark's.
    """

    plain_share: float = 0.0
    gray_share: float = 0.0
    renamed_share: float = 0.0
    reworded_share: float = 0.0
    usual: ClassVar[Mapping[str, Kinds]] = {
        "refer": REFERRING_KINDS,
        "joint": TALKING_KINDS,
        "region": REGION_KINDS,
        "text": TEXT_KINDS,
        "all": {name: WEIGHTS[writer] for name, writer in FAMILIES.items() if writer in WEIGHTS},
    }

    def tell(
        self,
        rng: np.random.Generator,
        scene: Episode,
        config: SamaConfig,
        num_turns: int,
        *,
        kinds: Kinds,
        region_only: bool = False,
        late_share: float = 0.0,
    ) -> Told:
        """A dialogue about an episode."""
        story = story_of(scene)
        is_gray = self.gray_share > 0 and rng.random() < self.gray_share
        if is_gray:
            turns = tuple(turn for turn in _talked(rng, story, num_turns, GRAY_KINDS) if not _names_color(turn))
        else:
            said = self._turns(rng, story, num_turns, kinds, PLAIN_REGION_KINDS if region_only else PLAIN_KINDS)
            turns = tuple(turn for turn in said if not _names_unseen_pair(turn.question))
        turns = tuple(reworded(rng, turn, self.reworded_share) for turn in turns) or _NOTHING
        context = context_frames(config, scene.num_frames)
        pointed = {i for turn in turns for i in turn.region_objects}
        extra = _extra_frames(rng, story, context, pointed, late_share)
        frames = sorted({*context, *extra})
        shot = LevelWorld().shoot(scene, frames, config.segmenter_side)
        if is_gray:
            shot = _grayed(rng, shot)
        dense = tuple(frames.index(i) for i in dense_frames(config, context))
        can_point = story.clear[:, frames] & shot.masks.any(axis=(2, 3))
        specs = Showing(rng, shot, can_point, dense, [frames.index(i) for i in extra], region_only).specs(turns)
        names = _names(scene.actors)
        return Told(shot, tuple(frames.index(i) for i in context), dense, names, turns, specs, region_only)

    def tell_blind(self, rng: np.random.Generator, scene: Episode, num_turns: int, kinds: Kinds = TEXT_KINDS) -> Blind:
        """A dialogue about an episode that nobody sees."""
        if self.renamed_share > 0:
            scene = replace(scene, actors=_renamed(rng, scene.actors, self.renamed_share))
        story = story_of(scene)
        said = self._turns(rng, story, num_turns, kinds, PLAIN_TEXT_KINDS)
        turns = tuple(turn for turn in said if not turn.region_objects) or _NOTHING
        names = [actor.look.name for actor in scene.actors]
        known = tuple(_says_its_object(turn, names) for turn in turns)
        return Blind(_names(scene.actors), turns, known)

    def _turns(
        self, rng: np.random.Generator, story: Story, num_turns: int, kinds: Kinds, plain_kinds: Kinds
    ) -> Iterable[SyntheticTurn]:
        if story.shown and rng.random() < self.plain_share and not any(actor.repaint for actor in story.actors):
            return sample_dialogue(_plain(story), rng, num_turns, plain_kinds)
        return _talked(rng, story, num_turns, kinds)


def _talked(rng: np.random.Generator, story: Story, num_turns: int, kinds: Kinds) -> list[SyntheticTurn]:
    """Turns in the diagnostic world's own words; none about a clip in which nothing is shown."""
    weights = {FAMILIES[name]: weight for name, weight in kinds.items()}
    draw = Draw(int(rng.integers(2**62)))
    said = talk(story, draw, weights, (max(1, num_turns - _FEWER), num_turns)) if story.shown else None
    return [] if said is None else [_turn_of(question, said, rng) for question in said.turns]


def _turn_of(question: Question, said: Talk, rng: np.random.Generator) -> SyntheticTurn:
    """A question as the model reads it: known objects are pointed at like any other.

    An answer that is wanted in words alone is now and then learnt without its marks.
    """
    pieces = split_question(question.text)
    text = "".join(piece if isinstance(piece, str) else REGION_TAG for piece in pieces)
    objects = tuple(_pointed(question, said))
    if question.ground is False and rng.random() < _WORDS_ONLY_SHARE:
        return SyntheticTurn(question.family, text, objects, parse_answer(question.answer).text, ())
    return SyntheticTurn(question.family, text, objects, question.answer, tuple(g[0] for g in question.targets))


def _pointed(question: Question, said: Talk) -> Iterator[int]:
    given = iter(question.regions)
    for piece in split_question(question.text):
        if isinstance(piece, RegionTag):
            yield next(given).object_idx
        elif isinstance(piece, ObjectTag):
            yield said.order[int(piece.object_id.removeprefix("obj")) - 1]


def _plain(story: Story) -> PlainStory:
    """What the plain world's language can say: looks and who is there; motions are more than it has words for."""
    looks = [story.look(i) for i in range(len(story.actors))]
    specs = tuple(ObjectSpec(str(look.color), look.shape, str(look.texture), look.size) for look in looks)
    return PlainStory(specs, ("still",) * len(specs), story.shown)


def _extra_frames(
    rng: np.random.Generator, story: Story, context: Sequence[int], pointed: set[int], late_share: float
) -> list[int]:
    """Frames to point at that would not be shown: one for each object that the context shows badly, or now and then."""
    extra = [int(rng.choice(np.flatnonzero(story.clear[i]))) for i in sorted(pointed) if not _any(story, i, context)]
    if rng.random() < late_share and pointed:
        frames = np.flatnonzero(story.clear[int(rng.choice(sorted(pointed)))])
        extra.append(int(rng.choice(frames)))
    return [frame for frame in dict.fromkeys(extra) if frame not in context]


def _any(story: Story, idx: int, frames: Sequence[int]) -> bool:
    clear: Bool[np.ndarray, " frames"] = story.clear[idx, list(frames)]
    return bool(clear.any())


def _names(actors: Sequence[Actor]) -> np.ndarray:
    return names_only(attribute_ids([actor.look for actor in actors]))


def _says_its_object(turn: SyntheticTurn, names: list[str]) -> bool:
    if turn.kind == "grounding":
        return f" the {names[turn.seg_objects[0]]}." in turn.question
    return is_named(turn, names)


def _names_unseen_pair(question: str) -> bool:
    """Whether a question is about a colour and shape that are held out, and would be learnt as never there."""
    return _NAME_UNSEEN.search(question) is not None


def _names_color(turn: SyntheticTurn) -> bool:
    return _COLOR_WORD.search(f"{turn.question} {turn.answer}") is not None


def _grayed(rng: np.random.Generator, shot: Shot) -> Shot:
    """The same frames on one film that sees no colour; nothing in them has one."""
    num_frames, height, width, _ = shot.frames.shape
    film = without_color(rng, shot.frames.reshape(1, num_frames * height, width, 3))
    looks = shot.looks.copy()
    looks[..., _COLOR] = UNSAID
    return replace(shot, frames=film.reshape(shot.frames.shape), looks=looks)


def _renamed(rng: np.random.Generator, actors: Sequence[Actor], share: float) -> tuple[Actor, ...]:
    """Objects of which some have a shape that no clip for training shows in their colour; names stay unique."""
    renamed, taken = [], {actor.look.name for actor in actors}
    for actor in actors:
        shapes = [shape for color, shape in _PAIRS_UNSEEN if color == actor.look.color]
        if shapes and actor.repaint is None and rng.random() < share:
            look = replace(actor.look, shape=shapes[int(rng.integers(len(shapes)))])
            if look.name not in taken:
                taken.add(look.name)
                actor = replace(actor, look=look)
        renamed.append(actor)
    return tuple(renamed)
