"""Subjects as plain JSON values, there and back: how the ledger keeps what no input file could give again by number."""

from collections.abc import Mapping
from pathlib import Path

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.stages import Json
from sama_video.data.record_clips import ClipReference, FileClip, clip_from_json
from sama_video.data.stores.masks import masklet_from_json, masklet_to_json
from sama_video.regions.shapes import region_from_json, region_to_json


def subject_to_json(subject: Subject) -> dict[str, Json]:
    """All of a subject."""
    return {
        "id": subject.subject_id,
        "clip": clip_to_json(subject.clip),
        "things": [_thing_to_json(thing) for thing in subject.things],
        "source": subject.source,
        "licence": subject.licence,
        "provenance": dict(subject.provenance),
    }


def subject_from_json(value: Mapping[str, Json]) -> Subject:
    """The subject again."""
    return Subject(
        subject_id=value["id"],
        clip=clip_from_own_json(value["clip"]),
        things=tuple(_thing_from_json(item) for item in value["things"]),
        source=value["source"],
        licence=value["licence"],
        provenance=value["provenance"],
    )


def clip_to_json(clip: ClipReference) -> Mapping[str, object]:
    """A clip with the folder that its path is relative to, which a record leaves out."""
    row = clip.to_json() or {}
    return {**row, "root": str(clip.root)} if isinstance(clip, FileClip) and clip.root is not None else row


def clip_from_own_json(value: Mapping[str, Json]) -> ClipReference:
    """The clip again."""
    row = dict(value)
    root = row.pop("root", None)
    return clip_from_json(row, None if root is None else Path(root))


def _thing_to_json(thing: Thing) -> dict[str, Json]:
    return {
        "object": thing.object_id,
        "masklet": None if thing.masklet is None else masklet_to_json(thing.masklet),
        "prompts": [region_to_json(prompt) for prompt in thing.prompts],
        "label": thing.label,
        "expressions": list(thing.expressions),
    }


def _thing_from_json(value: Mapping[str, Json]) -> Thing:
    return Thing(
        object_id=value["object"],
        masklet=None if value["masklet"] is None else masklet_from_json(value["masklet"]),
        prompts=tuple(region_from_json(item) for item in value["prompts"]),
        label=value["label"],
        expressions=tuple(value["expressions"]),
    )
