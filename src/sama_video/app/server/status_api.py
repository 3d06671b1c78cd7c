"""`/v1/models`, `/health`, `/metrics`: what is served, whether, and how busy."""

from typing import Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from sama_video import __version__
from sama_video.app.server.metrics import CONTENT_TYPE
from sama_video.app.server.problems import ApiError
from sama_video.app.server.state import State
from sama_video.app.server.wire import Told

router = APIRouter(tags=["status"])


class ModelDocument(Told):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "sama-video"


class ModelList(Told):
    """Every model that is served."""

    object: Literal["list"] = "list"
    data: list[ModelDocument]


class Health(Told):
    """Whether new requests are taken."""

    status: Literal["ok", "stopping"]
    version: str


@router.get("/v1/models")
async def models(state: State) -> ModelList:
    """What is served."""
    return ModelList(data=[ModelDocument(id=state.model_name, created=state.started)])


@router.get("/v1/models/{model:path}")
async def model(model: str, state: State) -> ModelDocument:
    """One model."""
    if model != state.model_name:
        raise ApiError(404, f"this model is not served here; {state.model_name!r} is.", code="model_not_found")
    return ModelDocument(id=state.model_name, created=state.started)


@router.get("/health", response_model=Health, responses={503: {"model": Health}})
async def health(state: State) -> Response:
    """Whether new requests are taken: 200, or 503 once the server was asked to stop. Needs no key."""
    stopping = state.workers.draining
    document = Health(status="stopping" if stopping else "ok", version=__version__)
    return JSONResponse(document.model_dump(), 503 if stopping else 200)


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
async def metrics(state: State) -> Response:
    """Figures for Prometheus."""
    return Response(state.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
