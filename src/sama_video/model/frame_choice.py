"""Which frames of a clip the language side sees: sparse ones as context tokens, a few dense ones in full."""

from collections.abc import Sequence

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
