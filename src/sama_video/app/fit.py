"""Which presets fit which memory: an estimate from sizes, not a measurement.

    needs = weights + key-value cache + working memory + feature cache + the device's own

- weights: parameters x bytes each. `int8` and `int4` shrink only the decoder's linear layers (1 byte, and half a byte
  plus one float32 scale for 64 weights); all else stays at 2 bytes.
- key-value cache: 2 x layers x key-value heads x head size x bytes, for `SESSION_TOKENS` tokens.
- working memory: what lives at once while SAM 2 encodes 8 frames; the language model's prefill needs less.
- feature cache: `FEATURE_CACHE` bytes, what `--cache-bytes` sets.
- the device's own: what a CUDA context and its kernels take before the first tensor.

A preset fits when that is at most 95 % of the memory. Free memory is not looked at: it changes by the second.
"""

from dataclasses import dataclass

GIB = 1024**3

SESSION_TOKENS = 4096
FEATURE_CACHE = GIB
CUDA_CONTEXT = GIB * 6 // 10
USABLE_SHARE = 0.95
FORMULA = "weights + key-value cache of 4,096 tokens + working memory + 1 GiB of cached features (+ 0.6 GiB on CUDA)"

BYTES_PER_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
BYTES_PER_DECODER_WEIGHT = {"int8": 1.0, "int4": 0.5 + 4 / 64}


@dataclass(frozen=True)
class PresetSize:
    """What decides a preset's need of memory.

    Attributes:
        decoder_weights: Parameters of the decoder's linear layers, those that quantisation shrinks.
        cached_values: Numbers that the key-value cache holds for one token.
        working_values: Numbers that live at once while 8 frames are encoded.
    """

    name: str
    parameters: int
    decoder_weights: int
    cached_values: int
    working_values: int


# A frame at SAM 2's finest stage is 256 x 256 tokens of 144 channels, about 13 times over (input, queries, keys,
# values, attention's output, the MLP's inner layer, shortcuts); 8 such frames.
_HIERA_LARGE = 8 * 256 * 256 * 144 * 13

PRESET_SIZES = (
    PresetSize("nano", 12_000_000, 3_000_000, 2 * 4 * 2 * 64, 8 * 32 * 32 * 48 * 13),
    PresetSize("sama-1b", 1_357_000_000, 358_000_000, 2 * 24 * 2 * 64, _HIERA_LARGE),
    PresetSize("sama-4b", 4_154_000_000, 2_774_000_000, 2 * 36 * 2 * 128, _HIERA_LARGE),
    PresetSize("sama-8b", 8_590_000_000, 6_979_000_000, 2 * 32 * 8 * 128, _HIERA_LARGE),
)


@dataclass(frozen=True)
class Fit:
    """Whether one preset at one precision fits one device."""

    preset: str
    precision: str
    device: str
    needs_bytes: int
    memory_bytes: int
    fits: bool


def needed_bytes(size: PresetSize, precision: str, *, cuda: bool = False) -> int:
    """Estimate the memory that a session with a preset takes.

    >>> needed_bytes(PRESET_SIZES[1], "bfloat16", cuda=True) // 10**9
    6
    """
    quantised = precision in BYTES_PER_DECODER_WEIGHT
    width = 2.0 if quantised else BYTES_PER_WEIGHT[precision]
    small = size.decoder_weights if quantised else 0
    weights = (size.parameters - small) * width + small * BYTES_PER_DECODER_WEIGHT.get(precision, 0.0)
    passing = (size.cached_values * SESSION_TOKENS + size.working_values) * width
    return int(weights + passing) + FEATURE_CACHE + (CUDA_CONTEXT if cuda else 0)


def fit(size: PresetSize, precision: str, *, device: str, memory_bytes: int) -> Fit:
    """Tell whether a preset fits a device with this much memory."""
    needs = needed_bytes(size, precision, cuda=device.startswith("cuda"))
    return Fit(size.name, precision, device, needs, memory_bytes, needs <= memory_bytes * USABLE_SHARE)
