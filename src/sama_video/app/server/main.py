"""The server as an ASGI application."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sama_video import __version__
from sama_video.app.server import chat_api, exports_api, files_api, masks_api, status_api
from sama_video.app.server.conversations import Conversations
from sama_video.app.server.fetch import Fetcher
from sama_video.app.server.files import ClipStore
from sama_video.app.server.form_errors import validation_problem
from sama_video.app.server.gate import Gate
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.page_api import page_router
from sama_video.app.server.probe import ProbeLimits
from sama_video.app.server.problems import ApiError, GoneError, as_api_error, as_response
from sama_video.app.server.settings import Limits, ServerSettings
from sama_video.app.server.state import ConversationSource, Desk, Devices, LocalDevices, ModelTold, ServerState
from sama_video.app.server.wire import ErrorDocument
from sama_video.chat.loading import LoadedModel
from sama_video.errors import SamaError
from sama_video.model.interruption import asking_between_layers

SWEEP_SECONDS = 600.0
HEAVY_AT_ONCE = 2
TITLE = "sama-video"
TOLD = """Talk with a video about the things in it.

Upload a video (`POST /v1/files`), then ask about it (`POST /v1/chat/completions`) as with OpenAI's API: the whole
conversation each time, `<region>` in a question for each region part of its message. The answer's `grounding` binds its
phrases to objects and their masks; send it back with the message, and the objects stay known by their names.

Coordinates are pixels of the video as a player shows it, from the top left; frames count from 0; masks are COCO run
lengths. Mistakes come as OpenAI's errors, with a line that says what to do.
"""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument, "description": told}
    for status, told in {
        400: "A mistake in the request.",
        401: "No key, or an unknown one.",
        403: "Called from another site, or by another name.",
        404: "No such thing.",
        408: "The request did not come whole.",
        413: "Too large.",
        415: "Another content type is taken.",
        429: "Too many wait; see Retry-After.",
        503: "About to stop, or out of room.",
    }.items()
}
ConversationMaker = Callable[[LoadedModel, int], ConversationSource]
Elsewhere = Callable[[ClipStore, Metrics], tuple[Devices, ModelTold]]


def create_app(
    settings: ServerSettings,
    models: Sequence[LoadedModel],
    *,
    conversations: ConversationMaker | None = None,
    store: ClipStore | None = None,
    fetcher: Fetcher | None = None,
    elsewhere: Elsewhere | None = None,
) -> FastAPI:
    """The application.

    Args:
        models: The same model, once for each device; none where the jobs are done elsewhere.
        conversations: Makes what remembers the conversations of a device.
        store: Where clips are; a folder by the settings, by default.
        fetcher: By the settings, by default.
        elsewhere: Makes the devices of other machines, given the clips and the figures.
    """
    metrics, store = Metrics(), store or store_for(settings)
    desks = tuple(
        desk_for(model, (conversations or _remembering)(model, settings.cache_bytes), store, settings)
        for model in models
    )
    if elsewhere is None:
        devices: Devices = devices_for(desks, settings.limits, metrics)
        told = ModelTold(served_name(models[0]), models[0].revision, models[0].protocol)
    else:
        devices, told = elsewhere(store, metrics)
    state = _state(settings, devices, told, desks, store, metrics, fetcher)
    app = FastAPI(
        title=TITLE, version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_lifespan
    )
    app.state.sama = state
    for router in (chat_api.router, files_api.router, masks_api.router, exports_api.router, status_api.router):
        app.include_router(router, responses=ERRORS)
    app.include_router(page_router())
    app.add_middleware(Gate, settings=settings, metrics=metrics, stopping=lambda: state.workers.draining)
    app.add_exception_handler(SamaError, _sama_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(GoneError, _gone)
    app.openapi = lambda: openapi_document(app, settings)  # type: ignore[method-assign]
    return app


def openapi_document(app: FastAPI, settings: ServerSettings) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=TOLD, routes=app.routes)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        if settings.keys:
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
        app.openapi_schema = document
    return app.openapi_schema


def served_name(model: LoadedModel) -> str:
    """What callers call a model: a folder's own name, not where it lies."""
    return Path(model.name).name if Path(model.name).is_absolute() or "\\" in model.name else model.name


def _state(
    settings: ServerSettings,
    devices: Devices,
    told: ModelTold,
    desks: tuple[Desk, ...],
    store: ClipStore,
    metrics: Metrics,
    fetcher: Fetcher | None,
) -> ServerState:
    _watch(metrics, devices, store, desks)
    return ServerState(
        settings=settings,
        model_name=told.name,
        model_told={"name": told.name, "revision": told.revision, "protocol": told.protocol},
        started=int(time.time()),
        store=store,
        fetcher=fetcher or Fetcher(settings.fetch_hosts, settings.limits.file_bytes),
        workers=devices,
        metrics=metrics,
        heavy=CapacityLimiter(HEAVY_AT_ONCE),
        desks=desks,
    )


def desk_for(model: LoadedModel, conversations: ConversationSource, store: ClipStore, settings: ServerSettings) -> Desk:
    """What a device's thread works with."""
    return Desk(
        model,
        conversations,
        store,
        features_bytes=settings.features_bytes,
        answer_tokens=settings.limits.answer_tokens,
        chat_options=settings.chat_options,
    )


def devices_for(desks: Sequence[Desk], limits: Limits, metrics: Metrics) -> LocalDevices:
    """A thread for each desk."""
    return LocalDevices(
        desks,
        waiting=limits.waiting,
        job_seconds=limits.answer_seconds,
        together=limits.together,
        metrics=metrics,
    )


def store_for(settings: ServerSettings) -> ClipStore:
    """The clips, in a folder by the settings."""
    limits = settings.limits
    return ClipStore(
        settings.data,
        quota_bytes=settings.quota_bytes,
        max_file_bytes=limits.file_bytes,
        max_age_seconds=settings.max_age_seconds,
        limits=probe_limits(limits),
    )


def probe_limits(limits: Limits) -> ProbeLimits:
    """What a clip may be."""
    return ProbeLimits(
        seconds=limits.clip_seconds,
        pixels=limits.clip_pixels,
        frames=limits.clip_frames,
        decoded_bytes=limits.decoded_bytes,
        check_seconds=limits.check_seconds,
    )


def _remembering(model: LoadedModel, cache_bytes: int) -> ConversationSource:
    return Conversations(model, cache_bytes)


def _watch(metrics: Metrics, devices: Devices, store: ClipStore, desks: Sequence[Desk]) -> None:
    metrics.watch("sama_queue_waiting", "Jobs that wait for a device.", lambda: devices.busy[0])
    metrics.watch("sama_jobs_running", "Jobs that run.", lambda: devices.busy[1])
    metrics.watch("sama_clip_bytes", "What the stored clips take.", lambda: store.bytes)
    metrics.watch("sama_device_memory_bytes", "What the accelerators hold.", lambda: device_memory(desks))
    metrics.watch_conversations(devices.stats)


def device_memory(desks: Sequence[Desk]) -> int:
    """Memory that torch holds on the desks' accelerators."""
    import torch

    used = {desk.model.model.lm_head.weight.device for desk in desks} if torch.cuda.is_available() else set()
    return sum(torch.cuda.memory_reserved(device) for device in used if device.type == "cuda")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ServerState = app.state.sama
    with ExitStack() as watched:
        if isinstance(state.workers, LocalDevices):
            for desk in state.desks:
                watched.enter_context(asking_between_layers(desk.model.model, state.workers.check))
        state.workers.start()
        sweeping = asyncio.ensure_future(_sweep(state.store))
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await run_in_threadpool(state.workers.close)


async def _sweep(store: ClipStore) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await run_in_threadpool(store.sweep)


async def _sama_error(_request: Request, error: Exception) -> Response:
    return as_response(as_api_error(error))


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return as_response(validation_problem(list(error.errors())))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: "there is no such address here; /openapi.json tells all.", 405: "this address takes other methods."}
    message = told.get(error.status_code, str(error.detail))
    return as_response(ApiError(error.status_code, message, headers=error.headers))


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)
