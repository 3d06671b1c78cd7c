"""A model of ours under VLMEvalKit: register it in the kit's model table, then run the kit as usual.

    from functools import partial
    from sama_video.bench.kits.vlmevalkit import Sama
    from vlmeval.config import supported_VLM

    supported_VLM["sama-nano"] = partial(Sama, model_path="nano")

Importing this file needs no kit: `Sama` is made when it is first looked up, as its base is the kit's.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sama_video.bench.kits.answering import Generation, answer, import_kit
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel

LETTERS: Final = "ABCDEFGHIJ"
LETTER_ONLY: Final = "Answer with the letter of the right option alone."


def __getattr__(name: str) -> Any:
    """Make the class, which needs the kit."""
    if name == "Sama":
        return make_class(import_kit("vlmeval.vlm.base", "VLMEvalKit").BaseModel)
    raise AttributeError(f"module {__name__} has no attribute {name!r}")


@cache
def make_class(base: type) -> type:
    """`Sama` on the kit's base class."""
    return type("Sama", (_SamaMethods, base), {"__module__": __name__})


class _SamaMethods:
    """What the kit calls; mixed into its base class."""

    INTERLEAVE = True
    allowed_types = ["text", "image", "video"]
    VIDEO_LLM = True
    is_api = False

    def __init__(
        self,
        model_path: str = "nano",
        model: "LoadedModel | None" = None,
        max_new_tokens: int | None = None,
        max_frames: int | None = None,
        **options: Any,
    ) -> None:
        """Load the model.

        Args:
            model_path: As for `sama_video.load`.
            model: A loaded model instead.
            max_new_tokens: Longest answer.
            options: As for `sama_video.load`.
        """
        super().__init__()
        self.generation = Generation(max_new_tokens)
        self.max_frames = max_frames
        self.model = model if model is not None else _load(model_path, options)

    def generate_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        """Answer a message of texts, pictures and at most one video."""
        strange = sorted({str(part["type"]) for part in message} - set(self.allowed_types))
        if strange:
            raise ConfigError(f"a message holds {', '.join(strange)}; sama reads {', '.join(self.allowed_types)}.")
        question = "\n".join(str(part["value"]) for part in message if part["type"] == "text")
        visuals = [part["value"] for part in message if part["type"] != "text"]
        return answer(self.model, question, visuals, self.generation, max_frames=self.max_frames)

    def use_custom_prompt(self, dataset: str) -> bool:
        """Whether `build_prompt` writes the question: for multiple choice about pictures, to get a letter alone."""
        kit = import_kit("vlmeval.dataset", "VLMEvalKit")
        return bool(kit.DATASET_MODALITY(dataset) == "IMAGE" and kit.DATASET_TYPE(dataset) == "MCQ")

    def build_prompt(self, line: Mapping[str, Any], dataset: str | None = None) -> list[dict[str, str]]:
        """A multiple-choice question: pictures, hint, question, options, and the wish for a letter."""
        pictures = self.dump_image(line, dataset)  # type: ignore[attr-defined]
        options = [f"{letter}. {line[letter]}" for letter in LETTERS if _is_there(line, letter)]
        hint = [f"Hint: {line['hint']}"] if _is_there(line, "hint") else []
        words = "\n".join([*hint, str(line["question"]), *options, *([LETTER_ONLY] if options else [])])
        shown = [pictures] if isinstance(pictures, str) else pictures
        return [*({"type": "image", "value": str(path)} for path in shown), {"type": "text", "value": words}]


def _load(name: str, options: dict[str, Any]) -> "LoadedModel":
    from sama_video.chat.loading import load

    return load(name, **options)


def _is_there(line: Mapping[str, Any], key: str) -> bool:
    """Whether a table's cell holds something; an empty one is None or a NaN."""
    return key in line and line[key] is not None and line[key] == line[key]
