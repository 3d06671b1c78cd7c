"""Which frames of a clip the language side sees: sparse ones as context tokens, a few dense ones in full."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sama_video.model.configuration_sama import SamaConfig
from sama_video.video.sampling import sparse_indices, spread_dense_positions, uniform_indices


def context_frames(config: SamaConfig, num_frames: int, *, max_frames: int | None = None) -> list[int]:
    """Frames that give a context token each (spec model 4.1), in order.

    >>> context_frames(SamaConfig(), 10)
    [0, 2, 3, 4, 6, 8, 9]
    """
    return sparse_indices(
        num_frames,
        interval=config.frame_interval,
        max_frames=max_frames or config.max_frames,
        min_frames=min(config.min_frames, max_frames or config.min_frames),
    )


def dense_frames(config: SamaConfig, context: Sequence[int], *, count: int | None = None) -> list[int]:
    """Those of the context frames that are shown in full, spread over all of them.

    Published models were trained on the middles of even spans (spec model 8.3); our own recipes reach from the first to
    the last context frame, as the consistent protocol of Sa2VA-i does (spec model 13).
    """
    count = count or config.dense_frames
    if config.dense_placement == "ends":
        positions = uniform_indices(len(context), count)
    else:
        positions = spread_dense_positions(len(context), count)
    return [context[position] for position in positions]


def likeness(
    features: Float[Tensor, "frames tokens dim"], words: Float[Tensor, "words dim"]
) -> Float[Tensor, " frames"]:
    """How much each frame looks like some words: the mean over the words of the cosine with the frame's nearest token.

    A heuristic: the projector puts frame tokens among the decoder's word embeddings, but was not trained to match them.
    No words give zeros.
    """
    if not len(words):
        return features.new_zeros(len(features))
    tokens, words = F.normalize(features.float(), dim=-1), F.normalize(words.float(), dim=-1).to(features.device)
    return torch.einsum("ftd,wd->fwt", tokens, words).amax(-1).mean(-1)


def best_frames(candidates: Sequence[int], scores: Sequence[float], *, count: int) -> list[int]:
    """The `count` best of some frames, sorted, no two closer than half of an even spread, where there are enough.

    >>> best_frames(range(8), [0.0, 0.0, 9.0, 8.0, 0.0, 0.0, 1.0, 0.0], count=2)
    [2, 6]
    """
    apart = len(candidates) // (2 * count)
    ranked = sorted(range(len(candidates)), key=lambda position: -scores[position])
    taken: list[int] = []
    for position in ranked:
        if len(taken) < count and all(abs(position - other) > apart for other in taken):
            taken.append(position)
    spare = (position for position in ranked if position not in taken)
    taken += [position for position, _ in zip(spare, range(count - len(taken)), strict=False)]
    return sorted(candidates[position] for position in taken)
