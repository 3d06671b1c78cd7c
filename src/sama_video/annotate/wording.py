"""All that a model is told, in our own words, under versions: whoever changes a sentence changes the version.

A test holds each version to the hash of its texts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.drafts import TASK_TYPES, Draft, Problem, TaskType
from sama_video.annotate.tags import tags_of, write_phrase

ASK_VERSION: Final = "annotate-ask-1"
REPAIR_VERSION: Final = "annotate-repair-1"
CRITIC_VERSION: Final = "annotate-critic-1"

_EXAMPLE: Final = write_phrase("the brown dog", ["obj1"])
_GROUP: Final = write_phrase("the two children", ["obj2", "obj3"])

TASK_WORDS: Final[dict[TaskType, str]] = {
    "description": "ask for one object's looks and what it does from beginning to end, and answer in two sentences",
    "dialogue": "ask something that carries on from the turn before it, about what the objects do or how they look",
    "relation": "ask how these objects stand to each other: where they are, what one does to the other, who is first",
    "temporal": "ask when something happens or how long it lasts; the answer names the seconds, and spans repeats them",
    "counting": "ask how many things of a kind there are; the answer says the number and tags every one of them",
    "reasoning": "ask why something happens, what it is for or what follows; the answer says what can be seen for it",
    "not_there": "ask for something that could well be in such a clip and is not; the answer says that it is not there",
    "hard_negative": "suppose something of the object that is untrue but likely; the answer corrects it and says "
    "what is so instead",
}
"""What each kind of turn is to be."""


def system_text(language: str) -> str:
    """The rules, the same for every clip."""
    return f"""You write training data for a model that talks about videos and points at the things it names.
You see pictures of one clip in order of time, each under its time in seconds. Some objects carry an outline and a
number. The marks are drawn for you alone: whoever reads your texts sees the plain clip.

Write descriptions: for each object one text of two to four sentences on what it is, how it looks, what it does from
beginning to end, what it has to do with others, and where it is.
Write turns: questions and answers about the objects.
In a question, name an object in your own words and put its tag behind them: "What does the dog {tags_of(["obj1"])} do?"
In an answer, put each object that you name between phrase marks with its tag behind them: "{_EXAMPLE} jumps." A phrase
may stand for several objects: "{_GROUP} run." Nothing else is marked.

Rules:
- Tags are only those that are listed below, written as they are listed.
- An answer names no object twice between marks; name it again without marks, or say "it".
- A phrase is a short name for a thing, never empty, never within another phrase, never without a tag behind it.
- Descriptions have no tags and no phrase marks.
- Never speak of marks, outlines, boxes, numbers on things, colours of marks, tags, pictures or frames.
- Say only what can be seen. Times are seconds of the clip, such as "from 1.2 s to 2.8 s".
- spans of a turn: the stretches of time that it is about, as start and end in seconds; none if it is about no time.
- Plain sentences in {language}: no lists, no Markdown. Each question is different from the others.

Reply with one JSON object and nothing else."""


def subject_text(
    subject_id: str,
    duration: float | int,
    objects: Mapping[str, Sequence[str]],
    shown: Sequence[tuple[float | int, Sequence[str]]],
) -> str:
    """What is known of a clip and its objects.

    Args:
        objects: What is known to be said of each, by object id.
        shown: For each picture its time, and the objects that are visible on it.
    """
    lines = [f"Clip {subject_id}, {duration:.2f} s long. Objects:"]
    for object_id, words in objects.items():
        known = f", known as: {'; '.join(words)}" if words else ""
        lines.append(f"- number {object_id.removeprefix('obj')}, tag {tags_of([object_id])}{known}")
    lines.append("Pictures:")
    for place, (seconds, visible) in enumerate(shown, start=1):
        lines.append(f"- picture {place} at {seconds:.2f} s shows {tags_of(visible) or 'none of them'}")
    return "\n".join(lines)


def plan_text(describe: Sequence[str], turns: Sequence[tuple[TaskType, Sequence[str]]]) -> str:
    """What is wanted: descriptions of these objects, and a turn of each of these kinds."""
    lines = [f"Describe: {' '.join(tags_of([one]) for one in describe) or 'nothing'}"]
    lines.append(f"Write {len(turns)} turns in this order:")
    for place, (task, objects) in enumerate(turns, start=1):
        about = f" about {' '.join(tags_of([one]) for one in objects)}" if objects else ""
        lines.append(f"{place}. {task}{about}: {TASK_WORDS[task]}.")
    return "\n".join(lines)


def repair_text(
    problems: Sequence[Problem], describe: Sequence[str], turns: Sequence[tuple[TaskType, Sequence[str]]]
) -> str:
    """What was wrong with a reply, and what is to be written again."""
    lines = ["Some of this cannot be used:"]
    lines += [f"- {one.place}: {one.detail}. {REASONS[one.reason]}" for one in problems]
    lines.append("What is not in this list is kept; do not repeat it. Write only what is missing, by the same rules.")
    return "\n".join([*lines, plan_text(describe, turns)])


def critic_text(language: str) -> str:
    """What a second model is asked about a draft."""
    return f"""You check texts about a clip. You see its pictures in order of time, each under its time in seconds.
Some objects carry an outline and a number; the tag {tags_of(["obj1"])} in a text means the object with number 1.
The texts follow, each with its place. For each place, say whether all of it is true of the clip and of the objects that
the tags mean; if not, say in one sentence in {language} what is wrong. What cannot be seen is not true.

Reply with one JSON object and nothing else."""


def draft_text(draft: Draft) -> str:
    """A draft as a critic reads it, with the place of each text."""
    lines = [f"description {name}: {text}" for name, text in draft.descriptions.items()]
    lines += [
        f"turn {place} ({turn.task}): Q: {turn.question} A: {turn.answer}"
        for place, turn in enumerate(draft.turns, start=1)
    ]
    return "\n".join(lines)


def draft_schema() -> dict[str, Any]:
    """JSON schema of a draft; all keys are required, as strict endpoints want it."""
    number, text = {"type": "number"}, {"type": "string"}
    span = _row(start=number, end=number)
    task = {"type": "string", "enum": list(TASK_TYPES)}
    turn = _row(task=task, question=text, answer=text, spans={"type": "array", "items": span})
    description = _row(object=text, text=text)
    return _row(descriptions={"type": "array", "items": description}, turns={"type": "array", "items": turn})


def critic_schema() -> dict[str, Any]:
    """JSON schema of a critic's reply."""
    text = {"type": "string"}
    verdict = _row(place=text, true={"type": "boolean"}, why=text)
    return _row(verdicts={"type": "array", "items": verdict})


def _row(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
