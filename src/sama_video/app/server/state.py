"""What the routers share: settings, clips, workers, figures."""

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import Request

from sama_video.app.server.conversations import ConversationStats
from sama_video.app.server.fetch import Fetcher
from sama_video.app.server.files import ClipStore
from sama_video.app.server.jobs import Run, Steps, Topic
from sama_video.app.server.metrics import Metrics
from sama_video.app.server.settings import ServerSettings
from sama_video.app.server.worker import Workers
from sama_video.chat.loading import LoadedModel
from sama_video.chat.masks import MaskMaker
from sama_video.chat.replay import PastTurn
from sama_video.chat.session import ChatSession
from sama_video.video.clip import Clip

POINTED_CLIPS = 4


@runtime_checkable
class ConversationSource(Protocol):
    """Whoever can put a session where a conversation stands; `Conversations`, or a test's puppet."""

    def open(
        self, key: str, clip_id: str, clip: Clip, turns: Sequence[PastTurn], **options: Any
    ) -> AbstractContextManager[ChatSession]:
        """A session that stands exactly after these turns."""
        ...

    def forget(self, clip_id: str) -> None:
        """Drop what is remembered about a clip."""
        ...

    def stats(self) -> ConversationStats:
        """What the cache did so far, and holds."""
        ...


@dataclass
class Desk:
    """What one device's thread works with; no other thread touches it, but for the clips and to forget one.

    Attributes:
        features_bytes: Budget for the pictures' features of each clip that is being pointed at.
        answer_tokens: Longest answer.
        chat_options: For `model.chat`, such as `max_frames`.
    """

    model: LoadedModel
    conversations: ConversationSource
    store: ClipStore
    features_bytes: int
    answer_tokens: int
    chat_options: Mapping[str, int]
    _pointed: OrderedDict[str, MaskMaker] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def masks(self, clip_id: str, clip: Clip) -> MaskMaker:
        """What makes masks of a clip, without a conversation; a few clips' features are kept."""
        with self._lock:
            maker = self._pointed.get(clip_id)
            if maker is None or maker.clip is not clip:
                maker = self.model.mask_maker(clip, self.model.protocol, self.features_bytes)
            self._pointed[clip_id] = maker
            self._pointed.move_to_end(clip_id)
            while len(self._pointed) > POINTED_CLIPS:
                self._pointed.popitem(last=False)
        return maker

    def forget(self, clip_id: str) -> None:
        """Drop what is remembered about a clip; from any thread."""
        self.conversations.forget(clip_id)
        with self._lock:
            self._pointed.pop(clip_id, None)


@dataclass(frozen=True)
class ModelTold:
    """What callers are told of the model.

    Attributes:
        name: What they call it.
    """

    name: str
    revision: str
    protocol: str


@runtime_checkable
class Devices(Protocol):
    """Whoever does the jobs: threads of this process, or replicas on other machines."""

    @property
    def draining(self) -> bool:
        """Whether new jobs are refused because the server is about to stop."""
        ...

    @property
    def busy(self) -> tuple[int, int]:
        """How many jobs wait, and how many run."""
        ...

    def start(self) -> None:
        """Be ready for jobs."""
        ...

    def submit(
        self,
        client: str,
        topic: Topic,
        run: Run[Desk] | None = None,
        *,
        steps: Steps[Desk] | None = None,
        quick: bool = False,
    ) -> AsyncIterator[object]:
        """A job's events as they come; closing this iterator ends the job."""
        ...

    def drain(self) -> None:
        """Take nothing new."""
        ...

    def close(self) -> None:
        """End what still waits or runs."""
        ...

    def stats(self) -> Sequence[ConversationStats]:
        """What is remembered of conversations, wherever it is."""
        ...

    def forget(self, clip_id: str) -> None:
        """Drop what is remembered about a clip."""
        ...


class LocalDevices(Workers[Desk]):
    """Threads of this process, one for each desk."""

    def stats(self) -> Sequence[ConversationStats]:
        """What each desk remembers of conversations."""
        return [desk.conversations.stats() for desk in self.desks]

    def forget(self, clip_id: str) -> None:
        """Drop what the desks remember about a clip."""
        for desk in self.desks:
            desk.forget(clip_id)


@dataclass(frozen=True)
class ServerState:
    """One server.

    Attributes:
        model_name: What callers call the model.
        model_told: Name, revision and protocol of it, as a session file has them.
        desks: What the threads of this process work with; only their conversations may be used by others.
        heavy: How many long writings go on at once beside the models.
    """

    settings: ServerSettings
    model_name: str
    model_told: Mapping[str, str]
    started: int
    store: ClipStore
    fetcher: Fetcher
    workers: Devices
    metrics: Metrics
    heavy: CapacityLimiter
    desks: tuple[Desk, ...] = ()

    def drop(self, clip_id: str) -> None:
        """Delete a clip, and whatever is remembered about it."""
        self.store.delete(clip_id)
        self.workers.forget(clip_id)


def state_of(request: Request) -> ServerState:
    """The server that a request came to."""
    state = request.app.state.sama
    assert isinstance(state, ServerState)
    return state


State: TypeAlias = Annotated[ServerState, Depends(state_of)]
