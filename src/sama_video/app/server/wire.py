"""Types that several endpoints read and write, as the OpenAPI document tells them.

A region is read by the same code as everywhere else, whose one line of error the caller gets as it is.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, PlainValidator, WithJsonSchema

from sama_video.app.server.problems import ApiError
from sama_video.regions.rle import Rle, as_rle
from sama_video.regions.shapes import ObjectRef, Region, region_from_json

OBJECT_PATTERN = "^obj[1-9][0-9]*$"
_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}
_RLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "COCO run lengths.",
    "properties": {
        "size": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2},
        "counts": {"type": "string"},
    },
    "required": ["size", "counts"],
    "additionalProperties": False,
}


def _shape(name: str, schema: dict[str, Any], **more: dict[str, Any]) -> list[dict[str, Any]]:
    """A shape with its moment, which is a frame or a time."""
    moments: dict[str, dict[str, Any]] = {"frame": _COUNT, "seconds": {"type": "number", "minimum": 0}}
    return [
        {
            "type": "object",
            "properties": {moment: moments[moment], name: schema, **more},
            "required": [moment, name],
            "additionalProperties": False,
        }
        for moment in moments
    ]


_PAIR = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_SHAPES: list[dict[str, Any]] = [
    *_shape(
        "points",
        {"type": "array", "items": _PAIR, "minItems": 1},
        labels={"type": "array", "items": {"type": "integer", "enum": [0, 1]}},
    ),
    *_shape("box", {"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4}),
    *_shape("mask", _RLE_SCHEMA),
]
_REFERENCE: dict[str, Any] = {
    "type": "object",
    "properties": {"object": {"type": "string", "pattern": OBJECT_PATTERN}},
    "required": ["object"],
    "additionalProperties": False,
}
MASKLET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "One object's masks through the clip, one row a frame; null where it is not visible.",
    "properties": {
        "object": {"type": "string", "minLength": 1},
        "height": {"type": "integer", "minimum": 1},
        "width": {"type": "integer", "minimum": 1},
        "frames": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "frame": _COUNT,
                    "mask": {"anyOf": [_RLE_SCHEMA, {"type": "null"}]},
                    "box": {
                        "anyOf": [
                            {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
                            {"type": "null"},
                        ]
                    },
                    "score": {"anyOf": [_NUMBER, {"type": "null"}]},
                },
                "required": ["frame", "mask"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["object", "height", "width", "frames"],
    "additionalProperties": False,
}


def checked_text(text: str) -> str:
    """Text that can be written as UTF-8: JSON may spell halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair, which is no character") from None
    return text


def _shape_only(value: object) -> Region:
    region = region_from_json(value)
    if isinstance(region, ObjectRef):
        raise ApiError(
            400, f"region names {region.object}, but here it must show something; give points, a box or a mask."
        )
    return region


def _read(read: Callable[[object], object], schema: dict[str, Any]) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(read), WithJsonSchema(schema)


Text: TypeAlias = Annotated[str, AfterValidator(checked_text)]
WireRegion: TypeAlias = Annotated[Any, *_read(region_from_json, {"anyOf": [*_SHAPES, _REFERENCE]})]
WireShape: TypeAlias = Annotated[Any, *_read(_shape_only, {"anyOf": _SHAPES})]
WireRle: TypeAlias = Annotated[Any, *_read(as_rle, _RLE_SCHEMA)]
WireMasklet: TypeAlias = Annotated[dict[str, Any], WithJsonSchema(MASKLET_SCHEMA)]
"""Told by its form only: reading one may take a while, which is for a thread to do."""
FileId: TypeAlias = Annotated[
    str, Field(description="A file's id: the SHA-256 of its content.", pattern="^[0-9a-f]{64}$")
]
ObjectId: TypeAlias = Annotated[str, Field(pattern=OBJECT_PATTERN, max_length=12)]


class Wire(BaseModel):
    """What comes from outside: types as written, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Told(BaseModel):
    """What goes out."""

    model_config = ConfigDict(frozen=True)


class ErrorBody(Told):
    """What went wrong, in one line."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorDocument(Told):
    """Every answer that is no 2xx."""

    error: ErrorBody


class VideoDocument(Told):
    """What a clip holds; `times` are the seconds at which its frames appear."""

    frames: int
    height: int
    width: int
    seconds: FiniteFloat
    fps: FiniteFloat
    times: list[float]
    has_audio: bool


class FileDocument(Told):
    """A stored clip, with OpenAI's fields and `video`."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str = "user_data"
    status: Literal["processed"] = "processed"
    video: VideoDocument


def told_rle(rle: Rle | None) -> dict[str, object] | None:
    """A mask as JSON."""
    return None if rle is None else {"size": list(rle["size"]), "counts": rle["counts"]}
