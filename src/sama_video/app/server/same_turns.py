"""When two turns are one, so that what is remembered of the one serves the other.

A caller's turn is one that we know if its question, its regions (moments in seconds as frames) and its content are
equal, and its `grounding`

- is absent: content alone is trusted to mean the answer that we gave. Where several known turns fit, one that we or a
  caller grounded comes before plain text;
- or is one by which a caller knows the turn: as a reply of ours brought it, or as some caller sent it before. Order of
  keys and spelling of numbers do not count; anything else does, so an edited mask makes another turn.

What was asked of the model beside the question (`ground`, `span`, temperature) is no part of it.

A conversation is a chain of hashes, each of a turn and of the one before; groundings are compared beside it.
"""

import hashlib
import json
from collections.abc import Iterable

from sama_video.chat.replay import PastTurn
from sama_video.dialogue.markup import RegionTag, clean_question, split_question
from sama_video.dialogue.turns import Turn
from sama_video.regions.shapes import ObjectRef, Region, at_frame, region_to_json
from sama_video.video.clip import Clip


def first_link(facts: object) -> bytes:
    """The beginning of every chain of equal facts: whose conversation it is, about what, with which model."""
    return _hash(b"", facts)


def link_of(before: bytes, turn: PastTurn, clip: Clip) -> bytes:
    """The link of a turn as its caller tells it."""
    return _hash(before, _said(turn.question, _moments(turn.regions, clip), turn.content))


def link_of_answered(before: bytes, turn: Turn) -> bytes:
    """The link of a turn of ours; the same as that of a caller who sends it back."""
    return _hash(before, _said(turn.question, _regions_of(turn), turn.text))


def _said(question: str, regions: Iterable[Region], content: str) -> list[object]:
    return [question, [region_to_json(region) for region in regions], content]


def _moments(regions: Iterable[Region], clip: Clip) -> list[Region]:
    """Regions with their moments as frames."""
    return [
        region
        if isinstance(region, ObjectRef) or region.seconds is None
        else at_frame(region, clip.index_at(region.seconds))
        for region in regions
    ]


def _regions_of(turn: Turn) -> list[Region]:
    """The regions that were given with a question: those of its `<region>` tags, not those of `<objN>`."""
    pieces = split_question(clean_question(turn.question, line_break=" "))
    tags = [piece for piece in pieces if not isinstance(piece, str)]
    return [prompt.region for prompt, tag in zip(turn.regions, tags, strict=True) if isinstance(tag, RegionTag)]


def _hash(before: bytes, said: object) -> bytes:
    return hashlib.sha256(before + json.dumps(said, sort_keys=True).encode()).digest()
