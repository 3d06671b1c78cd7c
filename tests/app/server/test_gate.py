import json
import logging
from typing import Any

import pytest

from sama_video.app.server.logs import JsonLines
from sama_video.app.server.settings import Keys, Limits, ServerSettings, read_keys
from sama_video.errors import ConfigError

KEY = "k" * 32


def test_every_api_path_wants_a_key(make_server: Any, two_keys: Keys, video: bytes) -> None:
    server = make_server(keys=two_keys)
    clip_id = server.file(video)
    for path in ("/v1/models", "/v1/files", f"/v1/files/{clip_id}/content", "/metrics", "/v1/demo", "/v1/nothing"):
        for headers in (
            {},
            {"Authorization": "Bearer wrong" * 3},
            {"Authorization": f"Basic {KEY}"},
            {"Authorization": KEY},
        ):
            reply = server.client.get(path, headers=headers)
            assert reply.status_code == 401, path
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.json()["error"]["type"] == "authentication_error"
    good = {"Authorization": f"Bearer {KEY}"}
    assert server.client.get("/v1/models", headers=good).status_code == 200
    assert server.client.get("/health").status_code == 200
    assert server.client.get("/openapi.json").json()["security"] == [{"key": []}]


def test_unknown_key_is_refused_before_its_body_is_read(make_server: Any, two_keys: Keys, tmp_path: Any) -> None:
    server = make_server(keys=two_keys)
    reply = server.client.post("/v1/files", files={"file": b"x" * 10_000})
    assert reply.status_code == 401
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_conversations_of_two_keys_are_apart(make_server: Any, two_keys: Keys, video: bytes) -> None:
    server = make_server(keys=two_keys)
    clip_id = server.file(video)
    for key in ("k", "o"):
        server.client.headers["Authorization"] = f"Bearer {key * 32}"
        assert server.ask("x", clip_id).status_code == 200
    assert [holder for holder, _, _ in server.stage.opened] == ["key1", "key2"]


def test_a_name_that_points_here_is_refused(server: Any) -> None:
    for name in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        reply = server.client.get("/v1/models", headers={"Host": name})
        assert reply.status_code == 403, name
    for name in ("127.0.0.1:8000", "localhost", "[::1]:8000", "[::1]", "LOCALHOST:1"):
        assert server.client.get("/v1/models", headers={"Host": name}).status_code == 200, name


def test_pages_of_other_sites_cannot_write(server: Any, video: bytes) -> None:
    for origin in ("https://evil.example", "null", "http://testserver:81", "http://localhost"):
        reply = server.client.post("/v1/files", files={"file": video}, headers={"Origin": origin})
        assert reply.status_code == 403, origin
    same = server.client.post("/v1/files", files={"file": video}, headers={"Origin": "http://testserver"})
    assert same.status_code == 200


def test_no_cors(server: Any) -> None:
    reply = server.client.options(
        "/v1/chat/completions", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert reply.status_code == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_answers_carry_protecting_headers(server: Any) -> None:
    for path in ("/v1/models", "/health", "/v1/nothing", "/nothing"):
        headers = server.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert len(headers["x-request-id"]) == 32
        assert "server" not in headers


def test_page_runs_no_inline_code(server: Any) -> None:
    reply = server.client.get("/")
    if reply.status_code == 404:
        pytest.skip("the page is not there")
    policy = reply.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for name in ("../main.py", "..%2fmain.py", "%2e%2e/main.py", "/etc/passwd", "nothing.js"):
        assert server.client.get(f"/assets/{name}").status_code == 404
    etag = reply.headers["etag"]
    assert server.client.get("/", headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 100_000, "application/json", 400),
        (b'{"messages": ' + b"9" * 10_000 + b"}", "application/json", 400),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "application/json", 400),
        (b'{"temperature": NaN, "messages": [{"role": "user", "content": "x"}]}', "application/json", 400),
        (b'{"span": [Infinity, 1e999], "messages": [{"role": "user", "content": "x"}]}', "application/json", 400),
    ],
)
def test_bodies_that_are_none(server: Any, body: bytes, kind: str, status: int) -> None:
    reply = server.client.post("/v1/chat/completions", content=body, headers={"Content-Type": kind})
    assert reply.status_code == status, reply.text
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_surrogates_anywhere_are_a_400(server: Any, video: bytes) -> None:
    clip_id = server.file(video)
    bad = "\ud800"
    bodies = [
        {"messages": [{"role": "user", "content": bad}]},
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": bad}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": bad}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "region", "region": {"object": bad}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "region", "region": {bad: 1}}]}]},
        {"model": bad, "messages": [{"role": "user", "content": "x"}]},
        {bad: 1},
    ]
    for body in bodies:
        reply = server.client.post(
            "/v1/chat/completions", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert reply.status_code in (400, 404), body
    for path, body in (
        ("/v1/exports", {"file": clip_id, "format": "session", "turns": [], "names": {bad: bad}}),
        ("/v1/exports", {"file": clip_id, "format": "session", "turns": [{"question": bad}]}),
        ("/v1/tracks", {"file": clip_id, "objects": [{"id": bad, "sightings": []}]}),
    ):
        reply = server.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert reply.status_code == 400, path


def test_too_large_a_body_is_413_whatever_it_says(make_server: Any) -> None:
    server = make_server(limits=Limits(request_bytes=1000))
    headers = {"Content-Type": "application/json"}
    told = server.client.post("/v1/chat/completions", content=b" " * 1001, headers=headers)
    assert told.status_code == 413

    def pieces() -> Any:
        for _ in range(20):
            yield b" " * 100

    untold = server.client.post("/v1/chat/completions", content=pieces(), headers=headers)
    assert (untold.status_code, untold.json()["error"]["type"]) == (413, "request_too_large")


def test_a_log_line_tells_what_happened_and_no_content(
    server: Any, video: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sama_video.app.server"):
        server.ask("my secret question", server.file(video))
        server.ask("break the secret", server.file(video))
        server.client.get("/v1/files/secret?name=secret")
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("sama_video")]
    rows = [json.loads(line) for line in lines]
    assert {"POST", "GET"} == {row["method"] for row in rows if row["event"] == "request"}
    assert [row["status"] for row in rows if row["event"] == "request"] == [200, 500, 400]
    [failed] = [row for row in rows if row["event"] == "job failed"]
    assert failed["error"] == "ZeroDivisionError"
    assert any("steps" in place for place in failed["where"])
    assert "secret" not in "".join(lines)


def test_metrics_tell_requests_queue_and_tokens(server: Any, video: bytes) -> None:
    server.ask("one two", server.file(video))
    text = server.client.get("/metrics").text
    assert 'sama_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'sama_tokens_total{kind="reused"} 5.0' in text
    assert "sama_first_token_seconds_count 1.0" in text
    assert "sama_queue_waiting 0.0" in text
    assert 'sama_conversations_sought_total{found="all"} 3.0' in text
    assert "sama_conversation_bytes 7.0" in text
    assert "process_resident_memory_bytes" in text


def test_unknown_addresses_do_not_fill_the_metrics(server: Any) -> None:
    for number in range(5):
        assert server.client.get(f"/nothing/{number}").status_code == 404
    assert 'route="unmatched",status="404"} 5.0' in server.client.get("/metrics").text


def test_other_machines_are_let_in_with_a_key_only(tmp_path: Any, two_keys: Keys) -> None:
    with pytest.raises(ConfigError, match="--api-key FILE"):
        ServerSettings(tmp_path, host="0.0.0.0")
    with pytest.raises(ConfigError):
        ServerSettings(tmp_path, host="192.168.1.4")
    for host in ("127.0.0.1", "::1", "localhost"):
        assert ServerSettings(tmp_path, host=host).host == host
    assert ServerSettings(tmp_path, host="0.0.0.0", keys=two_keys).keys
    assert ServerSettings(tmp_path, host="0.0.0.0", insecure=True).insecure


def test_keys_come_from_a_file_or_the_environment(tmp_path: Any) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# mine\n\n{KEY}\n")
    keys = read_keys(file, {"SAMA_API_KEY": "e" * 20})
    assert (keys.holder(KEY), keys.holder("e" * 20), keys.holder(""), keys.holder("\ud800")) == (
        "key1",
        None,
        None,
        None,
    )
    assert read_keys(None, {"SAMA_API_KEY": "e" * 20}).holder("e" * 20) == "key1"
    assert not read_keys(None, {})
    assert KEY not in repr(keys)
    for wrong in ("", "# none", "short", "has a blank " * 3):
        file.write_text(wrong)
        with pytest.raises(ConfigError):
            read_keys(file, {})
    with pytest.raises(ConfigError):
        read_keys(tmp_path / "nothing", {})
