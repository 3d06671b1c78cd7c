"""Questions about what is not there, and questions that fit several things; half of each are about what is there."""

from collections.abc import Sequence
from typing import Final

from sama_video.data.synthetic.draw import Draw
from sama_video.data.synthetic.levels import COLORS, SHAPES
from sama_video.data.synthetic.questions.base import Question, indefinite, the
from sama_video.data.synthetic.questions.pointing import SEGMENT
from sama_video.data.synthetic.references import fits, matching, noun_phrase
from sama_video.data.synthetic.story import Story

EXISTS: Final = ("Is there {thing} in the video?", "Can you see {thing}?", "Does the video show {thing}?")
_TELLING: Final = ("size", "color", "texture")


def not_there(story: Story, draw: Draw) -> Sequence[Question]:
    """One thing by colour and shape that is or is not there, asked for as a mask or as yes or no."""
    drawn = [i for i in story.shown if not story.look(i).is_sprite and story.actors[i].repaint is None]
    is_there = bool(drawn) and draw.chance(0.5)
    there = (draw.pick(drawn),) if is_there else ()
    targets = tuple((idx,) for idx in there)
    words = story.look(there[0]).name if there else absent_words(story, draw)
    if draw.chance(0.5):
        text = draw.pick(SEGMENT).format(thing=f"the {words}")
        answer = f"Sure, it is {the(story, there[0])}." if there else f"There is no {words}."
        kind = "segment"
    else:
        text = draw.pick(EXISTS).format(thing=indefinite(words))
        answer = f"Yes, here is {the(story, there[0])}." if there else f"No, there is no {words}."
        kind = "exists"
    expect = {"rule": "absent", "want": not is_there, "asks_mask": kind == "segment"}
    return (Question("not-there", kind, text, answer, expect, targets=targets, ground="auto", mentions=there),)


def absent_words(story: Story, draw: Draw) -> str:
    """Words that fit nothing in the episode; the colour or the shape alone is mostly there."""
    colors = {color for actor in story.actors for color in actor.colors}
    shapes = {actor.look.shape for actor in story.actors}
    absent = [
        (c, s) for c in COLORS for s in SHAPES if not any(fits(a, {"color": c, "shape": s}) for a in story.actors)
    ]
    near = [(c, s) for c, s in absent if c in colors and s in shapes]
    half = [(c, s) for c, s in absent if (c in colors) != (s in shapes)]
    chosen = near if near and draw.chance(0.5) else half if half and draw.chance(0.8) else absent
    return " ".join(draw.pick(chosen))


def ambiguous(story: Story, draw: Draw) -> Sequence[Question]:
    """One word that fits two or more objects, or in half of the cases just one; asked of clips where both can be."""
    choices = [(words, idxs) for words in _single_words(story) for idxs in [matching(story, words)]]
    several = [(words, idxs) for words, idxs in choices if len(idxs) > 1 and _telling(story, idxs) is not None]
    one = [(words, idxs) for words, idxs in choices if len(idxs) == 1]
    if not several or not one:
        return ()
    is_ambiguous = draw.chance(0.5)
    words, idxs = draw.pick(several if is_ambiguous else one)
    noun = noun_phrase(words)
    text = draw.pick(SEGMENT).format(thing=f"the {noun}")
    if not is_ambiguous:
        answer = f"Sure, it is {the(story, idxs[0])}."
        expect = {"rule": "ask back", "want": False, "options": []}
        targets: tuple[tuple[int, ...], ...] = ((idxs[0],),)
    else:
        told = _telling(story, idxs)
        assert told is not None
        options = [str(getattr(story.look(i), told)) for i in idxs]
        answer = f"Which one: {' or '.join([f'the {option}' for option in options])} {noun}?"
        expect = {"rule": "ask back", "want": True, "options": options}
        targets = ()
    kind = "several" if is_ambiguous else "one"
    return (Question("ambiguous", kind, text, answer, expect, targets=targets, ground="auto", mentions=tuple(idxs)),)


def _single_words(story: Story) -> list[dict[str, str]]:
    """Every colour and every shape of the episode as the one word that is said."""
    steady = [actor for actor in story.actors if not actor.look.is_sprite]
    changing = {color for actor in steady if actor.repaint is not None for color in actor.colors}
    shapes = dict.fromkeys(actor.look.shape for actor in steady)
    colors = dict.fromkeys(str(actor.look.color) for actor in steady if actor.look.color not in changing)
    return [{"shape": shape} for shape in shapes] + [{"color": color} for color in colors]


def _telling(story: Story, idxs: Sequence[int]) -> str | None:
    """The attribute that tells some objects apart in one word each."""
    for attribute in _TELLING:
        values = {getattr(story.look(i), attribute) for i in idxs}
        if len(values) == len(idxs) and not (attribute == "color" and any(story.actors[i].repaint for i in idxs)):
            return attribute
    return None
