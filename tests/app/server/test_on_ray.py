"""Two replicas on a cluster of this machine, behind the same doors."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from sama_video.app.server.main import create_app
from sama_video.app.server.settings import ServerSettings
from sama_video.errors import ConfigError
from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video

ray = pytest.importorskip("ray")
pytest.importorskip("ray.serve", reason="pip install 'sama-video[ray]'", exc_type=ImportError)

pytestmark = [
    pytest.mark.slow,
    # Ray's own processes and sockets outlive a test for a moment, and its proxies warn of themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
STAR = [51, 153]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from sama_video.app.server.on_ray import start_replicas

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    # Folders of their own, as machines that share nothing have.
    settings = ServerSettings(tmp_path_factory.mktemp("theirs"), allowed_hosts=("testserver",), cache_bytes=256 << 20)

    async def started() -> Any:  # as from a notebook, whose thread has a running loop
        return start_replicas(settings, "nano", {"device": "cpu"}, address="auto", replicas=2)

    yield asyncio.run(started())
    from ray import serve

    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="module")
def client(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    from sama_video.app.server.on_ray import Replicas

    settings = ServerSettings(tmp_path_factory.mktemp("ours"), allowed_hosts=("testserver",))
    app = create_app(
        settings,
        [],
        elsewhere=lambda store, metrics: (Replicas(cluster, settings.limits, store, metrics), cluster.told),
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def clip_id(client: TestClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    clip = open_video(DEMO_CLIP)
    write_video(path, [clip.frame(idx) for idx in range(3)], fps=24)
    return str(client.post("/v1/files", files={"file": ("short.mp4", path.read_bytes())}).json()["id"])


def ask(client: TestClient, messages: list[Any], text: str, clip_id: str, **more: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if not messages:
        parts.insert(0, {"type": "video_url", "video_url": {"url": clip_id}})
    messages.append({"role": "user", "content": parts})
    reply = client.post("/v1/chat/completions", json={"messages": messages, **more})
    assert reply.status_code == 200, reply.text
    messages.append(reply.json()["choices"][0]["message"])
    return dict(reply.json()["usage"])


def test_conversations_stay_with_their_replica_and_spread_over_both(client: TestClient, clip_id: str) -> None:
    devices = client.app.state.sama.workers  # type: ignore[attr-defined]
    conversations: list[list[Any]] = []
    while len(conversations) < 4 or len(devices.stats()) < 2:
        assert len(conversations) < 40, "all went to one replica"
        conversations.append([])
        usage = ask(client, conversations[-1], f"Segment the purple ring{'!' * len(conversations)}", clip_id)
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    for messages in conversations:
        usage = ask(client, messages, "How many objects can you see?", clip_id)
        assert usage["prompt_tokens_details"]["cached_tokens"] > 100  # where it was, its cache is
    assert sum(stats.hits for stats in devices.stats()) == len(conversations)
    assert sum(stats.misses for stats in devices.stats()) == 0
    assert f'sama_conversations_sought_total{{found="all"}} {len(conversations)}.0' in client.get("/metrics").text


def test_masks_tracks_and_mistakes_come_back(client: TestClient, clip_id: str) -> None:
    shown = client.post("/v1/masks", json={"file": clip_id, "region": {"frame": 1, "points": [STAR]}}).json()
    assert shown["mask"] is not None
    sighting = {"frame": 1, "mask": shown["mask"]}
    body = {"file": clip_id, "objects": [{"id": "obj1", "sightings": [sighting]}], "stream": True}
    rows = client.post("/v1/tracks", json=body).text
    assert '"progress":{"done":3,"total":3}' in rows
    assert '"masklet":{"object":"obj1"' in rows
    parts = [{"type": "video_url", "video_url": {"url": clip_id}}, {"type": "text", "text": "What is <obj7>?"}]
    reply = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": parts}]})
    assert reply.status_code == 400
    assert "'obj7' is no object" in reply.json()["error"]["message"]
    reply = client.post("/v1/masks", json={"file": clip_id, "region": {"frame": 9, "points": [STAR]}})
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


def test_text_streams_and_models_are_told(client: TestClient, clip_id: str) -> None:
    assert client.get("/v1/models").json()["data"][0]["id"] == "nano"
    parts = [{"type": "video_url", "video_url": {"url": clip_id}}, {"type": "text", "text": "Segment the red star."}]
    body = {"messages": [{"role": "user", "content": parts}], "stream": True}
    rows = [row for row in client.post("/v1/chat/completions", json=body).text.split("\n\n") if row]
    assert rows[-1] == "data: [DONE]"
    assert sum('"content":' in row for row in rows) > 2
    assert any('"grounding":' in row for row in rows)


def test_a_replica_that_dies_costs_time_only(client: TestClient, clip_id: str) -> None:
    conversations: list[list[Any]] = [[] for _ in range(12)]
    for number, messages in enumerate(conversations):
        ask(client, messages, f"Is a ring here{'?' * number}", clip_id, ground=False, max_tokens=4)
    names = [actor for actor in ray.util.list_named_actors(all_namespaces=True) if "SERVE_REPLICA" in actor["name"]]
    ray.kill(ray.get_actor(**names[0]))
    text = {"role": "user", "content": "How many objects can you see?"}
    cached = []
    for messages in conversations:
        usage = second_turn(client, [*messages, text])
        cached.append(usage["prompt_tokens_details"]["cached_tokens"])
        assert usage["prompt_tokens"] > 150
    assert 0 in cached  # those that were on the dead one were read again by the other
    assert max(cached) > 150


def second_turn(client: TestClient, messages: list[Any]) -> dict[str, Any]:
    """Its usage, as soon as the loss was noticed."""
    ends_at = time.monotonic() + 60
    while (reply := client.post("/v1/chat/completions", json={"messages": messages})).status_code != 200:
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "replica_lost")
        assert time.monotonic() < ends_at
        time.sleep(0.2)
    return dict(reply.json()["usage"])


def test_deleting_a_clip_reaches_the_replicas(client: TestClient, clip_id: str) -> None:
    assert client.delete(f"/v1/files/{clip_id}").json()["deleted"]
    body = {"file": clip_id, "region": {"frame": 1, "points": [STAR]}}
    assert client.post("/v1/masks", json=body).status_code == 404


def test_an_address_where_nobody_is_is_told_at_once() -> None:
    from sama_video.remote.cluster import join_cluster

    with pytest.raises(ConfigError, match=r"--ray 127.0.0.1:1: no cluster answers there \(ConnectionRefusedError"):
        join_cluster(ray, "127.0.0.1:1")
