"""`/v1/masks` and `/v1/tracks`: pointing without a word, on one frame at once and through the clip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sama_video.app.server.connection import STREAM_TYPE, WAITING, caller_of, event_stream, first_of, while_connected
from sama_video.app.server.problems import ApiError
from sama_video.app.server.state import Desk, State
from sama_video.app.server.wire import MASKLET_SCHEMA, FileId, ObjectId, Told, Wire, WireRle, WireShape, told_rle
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import KnownObject, Sighting
from sama_video.chat.pointing import frame_of
from sama_video.errors import RegionError
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle, box_of
from sama_video.regions.shapes import Box, Mask, Points, at_frame, check_region
from sama_video.video.clip import Clip

router = APIRouter(tags=["pointing"])
Shape = Points | Box | Mask


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
    score: float | None = Field(description="Null: masks of one frame come without a belief of the model's.")


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


@dataclass(frozen=True)
class Progress:
    """How far the tracking is."""

    done: int
    total: int


@router.post("/v1/masks", response_model=MaskDocument)
async def one_mask(body: MaskRequest, request: Request, state: State) -> Response:
    """The mask of what is pointed at, on that frame alone."""
    await run_in_threadpool(state.store.get, body.file)
    caller = caller_of(request)

    def run(desk: Desk, emit: Callable[[object], None]) -> None:
        with state.store.in_use(body.file):
            maker = desk.masks(body.file, state.store.open(body.file))
            emit(mask_document(maker, body.region, body.hint))
        state.metrics.masks.inc()

    events = state.workers.submit(caller.client, f"{caller.holder} {body.file}", run, quick=True)
    told = [event async for event in while_connected(request, events) if event is not WAITING]
    return JSONResponse(told[-1])


def mask_document(maker: MaskMaker, region: Shape, hint: Rle | None) -> dict[str, Any]:
    """Look for what a region shows on its frame.

    Raises:
        RegionError: The region, or the hint, does not fit the clip.
    """
    shape = resolved(region, maker.clip, refining=hint is not None)
    logits = None
    if hint is not None:
        check_region(
            Mask(frame=frame_of(shape), mask={**hint}), num_frames=len(maker.clip), height=maker.clip.height,
            width=maker.clip.width,
        )  # fmt: skip
        logits = maker.hint_from(hint) if isinstance(shape, Points) else None
    try:
        mask: Rle | None = maker.region_mask(shape, hint=logits)
    except RegionError:
        mask = None  # the region is in order, so this says that nothing is there
    box = None if mask is None else box_of(mask)
    return {
        "frame": frame_of(shape),
        "mask": told_rle(mask),
        "box": None if box is None else list(box),
        "score": None,
    }


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

    def run(desk: Desk, emit: Callable[[object], None]) -> None:
        with state.store.in_use(body.file):
            maker = desk.masks(body.file, state.store.open(body.file))
            objects = [known_object(maker, one.id, one.sightings) for one in body.objects]
            emit(Progress(0, len(maker.clip)))
            masklets = maker.track(objects, lambda done, total: emit(Progress(done, total)))
        state.metrics.masks.inc(sum(masklet.num_frames for masklet in masklets.values()))
        for one in body.objects:
            emit(masklets[one.id])

    events = while_connected(request, state.workers.submit(caller.client, f"{caller.holder} {body.file}", run))
    _, stream = await first_of(events)
    if body.stream:
        return event_stream(stream, _lines)
    masklets = [event.to_json() async for event in stream if isinstance(event, Masklet)]
    return JSONResponse({"masklets": masklets})


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


def resolved(region: Shape, clip: Clip, *, refining: bool = False) -> Shape:
    """A shape with its moment as a frame, checked against the clip.

    Raises:
        SamaError: It does not fit.
    """
    shape = region if region.seconds is None else at_frame(region, clip.index_at(region.seconds))
    assert isinstance(shape, Shape)
    check_region(shape, num_frames=len(clip), height=clip.height, width=clip.width, refining=refining)
    return shape


def known_object(maker: MaskMaker, name: str, sightings: Sequence[Shape]) -> KnownObject:
    """An object as the tracker starts from it; a later sighting of a frame replaces an earlier one.

    Raises:
        RegionError: A sighting does not fit the clip, or shows nothing.
    """
    seen = {}
    for region in sightings:
        shape = resolved(region, maker.clip)
        seen[frame_of(shape)] = Sighting(frame_of(shape), maker.region_mask(shape), shape)
    return KnownObject(name, seen)


def _lines(event: object) -> list[object]:
    if isinstance(event, Masklet):
        return [{"masklet": event.to_json()}]
    assert isinstance(event, Progress)
    return [{"progress": {"done": event.done, "total": event.total}}]
