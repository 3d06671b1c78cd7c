"""`/v1/files`: clips in, and their frames out."""

import io
from typing import Annotated, Any, Literal

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, File, Form, Path, Query, UploadFile
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from sama_video.app.demo import load_demo
from sama_video.app.server.files import ClipStore, StoredClip
from sama_video.app.server.problems import ApiError
from sama_video.app.server.state import ServerState, State
from sama_video.app.server.wire import FileDocument, FileId, Text, Told
from sama_video.errors import SamaError
from sama_video.regions.shapes import region_to_json
from sama_video.video.bundled import DEMO_CLIP

router = APIRouter(tags=["files"])
JPEG_QUALITY = 90
BINARY = {"type": "string", "format": "binary"}
FOREVER = "private, max-age=31536000, immutable"

FileInPath = Annotated[FileId, Path()]


class FileList(Told):
    """Every stored clip, the newest first."""

    object: Literal["list"] = "list"
    data: list[FileDocument]
    has_more: Literal[False] = False


class Deleted(Told):
    """A clip that is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class DemoQuestion(Told):
    """Something to ask about the bundled clip."""

    question: str
    regions: list[dict[str, Any]]


class DemoDocument(Told):
    """The bundled clip."""

    file: FileDocument
    questions: list[DemoQuestion]


def file_document(stored: StoredClip, purpose: str = "user_data") -> dict[str, Any]:
    """A clip as the API tells it."""
    found = stored.found
    video = {name: getattr(found, name) for name in ("frames", "height", "width", "seconds", "fps", "times")}
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.bytes,
        "created_at": stored.created_at,
        "filename": stored.filename,
        "purpose": purpose,
        "status": "processed",
        "video": {**video, "has_audio": found.has_audio},
    }


@router.post("/v1/files", response_model=FileDocument)
async def upload(
    state: State,
    file: Annotated[UploadFile, File(description="A video or a picture.")],
    purpose: Annotated[Text, Form(max_length=64)] = "user_data",
) -> dict[str, Any]:
    """Take a video in, checked; its id is the SHA-256 of its content, so sending it again changes nothing."""
    try:
        stored = await to_thread.run_sync(state.store.put, file.file, file.filename or "", limiter=state.heavy)
    except SamaError:
        state.metrics.uploads.labels("refused").inc()
        raise
    state.metrics.uploads.labels("taken").inc()
    return file_document(stored, purpose)


@router.get("/v1/files", response_model=FileList)
async def list_files(state: State) -> dict[str, Any]:
    """Every stored clip, the newest first."""
    stored = await run_in_threadpool(list, state.store)
    return {"data": [file_document(one) for one in stored]}


@router.get("/v1/files/{file_id}", response_model=FileDocument)
async def retrieve(file_id: FileInPath, state: State) -> dict[str, Any]:
    """What is known of a clip."""
    return file_document(await run_in_threadpool(state.store.get, file_id))


@router.delete("/v1/files/{file_id}", response_model=Deleted)
async def delete(file_id: FileInPath, state: State) -> dict[str, Any]:
    """Drop a clip."""
    await run_in_threadpool(state.drop, file_id)
    return {"id": file_id}


@router.get(
    "/v1/files/{file_id}/content",
    response_class=FileResponse,
    responses={
        200: {"description": "The bytes.", "content": {"*/*": {"schema": BINARY}}},
        206: {"description": "A part.", "content": {"*/*": {"schema": BINARY}}},
        416: {"description": "A range that the clip does not have."},
    },
)
async def content(file_id: FileInPath, state: State) -> Response:
    """The bytes of a clip, or the part that a Range header names."""
    path = await run_in_threadpool(state.store.path, file_id)
    stored = await run_in_threadpool(state.store.get, file_id)
    headers = {"Cache-Control": FOREVER, "ETag": f'"{file_id}"'}
    return FileResponse(path, media_type=stored.found.media_type, headers=headers)


@router.get(
    "/v1/files/{file_id}/frames/{frame}",
    response_class=Response,
    responses={200: {"description": "One frame.", "content": {"image/jpeg": {"schema": BINARY}}}},
)
async def frame(
    file_id: FileInPath,
    frame: Annotated[int, Path(ge=0, lt=2**31)],
    state: State,
    width: Annotated[int | None, Query(ge=1, le=16384, description="Scale down to this width.")] = None,
) -> Response:
    """Exactly one frame as JPEG, as a player shows it."""
    jpeg = await run_in_threadpool(frame_jpeg, state.store, file_id, frame, width)
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": FOREVER})


def frame_jpeg(store: ClipStore, file_id: str, frame_idx: int, width: int | None) -> bytes:
    """Decode a frame and write it as JPEG.

    Raises:
        ApiError: There is no such clip or frame.
    """
    with store.in_use(file_id) as stored:
        if frame_idx >= stored.found.frames:
            raise ApiError(
                404,
                f"frame {frame_idx} is not there, for the clip has {stored.found.frames} frames "
                f"(0-{stored.found.frames - 1}).",
                param="frame",
            )
        picture = Image.fromarray(np.asarray(store.open(file_id).frame(frame_idx)))
    if width is not None and width < picture.width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=JPEG_QUALITY)
    return written.getvalue()


@router.get("/v1/demo", response_model=DemoDocument)
async def demo(state: State) -> dict[str, Any]:
    """The bundled clip, and what to ask about it."""
    return await run_in_threadpool(demo_document, state)


def demo_document(state: ServerState) -> dict[str, Any]:
    """Take the bundled clip in, if it is not here, and tell of it."""
    with DEMO_CLIP.open("rb") as file:
        stored = state.store.put(file, "demo.mp4")
    turns = load_demo().turns
    questions = [
        {"question": turn.question, "regions": [region_to_json(region) for region in turn.regions]} for turn in turns
    ]
    return {"file": file_document(stored), "questions": questions}
