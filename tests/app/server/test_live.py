"""Over a real socket: OpenAI's own client, clients that go away, queues that fill, a server that stops."""

import base64
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from sama_video.app.server.settings import Keys, Limits

KEY = "k" * 32


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    import time

    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to pass"
        time.sleep(0.01)


OPENED: list[Any] = []


@pytest.fixture(autouse=True)
def closed_at_the_end() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def client_of(live: Any, key: str = "none needed") -> openai.OpenAI:
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0, timeout=20)
    OPENED.append(client)
    return client


def body_of(question: str, clip_id: str, **more: Any) -> bytes:
    parts = [{"type": "video_url", "video_url": {"url": clip_id}}, {"type": "text", "text": question}]
    return json.dumps({"messages": [{"role": "user", "content": parts}], **more}).encode()


class Plain:
    """A client of one address, by hand."""

    def __init__(self, live: Any, address: str = "127.0.0.1") -> None:
        self.port = urlsplit(live.url).port
        OPENED.append(self)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(address, 0))

    def send(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", "/v1/chat/completions", body, headers)

    def reply(self) -> tuple[int, dict[str, str], Any]:
        response = self.connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read())

    def ask(self, question: str, clip_id: str) -> tuple[int, dict[str, str], Any]:
        self.send(body_of(question, clip_id))
        return self.reply()

    def close(self) -> None:
        self.connection.close()

    def hang_up(self) -> None:
        sock = self.connection.sock
        sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def file_of(live: Any, content: bytes) -> str:
    import io

    return str(live.store.put(io.BytesIO(content)).id)


def test_openai_client_unchanged(make_live: Any, two_keys: Keys, video: bytes) -> None:
    live = make_live(keys=two_keys)
    client = client_of(live, KEY)
    assert [model.id for model in client.models.list()] == ["puppet"]
    assert client.models.retrieve("puppet").id == "puppet"
    file = client.files.create(file=("clip.mp4", video), purpose="user_data")
    assert file.status == "processed"
    assert [one.id for one in client.files.list()] == [file.id]
    assert client.files.retrieve(file.id).bytes == len(video)
    assert client.files.content(file.id).read() == video
    messages: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is here"},
                {"type": "file", "file": {"file_id": file.id}},
            ],
        }
    ]
    answer = client.chat.completions.create(model="puppet", messages=messages, extra_body={"ground": True})
    assert answer.choices[0].message.content == "what is here"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert answer.choices[0].message.model_dump()["grounding"]["raw"] == "what is here"
    again = [*messages, answer.choices[0].message, {"role": "user", "content": "and then track"}]
    chunks = list(
        client.chat.completions.create(
            model="puppet", messages=again, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "and then track "
    assert chunks[-1].usage is not None
    assert live.stage.opened[-1][2][0].grounding["raw"] == "what is here"
    assert client.files.delete(file.id).deleted


def test_openai_client_gets_its_own_errors(make_live: Any, two_keys: Keys, video: bytes) -> None:
    live = make_live(keys=two_keys)
    clip_id = file_of(live, video)
    good, bad = client_of(live, KEY), client_of(live, "wrong" * 5)
    url = "data:video/mp4;base64," + base64.b64encode(video).decode()

    def ask(client: openai.OpenAI, question: str, url: str = clip_id, model: str = "puppet") -> Any:
        parts: Any = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])

    assert ask(good, "x", url).choices[0].message.content == "x"
    with pytest.raises(openai.AuthenticationError):
        ask(bad, "x")
    with pytest.raises(openai.BadRequestError, match=r"point \(9, 9\)"):
        ask(good, "fail")
    with pytest.raises(openai.NotFoundError, match="not served"):
        ask(good, "x", model="gpt")
    with pytest.raises(openai.NotFoundError, match="upload it again"):
        ask(good, "x", "0" * 64)
    with pytest.raises(openai.InternalServerError):
        ask(good, "break")
    live.app.state.sama.workers.drain()
    with pytest.raises(openai.InternalServerError) as stopped:
        ask(good, "x")
    assert stopped.value.status_code == 503


def test_text_comes_before_the_answer_is_over(make_live: Any, video: bytes) -> None:
    live = make_live()
    plain = Plain(live)
    plain.send(body_of("one wait two", file_of(live, video), stream=True))
    response = plain.connection.getresponse()
    seen = b""
    while b"one" not in seen:
        seen += response.read1(100)
    assert b"[DONE]" not in seen
    live.stage.go_on.set()
    assert response.read().endswith(b"data: [DONE]\n\n")


def test_stream_that_waits_says_that_it_is_there(make_live: Any, video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sama_video.app.server.connection.HEARTBEAT_SECONDS", 0.05)
    live = make_live()
    clip_id = file_of(live, video)
    first, streamed, whole = (Plain(live) for _ in range(3))
    first.send(body_of("wait", clip_id))
    assert live.stage.waiting.acquire(timeout=20)
    streamed.send(body_of("one fail", clip_id, stream=True))
    whole.send(body_of("fail", clip_id))
    reply = streamed.connection.getresponse()
    assert reply.readline() == b": still here\n"
    live.stage.go_on.set()
    rest = reply.read()
    assert b'"content":"one "' in rest
    assert b'{"error":{"message":"point (9, 9)' in rest
    assert rest.endswith(b"data: [DONE]\n\n")
    assert whole.reply()[0] == 400
    assert first.reply()[0] == 200


@pytest.mark.parametrize("stream", [True, False])
def test_client_that_goes_away_ends_its_turn(make_live: Any, video: bytes, stream: bool) -> None:
    live = make_live()
    clip_id = file_of(live, video)
    plain = Plain(live)
    plain.send(body_of("endless", clip_id, stream=stream))
    until(lambda: live.stage.asked)
    plain.hang_up()
    until(lambda: live.stage.undone == ["endless"])
    assert Plain(live).ask("next", clip_id)[0] == 200  # the device is free again
    figures = live.app.state.sama.metrics.text
    until(lambda: b"sama_jobs_cancelled_total 1.0" in figures())
    assert b'status="500"' not in figures()


def test_client_that_goes_away_in_the_queue_is_not_served(make_live: Any, video: bytes) -> None:
    live = make_live()
    clip_id = file_of(live, video)
    first, second = Plain(live), Plain(live)
    workers = live.app.state.sama.workers
    first.send(body_of("wait", clip_id))
    assert live.stage.waiting.acquire(timeout=20)
    second.send(body_of("never", clip_id))
    until(lambda: workers.busy == (1, 1))
    second.hang_up()
    until(lambda: workers.busy == (0, 1))
    live.stage.go_on.set()
    assert first.reply()[0] == 200
    assert [row[0] for row in live.stage.asked] == ["wait"]


def test_full_queue_gives_429_with_retry_after(make_live: Any, video: bytes) -> None:
    live = make_live(limits=Limits(waiting=1))
    clip_id = file_of(live, video)
    workers = live.app.state.sama.workers
    running, waiting, refused = (Plain(live) for _ in range(3))
    running.send(body_of("wait", clip_id))
    assert live.stage.waiting.acquire(timeout=20)
    waiting.send(body_of("later", clip_id))
    until(lambda: workers.busy == (1, 1))
    status, headers, body = refused.ask("too much", clip_id)
    assert (status, body["error"]["type"], body["error"]["code"]) == (429, "rate_limit_error", "queue_full")
    assert 1 <= int(headers["retry-after"]) <= 120
    live.stage.go_on.set()
    assert (running.reply()[0], waiting.reply()[0]) == (200, 200)


def test_one_client_s_many_requests_do_not_hold_up_another(make_live: Any, video: bytes) -> None:
    live = make_live(limits=Limits(waiting=4))
    clip_id = file_of(live, video)
    workers = live.app.state.sama.workers
    greedy = [Plain(live) for _ in range(5)]
    greedy[0].send(body_of("wait", clip_id))
    assert live.stage.waiting.acquire(timeout=20)
    for number, plain in enumerate(greedy[1:], start=1):
        plain.send(body_of(f"greedy{number}", clip_id))
        until(lambda number=number: workers.busy == (number, 1))
    modest = Plain(live, address="127.0.0.2")
    modest.send(body_of("modest", clip_id))
    assert greedy[4].reply()[0] == 429  # the longest line gave its last place
    live.stage.go_on.set()
    assert modest.reply()[0] == 200
    assert [plain.reply()[0] for plain in greedy[:4]] == [200] * 4
    assert [row[0] for row in live.stage.asked] == ["wait", "greedy1", "modest", "greedy2", "greedy3"]


def test_two_devices_answer_side_by_side(make_live: Any, make_video: Any) -> None:
    live = make_live(desks=2)
    clips = [file_of(live, make_video(seed=seed)) for seed in range(2)]
    plains = [Plain(live) for _ in clips]
    for plain, clip_id in zip(plains, clips, strict=True):
        plain.send(body_of("wait", clip_id))
    for _ in clips:  # both are in the middle of an answer at once
        assert live.stage.waiting.acquire(timeout=20)
    live.stage.go_on.set()
    assert [plain.reply()[0] for plain in plains] == [200, 200]


def test_answer_that_takes_too_long_is_ended(make_live: Any, video: bytes) -> None:
    live = make_live(limits=Limits(answer_seconds=0.2))
    status, _, body = Plain(live).ask("endless", file_of(live, video))
    assert (status, body["error"]["code"]) == (503, "time_limit")
    assert live.stage.undone == ["endless"]


def test_upload_cut_half_way_leaves_nothing(make_live: Any, video: bytes, tmp_path: Any) -> None:
    live = make_live()
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(video) + 200}\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="file"; filename="x.mp4"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", urlsplit(live.url).port)) as sock:
        sock.sendall(head.encode() + video[: len(video) // 2])
    until(lambda: 'route="unmatched"' in live.app.state.sama.metrics.text().decode() or _requests(live))
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    assert client_of(live).files.create(file=("x.mp4", video), purpose="user_data").status == "processed"


def _requests(live: Any) -> bool:
    return b'route="/v1/files"' in live.app.state.sama.metrics.text()


def test_many_at_once_get_their_own_answers(make_live: Any, video: bytes) -> None:
    live = make_live(desks=2)
    clip_id = file_of(live, video)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda number: Plain(live).ask(f"number {number}", clip_id), range(32)))
    assert [status for status, _, _ in replies] == [200] * 32
    texts = [body["choices"][0]["message"]["content"] for _, _, body in replies]
    assert texts == [f"number {number}" for number in range(32)]
    assert threading.active_count() < 60
