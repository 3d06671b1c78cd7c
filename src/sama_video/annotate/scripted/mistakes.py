"""Mistakes that language models make, planted into a true reply one at a time, each at a place that is remembered.

A mistake is a function of the scene. It changes one thing and says where: `turn 2`, `description obj1`, `draft` for the
whole, or `reply` for what is no JSON any more. None means that this reply offers no place for it.
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from sama_video.annotate.scripted import slips_in_facts as facts
from sama_video.annotate.scripted import slips_in_marks as marks
from sama_video.annotate.scripted import slips_in_words as words
from sama_video.annotate.scripted.scene import Scene, as_text
from sama_video.annotate.scripted.truth import TrueClip
from sama_video.data.building.draws import Draws

Json: TypeAlias = Any
Mistake: TypeAlias = Callable[[Scene], str | None]

KINDS: Final[dict[str, Mistake]] = {
    "missing tag": marks.missing_tag,
    "bare tag": marks.bare_tag,
    "unknown tag": marks.unknown_tag,
    "empty phrase": marks.empty_phrase,
    "nested phrase": marks.nested_phrase,
    "open phrase": marks.open_phrase,
    "object tagged twice": marks.named_twice,
    "question without tag": marks.untagged_question,
    "model token": marks.model_token,
    "tag in description": marks.tag_in_description,
    "swapped ids": marks.swapped_ids,
    "wrong object": marks.wrong_object,
    "invented object": marks.invented_object,
    "swapped descriptions": marks.swapped_descriptions,
    "missing description": marks.missing_description,
    "talk of marks": words.box_talk,
    "refused turn": words.refused_turn,
    "markdown": words.markdown,
    "wrong language": words.foreign,
    "turn twice": words.same_turn_again,
    "echo": words.echo,
    "placeholder": words.placeholder,
    "endless answer": words.endless,
    "time outside clip": facts.late_time,
    "not visible then": facts.unseen_time,
    "wrong count": facts.wrong_count,
    "false denial": facts.false_denial,
    "no denial": facts.agreed_with_nothing,
    "refused reply": facts.refused_reply,
    "cut JSON": facts.cut_reply,
    "no JSON": facts.chat_reply,
    "turn without answer": facts.partless_turn,
}
"""Mistakes that a text shows, alone or together with what is known of the objects."""

HARMLESS_KINDS: Final[dict[str, Mistake]] = {"fenced JSON": facts.fenced_reply}
"""Habits that a reader is to see through."""

HIDDEN_KINDS: Final[dict[str, Mistake]] = {
    "wrong way": facts.wrong_way,
    "wrong texture": facts.wrong_texture,
    "wrong partner": facts.wrong_partner,
    "shifted time": facts.shifted_time,
} | HARMLESS_KINDS
"""Mistakes that can only be seen in the clip, and habits that are none."""


def plant(
    kind: str, reply: dict[str, Json], truth: TrueClip, draws: Draws, second: float | int
) -> tuple[str, str] | None:
    """The reply's text with a mistake of a kind in it, and the mistake's place; None where it does not fit in.

    Args:
        reply: True; it is not changed.
        second: How long a frame lasts.
    """
    scene = Scene(json.loads(json.dumps(reply)), truth, draws, second)
    place = (KINDS | HIDDEN_KINDS)[kind](scene)
    if place is None:
        return None
    return scene.text if scene.text is not None else as_text(scene.reply), place
