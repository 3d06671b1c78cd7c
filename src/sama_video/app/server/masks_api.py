"""`/v1/masks` and `/v1/tracks`: pointing without a word, on one frame at once and through the clip."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sama_video.app.server.answering import Progress
from sama_video.app.server.connection import STREAM_TYPE, WAITING, caller_of, event_stream, first_of, while_connected
from sama_video.app.server.jobs import Topic
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.pointing import MaskJob, TrackJob
from sama_video.app.server.problems import ApiError
from sama_video.app.server.state import State
from sama_video.app.server.wire import MASKLET_SCHEMA, FileId, ObjectId, Told, Wire, WireRle, WireShape
from sama_video.regions.masklet import Masklet

router = APIRouter(tags=["pointing"])


class MaskRequest(Wire):
    """What is pointed at on one frame; `hint` is the mask that it has there so far, for points to refine."""

    file: FileId
    region: WireShape
    hint: WireRle | None = None


class MaskDocument(Told):
    """The mask on that frame; null where nothing was found."""

    frame: int
    mask: dict[str, Any] | None
    box: list[int] | None
    score: float | None = Field(description="The overlap with the truth that the model predicts; null without a mask.")


class TrackedObject(Wire):
    """An object and every frame on which it was shown; masks are taken as they are."""

    id: ObjectId
    sightings: Annotated[list[WireShape], Field(min_length=1)]


class TrackRequest(Wire):
    """Objects to be followed through a clip."""

    file: FileId
    objects: Annotated[list[TrackedObject], Field(min_length=1)]
    stream: bool = False


class TrackDocument(Told):
    """A masklet for each object, in the order of the request."""

    masklets: list[Annotated[dict[str, Any], WithJsonSchema(MASKLET_SCHEMA)]]


@router.post("/v1/masks", response_model=MaskDocument)
async def one_mask(body: MaskRequest, request: Request, state: State) -> Response:
    """The mask of what is pointed at, on that frame alone."""
    await run_in_threadpool(state.store.get, body.file)
    caller = caller_of(request)

    job = MaskJob(body.file, body.region, body.hint)
    events = state.workers.submit(caller.client, Topic(caller.holder, body.file), job.run, quick=True)
    told = [event async for event in while_connected(request, events) if event is not WAITING]
    state.metrics.masks.inc()
    return JSONResponse(told[-1])


@router.post(
    "/v1/tracks",
    response_model=TrackDocument,
    responses={200: {"content": {STREAM_TYPE: {"schema": {"type": "string"}}}, "description": "The masklets."}},
)
async def tracks(body: TrackRequest, request: Request, state: State) -> Response:
    """Follow objects through the clip, all in one pass; several sightings of one are corrections on several frames."""
    check_track_request(body, state.settings.limits.regions)
    await run_in_threadpool(state.store.get, body.file)
    caller = caller_of(request)

    job = TrackJob(body.file, tuple((one.id, tuple(one.sightings)) for one in body.objects))
    events = state.workers.submit(caller.client, Topic(caller.holder, body.file), job.run)
    _, stream = await first_of(counted(while_connected(request, events), state.metrics))
    if body.stream:
        return event_stream(stream, _lines)
    masklets = [event.to_json() async for event in stream if isinstance(event, Masklet)]
    return JSONResponse({"masklets": masklets})


async def counted(events: AsyncIterator[object], metrics: Metrics) -> AsyncIterator[object]:
    """The same events; masks are counted."""
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Masklet):
                metrics.masks.inc(event.num_frames)
            yield event


def check_track_request(body: TrackRequest, most: int) -> None:
    """Refuse names that come twice, and more objects than one request may have.

    Raises:
        ApiError: One of these.
    """
    names = [one.id for one in body.objects]
    if len(set(names)) != len(names):
        raise ApiError(400, "two objects have one id; give each its own.", param="objects")
    count = sum(len(one.sightings) for one in body.objects)
    if count > most:
        raise ApiError(400, f"the request shows {count} regions, and this server takes {most}; send fewer.")


def _lines(event: object) -> list[object]:
    if isinstance(event, Masklet):
        return [{"masklet": event.to_json()}]
    assert isinstance(event, Progress)
    return [{"progress": {"done": event.done, "total": event.total}}]
