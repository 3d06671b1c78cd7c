"""`hf:FOLDER_OR_ID`: any image-text-to-text checkpoint of `transformers`, shown frames as pictures and asked to point.

    hf:Qwen/Qwen2.5-VL-3B-Instruct?coords=pixels&frames=16

Code in a checkpoint is never run. Replies are the likeliest words, so there is nothing for a seed to decide.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from sama_video.bench.models import one_line
from sama_video.bench.models.picture_prompts import Showing, Talk, Turn
from sama_video.bench.models.prompted import PromptedModel
from sama_video.bench.models.spec_options import Readers, refuse_unused, split_spec
from sama_video.errors import CheckpointError, DataError, DeviceError, SamaError
from sama_video.remote.hub import fetch_weights

if TYPE_CHECKING:
    import torch

PREFIX: Final = "hf:"
HASHED_BYTES: Final = 1 << 20
_HASHED: Final = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")

READERS: Final[Readers] = {"coords": str, "frames": int, "side": int, "tracker": str, "max_tokens": int}
"""What a spec may say; everything has a default but the name."""


def open_model(
    spec: str, *, device: str = "auto", dtype: str | None = None, seed: int = 0, **options: Any
) -> PromptedModel:
    """The model that a spec names.

    Args:
        device: Where it and the tracker run.
        dtype: Precision of its weights; as for `sama_video.load`.
        seed: Decides nothing here.
    """
    from sama_video.chat.loading import load, resolve_device

    name, given = split_spec(spec, PREFIX, READERS)
    if "max_frames" in options:
        given.setdefault("frames", options.pop("max_frames"))
    refuse_unused(spec, options)
    showing = Showing(given.get("coords", "0-1000"), given.get("frames", 8), given.get("side", 1024))
    place = resolve_device(None if device == "auto" else device)
    folder = Path(name) if Path(name).is_dir() else fetch_weights(name)
    speaker = TransformersSpeaker(name, folder, place, _dtype(dtype, place), given.get("max_tokens", 1024))
    return PromptedModel(speaker, load(given.get("tracker", "nano"), device=place), showing)


class TransformersSpeaker:
    """Talks with a checkpoint in this process."""

    def __init__(
        self, name: str, folder: Path, device: "torch.device", dtype: "torch.dtype", max_tokens: int = 1024
    ) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        processors: Any = AutoProcessor
        models: Any = AutoModelForImageTextToText
        kept = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.processor = processors.from_pretrained(folder, **kept)
            self.model = models.from_pretrained(folder, dtype=dtype, **kept).eval().to(device)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise CheckpointError(
                f"{name} is no image-text-to-text checkpoint that transformers can load ({one_line(error)}); "
                "give another one."
            ) from error
        if getattr(self.processor, "chat_template", None) is None:
            raise CheckpointError(f"{name} has no chat template, so it cannot be asked; give an instructed one.")
        self._name = name
        self._folder = folder
        self._max_tokens = max_tokens

    @property
    def name(self) -> str:
        """As in the spec."""
        return f"{PREFIX}{self._name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Hash of the checkpoint, its precision, and the longest reply."""
        return {
            "weights": _hash_of(self._folder),
            "dtype": str(self.model.dtype),
            "max_tokens": self._max_tokens,
        }

    def say(self, talks: Iterable[Talk]) -> Iterator[str | SamaError]:
        """A reply to each in order, or why there is none."""
        for talk in talks:
            try:
                yield self._reply(talk)
            except Exception as error:  # recorded with the question, and leaves the others alone
                yield DataError(one_line(error))

    def _reply(self, talk: Talk) -> str:
        import torch

        inputs = self.processor.apply_chat_template(
            _messages(talk.turns), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).to(self.model.device, dtype=self.model.dtype)
        with torch.inference_mode():
            # What a checkpoint says about drawing words would only be warned of.
            ids = self.model.generate(
                **inputs, max_new_tokens=self._max_tokens, do_sample=False, temperature=None, top_p=None, top_k=None
            )
        new = ids[0, inputs["input_ids"].shape[1] :]
        return str(self.processor.decode(new, skip_special_tokens=True))


def _messages(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Turns as chat templates take them; not all know a system's turn, so its words open the user's first."""
    messages: list[dict[str, Any]] = []
    opening: list[dict[str, Any]] = []
    for turn in turns:
        content = [_content(part) for part in turn.parts]
        if turn.role == "system":
            opening += content
        else:
            messages.append({"role": turn.role, "content": [*opening, *content]})
            opening = []
    return messages


def _content(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image", "image": Image.fromarray(part)}


def _dtype(dtype: str | None, device: "torch.device") -> "torch.dtype":
    import torch

    from sama_video.chat.loading import DTYPES

    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if dtype not in DTYPES:
        raise DeviceError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def _hash_of(folder: Path) -> str:
    """Of each file its name, its size and its beginning, in which weights keep the shapes of all and some of them."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _HASHED for path in folder.glob(pattern)):
        digest.update(f"{path.name} {path.stat().st_size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(HASHED_BYTES))
    return digest.hexdigest()[:16]
