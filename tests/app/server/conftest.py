"""A server whose model is a puppet: questions say what is to happen, so a test of the server takes milliseconds."""

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient
from torch.nn import Identity

from sama_video.app.server import answering
from sama_video.app.server.conversations import ConversationStats
from sama_video.app.server.files import ClipStore
from sama_video.app.server.main import create_app, probe_limits
from sama_video.app.server.probe import check
from sama_video.app.server.run import bind
from sama_video.app.server.settings import Keys, Limits, ServerSettings
from sama_video.chat.answer import Answer, AnswerReady, Event, TextDelta
from sama_video.chat.loading import LoadedModel
from sama_video.chat.replay import PastTurn
from sama_video.chat.session import ChatSession
from sama_video.dialogue.turns import Timing, Turn
from sama_video.errors import RegionError
from sama_video.model.decoding import Sampling
from sama_video.video.clip import Clip
from sama_video.video.writer import write_video

KEY = "k" * 32
OTHER_KEY = "o" * 32


class Puppet(ChatSession):
    """Says the question's words, one a delta. `fail`, `break`, `wait` and `track` do what they say."""

    def __init__(self, stage: "Stage", clip: Clip) -> None:
        self.stage, self.clip = stage, clip
        self.sampling = Sampling()

    @property
    def objects(self) -> Any:
        return {}

    def steps(
        self,
        question: str,
        regions: Any = (),
        *,
        ground: Any = "auto",
        span: Any = None,
        progress: Any = None,
    ) -> Iterator[Event]:
        self.stage.asked.append((question, tuple(regions), ground, span, self.sampling))
        try:
            for word in question.split():
                if word == "fail":
                    raise RegionError("point (9, 9) is outside the frame; give one inside.")
                if word == "break":
                    raise ZeroDivisionError("secret words of the user")
                if word == "wait":
                    self.stage.waiting.release()
                    assert self.stage.go_on.wait(20)
                if word == "endless":
                    while True:
                        time.sleep(0.005)
                        yield TextDelta("on ")
                if word == "track":
                    for done in range(3):
                        progress(done + 1, 3)
                yield TextDelta(word + " ")
            timing = Timing(0.1, 0.2, 7, 5, generated_tokens=len(question.split()))
            yield AnswerReady(Answer(Turn(question, (), question, question, (), timing), {}))
            self.stage.answered.append(question)
        except GeneratorExit:
            self.stage.undone.append(question)
            raise


@dataclass
class Stage:
    """What happened, and what is waited for."""

    asked: list[Any] = field(default_factory=list)
    opened: list[tuple[str, str, tuple[PastTurn, ...]]] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @contextmanager
    def open(
        self, key: str, clip_id: str, clip: Clip, turns: Sequence[PastTurn], **options: Any
    ) -> Iterator[ChatSession]:
        self.opened.append((key, clip_id, tuple(turns)))
        self.options.append(options)
        yield Puppet(self, clip)

    def forget(self, clip_id: str) -> None:
        self.forgotten.append(clip_id)

    def stats(self) -> ConversationStats:
        return ConversationStats(hits=3, misses=1, bytes=7)


class PuppetModel(LoadedModel):
    name = "puppet"
    protocol = "consistent"
    revision = "0"
    model = Identity()

    def __init__(self) -> None:
        pass


def fake_grounding(session: Any, answer: Answer, *, masklets: str, progress: Any) -> dict[str, Any]:
    return {"phrases": [], "objects": [], "masklets": [], "regions": [], "raw": answer.raw, "state": {}}


def video_bytes(tmp_path: Path, frames: int = 6, height: int = 32, width: int = 48, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    path = tmp_path / f"made{seed}.mp4"
    write_video(path, list(pixels), fps=6)
    return path.read_bytes()


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., bytes]:
    return lambda **shape: video_bytes(tmp_path, **shape)


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    return video_bytes(tmp_path)


@dataclass
class Server:
    client: TestClient
    stage: Stage
    app: Any
    store: ClipStore

    def file(self, content: bytes) -> str:
        return self.store.put(io.BytesIO(content), "clip.mp4").id

    def ask(self, question: str, clip_id: str, client: Any = None, **more: Any) -> Any:
        return (client or self.client).post("/v1/chat/completions", json=ask_body(question, clip_id, **more))


def ask_body(question: str, clip_id: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "video_url", "video_url": {"url": clip_id}}, {"type": "text", "text": question}]
    return {"model": "puppet", "messages": [{"role": "user", "content": parts}], **more}


@pytest.fixture
def make_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Stage, ClipStore]]:
    def make(
        *, limits: Limits | None = None, desks: int = 1, fetcher: Any = None, model: Any = None, **changes: Any
    ) -> tuple[Any, Stage, ClipStore]:
        """With a model, that one answers in the puppet's place."""
        limits = limits or Limits()
        settings = ServerSettings(tmp_path / "data", limits=limits, **{"allowed_hosts": ("testserver",), **changes})
        store = ClipStore(
            settings.data,
            quota_bytes=settings.quota_bytes,
            max_file_bytes=limits.file_bytes,
            max_age_seconds=settings.max_age_seconds,
            limits=probe_limits(limits),
            check=check,
        )
        stage = Stage()
        if model is not None:
            return create_app(settings, [model], store=store, fetcher=fetcher), stage, store
        monkeypatch.setattr(answering, "grounding_json", fake_grounding)
        models = [PuppetModel() for _ in range(desks)]
        app = create_app(settings, models, conversations=lambda model, size: stage, store=store, fetcher=fetcher)
        return app, stage, store

    return make


@pytest.fixture
def make_server(make_app: Callable[..., Any]) -> Iterator[Callable[..., Server]]:
    open_clients: list[TestClient] = []
    stages: list[Stage] = []

    def make(**options: Any) -> Server:
        app, stage, store = make_app(**options)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        open_clients.append(client)
        stages.append(stage)
        return Server(client, stage, app, store)

    yield make
    for stage in stages:
        stage.go_on.set()
    for client in open_clients:
        client.__exit__(None, None, None)


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()


@dataclass
class Live:
    """The same behind uvicorn, on a loopback port."""

    url: str
    stage: Stage
    store: ClipStore
    app: Any


@pytest.fixture
def make_live(make_app: Callable[..., Any]) -> Iterator[Callable[..., Live]]:
    running: list[tuple[uvicorn.Server, threading.Thread, Stage]] = []

    def make(**options: Any) -> Live:
        app, stage, store = make_app(**options)
        listener = bind("127.0.0.1", 0)
        runner = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=runner.run, args=([listener],))
        thread.start()
        running.append((runner, thread, stage))
        until(lambda: runner.started)
        return Live(f"http://127.0.0.1:{listener.getsockname()[1]}", stage, store, app)

    yield make
    for runner, thread, stage in running:
        stage.go_on.set()
        runner.should_exit = True
        thread.join(20)


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to pass"
        time.sleep(0.01)


@pytest.fixture
def two_keys() -> Keys:
    return Keys.of(f"{KEY}\n{OTHER_KEY}", "test")
