"""`/v1/exports` and `/v1/sessions`: a conversation and its masks as files of other programs, and back."""

import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter
from pydantic import Field, WithJsonSchema
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from sama_video.app.results import write_overlays
from sama_video.app.server.connection import noticing
from sama_video.app.server.files import StoredClip
from sama_video.app.server.files_api import file_document
from sama_video.app.server.problems import ApiError, GoneError
from sama_video.app.server.state import ServerState, State
from sama_video.app.server.wire import MASKLET_SCHEMA, FileId, Text, Told, VideoDocument, Wire, WireMasklet
from sama_video.chat.storage import SCHEMA
from sama_video.data.clips import VideoClip
from sama_video.data.formats import FORMATS
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject, clip_name
from sama_video.data.formats.options import UNKNOWN_LICENCE
from sama_video.dialogue.markup import render_answer
from sama_video.dialogue.turns import Dialogue, Timing, Turn
from sama_video.errors import DataError, VideoError
from sama_video.regions.masklet import Masklet
from sama_video.video.reader import open_video

router = APIRouter(tags=["exports"])
MASK_FORMATS = {
    "coco": "coco",
    "youtube-vis": "youtube-vis",
    "davis": "davis",
    "cvat": "cvat-video",
    "label-studio": "label-studio",
}
TurnRow = Annotated[
    dict[str, Any], Field(description="A turn of a sama-session/1 file; raw and timing may be left out.")
]


class ExportRequest(Wire):
    """What is to be written: turns for a session or an overlay, masklets, and what people call the objects."""

    file: FileId
    format: Literal["session", "overlay", "coco", "youtube-vis", "davis", "cvat", "label-studio"]
    turns: list[TurnRow] = []
    masklets: list[WireMasklet] = []
    names: dict[Text, Text] = {}
    pictures: Annotated[bool, Field(description="Whether formats of masks get the frames as well.")] = True


class SessionObject(Wire):
    """An object with its masklet inline."""

    id: Text
    masklet: WireMasklet


class SessionDocument(Wire):
    """A session as `POST /v1/exports` writes it."""

    schema_: Annotated[Literal["sama-session/1"], Field(alias="schema")]
    video: dict[str, Any]
    model: dict[str, Any] | None = None
    turns: list[TurnRow]
    objects: list[SessionObject]
    names: dict[Text, Text] = {}


@dataclass(frozen=True)
class Parts:
    """Turns and masklets of a request, read and checked against their clip."""

    turns: Dialogue
    masklets: tuple[Masklet, ...]


class CheckedSession(Told):
    """A session that can be gone on with."""

    turns: list[dict[str, Any]]
    masklets: list[Annotated[dict[str, Any], WithJsonSchema(MASKLET_SCHEMA)]]
    names: dict[str, str]
    video: VideoDocument


@router.post(
    "/v1/exports",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file: JSON, an MP4, or a zip archive.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/SessionDocument"}},
                "video/mp4": {"schema": {"type": "string", "format": "binary"}},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def export(body: ExportRequest, request: Request, state: State) -> Response:
    """A conversation, or its masks, as a file."""
    stored = await run_in_threadpool(state.store.get, body.file)
    parts = await run_in_threadpool(checked_parts, stored, body.turns, body.masklets, state)
    if body.format == "session":
        document = await run_in_threadpool(session_document, body, parts, stored, state)
        return JSONResponse(document, headers=_attachment(stored, "session.json"))
    gone = threading.Event()
    async with noticing(request, gone):
        path = await to_thread.run_sync(write_export, body, parts, state, gone, limiter=state.heavy)
    ending = "overlay.mp4" if body.format == "overlay" else f"{body.format}.zip"
    kind = "video/mp4" if body.format == "overlay" else "application/zip"
    clear = BackgroundTask(shutil.rmtree, path.parent, ignore_errors=True)
    return FileResponse(path, media_type=kind, headers=_attachment(stored, ending), background=clear)


@router.post("/v1/sessions", response_model=CheckedSession)
async def check_session(body: SessionDocument, state: State) -> Response:
    """Check a session file against its clip; 404 with the code `file_missing` when the clip is not here."""
    wanted = body.video.get("sha256")
    if not isinstance(wanted, str):
        raise ApiError(400, "the session's video has no sha256; send a file that /v1/exports wrote.", param="video")
    try:
        stored = await run_in_threadpool(state.store.get, wanted)
    except ApiError as error:
        raise ApiError(
            404, f"the clip of this session is not here; upload the one whose SHA-256 is {wanted[:64]}.",
            code=error.code, param="video",
        ) from None  # fmt: skip
    rows = [one.masklet for one in body.objects]
    parts = await run_in_threadpool(checked_parts, stored, body.turns, rows, state)
    if [one.id for one in body.objects] != [masklet.object_id for masklet in parts.masklets]:
        raise ApiError(400, "an object and its masklet have different names; send the file as it was written.")
    return JSONResponse(
        {
            "turns": parts.turns.to_json(),
            "masklets": [masklet.to_json() for masklet in parts.masklets],
            "names": body.names,
            "video": file_document(stored)["video"],
        }
    )


def checked_parts(
    stored: StoredClip, rows: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]], state: ServerState
) -> Parts:
    """Read turns, and check that masklets are of the clip and that turns speak of no object without one.

    Raises:
        SamaError: They do not agree, or break a limit.
    """
    limits, found = state.settings.limits, stored.found
    if len(rows) > limits.turns or len(told) > limits.masklets:
        raise ApiError(
            400,
            f"{len(rows)} turns and {len(told)} masklets; this server takes {limits.turns} and {limits.masklets}.",
        )
    masklets = tuple(Masklet.from_json(row) for row in told)
    names = [masklet.object_id for masklet in masklets]
    if len(set(names)) != len(names):
        raise ApiError(400, "two masklets are of one object; send one for each.", param="masklets")
    for masklet in masklets:
        size = (masklet.num_frames, masklet.height, masklet.width)
        if size != (found.frames, found.height, found.width):
            raise ApiError(
                400,
                f"the masklet of {masklet.object_id[:40]} has {size[0]} frames of {size[2]}x{size[1]}, but the clip "
                f"has {found.frames} of {found.width}x{found.height}; send masklets of this clip.",
                param="masklets",
            )
    return Parts(Dialogue.from_json([whole_turn(row) for row in rows]), masklets)


def whole_turn(row: Mapping[str, Any]) -> dict[str, Any]:
    """A turn with what may be left out of it: the raw text follows from the phrases, the timing is not known."""
    whole = {"timing": Timing().to_json(), "raw": "", **row}
    if not whole["raw"]:
        turn = Turn.from_json(whole)
        spans = sorted((phrase.start, phrase.end) for phrase in turn.phrases if phrase.start < phrase.end)
        whole["raw"] = render_answer(turn.text, spans)
    return whole


def session_document(body: ExportRequest, parts: Parts, stored: StoredClip, state: ServerState) -> dict[str, Any]:
    """The session as one document."""
    found = stored.found
    return {
        "schema": SCHEMA,
        "video": {
            "source": stored.filename,
            "sha256": stored.id,
            "frames": found.frames,
            "height": found.height,
            "width": found.width,
            "seconds": found.seconds,
        },
        "model": dict(state.model_told),
        "turns": parts.turns.to_json(),
        "objects": [{"id": masklet.object_id, "masklet": masklet.to_json()} for masklet in parts.masklets],
        "names": body.names,
    }


def write_export(body: ExportRequest, parts: Parts, state: ServerState, gone: threading.Event) -> Path:
    """Write an overlay or an archive into a folder of its own.

    Raises:
        GoneError: Nobody waits for it any more.
    """
    folder = Path(tempfile.mkdtemp(prefix="sama-export-"))
    try:
        with state.store.in_use(body.file) as stored:
            path = state.store.path(body.file)
            try:
                if body.format == "overlay":
                    return _write_overlay(body, parts, path, folder, gone)
                return _write_masks(body, parts, stored, path, folder)
            except (DataError, VideoError) as error:
                told = str(error).replace(str(path), "the clip").replace(str(folder), "the export")
                raise ApiError(400, told, code="invalid_value") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_overlay(body: ExportRequest, parts: Parts, path: Path, folder: Path, gone: threading.Event) -> Path:
    def advance(_steps: int) -> None:
        if gone.is_set():
            raise GoneError

    masklets = {masklet.object_id: masklet for masklet in parts.masklets}
    labels = {name: _label(body, name) for name in masklets}
    clip = open_video(path)
    write_overlays(clip, masklets, labels, (), folder, advance)
    return folder / "overlay.mp4"


def _write_masks(body: ExportRequest, parts: Parts, stored: StoredClip, path: Path, folder: Path) -> Path:
    if not parts.masklets:
        raise ApiError(400, "there is no masklet to write; point at something first.", param="masklets")
    clip = AnnotatedClip(
        name=clip_name(Path(stored.filename).stem),
        clip=VideoClip(path, every=1),
        height=stored.found.height,
        width=stored.found.width,
        objects=tuple(AnnotatedObject(masklet, _label(body, masklet.object_id)) for masklet in parts.masklets),
        source="sama-video",
        licence=UNKNOWN_LICENCE,
    )
    FORMATS[MASK_FORMATS[body.format]].write([clip], folder / "files", pictures=body.pictures)
    return Path(shutil.make_archive(str(folder / "archive"), "zip", folder / "files"))


def _label(body: ExportRequest, name: str) -> str:
    """What people call an object; its name for one that nobody named."""
    return " ".join(body.names.get(name, "").split()) or name


def _attachment(stored: StoredClip, ending: str) -> dict[str, str]:
    name = f"{Path(stored.filename).stem or 'clip'}-{ending}"
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-._") else "_" for char in name)
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"}
