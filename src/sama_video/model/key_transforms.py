"""What happens to weights on the way between the official layout and ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Transform:
    """What happens to the values between the two layouts.

    The two checks look at real values and return what is wrong with them, or `None`; the two maps also run on
    tensors of the meta device.
    """

    name: str
    to_ours: Callable[[Sequence[Tensor]], Tensors]
    to_official: Callable[[Sequence[Tensor]], Tensors]
    check_official: Callable[[Sequence[Tensor]], str | None] = lambda tensors: None
    check_ours: Callable[[Sequence[Tensor]], str | None] = lambda tensors: None


def _merge_rows(tensors: Sequence[Tensor]) -> Tensors:
    return (torch.cat(list(tensors)),)


def _split_thirds(tensors: Sequence[Tensor]) -> Tensors:
    return tuple(tensors[0].chunk(3))


def _split_single_rows(tensors: Sequence[Tensor]) -> Tensors:
    return tuple(tensors[0].split(1))


def _check_equal(tensors: Sequence[Tensor]) -> str | None:
    first, second = tensors
    return None if torch.equal(first, second) else "differ, but the official layout has one tensor for both"


def _check_counting(tensors: Sequence[Tensor]) -> str | None:
    positions = tensors[0]
    counted = torch.arange(positions.shape[-1]).expand_as(positions)
    return None if torch.equal(positions, counted) else "does not count 0, 1, 2, ... and so cannot be rebuilt"


COPY = Transform("copy", tuple, tuple)
SPLIT_QKV = Transform("split q, k, v", _split_thirds, _merge_rows)
STACK_ROWS = Transform("stack rows", _merge_rows, _split_single_rows)
SHARE = Transform("one for two", lambda t: (t[0], t[0]), lambda t: (t[0],), check_ours=_check_equal)


def split_grouped_qkv(num_heads: int, num_kv_heads: int) -> Transform:
    """InternLM2's fused projection: per key-value head its queries, then one key, one value (spec model 2.2)."""
    per_group = num_heads // num_kv_heads

    def split(tensors: Sequence[Tensor]) -> Tensors:
        fused = tensors[0]
        dim = fused.shape[0] // (num_heads + 2 * num_kv_heads)
        grouped = fused.reshape(num_kv_heads, per_group + 2, dim, *fused.shape[1:])
        parts = (grouped[:, :per_group], grouped[:, per_group], grouped[:, per_group + 1])
        return tuple(part.reshape(-1, *fused.shape[1:]) for part in parts)

    def merge(tensors: Sequence[Tensor]) -> Tensors:
        query, key, value = tensors
        dim = query.shape[0] // num_heads
        tail = query.shape[1:]
        queries = query.reshape(num_kv_heads, per_group, dim, *tail)
        grouped = torch.cat([queries, *(t.reshape(num_kv_heads, 1, dim, *tail) for t in (key, value))], dim=1)
        return (grouped.reshape(-1, *tail),)

    return Transform("split grouped q, k, v", split, merge)


def rebuild_positions(num_positions: int) -> Transform:
    """A buffer that only counts: verified and dropped on the way in, counted anew on the way out."""
    return Transform(
        "drop, reconstructable",
        lambda tensors: (),
        lambda tensors: (torch.arange(num_positions).unsqueeze(0),),
        check_official=_check_counting,
    )
