"""Mistakes in marks and tags, and about which object is meant."""

import re
from typing import Any, TypeAlias

from sama_video.annotate.scripted.answers import absent_name
from sama_video.annotate.scripted.scene import PHRASE, TAG, Scene
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, SEG

Json: TypeAlias = Any


def missing_tag(scene: Scene) -> str | None:
    """Leave out the tag behind a phrase."""
    return scene.change_answer(PHRASE, lambda found: f"{PHRASE_START}{found[1]}{PHRASE_END}")


def bare_tag(scene: Scene) -> str | None:
    """Leave out the marks around a phrase."""
    return scene.change_answer(PHRASE, lambda found: f"{found[1]} <{found[2]}>")


def unknown_tag(scene: Scene) -> str | None:
    """Name an object that there is not."""
    strange = f"<obj{len(scene.truth.things) + 1 + scene.draws.below(4)}>"
    return scene.change_answer(TAG, lambda found: strange)


def empty_phrase(scene: Scene) -> str | None:
    """Leave out the words of a phrase."""
    return scene.change_answer(PHRASE, lambda found: f"{PHRASE_START}{PHRASE_END}<{found[2]}>")


def nested_phrase(scene: Scene) -> str | None:
    """Mark the last word of a phrase once more."""

    def nest(found: re.Match[str]) -> str:
        words = found[1].split()
        inner = f"{PHRASE_START}{words[-1]}{PHRASE_END}<{found[2]}>"
        return f"{PHRASE_START}{' '.join(words[:-1])} {inner}{PHRASE_END}<{found[2]}>"

    return scene.change_answer(PHRASE, nest)


def open_phrase(scene: Scene) -> str | None:
    """Never close a phrase."""
    return scene.change_answer(PHRASE, lambda found: f"{PHRASE_START}{found[1]}<{found[2]}>")


def named_twice(scene: Scene) -> str | None:
    """Tag an object a second time."""
    place = scene.some_turn(lambda turn: PHRASE.search(turn["answer"]) is not None)
    if place is None:
        return None
    found = PHRASE.search(scene.turns[place]["answer"])
    assert found is not None
    scene.turns[place]["answer"] += f" Later {found[0]} is still there."
    return f"turn {place + 1}"


def untagged_question(scene: Scene) -> str | None:
    """Leave out the tags of a question."""
    place = scene.some_turn(lambda turn: bool(TAG.search(turn["question"])))
    if place is None:
        return None
    scene.turns[place]["question"] = re.sub(r" ?<obj[0-9]+>", "", scene.turns[place]["question"])
    return f"turn {place + 1}"


def model_token(scene: Scene) -> str | None:
    """Write a model's mask token in place of a tag."""
    return scene.change_answer(PHRASE, lambda found: f"{PHRASE_START}{found[1]}{PHRASE_END} {SEG}")


def tag_in_description(scene: Scene) -> str | None:
    """Tag the object of a description."""
    if not scene.descriptions:
        return None
    row = scene.draws.choice(scene.descriptions)
    row["text"] = row["text"].replace(" ", f" <{row['object']}> ", 1)
    return f"description {row['object']}"


def swapped_ids(scene: Scene) -> str | None:
    """Exchange the tags of two objects."""

    def has_two(turn: dict[str, Json]) -> bool:
        return len({found[2] for found in PHRASE.finditer(turn["answer"])}) > 1

    place = scene.some_turn(has_two)
    if place is None:
        return None
    turn = scene.turns[place]
    one, other = list(dict.fromkeys(found[2] for found in PHRASE.finditer(turn["answer"])))[:2]
    exchanged = {one: other, other: one}
    turn["answer"] = TAG.sub(lambda found: f"<{exchanged.get(found[1], found[1])}>", turn["answer"])
    return f"turn {place + 1}"


def wrong_object(scene: Scene) -> str | None:
    """Tag another object with the words of this one."""

    def fits(turn: dict[str, Json]) -> bool:
        return len(PHRASE.findall(turn["answer"])) == 1 and len(scene.truth.things) > 1

    place = scene.some_turn(fits)
    if place is None:
        return None
    turn = scene.turns[place]
    wrong = scene.other_than(PHRASE.findall(turn["answer"])[0][1])
    turn["answer"] = TAG.sub(f"<{wrong}>", turn["answer"])
    return f"turn {place + 1}"


def invented_object(scene: Scene) -> str | None:
    """Call an object what none is called."""
    name = absent_name(scene.truth, scene.draws)
    return scene.change_answer(PHRASE, lambda found: f"{PHRASE_START}the {name}{PHRASE_END}<{found[2]}>")


def swapped_descriptions(scene: Scene) -> str | None:
    """Exchange the texts of two objects."""
    if len(scene.descriptions) < 2:
        return None
    one, other = scene.draws.shuffled(scene.descriptions)[:2]
    one["text"], other["text"] = other["text"], one["text"]
    return f"description {one['object']}, description {other['object']}"


def missing_description(scene: Scene) -> str | None:
    """Leave out a description."""
    if not scene.descriptions:
        return None
    scene.descriptions.pop(scene.draws.below(len(scene.descriptions)))
    return "draft"
