"""A model of ours under lmms-eval 0.7.

    python -m lmms_eval --model sama --model_args pretrained=nano --tasks mme

The kit finds it as the plugin `sama` (entry point `lmms_eval.models`, see `manifest`), or after `register()`. `Sama`
takes the kit's simple requests, `SamaChat` those of its chat models. Importing this file needs no kit: the two classes
are made when they are first looked up, as their base is the kit's.
"""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sama_video.bench.kits.answering import Generation, answer, import_kit
from sama_video.bench.models import own_device
from sama_video.bench.sharding import launched
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

NAME: Final = "sama"
CLASSES: Final = {"Sama": True, "SamaChat": False}
"""Names of the classes made here, and whether they take simple requests."""


def __getattr__(name: str) -> Any:
    """Make the class that is looked up, which needs the kit."""
    if name in CLASSES:
        return make_class(name, import_kit("lmms_eval.api.model", "lmms-eval").lmms)
    raise AttributeError(f"module {__name__} has no attribute {name!r}")


def manifest() -> Any:
    """What the kit's registry wants to know of a plugin."""
    registry = import_kit("lmms_eval.models.registry_v2", "lmms-eval")
    return registry.ModelManifest(NAME, simple_class_path=f"{__name__}.Sama", chat_class_path=f"{__name__}.SamaChat")


def register() -> None:
    """Make the kit of this process know the model, where it was not found as a plugin."""
    import_kit("lmms_eval.models", "lmms-eval").MODEL_REGISTRY_V2.register_manifest(manifest(), overwrite=True)


@cache
def make_class(name: str, base: type) -> type:
    """One of `CLASSES` on the kit's base class."""
    return type(name, (_SamaMethods, base), {"is_simple": CLASSES[name], "__module__": __name__})


class _SamaMethods:
    """What the kit calls; mixed into its base class."""

    is_simple: bool
    task_dict: dict[str, Any]
    cache_hook: Any

    def __init__(
        self,
        pretrained: str = "nano",
        device: str = "auto",
        batch_size: int | str = 1,
        model: "LoadedModel | None" = None,
        max_frames: int | None = None,
        **options: Any,
    ) -> None:
        """Load the model.

        Args:
            pretrained: As for `sama_video.load`.
            batch_size: 1: answers come one by one.
            model: A loaded model instead.
            options: As for `sama_video.load`; the kit gives them as `key=value`.
        """
        super().__init__()
        if str(batch_size) not in ("1", "auto"):
            raise ConfigError(f"batch_size is {batch_size}; answers come one by one, so leave it at 1.")
        # The kit fills in what its caller left out.
        options = {name: value for name, value in options.items() if name not in ("max_batch_size",)}
        part, local_rank = launched(os.environ)
        self._rank, self._world_size = part.index, part.count
        self._max_frames = max_frames
        place = device if local_rank is None else own_device(device, local_rank)
        self.model = model if model is not None else _load(pretrained, place, options)

    @property
    def device(self) -> Any:
        """Where the model is; the kit gathers results there."""
        return self.model.model.device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """An answer to each request, in their order."""
        answers = []
        for request in requests:
            question, visuals, wishes = self._simple(request.args) if self.is_simple else self._chat(request.args)
            text = answer(self.model, question, visuals, Generation.of(wishes), max_frames=self._max_frames)
            self.cache_hook.add_partial("generate_until", (request.args[0], wishes), text)
            answers.append(text)
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not to be had: an answer of ours is words and masks made together."""
        raise ConfigError("loglikelihood is not supported by sama; choose a task of the kind generate_until.")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not to be had here."""
        raise ConfigError(
            "generate_until_multi_round is not supported by sama; choose a task of the kind generate_until."
        )

    def _simple(self, arguments: tuple[Any, ...]) -> tuple[str, list[Any], dict[str, Any]]:
        context, wishes, doc_to_visual, doc_id, task, split = arguments
        visuals = doc_to_visual(self.task_dict[task][split][doc_id])
        return context, _flat(visuals), dict(wishes)

    def _chat(self, arguments: tuple[Any, ...]) -> tuple[str, list[Any], dict[str, Any]]:
        _, doc_to_messages, wishes, doc_id, task, split = arguments
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        parts = [part for message in messages for part in _parts(message["content"])]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        visuals = [part["url"] for part in parts if part["type"] in ("image", "video")]
        strange = sorted({part["type"] for part in parts} - {"text", "image", "video"})
        if strange:
            raise ConfigError(f"task {task} asks about {', '.join(strange)}; sama reads text, pictures and one video.")
        return "\n".join(texts), visuals, dict(wishes)


def _load(name: str, device: str, options: dict[str, Any]) -> "LoadedModel":
    from sama_video.chat.loading import load

    return load(name, device=None if device == "auto" else device, **options)


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _flat(visuals: Any) -> list[Any]:
    """Visuals as one list, however a task nests them; None for none."""
    if visuals is None:
        return []
    if isinstance(visuals, Iterable) and not isinstance(visuals, str | bytes) and not hasattr(visuals, "size"):
        return [one for visual in visuals for one in _flat(visual)]
    return [visuals]
