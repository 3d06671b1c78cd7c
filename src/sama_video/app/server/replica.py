"""A model on some machine of a cluster, and its thread; jobs and events travel as values."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from starlette.concurrency import run_in_threadpool

from sama_video.app.server.conversations import Conversations, ConversationStats
from sama_video.app.server.jobs import Failed, Run, Steps, Topic
from sama_video.app.server.main import desk_for, devices_for, served_name, store_for
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.problems import ApiError
from sama_video.app.server.settings import ServerSettings
from sama_video.app.server.state import Desk, ModelTold
from sama_video.chat.loading import load
from sama_video.model.interruption import asking_between_layers


@dataclass(frozen=True)
class Task:
    """A job on its way to a replica."""

    client: str
    topic: Topic
    run: Run[Desk] | None
    steps: Steps[Desk] | None
    quick: bool


@dataclass(frozen=True)
class NeedsClip:
    """The replica does not have the clip; send it, and the task again."""


@dataclass(frozen=True)
class Done:
    """The end of a task, and what the replica remembers by then."""

    replica: str
    stats: ConversationStats


class Replica:
    """What runs on a machine of the cluster.

    Args:
        settings: As the server that people call was told; clips are kept in the same folder, shared or not.
        model: Name, folder or hub id.
        load_arguments: For `sama_video.load`.
    """

    def __init__(self, settings: ServerSettings, model: str, load_arguments: Mapping[str, Any]) -> None:
        self.name = uuid.uuid4().hex
        self.model = load(model, **load_arguments)
        self.store = store_for(settings)
        conversations = Conversations(self.model, settings.cache_bytes)
        desk = desk_for(self.model, conversations, self.store, settings)
        self.devices = devices_for([desk], settings.limits, Metrics())
        self._watched = ExitStack()
        self._watched.enter_context(asking_between_layers(self.model.model, self.devices.check))
        self.devices.start()

    async def told(self) -> ModelTold:
        """What callers are told of the model."""
        return ModelTold(served_name(self.model), self.model.revision, self.model.protocol)

    async def do(self, task: Task) -> AsyncIterator[object]:
        """A job's events; at last `Done`, or how it failed."""
        try:
            await run_in_threadpool(self.store.get, task.topic.clip_id)
        except ApiError:
            yield NeedsClip()
            return
        try:
            async for event in self.devices.submit(
                task.client, task.topic, task.run, steps=task.steps, quick=task.quick
            ):
                yield event
        except ApiError as error:
            yield Failed(error)
        yield Done(self.name, self.devices.stats()[0])

    async def keep(self, content: bytes) -> None:
        """Take a clip in."""
        await run_in_threadpool(self.store.put, BytesIO(content))

    async def forget(self, clip_id: str) -> None:
        """Delete a clip, and whatever is remembered about it."""
        self.devices.forget(clip_id)
        try:
            await run_in_threadpool(self.store.delete, clip_id)
        except ApiError:
            return  # it never came here, or lay in a folder that all share
