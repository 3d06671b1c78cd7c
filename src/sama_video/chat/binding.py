"""What an answer speaks of: its `[SEG]` tokens to masks, its phrases to objects, and what is missing in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import ObjectBook
from sama_video.dialogue.markup import SEG
from sama_video.dialogue.parsing import ParsedAnswer, ParsedPhrase
from sama_video.dialogue.turns import Phrase

NOT_VISIBLE = "not visible"
NOT_ASKED_FOR = "masks were not asked for"
ADOPTED = "the answer was adopted without masks"
LAST_TOKEN = f"{SEG} was the last token, to which the published inference gives no mask"


@dataclass(frozen=True)
class BoundAnswer:
    """An answer and the objects it speaks of.

    Attributes:
        loose_objects: Objects of `[SEG]` tokens that belong to no phrase.
        segs: The object of each `[SEG]` that was decoded, in order; None where nothing was seen.
        problems: What was not as it should be, in words.
    """

    raw: str
    text: str
    phrases: tuple[Phrase, ...]
    loose_objects: tuple[str, ...]
    problems: tuple[str, ...]
    segs: tuple[str | None, ...] = ()

    @property
    def object_ids(self) -> tuple[str, ...]:
        """Every object with a mask in this answer, phrases first."""
        named = [phrase.object_id for phrase in self.phrases if phrase.object_id is not None]
        return tuple(dict.fromkeys((*named, *self.loose_objects)))


def bind_answer(
    raw: str, parsed: ParsedAnswer, found: Mapping[int, str | None], why_not: str = NOT_ASKED_FOR
) -> BoundAnswer:
    """Tie the phrases of an answer to the objects that were found for its `[SEG]` tokens.

    Args:
        found: By position of the `[SEG]`: an object, or `None` where nothing was seen.
        why_not: Reason given for a `[SEG]` that is not in `found`.
    """
    phrases = tuple(_phrase(phrase, found, why_not) for phrase in parsed.phrases)
    missing = [
        f"phrase without mask: {phrase.text!r}: {phrase.reason}" for phrase in phrases if phrase.object_id is None
    ]
    loose = {seg: found.get(seg) or (NOT_VISIBLE if seg in found else why_not) for seg in parsed.loose_segs}
    told = [f"{SEG} without phrase: {outcome}" for outcome in loose.values()]
    objects = tuple(object_id for seg in parsed.loose_segs if (object_id := found.get(seg)) is not None)
    stray = tuple(problem for problem in parsed.problems if problem != f"{SEG} without phrase")
    segs = tuple(found[seg] for seg in sorted(found))
    return BoundAnswer(raw, parsed.text, phrases, objects, (*stray, *told, *missing), segs)


def find_objects(
    masks: MaskMaker,
    book: ObjectBook,
    embeddings: Float[Tensor, "segs dim"],
    frames: Sequence[int],
    names: Mapping[int, str],
) -> dict[int, str | None]:
    """The object of each `[SEG]` prompt: a known one where masks agree, else a new one; `None` where nothing is seen.

    Args:
        frames: Where the prompts are decoded.
        names: What the answer calls them, by position.
    """
    found: dict[int, str | None] = {}
    for index, grounded in enumerate(masks.ground(embeddings, frames)):
        if not grounded.is_visible:
            found[index] = None
            continue
        known = book.find({sighting.frame_idx: sighting.mask for sighting in grounded.sightings})
        if known is None:
            known = book.meet(grounded.sightings, names.get(index))
        elif index in names:
            book.update(known.object_id, name=names[index])
        found[index] = known.object_id
    return found


def _phrase(phrase: ParsedPhrase, found: Mapping[int, str | None], why_not: str) -> Phrase:
    object_id, reason = None, phrase.problem
    if phrase.seg is not None:
        object_id = found.get(phrase.seg)
        if object_id is None:
            reason = NOT_VISIBLE if phrase.seg in found else why_not
    return Phrase(phrase.text, phrase.start, phrase.end, object_id, reason)
