"""Mistakes in wording: talk of marks, refusals, Markdown, other languages, repetitions."""

from collections.abc import Callable
from typing import Final

from sama_video.annotate.scripted.scene import PHRASE, TAG, Scene


def _say(scene: Scene, texts: tuple[str, ...]) -> str | None:
    """Put a sentence behind an answer."""
    place = scene.some_turn()
    if place is None:
        return None
    scene.turns[place]["answer"] += f" {scene.draws.choice(texts)}"
    return f"turn {place + 1}"


_MARK_TALK: Final = (
    "It is the one in the orange box.",
    "The blue bounding box follows it closely.",
    "This is the object with number 2.",
    "In picture 3 it has moved a little.",
    "It is outlined in green.",
    "It is marked with a yellow outline.",
    "This can be seen in the first frame.",
    "The thing labelled 1 is meant.",
    "obj1 stays there all the time.",
    "It is highlighted in red throughout.",
    "As the annotation shows, it stays where it is.",
    "Object 3 does not come near it.",
    "The item tagged as 2 is further away.",
    "It is the shape with the orange border.",
    "It is at the edge (see frame 7).",
    "In the third image it is a little lower.",
    "It is the figure inside the green contour.",
    "The number 2 is written beside it.",
    "The numbered shapes do not touch.",
    "It carries the label 3.",
    "The outlined object moves away from it.",
    "In the last few frames nothing changes.",
    "Across the images its place changes a little.",
    "Its bounding box becomes smaller.",
    "This is visible in image 5.",
    "The marked object is the only one there.",
    "It has the tag 1.",
    "Object #2 is next to it.",
    "The colored outline makes it easy to find.",
    "Compared with the previous frame it is higher.",
    "The mask of it is quite small.",
    "It is the one with the pink marker.",
)


def box_talk(scene: Scene) -> str | None:
    """Talk of what is drawn on the pictures."""
    return _say(scene, _MARK_TALK)


_REFUSALS: Final = (
    "I'm sorry, but I can't help with that.",
    "I am sorry, I am not able to see videos.",
    "As an AI model, I cannot say what happens in the clip.",
    "I cannot identify anything in this material.",
    "Sorry, I can't assist with this request.",
    "I'm unable to answer that question.",
    "Unfortunately, I am unable to view the video.",
    "I do not have the ability to watch videos.",
    "As a language model, I do not see the clip.",
    "I won't be able to describe what is shown.",
    "I don't have access to the video.",
    "This request goes against my guidelines.",
)


def refused_turn(scene: Scene) -> str | None:
    """Refuse a question."""
    place = scene.some_turn()
    if place is None:
        return None
    scene.turns[place]["answer"] = scene.draws.choice(_REFUSALS)
    return f"turn {place + 1}"


def markdown(scene: Scene) -> str | None:
    """Set an answer in Markdown."""
    place = scene.some_turn()
    if place is None:
        return None
    turn = scene.turns[place]
    styles: tuple[Callable[[str], str], ...] = (
        lambda text: f"**Answer:** {text}",
        lambda text: f"# Answer\n{text}",
        lambda text: f"- {text}\n- That is all.",
        lambda text: f"{text} See `clip`.",
        lambda text: f"* {text}",
        lambda text: f"1. {text}\n2. Nothing else happens.",
        lambda text: f"_Note:_ {text}",
        lambda text: f"{text} It is *very* clear.",
        lambda text: f"> {text}",
        lambda text: f"{text}\n\n---\n\nThat is all.",
    )
    turn["answer"] = scene.draws.choice(styles)(turn["answer"])
    return f"turn {place + 1}"


_FOREIGN: Final = (
    "{0} bewegt sich langsam nach links und ist dann nicht mehr zu sehen.",
    "{0} se déplace vers la gauche et ne change pas de couleur dans la vidéo.",
    "{0} se mueve hacia la izquierda y luego no cambia de color en el vídeo.",
    "{0} si muove verso sinistra e non cambia il colore nel video.",
    "{0} 慢慢地向左移动，然后停了下来，没有再动过。",
    "{0} медленно движется влево, а потом останавливается и больше не движется.",
    "{0} beweegt langzaam naar links en is daarna niet meer te zien.",
    "{0} move-se para a esquerda e depois não muda de cor no vídeo.",
    "{0} porusza się w lewo, a potem nie jest już widoczny.",
    "{0} はゆっくりと左へ動き、そのあと止まります。",
    "{0} yavaşça sola doğru hareket ediyor ve sonra duruyor.",
    "{0} rör sig långsamt åt vänster och syns inte längre.",
    "{0} di chuyển chậm sang trái và không đổi màu trong video.",
    "{0} bewegt sich nach links.",
    "{0} reste immobile.",
)


def foreign(scene: Scene) -> str | None:
    """Answer in another language."""
    place = scene.some_turn(lambda turn: PHRASE.search(turn["answer"]) is not None)
    if place is None:
        return None
    found = PHRASE.search(scene.turns[place]["answer"])
    assert found is not None
    scene.turns[place]["answer"] = scene.draws.choice(_FOREIGN).format(found[0])
    return f"turn {place + 1}"


def same_turn_again(scene: Scene) -> str | None:
    """Repeat a turn."""
    if len(scene.turns) < 2:
        return None
    first = scene.draws.below(len(scene.turns) - 1)
    scene.turns[-1] = dict(scene.turns[first])
    return f"turn {len(scene.turns)}"


def echo(scene: Scene) -> str | None:
    """Repeat the question in the answer."""
    place = scene.some_turn(lambda turn: PHRASE.search(turn["answer"]) is not None)
    if place is None:
        return None
    turn = scene.turns[place]
    turn["answer"] = f"{TAG.sub('', turn['question'])} {turn['answer']}"
    return f"turn {place + 1}"


def placeholder(scene: Scene) -> str | None:
    """Answer with a placeholder."""
    place = scene.some_turn()
    if place is None:
        return None
    scene.turns[place]["answer"] = scene.draws.choice(
        (
            "...",
            "N/A",
            "[insert answer here]",
            "Unknown.",
            "TODO",
            "<answer>",
            "It cannot be determined from the pictures.",
            "There is not enough information to tell.",
            "Answer goes here.",
            "Same as above.",
        )
    )
    return f"turn {place + 1}"


def endless(scene: Scene) -> str | None:
    """Answer at great length."""
    return _say(scene, (" ".join(["It goes on and on in the same way as it did before, without any change."] * 15),))
