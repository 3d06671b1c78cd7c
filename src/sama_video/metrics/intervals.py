"""Bootstrap over clusters: how sure a mean, a rate or any smooth function of sums is.

Every figure here is a function of sums over clusters (videos): a mean is sum / count, a recall is hits / targets, F1
uses three sums, a mean over types one pair of sums for each type. So one resampling serves all: draw clusters with
replacement, add up their parts, apply the function.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Combine = Callable[[np.ndarray], np.ndarray]
"""From sums [..., parts] to figures [...]; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """A figure over clusters.

    Attributes:
        clusters: Name of each cluster, distinct.
        parts: What each cluster adds to the sums.
        combine: The figure from the sums.
    """

    clusters: tuple[str, ...]
    parts: Float[np.ndarray, "clusters parts"]
    combine: Combine
