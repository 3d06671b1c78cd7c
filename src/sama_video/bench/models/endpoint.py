"""`openai:MODEL`: a model behind an OpenAI-compatible endpoint, shown frames and asked to point.

    openai:gpt-4o-2024-08-06?coords=0-1&frames=16
    openai:Qwen2.5-VL-7B?base_url=http://127.0.0.1:8000/v1&coords=pixels&structured=yes

The address is the option `base_url` or $OPENAI_BASE_URL, the key the file `key_file` or $OPENAI_API_KEY. Replies are
kept in the file `replies`, so a run that was cut off or made anew pays nothing twice; limits count what is in it.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image

from sama_video.bench.models import picture_prompts
from sama_video.bench.models.picture_prompts import PROMPT_VERSION, Showing, Talk, Turn
from sama_video.bench.models.prompted import PromptedModel
from sama_video.bench.models.spec_options import Readers, refuse_unused, split_spec, yes_or_no
from sama_video.errors import ConfigError, SamaError
from sama_video.remote.hub import cache_folder
from sama_video.remote.language_model import LanguageModel, Limits, open_language_model
from sama_video.remote.messages import AnswerForm, Message, Picture, Reply, Request, Sampling
from sama_video.remote.reply_store import Budget, BudgetError, Prices, ReplyStore
from sama_video.remote.transport import AccessError, Endpoint

PREFIX: Final = "openai:"
_JPEG_QUALITY: Final = 92

READERS: Final[Readers] = {
    "base_url": str,
    "key_file": Path,
    "replies": Path,
    "replay": yes_or_no,
    "coords": str,
    "frames": int,
    "side": int,
    "tracker": str,
    "max_tokens": int,
    "limit_name": str,
    "temperature": float,
    "structured": yes_or_no,
    "workers": int,
    "budget": float,
    "max_requests": int,
    "price_in": float,
    "price_out": float,
    "requests_per_minute": float,
    "tokens_per_minute": float,
}
"""What a spec may say; everything has a default but the name."""

_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "phrase": {"type": "string"},
                    "frame": {"type": "integer"},
                    "boxes": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                },
                "required": ["phrase", "frame", "boxes"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["answer", "objects"],
    "additionalProperties": False,
}


def open_model(spec: str, *, device: str = "auto", seed: int | None = None, **options: Any) -> PromptedModel:
    """The model that a spec names.

    Args:
        device: Where the tracker runs.
        seed: Told to the endpoint with each request.
    """
    from sama_video.chat.loading import load

    name, given = split_spec(spec, PREFIX, READERS)
    if "max_frames" in options:
        given.setdefault("frames", options.pop("max_frames"))
    refuse_unused(spec, options)
    showing = Showing(given.get("coords", "0-1000"), given.get("frames", 8), given.get("side", 1024))
    speaker = EndpointSpeaker(
        _open_language_model(name, given),
        Sampling(temperature=given.get("temperature", 0), max_tokens=given.get("max_tokens", 1024), seed=seed),
        structured=given.get("structured", False),
        workers=given.get("workers", 4),
    )
    tracker = load(given.get("tracker", "nano"), device=None if device == "auto" else device)
    return PromptedModel(speaker, tracker, showing)


class EndpointSpeaker:
    """Talks with a model behind an endpoint; after what ends everything, it sends nothing more."""

    def __init__(self, model: LanguageModel, sampling: Sampling, *, structured: bool = False, workers: int = 4) -> None:
        self.model = model
        self.sampling = sampling
        self.structured = structured
        self.workers = workers
        self._ended: SamaError | None = None

    @property
    def name(self) -> str:
        """As in the spec."""
        return f"{PREFIX}{self.model.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """How replies are drawn."""
        return {
            "temperature": self.sampling.temperature,
            "max_tokens": self.sampling.max_tokens,
            "seed": self.sampling.seed,
            "structured": self.structured,
        }

    def say(self, talks: Iterable[Talk]) -> Iterator[str | SamaError]:
        """A reply to each in order, or why there is none."""
        if self._ended is not None:
            raise self._ended
        try:
            for _, reply in self.model.ask_all(map(self._request, talks), workers=self.workers):
                yield _said(reply) if isinstance(reply, Reply) else reply
        except (AccessError, BudgetError) as error:
            self._ended = error
            raise

    def _request(self, talk: Talk) -> Request:
        form = AnswerForm("grounded_answer", _SCHEMA) if self.structured and talk.grounded else None
        return Request(tuple(map(_message, talk.turns)), PROMPT_VERSION, self.sampling, form)


def _said(reply: Reply) -> str:
    """A reply's words; a refusal is an answer too, and a wrong one."""
    return reply.text if reply.refusal is None else reply.refusal


def _message(turn: Turn) -> Message:
    return Message(turn.role, tuple(part if isinstance(part, str) else _jpeg(part) for part in turn.parts))


def _jpeg(picture: picture_prompts.Picture) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_JPEG_QUALITY)
    return Picture(file.getvalue())


def _open_language_model(name: str, given: Mapping[str, Any]) -> LanguageModel:
    prices = (given.get("price_in"), given.get("price_out"))
    if "budget" in given and None in prices:
        raise ConfigError("budget is in money, but price_in and price_out do not say what tokens cost; give both.")
    limits = Limits(
        Budget(requests=given.get("max_requests"), money=given.get("budget")),
        Prices(*(price or 0.0 for price in prices)),
        given.get("requests_per_minute"),
        given.get("tokens_per_minute"),
    )
    replay = given.get("replay", False)
    place = {"limit_name": given["limit_name"]} if "limit_name" in given else {}
    endpoint = None if replay else Endpoint.find(given.get("base_url"), given.get("key_file"), **place)
    path = given.get("replies") or cache_folder() / "replies" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.sqlite"
    return open_language_model(name, endpoint, ReplyStore(path, read_only=replay), limits)
