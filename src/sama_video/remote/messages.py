"""What is asked of a language model and what it replies, as values; and the hash under which a reply is kept."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]

_TOKENS_PER_MESSAGE = 16
"""More than any chat template puts around one message."""

_BYTES_PER_TOKEN = 4
"""What English text comes to; a tokenizer over bytes never makes more tokens than there are bytes."""


@dataclass(frozen=True)
class Picture:
    """A picture as the bytes of a file."""

    content: bytes = field(repr=False)
    media_type: str = "image/jpeg"

    @property
    def data_url(self) -> str:
        """The picture inside an address, as endpoints take it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True)
class Message:
    """One turn: texts and pictures in the order in which they are to be read."""

    role: Role
    parts: tuple[str | Picture, ...]

    def to_wire(self) -> dict[str, Any]:
        """The message as an endpoint takes it; a text alone goes as plain text, which every server understands."""
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            return {"role": self.role, "content": self.parts[0]}
        return {"role": self.role, "content": [_part_to_wire(part) for part in self.parts]}


@dataclass(frozen=True)
class Sampling:
    """How the reply is drawn; the likeliest words by default.

    Attributes:
        temperature: None leaves it to the server, as models that take no temperature need.
        max_tokens: Longest reply.
        draw: Tells apart several replies to one request, where the temperature is above 0.
    """

    temperature: float | int | None = 0
    top_p: float | int | None = None
    max_tokens: int = 1024
    seed: int | None = None
    stop: tuple[str, ...] = ()
    draw: int = 0


@dataclass(frozen=True)
class AnswerForm:
    """A JSON schema that the reply has to follow."""

    name: str
    schema: Mapping[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """The `response_format` of an endpoint."""
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": dict(self.schema), "strict": True}}


@dataclass(frozen=True)
class Request:
    """One question to a language model.

    Attributes:
        prompt_version: Name and version of the wording; another version is another request.
        form: What the reply has to look like, where the endpoint can hold a model to it.
    """

    messages: tuple[Message, ...]
    prompt_version: str
    sampling: Sampling = Sampling()
    form: AnswerForm | None = None

    def key(self, model: str) -> str:
        """Hash of everything the reply depends on; where the model is served does not enter it."""
        asked = {
            "model": model,
            "messages": [[message.role, *map(_part_hash, message.parts)] for message in self.messages],
            "sampling": asdict(self.sampling),
            "prompt_version": self.prompt_version,
            "form": None if self.form is None else self.form.to_wire(),
        }
        canonical = json.dumps(asked, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def to_wire(self, model: str, limit_name: str = "max_tokens") -> dict[str, Any]:
        """The body of the HTTP request, what is not said left out.

        Args:
            limit_name: What the server calls the longest reply: `max_tokens`, or `max_completion_tokens`.
        """
        sampling = self.sampling
        body: dict[str, Any] = {"model": model, "messages": [message.to_wire() for message in self.messages]}
        body[limit_name] = sampling.max_tokens
        said = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
        body |= {name: value for name, value in said.items() if value is not None}
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self.form is not None:
            body["response_format"] = self.form.to_wire()
        return body

    def most_prompt_tokens(self, tokens_per_picture: int) -> int:
        """More tokens than the prompt can come to, if a picture is no more than that."""
        around = _TOKENS_PER_MESSAGE * (len(self.messages) + 1)
        return self._num_bytes + around + tokens_per_picture * self.num_pictures

    def likely_prompt_tokens(self, tokens_per_picture: int) -> int:
        """About as many tokens as the prompt comes to."""
        words = -(-self._num_bytes // _BYTES_PER_TOKEN)
        return words + _TOKENS_PER_MESSAGE // 2 * len(self.messages) + tokens_per_picture * self.num_pictures

    @property
    def num_pictures(self) -> int:
        """Pictures in all messages."""
        return sum(isinstance(part, Picture) for message in self.messages for part in message.parts)

    @property
    def _num_bytes(self) -> int:
        texts = [part for message in self.messages for part in message.parts if isinstance(part, str)]
        if self.form is not None:
            texts.append(json.dumps(self.form.to_wire()))
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


@dataclass(frozen=True)
class Reply:
    """What a language model said.

    Attributes:
        text: Its words; empty where it said none.
        refusal: Its refusal, where the server tells that apart.
        finish_reason: Why it ended, such as `stop`, `length` or `content_filter`.
        model: The model as the server names it, which may be more exact than what was asked for.
        prompt_tokens, completion_tokens: As billed; None where the server does not tell.
        recorded: Whether it was kept from an earlier request, and so cost nothing now.
    """

    text: str
    finish_reason: str = "stop"
    refusal: str | None = None
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    recorded: bool = False

    def to_json(self) -> dict[str, Any]:
        """What a store keeps of it."""
        row = asdict(self)
        del row["recorded"]
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Reply":
        """A reply that a store kept."""
        return replace(cls(**row), recorded=True)


def _part_to_wire(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": part.data_url}}


def _part_hash(part: str | Picture) -> list[str]:
    if isinstance(part, str):
        return ["text", part]
    return ["picture", part.media_type, hashlib.sha256(part.content).hexdigest()]
