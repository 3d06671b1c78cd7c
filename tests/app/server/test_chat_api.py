import json
from typing import Any

import pytest


def events_of(text: str) -> list[Any]:
    rows = [row.removeprefix("data: ") for row in text.split("\n\n") if row]
    assert rows[-1] == "[DONE]"
    return [json.loads(row) for row in rows[:-1]]


def test_whole_answer(server: Any, video: bytes) -> None:
    reply = server.ask("what is this", server.file(video))
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == "what is this"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 5},
    }


def test_streamed_answer_has_text_then_progress_then_grounding(server: Any, video: bytes) -> None:
    reply = server.ask("see track", server.file(video), stream=True, stream_options={"include_usage": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = events_of(reply.text)
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "see track "
    assert [event["progress"]["done"] for event in events if "progress" in event] == [1, 2, 3]
    assert "grounding" in deltas[-2]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"]["total_tokens"] == 14
    assert events[-1]["choices"] == []


def test_history_and_regions_reach_the_session(server: Any, video: bytes) -> None:
    clip_id = server.file(video)
    region = {"type": "region", "region": {"frame": 0, "box": [1, 2, 9, 9]}}
    messages = [
        {"role": "user", "content": [{"type": "file", "file": {"file_id": clip_id}}, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b", "grounding": {"phrases": []}, "refusal": None, "audio": None},
        {"role": "user", "content": [{"type": "text", "text": "is <region>"}, region]},
    ]
    body = {"messages": messages, "ground": True, "span": [0, 1.0], "max_tokens": 3, "temperature": 0.5, "seed": 4}
    reply = server.client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    [(holder, opened, turns)] = server.stage.opened
    assert (holder, opened) == ("anybody", clip_id)
    assert [(turn.question, turn.content, turn.grounding) for turn in turns] == [("a", "b", {"phrases": []})]
    question, regions, ground, span, sampling = server.stage.asked[0]
    assert (question, ground, span) == ("is <region>", True, (0.0, 1.0))
    assert regions[0].xyxy == (1.0, 2.0, 9.0, 9.0)
    assert (sampling.max_new_tokens, sampling.temperature, sampling.seed) == (3, 0.5, 4)


def test_answer_cut_at_the_token_limit_says_so(server: Any, video: bytes) -> None:
    reply = server.ask("one two three", server.file(video), max_completion_tokens=3)
    assert reply.json()["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "gpt-4o"}, "not served here"),
        ({"n": 2}, "n is 2"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"stop": ["x"]}, "stop"),
        ({"grond": True}, "grond"),
        ({"ground": "yes"}, "ground"),
        ({"span": [1]}, "span"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "in turn"),
        ({"messages": [{"role": "system", "content": "x"}]}, "without system messages"),
        ({"messages": [{"role": "user", "content": "no video"}]}, "no message names a video"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 4001}]}, "4001 characters"),
    ],
)
def test_a_mistake_is_told_in_one_line(server: Any, video: bytes, change: dict[str, Any], told: str) -> None:
    reply = server.ask("x", server.file(video), **change)
    assert reply.status_code == (404 if "model" in change else 400)
    error = reply.json()["error"]
    assert told in error["message"]
    assert "\n" not in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert server.stage.asked == []


def test_error_of_the_session_is_its_own_line(server: Any, video: bytes) -> None:
    for stream in (False, True):
        reply = server.ask("fail", server.file(video), stream=stream)
        assert reply.status_code == 400
        assert reply.json()["error"]["message"] == "point (9, 9) is outside the frame; give one inside."


def test_error_in_mid_stream_ends_the_stream(server: Any, video: bytes) -> None:
    events = events_of(server.ask("some fail", server.file(video), stream=True).text)
    assert events[-1]["error"]["message"].startswith("point (9, 9)")


def test_failure_of_ours_tells_nothing(server: Any, video: bytes, caplog: pytest.LogCaptureFixture) -> None:
    reply = server.ask("break", server.file(video))
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    assert reply.json()["error"]["type"] == "server_error"


def test_two_videos_are_refused(server: Any, video: bytes, make_video: Any) -> None:
    first, second = server.file(video), server.file(make_video(seed=1))
    parts = [{"type": "video_url", "video_url": {"url": url}} for url in (first, second)]
    reply = server.client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": parts}]})
    assert reply.status_code == 400
    assert "2 different videos" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("url", "status", "told"),
    [
        ("0" * 64, 404, "no file of this id"),
        ("../../etc/passwd", 400, "the url of a video is"),
        ("file:///etc/passwd", 400, "the url of a video is"),
        ("http://169.254.169.254/latest", 400, "not among the hosts"),
        ("data:video/mp4,xx", 400, "not in base64"),
        ("data:text/html;base64,PGI+", 415, "no video or image by its type"),
        ("data:video/mp4;base64,%%%", 400, "base64 is damaged"),
        ("data:video/mp4;base64,", 400, "empty"),
        ("data:video/mp4;base64,AAAA", 400, ""),
        ("", 400, "the url of a video is"),
    ],
)
def test_a_url_that_is_no_video(server: Any, url: str, status: int, told: str) -> None:
    reply = server.ask("x", url)
    assert reply.status_code == status, reply.text
    assert told in reply.json()["error"]["message"]
    assert "passwd" not in reply.text


def test_data_url_is_taken_in_once(server: Any, video: bytes) -> None:
    import base64

    url = "data:video/mp4;base64," + base64.b64encode(video).decode()
    assert server.ask("x", url).status_code == 200
    assert server.ask("x", url).status_code == 200
    assert len(list(server.store)) == 1
