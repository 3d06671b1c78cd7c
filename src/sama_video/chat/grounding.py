"""What a reply says of its masks, as JSON, and read back from a caller who need not be honest.

    {"phrases": [{"text", "start", "end", "object", "reason"}],       spans of the reply's text
     "objects": [{"id": "obj1", "from": "question" | "answer"}],      every object of the turn, in the order of meeting
     "masklets": [{"object", "height", "width", "frames": [...]}],
     "regions": [{"frame", "box", "object"}],                         the question's regions and what each became
     "raw": "<p> The red star </p> [SEG] moves.",
     "state": {"turns_before", "turn", "objects", "masklets", "forgotten", "met"}}                see below

The first three are what everybody reads. `state` is for us: the token ids, the frames, and what changed of the objects
since the turn before. With it a turn is rebuilt to the last bit; without it as nearly as the rest tells.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sama_video.chat.answer import Answer
from sama_video.chat.history import AskedTurn
from sama_video.chat.masks import Progress
from sama_video.chat.objects import KnownObject, object_number
from sama_video.chat.turn_state import object_from_json, object_to_json, turn_from_json, turn_to_json, whole
from sama_video.dialogue.turns import Phrase
from sama_video.errors import ConfigError, SessionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.shapes import Box, Mask, Points, check_region
from sama_video.regions.wire import checked_keys
from sama_video.video.clip import Clip

if TYPE_CHECKING:
    from sama_video.chat.session import ChatSession

WANTED_MASKLETS = ("answer", "all", "none")
MAX_PHRASES, MAX_OBJECTS, MAX_POINTS, MAX_DEPTH = 1000, 256, 1000, 16
NONE, KEPT, NEW = "none", "kept", "new"
OBJECT_KEYS = ("id", "name", "sightings")
SEND_UNCHANGED = "send grounding back unchanged, or none"


@dataclass(frozen=True)
class TurnState:
    """What makes a rebuilt turn exact.

    Attributes:
        turns_before: How many turns it follows.
        turn: As the language model read it.
        objects: Those that the turn met or changed, without masklets.
        became: What became of the masklet of each: `NONE`, `KEPT` as it was after the turn before, or `NEW`.
        forgotten: Names dropped since the turn before.
        met: How many names are spent.
    """

    turns_before: int
    turn: AskedTurn
    objects: tuple[KnownObject, ...]
    became: Mapping[str, str]
    forgotten: tuple[str, ...]
    met: int


@dataclass(frozen=True)
class Grounding:
    """One reply's grounding, checked against its clip but not against its conversation.

    Attributes:
        names: The objects that the question's regions became, in the order of its tags; `None` if not told.
    """

    phrases: tuple[Phrase, ...]
    object_ids: tuple[str, ...]
    masklets: Mapping[str, Masklet]
    names: tuple[str, ...] | None = None
    raw: str | None = None
    state: TurnState | None = None


def grounding_json(
    session: "ChatSession", answer: Answer, *, masklets: str = "answer", progress: Progress | None = None
) -> dict[str, Any]:
    """The grounding of a session's newest answer.

    Args:
        masklets: "answer" for what the answer speaks of; "all" for what the question points at too, which is tracked
            now; "none".
        progress: Told (frames done, frames in all) while something is tracked.
    """
    if masklets not in WANTED_MASKLETS:
        raise ConfigError(f"masklets is {masklets!r}; it is one of {', '.join(WANTED_MASKLETS)}.")
    turn = answer.turn
    named = [phrase.object_id for phrase in turn.phrases] + list(answer.segs)
    grounded = _in_order(object_id for object_id in named if object_id is not None)
    pointed_at = {prompt.object_id for prompt in turn.regions}
    spoken_of = _in_order([*grounded, *pointed_at])
    wanted = {"answer": grounded, "all": spoken_of, "none": ()}[masklets]
    session.track_all(wanted, progress)
    document = {
        "phrases": [phrase.to_json() for phrase in turn.phrases],
        "objects": [{"id": name, "from": "question" if name in pointed_at else "answer"} for name in spoken_of],
        "masklets": [session.masklet(name).to_json() for name in wanted],
        "regions": [prompt.to_json() for prompt in turn.regions],
        "raw": turn.raw,
        "state": _state_json(session, masklets, wanted),
    }
    session.marks.tell(len(session.dialogue), grounding_digest(document))
    return document


def grounding_digest(value: object) -> str:
    """What tells two groundings apart: their content, however their keys are ordered and their numbers written.

    >>> grounding_digest({"a": 1, "b": [2.0]}) == grounding_digest({"b": [2], "a": 1.0})
    True
    """
    text = json.dumps(_plain(value, MAX_DEPTH), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_grounding(value: object, clip: Clip, *, device: Any = None) -> Grounding:
    """Check a grounding that a caller sent, as far as the clip alone can tell.

    Raises:
        SamaError: It is not of the form above, larger than a reply's can be, or of another clip.
    """
    row = checked_keys(
        value,
        "grounding",
        required=("phrases",),
        optional=("objects", "masklets", "regions", "raw", "state"),
        error=SessionError,
    )
    raw = row.get("raw")
    if raw is not None and not isinstance(raw, str):
        raise SessionError(f"grounding: raw is a {type(raw).__name__}; {SEND_UNCHANGED}.")
    state = row.get("state")
    unsent = state.get("masklets", []) if isinstance(state, Mapping) else []
    rows = [*_items(row.get("masklets", []), "masklets", MAX_OBJECTS), *_items(unsent, "state's masklets", MAX_OBJECTS)]
    masklets = [_masklet(item, clip) for item in rows]
    if len({masklet.object_id for masklet in masklets}) < len(masklets):
        raise SessionError(f"grounding has two masklets of one object; {SEND_UNCHANGED}.")
    return Grounding(
        tuple(Phrase.from_json(item) for item in _items(row["phrases"], "phrases", MAX_PHRASES)),
        tuple(_name(item, "id", "objects") for item in _items(row.get("objects", []), "objects", MAX_OBJECTS)),
        {masklet.object_id: masklet for masklet in masklets},
        _names(row["regions"]) if "regions" in row else None,
        raw,
        _state(state, clip, device) if state is not None else None,
    )


def _state_json(session: "ChatSession", wanted: str, sent: Sequence[str]) -> dict[str, Any]:
    """The newest turn, and all that changed of the objects since the one before was over."""
    known, met = session.book.snapshot()
    before, _ = session.marks.after.get(len(session.dialogue) - 1, ({}, 0))
    changed = [item for name, item in known.items() if before.get(name) is not item]
    became = {item.object_id: _masklet_change(before.get(item.object_id), item) for item in changed}
    # Those of objects that were tracked, but are not spoken of: the next turn may depend on them.
    unsent = [] if wanted == "none" else [name for name in became if became[name] == NEW and name not in sent]
    return {
        "turns_before": len(session.dialogue) - 1,
        "turn": turn_to_json(session.history.turns[-1]),
        "objects": [object_to_json(item) | {"masklet": became[item.object_id]} for item in changed],
        "masklets": [session.masklet(name).to_json() for name in unsent],
        "forgotten": [name for name in before if name not in known],
        "met": met,
    }


def _masklet_change(before: KnownObject | None, now: KnownObject) -> str:
    if now.masklet is None:
        return NONE
    return KEPT if before is not None and before.masklet is now.masklet else NEW


def _state(value: object, clip: Clip, device: Any) -> TurnState:
    keys = ("turns_before", "turn", "objects", "masklets", "forgotten", "met")
    row = checked_keys(value, "state", required=keys, error=SessionError)
    objects = [_changed(item, clip, device) for item in _items(row["objects"], "state's objects", MAX_OBJECTS)]
    forgotten = _items(row["forgotten"], "state's forgotten", MAX_OBJECTS)
    if row["met"]:
        object_number(f"obj{whole(row['met'], 'met')}")
    return TurnState(
        whole(row["turns_before"], "state's turns_before"),
        turn_from_json(row["turn"], "state's turn"),
        tuple(known for known, _ in objects),
        {known.object_id: change for known, change in objects},
        tuple(f"obj{_number(name)}" for name in forgotten),
        whole(row["met"], "state's met"),
    )


def _changed(value: object, clip: Clip, device: Any) -> tuple[KnownObject, str]:
    """An object, and what became of its masklet."""
    row = checked_keys(value, "state's object", required=(*OBJECT_KEYS, "masklet"), error=SessionError)
    known = object_from_json({key: row[key] for key in OBJECT_KEYS}, "state's object", device=device)
    _check_sightings(known, clip)
    if row["masklet"] not in (NONE, KEPT, NEW):
        raise SessionError(f"{known.object_id}: masklet is not {NONE}, {KEPT} or {NEW}; {SEND_UNCHANGED}.")
    return known, str(row["masklet"])


def _check_sightings(known: KnownObject, clip: Clip) -> None:
    for frame_idx, sighting in known.sightings.items():
        shown = sighting.shown_as
        if isinstance(shown, Points | Box | Mask):
            check_region(shown, num_frames=clip.num_frames, height=clip.height, width=clip.width, refining=True)
        if frame_idx >= clip.num_frames or getattr(shown, "frame", frame_idx) != frame_idx:
            raise SessionError(
                f"{known.object_id} was seen on frame {frame_idx}, but the clip has {clip.num_frames} frames, and what "
                f"shows it lies on the same one; {SEND_UNCHANGED}."
            )
        if sighting.mask is not None:
            height, width = sighting.mask["size"]
            _check_size(known.object_id, height, width, clip)
        if isinstance(shown, Points) and len(shown.xy) > MAX_POINTS:
            raise SessionError(f"{known.object_id} was shown by {len(shown.xy)} points; at most {MAX_POINTS} are read.")


def _masklet(value: object, clip: Clip) -> Masklet:
    """A masklet of the clip's own size; told before the masks of another size are unpacked."""
    row = checked_keys(value, "masklet", required=("object", "height", "width", "frames"), error=SessionError)
    _check_size(row["object"], row["height"], row["width"], clip)
    frames = _items(row["frames"], "masklet's frames", clip.num_frames)
    if len(frames) != clip.num_frames:
        raise SessionError(
            f"masklet {str(row['object'])[:40]} has {len(frames)} frames, but the clip has {clip.num_frames}; "
            f"{SEND_UNCHANGED}."
        )
    _number(row["object"])
    return Masklet.from_json(row)


def _check_size(name: object, height: object, width: object, clip: Clip) -> None:
    if (height, width) != (clip.height, clip.width):
        raise SessionError(
            f"a mask of {str(name)[:40]} is {str(height)[:12]}x{str(width)[:12]}, but the clip's frames are "
            f"{clip.height}x{clip.width} (height x width); {SEND_UNCHANGED}."
        )


def _items(value: object, name: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise SessionError(f"grounding: {name} is a {type(value).__name__} in the place of a list; {SEND_UNCHANGED}.")
    if len(value) > most:
        raise SessionError(f"grounding: {name} holds {len(value)} items; at most {most} are read.")
    return value


def _names(value: object) -> tuple[str, ...]:
    return tuple(_name(item, "object", "regions") for item in _items(value, "regions", MAX_OBJECTS))


def _name(item: object, key: str, place: str) -> str:
    if not isinstance(item, Mapping) or key not in item:
        raise SessionError(f"grounding: an item of {place} has no {key!r}; {SEND_UNCHANGED}.")
    return f"obj{_number(item[key])}"


def _number(name: object) -> int:
    return object_number(name if isinstance(name, str) else repr(name))


def _plain(value: object, depth: int) -> object:
    """Whole numbers without a point, as other languages write them."""
    if not depth:
        raise SessionError(f"grounding is nested more than {MAX_DEPTH} deep; {SEND_UNCHANGED}.")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names), key=object_number))
