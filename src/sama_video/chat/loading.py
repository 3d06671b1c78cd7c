"""Loading a model for use: by name, folder or hub id, onto a device, in a precision, under a protocol."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sama_video.chat.answer import Answer
from sama_video.chat.frames import PROTOCOLS, FrameChooser, language_clip
from sama_video.chat.masks import MaskMaker
from sama_video.chat.published import model_folder
from sama_video.chat.session import ChatSession
from sama_video.errors import ConfigError, DeviceError, MissingExtraError
from sama_video.model import SamaForConditionalGeneration, SamaProcessor
from sama_video.model.decoding import Sampling
from sama_video.model.segmenter import Segmenter
from sama_video.model.tracking import FeatureCache, Tracker
from sama_video.video.bundled import DEMO, DEMO_CLIP
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video

if TYPE_CHECKING:
    from sama_video.chat.live import LiveSession

DEFAULT_CACHE_BYTES = 2 << 30
HASHED_WHOLE_BYTES = 256 << 20
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZATIONS = ("none", "int8", "int4")
KEPT_WHOLE = (
    "vision_tower",
    "multi_modal_projector",
    "aggregator",
    "region_encoder",
    "grounding_head",
    "segmenter",
    "original_mask_decoder",
)
"""Parts that quantisation leaves alone: all but the decoder's layers."""


def load(
    name: str | Path = "nano",
    *,
    device: str | torch.device | None = None,
    segmenter_device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    quantize: str | None = None,
    protocol: str = "consistent",
    seed: int = 0,
    attn_implementation: str = "sdpa",
) -> "LoadedModel":
    """A model ready to talk.

    Args:
        name: "nano" (bundled), a folder written by `save_pretrained` or `sama convert`, or a hub id.
        device: "cpu", "cuda", "cuda:1", "mps"; the best there is by default.
        segmenter_device: Where SAM 2 lives, when not beside the language model.
        dtype: "float32", "bfloat16" or "float16"; float32 on the CPU, else bfloat16, by default.
        quantize: "int8" or "int4": how the decoder's weights are kept; as they are by default.
        protocol: "consistent" (default) or "paper", the published inference with its quirks.
        seed: Where sampling starts, when it is used.
        attn_implementation: As in `transformers`; `flash_attention_2` needs that package.

    Raises:
        CheckpointError: Nothing usable is there.
        DeviceError: The device or precision does not exist here.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol is {protocol!r}; it is one of {', '.join(PROTOCOLS)}.")
    place = resolve_device(device)
    precision = _resolve_dtype(dtype, place)
    folder = model_folder(str(name))
    extra = _quantization(quantize, place)
    model = SamaForConditionalGeneration.from_pretrained(
        folder, dtype=precision, attn_implementation=attn_implementation, local_files_only=True, **extra
    ).eval()
    if not extra:
        model = model.to(place)
    if segmenter_device is not None:
        apart = resolve_device(segmenter_device)
        model.model.segmenter.to(apart)
        if model.config.has_original_mask_decoder:
            model.model.original_mask_decoder.to(apart)
    processor = SamaProcessor.from_pretrained(folder, local_files_only=True)
    return LoadedModel(model, processor, str(name), protocol, Sampling(seed=seed), Path(folder))


@dataclass(frozen=True)
class LoadedModel:
    """Weights, processor and settings, from which conversations start.

    Attributes:
        name: What it was loaded as.
        protocol: How frames are chosen and masks propagated, unless a session says otherwise.
        folder: Where the weights lie; `None` for a model made in memory.
    """

    model: SamaForConditionalGeneration
    processor: SamaProcessor
    name: str = "in memory"
    protocol: str = "consistent"
    sampling: Sampling = field(default_factory=Sampling)
    folder: Path | None = None

    @property
    def revision(self) -> str:
        """Hash of the weights' files; of their sizes and headers alone where they are large."""
        return "unsaved" if self.folder is None else _revision(self.folder)

    def chat(
        self,
        video: "str | Path | bytes | np.ndarray | Clip",
        *,
        protocol: str | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        max_frames: int | None = None,
        dense_frames: int | None = None,
        frame_choice: str = "even",
        max_new_tokens: int | None = None,
        temperature: float | None = None,
    ) -> ChatSession:
        """Start a conversation about a clip.

        Args:
            video: A path, "demo" for the bundled clip, file content, frames [frames, height, width, 3], or a `Clip`.
            cache_bytes: How much of SAM 2's features of the clip is kept between turns.
            max_frames: Frames that give context tokens.
            dense_frames: Frames shown to the language model in full.
            frame_choice: "even" spreads those over the clip; "question" takes for each question the ones that look most
                like it, a heuristic for long clips.
            max_new_tokens: Longest answer.
            temperature: 0 for the likeliest token each time; above, drawn under the seed.
        """
        clip = open_clip(video)
        protocol = protocol or self.protocol
        changes: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        sampling = replace(self.sampling, **{key: value for key, value in changes.items() if value is not None})
        pictures = language_clip(clip, protocol, self.processor)
        config: Any = self.model.config
        chooser = FrameChooser(
            config,
            pictures,
            protocol=protocol,
            max_frames=max_frames,
            num_dense=dense_frames,
            frame_choice=frame_choice,
            tiled=pictures is not clip,
        )
        return ChatSession(
            self.model,
            self.processor,
            clip,
            masks=self.mask_maker(clip, protocol, cache_bytes),
            chooser=chooser,
            sampling=sampling,
            origin=self,
        )

    def mask_maker(self, clip: Clip, protocol: str, cache_bytes: int) -> MaskMaker:
        """What makes the masks of one clip."""
        paper = protocol == "paper"
        has_original = self.model.config.has_original_mask_decoder
        segmenter = self.segmenter(paper=paper)
        cache = FeatureCache(cache_bytes) if cache_bytes > 0 else None
        tracker = Tracker(segmenter, self.processor.segmenter_pixels, cache=cache)
        return MaskMaker(tracker, clip, paper=paper, decoder="original" if has_original and not paper else "main")

    def segmenter(self, *, paper: bool = False) -> Segmenter:
        """SAM 2's parts, as the protocol drives them (spec model 12.3)."""
        inner = self.model.model
        original = inner.original_mask_decoder if self.model.config.has_original_mask_decoder and not paper else None
        return Segmenter(
            inner.segmenter,
            original_mask_decoder=original,
            suppress_absent=not paper,
            binarize_prompted_memory=not paper,
        )

    def answer_batch(self, questions: Sequence[tuple[Any, ...]], **options: Any) -> list[Answer]:
        """Answer one question about each of several clips, decoded together.

        Args:
            questions: `(video, question)` or `(video, question, regions)`.
            options: As for `chat`, and `ground`.
        """
        from sama_video.chat.batch import answer_batch

        return answer_batch(self, questions, **options)

    def live(self, *, window_seconds: float | int = 10.0, **options: Any) -> "LiveSession":
        """A conversation about frames that are still coming; `options` as for `chat`."""
        from sama_video.chat.live import LiveSession

        return LiveSession(self, window_seconds=window_seconds, **options)

    def restore(self, folder: str | Path) -> "ChatSession | LiveSession":
        """The session that `save` wrote there, ready for its next turn."""
        from sama_video.chat.storage import restore_session

        return restore_session(self, folder)


def open_clip(video: "str | Path | bytes | np.ndarray | Clip") -> Clip:
    """A clip of whatever a conversation can be about; "demo" is the bundled one."""
    if isinstance(video, Clip):
        return video
    return open_video(DEMO_CLIP if isinstance(video, str) and video == DEMO else video)


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        DeviceError: This machine does not have it.
    """
    if device is None:
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"{device!r} is no device; use cpu, cuda, cuda:1 or mps.") from error
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (place.index or 0) >= count.get(place.type, 0):
        there = ", ".join(kind for kind, number in count.items() if number)
        raise DeviceError(f"device {device} is not on this machine, which has: {there}; choose one of those.")
    return place


def _resolve_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise DeviceError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}.")
    return DTYPES[dtype]


def _quantization(quantize: str | None, device: torch.device) -> dict[str, Any]:
    if quantize in (None, "none"):
        return {}
    if quantize not in QUANTIZATIONS:
        raise ConfigError(f"quantize is {quantize!r}; it is one of {', '.join(QUANTIZATIONS)}.")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("bitsandbytes", "quantize") from error
    from transformers import BitsAndBytesConfig

    kept = ["lm_head"] + [f"model.{part}" for part in KEPT_WHOLE]
    config = BitsAndBytesConfig(
        load_in_8bit=quantize == "int8", load_in_4bit=quantize == "int4", llm_int8_skip_modules=kept
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _revision(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), folder / "config.json"]):
        size = path.stat().st_size
        with path.open("rb") as file:
            digest.update(f"{path.name} {size}".encode())
            digest.update(file.read() if size <= HASHED_WHOLE_BYTES else file.read(1 << 20))
    return digest.hexdigest()[:12]
