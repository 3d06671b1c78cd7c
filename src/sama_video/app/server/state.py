"""What the routers share: settings, clips, workers, figures."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import Request

from sama_video.app.server.conversations import ConversationStats
from sama_video.app.server.fetch import Fetcher
from sama_video.app.server.files import ClipStore
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
    """What one device's thread works with; no other thread touches it.

    Attributes:
        features_bytes: Budget for the pictures' features of each clip that is being pointed at.
    """

    model: LoadedModel
    conversations: ConversationSource
    features_bytes: int
    _pointed: OrderedDict[str, MaskMaker] = field(default_factory=OrderedDict)

    def masks(self, clip_id: str, clip: Clip) -> MaskMaker:
        """What makes masks of a clip, without a conversation; a few clips' features are kept."""
        maker = self._pointed.get(clip_id)
        if maker is None or maker.clip is not clip:
            maker = self.model.mask_maker(clip, self.model.protocol, self.features_bytes)
        self._pointed[clip_id] = maker
        self._pointed.move_to_end(clip_id)
        while len(self._pointed) > POINTED_CLIPS:
            self._pointed.popitem(last=False)
        return maker


@dataclass(frozen=True)
class ServerState:
    """One server.

    Attributes:
        model_name: What callers call the model.
        model_told: Name, revision and protocol of it, as a session file has them.
        desks: What the devices' threads work with; only their conversations may be used by others.
        heavy: How many long writings go on at once beside the models.
    """

    settings: ServerSettings
    model_name: str
    model_told: Mapping[str, str]
    started: int
    store: ClipStore
    fetcher: Fetcher
    workers: Workers[Desk]
    metrics: Metrics
    heavy: CapacityLimiter
    desks: tuple[Desk, ...] = ()

    def drop(self, clip_id: str) -> None:
        """Delete a clip, and whatever is remembered about it."""
        self.store.delete(clip_id)
        for desk in self.desks:
            desk.conversations.forget(clip_id)


def state_of(request: Request) -> ServerState:
    """The server that a request came to."""
    state = request.app.state.sama
    assert isinstance(state, ServerState)
    return state


State: TypeAlias = Annotated[ServerState, Depends(state_of)]
