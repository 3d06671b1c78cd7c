"""Mistakes in what is said, whether a text shows them or only the clip, and replies that are no answers."""

import re
from typing import Any, Final, TypeAlias

from sama_video.annotate.scripted.scene import PHRASE, TAG, TIME, Scene, as_text
from sama_video.data.synthetic.levels import TEXTURES
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START

Json: TypeAlias = Any

_WAYS: Final = {"left": "right", "right": "left", "up": "down", "down": "up"}


def late_time(scene: Scene) -> str | None:
    """Name a time after the end."""
    late = scene.draws.choice(
        ("{0:.2f} s", "{0:.0f} seconds", "second {0:.0f}", "00:{0:02.0f}", "{0:.1f}s", "{1} seconds")
    )
    return scene.change_answer(TIME, lambda found: late.format(float(found[0][:-2]) + 30, "thirty"))


def unseen_time(scene: Scene) -> str | None:
    """Say that a thing moves while it is not in view at all."""
    total = scene.truth.num_frames
    for place in scene.draws.shuffled(range(len(scene.turns))):
        named = PHRASE.findall(scene.turns[place]["answer"])
        if len(named) != 1:
            continue
        thing = scene.truth.thing(named[0][1])
        before, after = thing.seen[0][0], total - 1 - thing.seen[-1][1]
        if max(before, after) < 0.4 * total:
            continue
        middle = before / 2 if before >= after else total - after / 2
        scene.turns[place]["answer"] += f" At {middle * scene.second:.2f} s it is moving."
        return f"turn {place + 1}"
    return None


def wrong_count(scene: Scene) -> str | None:
    """Say another number than is tagged."""
    words = ("one", "two", "three", "four", "five", "six", "seven")

    def is_count(turn: dict[str, Json]) -> bool:
        return bool(turn["task"] == "counting")

    place = scene.some_turn(is_count)
    if place is None:
        return None
    turn = scene.turns[place]
    pattern = re.compile(rf"\b({'|'.join(words)})\b")
    found = pattern.search(turn["answer"])
    if found is None:
        return None
    wrong = scene.draws.choice([word for word in words if word != found[1]])
    said = scene.draws.choice((wrong, str(words.index(wrong) + 1), f"about {wrong}", f"as many as {wrong}"))
    turn["answer"] = turn["answer"][: found.start()] + said + turn["answer"][found.end() :]
    return f"turn {place + 1}"


def false_denial(scene: Scene) -> str | None:
    """Deny what is there."""
    place = scene.some_turn(lambda turn: turn["task"] == "not_there")
    if place is None:
        return None
    name = scene.draws.choice(scene.truth.things).name
    article = "an" if name[0] in "aeiou" else "a"
    asked, said = scene.draws.choice(
        (
            (f"Is there {article} {name} in the clip?", f"No, there is no {name} here."),
            (f"Where can I find the {name}?", f"There is no {name} in this clip."),
            (f"Does {article} {name} appear at some time?", f"No, {article} {name} never appears."),
            (f"Can you see any {name} here?", "No, nothing of that kind can be seen."),
            (
                f"Does the clip show {article} {scene.draws.choice(('bright', 'moving', 'single'))} {name}?",
                "It does not.",
            ),
        )
    )
    scene.turns[place] |= {"question": asked, "answer": said}
    return f"turn {place + 1}"


def agreed_with_nothing(scene: Scene) -> str | None:
    """Find what is not there."""
    place = scene.some_turn(lambda turn: turn["task"] == "not_there")
    if place is None:
        return None
    scene.turns[place]["answer"] = scene.draws.choice(
        (
            "Yes, it is at the top.",
            "Yes, it is near the middle.",
            "Yes.",
            "It is on the left side.",
            "It comes into view towards the end.",
            "You can see it right at the start, not far from the middle.",
        )
    )
    return f"turn {place + 1}"


def refused_reply(scene: Scene) -> str | None:
    """Refuse everything."""
    scene.text = "I'm sorry, but I can't assist with describing these pictures."
    return "reply"


def cut_reply(scene: Scene) -> str | None:
    """Break off."""
    text = as_text(scene.reply)
    scene.text = text[: len(text) // 3 + scene.draws.below(len(text) // 2)]
    return "reply"


def chat_reply(scene: Scene) -> str | None:
    """Chat in place of JSON."""
    scene.text = "Sure! The clip shows some colorful shapes that move around on a dark ground."
    return "reply"


def fenced_reply(scene: Scene) -> str | None:
    """Put a fence and kind words around the JSON."""
    scene.text = f"Here is the JSON you asked for:\n```json\n{as_text(scene.reply)}\n```\nLet me know if you need more!"
    return "reply"


def partless_turn(scene: Scene) -> str | None:
    """Leave out an answer."""
    place = scene.some_turn()
    if place is None:
        return None
    del scene.turns[place]["answer"]
    return f"reply turn {place + 1}"


def wrong_way(scene: Scene) -> str | None:
    """Say another direction."""
    return scene.change_answer(re.compile(r"\b(?:left|right|up|down)\b"), lambda found: _WAYS[found[0]])


def wrong_texture(scene: Scene) -> str | None:
    """Say another pattern."""
    pattern = re.compile(rf"\b(?:{'|'.join(TEXTURES)})\b")
    return scene.change_answer(pattern, lambda found: scene.draws.choice([one for one in TEXTURES if one != found[0]]))


def wrong_partner(scene: Scene) -> str | None:
    """Name a third object, with its own tag, where another one is meant: nothing in the text contradicts itself."""

    def fits(turn: dict[str, Json]) -> bool:
        return turn["task"] in ("relation", "reasoning") and len(set(TAG.findall(turn["answer"]))) == 2

    place = scene.some_turn(fits)
    if place is None:
        return None
    turn = scene.turns[place]
    named = PHRASE.findall(turn["answer"])
    others = [thing for thing in scene.truth.things if thing.object_id not in {object_id for _, object_id in named}]
    if not others:
        return None
    wrong, (words, object_id) = scene.draws.choice(others), named[-1]
    turn["answer"] = turn["answer"].replace(
        f"{PHRASE_START}{words}{PHRASE_END}<{object_id}>",
        f"{PHRASE_START}the {wrong.name}{PHRASE_END}<{wrong.object_id}>",
    )
    return f"turn {place + 1}"


def shifted_time(scene: Scene) -> str | None:
    """Say a time that is a little early."""
    return scene.change_answer(TIME, lambda found: f"{max(0.0, float(found[0][:-2]) - 0.2):.2f} s")
