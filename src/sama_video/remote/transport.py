"""One HTTP request to an OpenAI-compatible endpoint, over the `openai` package; every way it can end has a name.

    timeout        no reply in time, or one that came too slowly
    cut            no connection, or one that broke off
    rate_limited   429: too many requests
    server_error   5xx, 408, 409: the server's trouble, which may pass
    nonsense       a reply that is no chat completion
    rejected       the server will not have this request; others may do
    closed         no request can succeed: wrong key, address or model, no credit left

Neither keys nor what is asked or replied reach the log.
"""

import email.utils
import importlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from sama_video.errors import ConfigError, MissingExtraError, SamaError
from sama_video.remote.messages import Reply

Kind = Literal["timeout", "cut", "rate_limited", "server_error", "nonsense", "rejected", "closed", "not_recorded"]

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"

LARGEST_REPLY_BYTES = 8 << 20
_SHOWN_CHARACTERS = 200
_MAYBE_BILLED = ("timeout", "cut", "nonsense")
_CLOSED_STATUSES = (401, 402, 403, 404)
_PASSING_STATUSES = (408, 409)


class EndpointError(SamaError):
    """One request got no reply.

    Attributes:
        kind: How it ended, one of those above.
        retry_after: Seconds that the server asks to wait.
    """

    def __init__(self, kind: Kind, message: str, retry_after: float | int | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.retry_after = retry_after

    @property
    def maybe_billed(self) -> bool:
        """Whether the server may have worked for it, and so may charge for it."""
        return self.kind in _MAYBE_BILLED


class AccessError(EndpointError):
    """No request can succeed here."""

    def __init__(self, message: str) -> None:
        super().__init__("closed", message)


@runtime_checkable
class Transport(Protocol):
    """Takes a request's body to a model."""

    limit_name: str
    """What the server calls the longest reply."""

    def send(self, body: Mapping[str, Any], seconds: float | int) -> Reply:
        """The reply, within so many seconds; EndpointError otherwise."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served, and the key to it.

    Attributes:
        limit_name: What the server calls the longest reply; some want `max_completion_tokens`.
    """

    base_url: str = OPENAI_URL
    key: str | None = field(default=None, repr=False)
    limit_name: str = "max_tokens"

    @classmethod
    def find(cls, base_url: str | None = None, key_file: Path | None = None, **options: Any) -> "Endpoint":
        """An endpoint as options and the environment name it; a key comes from a file or a variable alone.

        Raises:
            ConfigError: The key's file cannot be read, or a key is needed and there is none.
        """
        url = base_url or os.environ.get(URL_VARIABLE) or OPENAI_URL
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"the endpoint's address is {url!r}; give one that begins with http:// or https://.")
        key = os.environ.get(KEY_VARIABLE) or None if key_file is None else _read_key(key_file)
        if key is None and url.rstrip("/") == OPENAI_URL:
            raise ConfigError(
                f"{OPENAI_URL} needs a key; set {KEY_VARIABLE}, name a file that holds it, or give another address."
            )
        return cls(url, key, **options)


class OpenAITransport:
    """Requests over the `openai` package, which keeps the connections; retries are ours, so it makes none."""

    def __init__(self, endpoint: Endpoint, *, largest_reply_bytes: int = LARGEST_REPLY_BYTES) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("openai", "bench") from error
        # Its debug lines hold whole prompts.
        logging.getLogger("openai").setLevel(logging.WARNING)
        self.limit_name = endpoint.limit_name
        self._openai = openai
        self._key = endpoint.key
        self._largest = largest_reply_bytes
        self._client = openai.OpenAI(api_key=endpoint.key or "none", base_url=endpoint.base_url, max_retries=0)

    def send(self, body: Mapping[str, Any], seconds: float | int) -> Reply:
        """The reply, within so many seconds; EndpointError otherwise."""
        openai = self._openai
        try:
            content = self._read(body, time.monotonic() + seconds, seconds)
        except openai.APITimeoutError as error:
            raise EndpointError("timeout", f"the endpoint did not reply within {seconds:g} s.") from error
        except openai.APIStatusError as error:
            raise self._refused(error.status_code, error.response.headers, error.body) from None
        except openai.APIConnectionError as error:
            raise EndpointError("cut", f"no connection to the endpoint ({_first_cause(error)}).") from error
        return read_reply(content)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _read(self, body: Mapping[str, Any], until: float | int, seconds: float | int) -> bytes:
        """The reply's bytes; read piece by piece, as a server may trickle or never end."""
        streaming: Any = self._client.chat.completions.with_streaming_response
        with streaming.create(**_as_arguments(body), timeout=seconds) as response:
            http: Any = importlib.import_module(type(response.http_response).__module__.partition(".")[0])
            pieces: list[bytes] = []
            size = 0
            try:
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    size += len(piece)
                    if size > self._largest:
                        raise EndpointError("nonsense", f"the reply is longer than {self._largest} bytes.")
                    if time.monotonic() > until:
                        raise EndpointError("timeout", f"the reply did not come to its end within {seconds:g} s.")
            except http.TimeoutException as error:
                raise EndpointError("timeout", f"the reply stopped for {seconds:g} s in the middle.") from error
            except http.HTTPError as error:
                raise EndpointError("cut", f"the connection broke off in the middle of a reply ({error}).") from error
        return b"".join(pieces)

    def _refused(self, status: int, headers: Mapping[str, str], body: object) -> EndpointError:
        """What an HTTP status means for this request and for others."""
        said = self._said(body)
        if status == 429 and "insufficient_quota" not in str(body):
            return EndpointError("rate_limited", f"the endpoint is busy (429{said}).", retry_after(headers))
        if status >= 500 or status in _PASSING_STATUSES:
            return EndpointError("server_error", f"the endpoint failed ({status}{said}).", retry_after(headers))
        if status in _CLOSED_STATUSES or status == 429:
            return AccessError(
                f"the endpoint refuses every request ({status}{said}); check the address, the model's name, the key "
                "and the credit behind it."
            )
        return EndpointError("rejected", f"the endpoint refuses this request ({status}{said}).")

    def _said(self, body: object) -> str:
        """The server's own words, on one line, short, and without the key that some of them repeat."""
        words = body.get("message") if isinstance(body, Mapping) else None
        if not isinstance(words, str) or not words.strip():
            return ""
        line = " ".join(words.split())
        if self._key:
            line = line.replace(self._key, "***")
        return f": {line[:_SHOWN_CHARACTERS]}"


def read_reply(content: bytes) -> Reply:
    """Read a chat completion, strictly.

    Raises:
        EndpointError: It is none; the kind is `nonsense`.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _nonsense(f"{len(content)} bytes that are no JSON") from error
    choices = document.get("choices") if isinstance(document, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(choice, dict):
        raise _nonsense("JSON without choices[0].message")
    refusal, model = message.get("refusal"), document.get("model")
    usage = document.get("usage")
    return Reply(
        text=_text(message.get("content")),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        refusal=refusal if isinstance(refusal, str) and refusal else None,
        model=model if isinstance(model, str) else "",
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
    )


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds that a server asks to wait, written as a number or as a date; None where it says nothing readable.

    >>> retry_after({"retry-after": "2.5"})
    2.5
    """
    said = headers.get("retry-after")
    if said is None:
        return None
    with suppress(ValueError):
        seconds = float(said)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        moment = email.utils.parsedate_to_datetime(said).timestamp()
    except ValueError:
        return None
    return max(0.0, moment - (time.time() if now is None else now))


def _as_arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as the client's arguments; what releases of it may not know goes beside them."""
    known = {name: body[name] for name in ("model", "messages")}
    return known | {"extra_body": {name: value for name, value in body.items() if name not in known}}


def _text(content: object) -> str:
    """A message's words: plain, in parts, or none."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise _nonsense("a message whose content is no text")
    return "".join(str(text) for text in texts)


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _nonsense(what: str) -> EndpointError:
    return EndpointError("nonsense", f"the endpoint replied with {what}, which is no chat completion.")


def _read_key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the key's file {path} cannot be read ({error}); name a text file with the key.") from error
    if not key or not key.isascii() or any(blank in key for blank in " \n\t"):
        raise ConfigError(f"the key's file {path} does not hold one key; write the key alone into it.")
    return key


def _first_cause(error: BaseException) -> str:
    """The kind of error below the client's own, which tells more and repeats no content."""
    return type(error.__cause__ or error).__name__
