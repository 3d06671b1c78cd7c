"""Two models in one process, each with a thread of its own, behind the same doors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from nano_model import nano_model
from starlette.testclient import TestClient

from sama_video.app.server.main import create_app
from sama_video.app.server.settings import ServerSettings
from sama_video.chat.loading import LoadedModel, load
from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video

STAR = [51, 153]


@pytest.fixture(scope="module")
def models() -> list[LoadedModel]:
    return [nano_model(), load("nano", device="cpu")]


@pytest.fixture
def client(tmp_path: Any, models: list[LoadedModel]) -> Iterator[TestClient]:
    settings = ServerSettings(tmp_path / "data", allowed_hosts=("testserver",), cache_bytes=256 << 20)
    with TestClient(create_app(settings, models)) as client:
        yield client


@pytest.fixture
def clips(client: TestClient, tmp_path: Any) -> list[str]:
    clip, ids = open_video(DEMO_CLIP), []
    for number in range(2):
        path = tmp_path / f"{number}.mp4"
        write_video(path, [clip.frame(number + idx) for idx in range(2)], fps=24)
        ids.append(str(client.post("/v1/files", files={"file": ("x.mp4", path.read_bytes())}).json()["id"]))
    return ids


def ask(client: TestClient, messages: list[Any], text: str, clip_id: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if not messages:
        parts.insert(0, {"type": "video_url", "video_url": {"url": clip_id}})
    messages.append({"role": "user", "content": parts})
    reply = client.post("/v1/chat/completions", json={"messages": messages, "ground": False})
    assert reply.status_code == 200, reply.text
    messages.append(reply.json()["choices"][0]["message"])
    return dict(reply.json()["usage"])


def test_both_answer_and_each_conversation_stays_where_its_cache_is(client: TestClient, clips: list[str]) -> None:
    desks = client.app.state.sama.desks  # type: ignore[attr-defined]
    assert desks[0].model.model is not desks[1].model.model
    talks: list[list[Any]] = [[], []]
    for question in ("How many objects can you see?", "Is a ring here?", "What is it?"):
        with ThreadPoolExecutor(2) as both:
            usages = list(both.map(lambda at, asked=question: ask(client, talks[at], asked, clips[at]), range(2)))  # type: ignore[misc]
        reused = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
        assert min(reused) > 100 or len(talks[0]) == 2
    assert talks[0][1]["content"] == talks[1][1]["content"]  # the same model, and all but the same clip
    stats = [desk.conversations.stats() for desk in desks]
    assert [(one.conversations, one.hits, one.misses, one.turns_replayed) for one in stats] == [(1, 2, 0, 0)] * 2
    assert 'sama_conversations_sought_total{found="all"} 4.0' in client.get("/metrics").text


def test_deleting_a_clip_reaches_both(client: TestClient, clips: list[str]) -> None:
    desks = client.app.state.sama.desks  # type: ignore[attr-defined]
    for clip_id in clips:
        ask(client, [], "How many objects can you see?", clip_id)
        reply = client.post("/v1/masks", json={"file": clip_id, "region": {"frame": 1, "points": [STAR]}})
        assert reply.json()["mask"] is not None
    assert [(desk.conversations.stats().clips, len(desk._pointed)) for desk in desks] == [(1, 1)] * 2
    for clip_id in clips:
        assert client.delete(f"/v1/files/{clip_id}").json()["deleted"]
    assert [(desk.conversations.stats().bytes, len(desk._pointed)) for desk in desks] == [(0, 0)] * 2
    parts = [{"type": "video_url", "video_url": {"url": clips[0]}}, {"type": "text", "text": "What is it?"}]
    reply = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": parts}]})
    assert reply.status_code == 404
