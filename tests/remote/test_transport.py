import logging
from pathlib import Path

import pytest
from fake_endpoint import (
    BROKEN,
    BUSY,
    BUSY_FOR_7,
    CUT,
    HTML,
    HUGE,
    NO_CREDIT,
    NO_KEY,
    NONSENSE,
    REFUSAL,
    TOO_LONG,
    Behaviour,
    serve,
)

from sama_video.errors import ConfigError
from sama_video.remote.messages import Reply
from sama_video.remote.transport import AccessError, Endpoint, EndpointError, OpenAITransport, read_reply, retry_after

BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "a secret question"}],
    "max_tokens": 5,
    "temperature": 0,
    "response_format": {"type": "json_object"},
}


def send(behaviour: Behaviour, seconds: float = 5.0, largest: int = 100_000) -> Reply:
    with serve(behaviour) as endpoint:
        transport = OpenAITransport(Endpoint(endpoint.url, "sk-hidden"), largest_reply_bytes=largest)
        try:
            return transport.send(BODY, seconds)
        finally:
            transport.close()


def test_whole_reply_is_read_and_the_body_arrives_as_it_was() -> None:
    with serve(Behaviour(text="four", finish_reason="length")) as endpoint:
        transport = OpenAITransport(Endpoint(endpoint.url, "sk-hidden"))
        reply = transport.send(BODY, 5.0)
        transport.close()
        assert endpoint.requests == [BODY]
        assert endpoint.headers[0]["authorization"] == "Bearer sk-hidden"
    assert reply == Reply("four", "length", None, "m-exact", 100, 10)


@pytest.mark.parametrize(
    ("behaviour", "kind", "told"),
    [
        (BUSY, "rate_limited", "busy"),
        (BROKEN, "server_error", "failed \\(500: trouble 500\\)"),
        (Behaviour(status=503), "server_error", "503"),
        (Behaviour(status=408), "server_error", "408"),
        (CUT, "cut", "broke off in the middle"),
        (Behaviour(delay=0.5), "timeout", "within 0.2 s"),
        (Behaviour(trickle=0.02), "timeout", "did not come to its end within 0.2 s"),
        (NONSENSE, "nonsense", "no chat completion"),
        (HTML, "nonsense", "bytes that are no JSON"),
        (HUGE, "nonsense", "longer than 100000 bytes"),
        (TOO_LONG, "rejected", "refuses this request \\(400: trouble 400\\)"),
        (NO_KEY, "closed", "401"),
        (Behaviour(status=404), "closed", "check the address, the model's name"),
        (NO_CREDIT, "closed", "exceeded your quota"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_misbehaviour_has_its_name(behaviour: Behaviour, kind: str, told: str) -> None:
    with pytest.raises(EndpointError, match=told) as caught:
        send(behaviour, 0.2 if kind == "timeout" else 5.0)
    assert caught.value.kind == kind
    assert isinstance(caught.value, AccessError) == (kind == "closed")
    assert "\n" not in str(caught.value)
    assert caught.value.maybe_billed == (kind in ("timeout", "cut", "nonsense"))


def test_no_server_is_a_cut_connection() -> None:
    with serve(BUSY) as endpoint:
        url = endpoint.url
    transport = OpenAITransport(Endpoint(url))
    with pytest.raises(EndpointError, match="no connection") as caught:
        transport.send(BODY, 5.0)
    transport.close()
    assert caught.value.kind == "cut"


def test_what_the_server_asks_to_wait_is_told() -> None:
    with pytest.raises(EndpointError) as caught:
        send(BUSY_FOR_7)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("inf", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}, now=40.0) == seconds
    assert retry_after({}, now=40.0) is None


def test_refusal_is_a_reply() -> None:
    reply = send(REFUSAL)
    assert (reply.text, reply.refusal) == ("", "I will not.")


def test_reply_in_parts_and_reply_without_usage() -> None:
    parts = b'{"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}]}'
    assert read_reply(parts) == Reply("ab")
    assert send(Behaviour(usage=False)).prompt_tokens is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [{"message": "text"}]}',
        b'{"choices": [{"message": {"content": 4}}]}',
        b'{"choices": [{"message": {"content": [{"type": "image"}]}}]}',
        b'{"error": {"message": "out of memory"}}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_what_is_no_completion_is_nonsense(body: bytes) -> None:
    with pytest.raises(EndpointError) as caught:
        read_reply(body)
    assert caught.value.kind == "nonsense"


def test_neither_key_nor_content_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Behaviour(status=400, raw=b'{"error": {"message": "bad key sk-hidden and so on"}}')
    with pytest.raises(EndpointError, match=r"bad key \*\*\* and so on") as caught:
        send(echo)
    send(Behaviour(text="a secret answer"))
    told = caplog.text + str(caught.value) + repr(Endpoint("http://x", "sk-hidden"))
    for word in ("sk-hidden", "a secret question", "a secret answer"):
        assert word not in told


def test_key_comes_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://there/v1")
    (tmp_path / "key").write_text("sk-file\n")
    assert Endpoint.find() == Endpoint("http://there/v1", "sk-env")
    assert Endpoint.find("http://here/v1", tmp_path / "key").key == "sk-file"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert Endpoint.find().key is None
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(ConfigError, match="needs a key; set OPENAI_API_KEY"):
        Endpoint.find()


@pytest.mark.parametrize("content", [b"", b"two words", "schlüssel".encode(), b"\xff"])
def test_file_without_one_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match="key's file") as caught:
        Endpoint.find("http://here", tmp_path / "key")
    assert "two words" not in str(caught.value)


def test_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="begins with http"):
        Endpoint.find("localhost:8000/v1")
