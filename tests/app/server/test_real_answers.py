"""OpenAI's client, the server and the bundled model together, on a few frames of the bundled clip."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import uvicorn
from nano_model import nano_model

from sama_video.app.server.files import ClipStore
from sama_video.app.server.main import create_app, probe_limits
from sama_video.app.server.probe import check
from sama_video.app.server.run import bind
from sama_video.app.server.settings import Limits, ServerSettings
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import decode, iou
from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    clip = open_video(DEMO_CLIP)
    write_video(path, [clip.frame(idx) for idx in range(3)], fps=24)
    return path.read_bytes()


def started(folder: Any) -> tuple[uvicorn.Server, threading.Thread, str, Any]:
    limits = Limits()
    settings = ServerSettings(folder, limits=limits, cache_bytes=256 << 20)
    store = ClipStore(
        folder,
        quota_bytes=1 << 30,
        max_file_bytes=1 << 30,
        max_age_seconds=999,
        limits=probe_limits(limits),
        check=check,
    )
    app = create_app(settings, [nano_model()], store=store)
    listener = bind("127.0.0.1", 0)
    runner = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=runner.run, args=([listener],))
    thread.start()
    while not runner.started:
        time.sleep(0.01)
    return runner, thread, f"http://127.0.0.1:{listener.getsockname()[1]}/v1", app


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[openai.OpenAI, Any]]:
    runner, thread, url, app = started(tmp_path_factory.mktemp("served"))
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client, app
    runner.should_exit = True
    thread.join(20)


def test_two_turns_as_openai_s_client_holds_them(served: tuple[openai.OpenAI, Any], short_clip: bytes) -> None:
    client, app = served
    file = client.files.create(file=("short.mp4", short_clip), purpose="user_data")
    region = {"type": "region", "region": {"frame": 0, "points": [[51, 153]]}}
    clip: Any = {"type": "video_url", "video_url": {"url": file.id}}
    messages: list[Any] = [{"role": "user", "content": [clip, {"type": "text", "text": "What is <region>?"}, region]}]
    first = client.chat.completions.create(model="nano", messages=messages, extra_body={"masklets": "all"})
    said = first.choices[0].message
    assert "red" in (said.content or "")
    grounding = said.model_dump()["grounding"]
    assert grounding["objects"][0] == {"id": "obj1", "from": "question"}
    masklets = {row["object"]: Masklet.from_json(row) for row in grounding["masklets"]}
    assert masklets["obj1"].num_frames == 3
    rle = masklets["obj1"].rles[0]
    assert rle is not None
    assert decode(rle)[153, 51]
    assert first.usage is not None
    assert first.usage.prompt_tokens > 100

    messages += [said, {"role": "user", "content": "Segment the purple ring."}]
    chunks = list(
        client.chat.completions.create(
            model="nano", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.choices[0].delta.model_dump() for chunk in chunks if chunk.choices]
    texts = [delta["content"] for delta in deltas if delta.get("content")]
    assert len(texts) > 2
    assert "ring" in "".join(texts)
    [told] = [delta["grounding"] for delta in deltas if delta.get("grounding")]
    assert told["masklets"][0]["object"] == told["objects"][0]["id"] == "obj2"
    extras = [chunk.model_dump() for chunk in chunks]
    first_progress = next(place for place, extra in enumerate(extras) if extra.get("progress"))
    [seen] = [place for place, extra in enumerate(extras) if extra.get("sightings")]
    assert seen < first_progress  # a mask comes before the tracking of its object
    assert {row["object"] for row in extras[seen]["sightings"]} == {"obj2"}
    rows = told["masklets"][0]["frames"]
    assert all(iou(rows[row["frame"]]["mask"], row["mask"]) > 0.5 for row in extras[seen]["sightings"])
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens_details.cached_tokens or 0) > 100  # turn 2 at the cost of a turn 2
    stats = app.state.sama.desks[0].conversations.stats()
    assert (stats.hits, stats.turns_replayed) == (1, 0)
    assert b'sama_conversations_sought_total{found="all"} 1.0' in app.state.sama.metrics.text()


def test_unknown_object_is_the_caller_s_mistake(served: tuple[openai.OpenAI, Any], short_clip: bytes) -> None:
    client, _ = served
    file = client.files.create(file=("short.mp4", short_clip), purpose="user_data")
    clip: Any = {"type": "video_url", "video_url": {"url": file.id}}
    for text, told in (
        ("What is <obj7>?", "obj7"),
        ("What is <region>?", "1 <region> tag"),
        ("[SEG]", "keeps for itself"),
    ):
        with pytest.raises(openai.BadRequestError, match=told.replace("[", r"\[")):
            client.chat.completions.create(
                model="nano", messages=[{"role": "user", "content": [clip, {"type": "text", "text": text}]}]
            )
