"""SAM 2's own mask decoder, taken from a SAM 2 checkpoint to travel beside the fine-tuned one."""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sama_video.errors import CheckpointError
from sama_video.model.key_patterns import SAM2_PREFIX, SEGMENTER_PREFIX
from sama_video.model.key_plan import ORIGINAL_DECODER, KeyRule
from sama_video.model.key_transforms import COPY
from sama_video.model.weight_files import TensorSpec, WeightFiles

_OFFICIAL_DECODER, _PORTED_DECODER = "sam_mask_decoder.", "mask_decoder."


class OriginalDecoder:
    """The decoder of a SAM 2 checkpoint: published `.pt`, safetensors of the same names, or a `Sam2VideoModel` folder.

    `specs` has the decoder's weights under their official names; other weights serve only to see that it is the SAM 2
    that the converted checkpoint was trained with.
    """

    def __init__(self, path: Path, rules: Iterable[KeyRule]) -> None:
        self.path = path
        self._weights = _PickledWeights(path) if path.suffix in (".pt", ".pth") else WeightFiles(path)
        stored = self._weights.specs
        self._ported = any(name.startswith(_PORTED_DECODER) for name in stored)
        prefix = _PORTED_DECODER if self._ported else _OFFICIAL_DECODER
        official = {self._stored_name(rule): rule.official[0] for rule in rules if rule.group == ORIGINAL_DECODER}
        self._stored = {official.get(name, name): name for name in stored if name.startswith(prefix)}
        self.specs: dict[str, TensorSpec] = {name: stored[home] for name, home in self._stored.items()}

    def tensor(self, name: str) -> Tensor:
        """The values of one of the decoder's weights."""
        return self._weights.tensor(self._stored[name])

    def check_same_encoder(self, rules: Iterable[KeyRule], files: WeightFiles) -> None:
        """Make sure that everything but the decoder is what the converted checkpoint holds.

        Only the decoder was trained, so another encoder or memory means another SAM 2, whose decoder would not
        understand these features.

        Raises:
            CheckpointError: It is another SAM 2.
        """
        for rule in rules:
            if rule.group != "segmenter" or rule.transform is not COPY or "mask_decoder." in rule.ours[0]:
                continue
            stored, name = self._stored_name(rule), rule.official[0]
            if stored in self._weights.specs and not _same_values(self._weights.tensor(stored), files.tensor(name)):
                raise CheckpointError(
                    f"{self.path} is not the SAM 2 that {files.path} was trained with ({name} differs); its decoder "
                    "would not understand these features. Published SAMA and Sa2VA take SAM 2.0 hiera-large."
                )

    def _stored_name(self, rule: KeyRule) -> str:
        official = rule.official[0].removeprefix(SAM2_PREFIX)
        if not self._ported:
            return official
        return rule.ours[0].removeprefix(SEGMENTER_PREFIX).replace("model.original_mask_decoder.", _PORTED_DECODER)


class _PickledWeights:
    """Tensors of a published SAM 2 `.pt`, with nothing unpickled but tensors."""

    def __init__(self, path: Path) -> None:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as tensors alone; fetch the published file again.") from error
        state = loaded.get("model") if isinstance(loaded, Mapping) else None
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise CheckpointError(f'{path} holds no {{"model": weights}}; give a published SAM 2 checkpoint.')
        # The published scale vectors are called gamma here and g_weight in SAMA (spec model 8.5).
        self._state = {str(name).replace(".gamma", ".g_weight"): value for name, value in state.items()}
        self.specs = {name: TensorSpec.of(value) for name, value in self._state.items()}

    def tensor(self, name: str) -> Tensor:
        return self._state[name]


def _same_values(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    # Releases store SAM 2 in bfloat16 or float32; two trainings differ by far more than that rounding.
    return torch.allclose(one.float(), other.float(), rtol=1e-2, atol=1e-4)
