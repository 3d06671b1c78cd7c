"""Prompts as a user would give them, drawn for synthetic objects: clicks, boxes, corrections, attributes."""

import numpy as np
from jaxtyping import Bool, Float32, Int

from sama_video.data.synthetic.levels import COLORS, SHAPES, is_allowed
from sama_video.train.lessons.attributes import NUM_CLASSES, UNSAID

_COLOR_AND_SHAPE = (0, 1)


def draw_click(rng: np.random.Generator, mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, " 2"]:
    """A pixel of a mask that is not empty, x first; half of the time one well inside."""
    choices = mask
    if rng.random() < 0.5:
        core = _eroded(mask, 3)
        choices = core if core.any() else mask
    return _pixel(rng, choices)


def draw_box(rng: np.random.Generator, mask: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, " 4"]:
    """The box of a mask that is not empty, each edge off by up to a tenth of the box's size."""
    ys, xs = np.nonzero(mask)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float32)
    size = np.tile(box[2:] - box[:2], 2)
    moved = box + rng.uniform(-0.1, 0.1, 4).astype(np.float32) * size
    limits = np.tile(np.array(mask.shape[::-1], dtype=np.float32), 2)
    return np.clip(moved, 0, limits).astype(np.float32)


def draw_corrections(
    rng: np.random.Generator,
    mask: Bool[np.ndarray, "height width"],
    others: Bool[np.ndarray, "height width"],
    count: int,
) -> tuple[Float32[np.ndarray, "points 2"], Int[np.ndarray, " points"]]:
    """A click on the mask, then clicks on it (1) or beside it (0), the latter mostly on other objects."""
    points, labels = [draw_click(rng, mask)], [1]
    for _ in range(count - 1):
        if rng.random() < 0.5:
            points.append(draw_click(rng, mask))
            labels.append(1)
        else:
            beside = others & ~mask if rng.random() < 0.7 and (others & ~mask).any() else ~mask
            points.append(_pixel(rng, beside) if beside.any() else draw_click(rng, mask))
            labels.append(int(not beside.any()))
    return np.stack(points), np.asarray(labels, dtype=np.int32)


def draw_attributes(
    rng: np.random.Generator, ids: Int[np.ndarray, "objects 4"], object_idx: int
) -> Int[np.ndarray, " 4"]:
    """Attributes that single out an object: often colour and shape, else any subset that leaves it unique."""
    said = ids[object_idx].copy()
    if rng.random() < 0.4:
        said[[i for i in range(len(said)) if i not in _COLOR_AND_SHAPE]] = UNSAID
        return said
    for column in rng.permutation(len(said)):
        without = said.copy()
        without[column] = UNSAID
        if rng.random() < 0.5 and matching(ids, without).sum() == 1:
            said = without
    return said


def draw_absent_attributes(rng: np.random.Generator, ids: Int[np.ndarray, "objects 4"]) -> Int[np.ndarray, " 4"]:
    """Attributes that fit no object: half of the time those of an object with one of them changed.

    Pairs of colour and shape that training never shows are not asked for either: they would be learnt as never there.
    """
    while True:
        said = np.array([rng.integers(1, count) for count in NUM_CLASSES])
        if len(ids) and rng.random() < 0.5:
            kept = ids[rng.integers(len(ids))].copy()
            column = int(rng.integers(len(said)))
            kept[column] = said[column]
            said = kept
        if rng.random() < 0.6:
            said[2:] = UNSAID
        pair = tuple(COLORS)[said[0] - 1], SHAPES[said[1] - 1]
        if is_allowed("train", *pair) and not matching(ids, said).any():
            return said


def matching(ids: Int[np.ndarray, "objects 4"], said: Int[np.ndarray, " 4"]) -> Bool[np.ndarray, " objects"]:
    """Which objects have every attribute that is said."""
    fits: np.ndarray = ((said == UNSAID) | (ids == said)).all(axis=1)
    return fits


def _pixel(rng: np.random.Generator, choices: Bool[np.ndarray, "height width"]) -> Float32[np.ndarray, " 2"]:
    ys, xs = np.nonzero(choices)
    pick = int(rng.integers(len(ys)))
    return np.array([xs[pick], ys[pick]], dtype=np.float32)


def _eroded(mask: Bool[np.ndarray, "height width"], steps: int) -> Bool[np.ndarray, "height width"]:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask
