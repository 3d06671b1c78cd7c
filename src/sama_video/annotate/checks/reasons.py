"""Every reason for which something that a model wrote is not kept; the names are stable, reports count by them."""

from typing import Final

REASONS: Final[dict[str, str]] = {
    # the reply
    "empty_reply": "The model replied with nothing.",
    "refusal": "The model refused, or a text is a refusal.",
    "no_json": "The reply holds no readable JSON object.",
    "cut_json": "The reply's JSON breaks off before its end.",
    "wrong_form": "The reply, or a part of it, has not the parts or types that were asked for.",
    # tags and phrases
    "unknown_object": "A tag or a description names an object that the subject has not.",
    "malformed_tag": "Something looks like a tag, but is not written as one.",
    "bare_tag": "A tag of an answer does not follow a phrase.",
    "empty_phrase": "A phrase has no words.",
    "nested_phrase": "A phrase begins within another one.",
    "unclosed_phrase": "A phrase is opened or closed alone.",
    "phrase_without_object": "No tag follows a phrase.",
    "repeated_object": "An answer grounds the same object twice.",
    "long_phrase": "A phrase is longer than a name for a thing.",
    "no_object_in_question": "A question that is about an object has no tag.",
    "mark_in_text": "A question or description has marks that belong into answers only, or tokens of a model.",
    "ungrounded_answer": "An answer that is to ground things grounds none.",
    # words
    "talks_of_marks": "A text talks of boxes, outlines, numbers, colours of marks, tags, pictures or frames.",
    "markdown": "A text is set in Markdown.",
    "placeholder": "A text is a placeholder, or says that nothing can be said.",
    "too_short": "A text has too few words.",
    "too_long": "A text has too many words.",
    "wrong_language": "A text is in another language than was asked for.",
    "repeated_turn": "A question or description repeats an earlier one.",
    "echo": "An answer repeats its question.",
    # what is said
    "swapped_objects": "Words that fit one object only stand at another one's tag.",
    "contradicts_known": "A colour or name is said of an object that is known to have another one.",
    "wrong_count": "A number of things differs from the number of objects that are tagged as them.",
    "time_outside_clip": "A time lies outside the clip, or a stretch ends before it begins.",
    "not_visible_then": "An object is said to be doing something at a time when it is not visible.",
    "no_time": "An answer about time names no time.",
    "no_denial": "An answer about what is not there, or not so, does not deny it.",
    "denies_what_is_there": "An answer denies something that is known to be in the clip.",
    # the whole
    "missing_description": "An object has no description.",
    "too_few_turns": "Fewer turns are left than were asked for.",
    "too_many_turns": "There are more turns than were asked for.",
    # second opinions
    "critic": "The second model says that it is not so.",
    "masks_disagree": "Our own model finds another object by a phrase than the one that is tagged.",
}
"""A sentence for each reason."""
