"""COCO run lengths: a mask as a short string, over pycocotools.

Runs go down the columns, background first. Outside this file `counts` is always `str`; bytes and plain lists of run
lengths are accepted on entry (`as_rle`). pycocotools trusts its input: a string whose runs do not fill the picture
makes it read or write outside its buffers. So every string is unpacked and summed here before it reaches the C code.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from pycocotools import mask as coco

from sama_video.errors import RegionError

MAX_PIXELS = 2**26
"""Masks above this are refused: a short string may claim any size, and decoding must not exhaust the memory."""

_CODE_BITS = 5
_JOINED_FRAMES = 128  # of two tracks compared at once
_SUMMED_MASKS = 32  # at once: more at a time leave the processor's cache where masks are ragged
_MAX_CODE_LENGTH = 6  # a run below 2**29, sign included, needs 6 characters


class Rle(TypedDict):
    """One mask in COCO's compressed form: `size` is `[height, width]`."""

    size: list[int]
    counts: str


def as_rle(value: object) -> Rle:
    """Check a mapping that claims to be run lengths; gives it back in canonical form.

    Canonical: `counts` is a compressed `str` without empty runs, so equal masks are equal values.
    """
    if not isinstance(value, Mapping):
        raise RegionError(f'mask is {_named(value)}; give {{"size": [height, width], "counts": "..."}}.')
    unknown = sorted(str(key) for key in value if key not in ("size", "counts"))
    if unknown or "size" not in value or "counts" not in value:
        given = ", ".join(sorted(str(key) for key in value)) or "nothing"
        raise RegionError(f'mask has the keys {given}; run lengths have exactly "size" and "counts".')
    height, width = _checked_size(value["size"])
    counts = value["counts"]
    if isinstance(counts, Sequence) and not isinstance(counts, str | bytes):
        runs = _checked_runs(_plain_runs(counts), height, width)
    else:
        runs = _checked_runs(_unpack(_as_text(counts)), height, width)
    return _pack(runs, height, width)


def encode(mask: Bool[np.ndarray, "height width"]) -> Rle:
    """Turn a mask into run lengths."""
    height, width = mask.shape
    packed = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(height), int(width)], "counts": packed["counts"].decode("ascii")}


def decode(rle: Rle) -> Bool[np.ndarray, "height width"]:
    """Turn run lengths into a mask; RegionError if they are damaged."""
    runs = _runs(rle)
    filled: NDArray[np.bool_] = np.arange(runs.size) % 2 == 1
    # Not the library's decoder: it warns under NumPy 2, and the runs are at hand.
    return np.ascontiguousarray(np.repeat(filled, runs).reshape(rle["size"], order="F"))


def area(rle: Rle) -> int:
    """Number of pixels in the mask."""
    return int(_runs(rle)[1::2].sum())


def areas(rles: Sequence[Rle]) -> list[int]:
    """Number of pixels in each mask: what `area` gives, several times faster for the masks of a clip."""
    found: list[int] = []
    for begin in range(0, len(rles), _SUMMED_MASKS):
        runs, counts = unpack(rles[begin : begin + _SUMMED_MASKS])
        first = np.cumsum(counts) - counts
        filled = (np.arange(runs.size) - np.repeat(first, counts)) & 1
        found += np.add.reduceat(runs * filled, first).tolist()
    return found


def unpack(rles: Sequence[Rle]) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " masks"]]:
    """Run lengths of several masks, one mask after the other, and how many each mask has; background comes first.

    Checked as one mask is. For scores, which read thousands of masks: one pass costs little more than one mask.
    """
    runs, counts = _unpack_all([_as_text(rle["counts"]) for rle in rles])
    first = np.cumsum(counts) - counts
    sizes = [_checked_size(rle["size"]) for rle in rles]
    areas = np.array([height * width for height, width in sizes], dtype=np.int64)
    wrong: NDArray[np.bool_] = np.zeros(len(rles), dtype=bool)
    if rles:
        wrong = (np.add.reduceat(runs, first) != areas) | (np.minimum.reduceat(runs, first) < 0)
    for idx in np.flatnonzero(wrong):
        _checked_runs(runs[first[idx] : first[idx] + counts[idx]], *sizes[idx])
    return runs, counts


def box_of(rle: Rle) -> tuple[int, int, int, int] | None:
    """Smallest half-open box `(x0, y0, x1, y1)` around the mask, None for an empty one."""
    runs = _runs(rle)
    ends = np.cumsum(runs)
    starts = ends - runs
    filled = np.flatnonzero(runs[1::2]) * 2 + 1
    if filled.size == 0:
        return None
    height = int(rle["size"][0])
    first, last = starts[filled], ends[filled] - 1
    one_column = first // height == last // height
    # A run that turns the corner into the next column touches the bottom row and the top row.
    y0 = np.where(one_column, first % height, 0).min()
    y1 = np.where(one_column, last % height, height - 1).max() + 1
    return int(first[0] // height), int(y0), int(last[-1] // height) + 1, int(y1)


def overlap_areas(a: Rle | None, b: Rle | None) -> tuple[int, int]:
    """Pixels in the intersection and in the union of two masks; None is an empty mask."""
    if a is None or b is None:
        return 0, sum(area(rle) for rle in (a, b) if rle is not None)
    _same_size([a, b])
    shared = int(coco.area(coco.merge([_as_coco(a), _as_coco(b)], intersect=True)))
    return shared, area(a) + area(b) - shared


def iou(a: Rle, b: Rle) -> float:
    """Intersection over union of two masks; 0 when both are empty."""
    shared, united = overlap_areas(a, b)
    return shared / united if united else 0.0


def union(rles: Sequence[Rle]) -> Rle:
    """The mask that covers whatever any of the given masks covers; at least one must be given."""
    if not rles:
        raise RegionError("union of no masks has no size; give at least one mask.")
    _same_size(rles)
    merged = coco.merge([_as_coco(rle) for rle in rles])
    return {"size": list(rles[0]["size"]), "counts": merged["counts"].decode("ascii")}


def difference(a: Rle, b: Rle) -> Rle:
    """The mask of what `a` covers and `b` does not."""
    _same_size([a, b])
    height, width = _checked_size(b["size"])
    outside = _pack(np.concatenate([[0], _runs(b)]), height, width)
    left = coco.merge([_as_coco(a), _as_coco(outside)], intersect=True)
    return {"size": [height, width], "counts": left["counts"].decode("ascii")}


def filled_runs(track: Sequence[Rle | None], pixels: int) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " runs"]]:
    """Where the filled runs of a track start and end, counted on through its frames of so many pixels each."""
    visible = np.array([idx for idx, rle in enumerate(track) if rle is not None], dtype=np.int64)
    runs, counts = unpack([rle for rle in track if rle is not None])
    first = np.cumsum(counts) - counts
    filled = ((np.arange(runs.size) - np.repeat(first, counts)) % 2 == 1) & (runs > 0)
    ends = np.cumsum(runs) + np.repeat((visible - np.arange(visible.size)) * pixels, counts)
    return (ends - runs)[filled], ends[filled]


def track_overlaps(
    a: Sequence[Rle | None], b: Sequence[Rle | None]
) -> tuple[Int[np.ndarray, " frames"], Int[np.ndarray, " frames"]]:
    """Pixels in the intersection and in the union of two tracks, frame by frame; None is an empty mask.

    What `overlap_areas` gives for each frame, many times faster: all frames are laid end to end and compared at once.
    """
    if len(a) != len(b):
        raise RegionError(f"tracks of {len(a)} and {len(b)} frames; give two tracks of one clip.")
    _one_size([rle for rle in (*a, *b) if rle is not None])
    areas = [
        _joined_overlaps(a[begin : begin + _JOINED_FRAMES], b[begin : begin + _JOINED_FRAMES])
        for begin in range(0, len(a), _JOINED_FRAMES)
    ]
    shared, united = np.concatenate([np.zeros((2, 0), dtype=np.int64), *areas], axis=1)
    return shared, united


def fill_box(mask: Bool[np.ndarray, "*frames height width"]) -> Bool[np.ndarray, "*frames height width"]:
    """Replace each frame's mask by its filled bounding box; an empty frame stays empty."""
    rows: NDArray[np.bool_] = _span(np.asarray(mask.any(axis=-1)))
    columns: NDArray[np.bool_] = _span(np.asarray(mask.any(axis=-2)))
    return rows[..., :, None] & columns[..., None, :]


def resize_nearest(
    mask: Bool[np.ndarray, "*frames height width"], size: tuple[int, int]
) -> Bool[np.ndarray, "*frames new_height new_width"]:
    """Resize masks to `size` (height, width), each cell taking the source pixel at its upper left corner.

    The cell positions are worked out in float32, as the training code's resize does, so that the same pixel is taken
    where the ratio of the sizes has no exact float32 value.
    """
    rows = _nearest(mask.shape[-2], size[0])
    columns = _nearest(mask.shape[-1], size[1])
    return np.ascontiguousarray(mask[..., rows[:, None], columns[None, :]])


def _nearest(old: int, new: int) -> Int[np.ndarray, " new"]:
    positions = np.arange(new, dtype=np.float32) * (np.float32(old) / np.float32(new))
    cells: NDArray[np.int64] = np.floor(positions).astype(np.int64)
    return np.minimum(cells, old - 1)


def _span(line: Bool[np.ndarray, "*frames length"]) -> Bool[np.ndarray, "*frames length"]:
    """Fill everything between the first and the last set cell of each line."""
    begun: NDArray[np.bool_] = np.logical_or.accumulate(line, axis=-1)
    not_over: NDArray[np.bool_] = np.logical_or.accumulate(line[..., ::-1], axis=-1)[..., ::-1]
    return begun & not_over


def _as_coco(rle: Rle) -> dict[str, object]:
    return {"size": list(rle["size"]), "counts": rle["counts"].encode("ascii")}


def _runs(rle: Rle) -> Int[np.ndarray, " runs"]:
    height, width = _checked_size(rle["size"])
    return _checked_runs(_unpack(_as_text(rle["counts"])), height, width)


def _pack(runs: Int[np.ndarray, " runs"], height: int, width: int) -> Rle:
    """Write run lengths in canonical form: what stands on both sides of an empty run is joined."""
    borders, times = np.unique(np.cumsum(runs)[:-1], return_counts=True)
    borders = borders[(times % 2 == 1) & (borders < height * width)]
    joined = np.diff(np.concatenate([[0], borders, [height * width]]))
    packed = coco.frPyObjects({"size": [height, width], "counts": joined.tolist()}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def _as_text(counts: object) -> str:
    if isinstance(counts, bytes):
        return counts.decode("latin-1")
    if not isinstance(counts, str):
        raise RegionError(f"mask counts are {_named(counts)}; give COCO's compressed string.")
    return counts


def _unpack(counts: str) -> Int[np.ndarray, " runs"]:
    return _unpack_all([counts])[0]


def _unpack_all(texts: Sequence[str]) -> tuple[Int[np.ndarray, " runs"], Int[np.ndarray, " masks"]]:
    """Read COCO's strings: six-bit characters, five bits of number each; from the fourth run on, differences."""
    try:
        codes = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8) - np.uint8(48)  # wraps below
    except UnicodeEncodeError:
        codes = np.array([255], dtype=np.uint8)
    if codes.size and codes.max() > 63:
        raise RegionError("mask counts hold characters that COCO run lengths never use; give them unchanged.")
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    complete = codes < 0x20
    last = np.cumsum(sizes) - 1
    if not (sizes.all() and complete[last].all()):
        raise RegionError("mask counts are cut off in the middle of a run; give the whole string.")
    ends = np.flatnonzero(complete)
    lengths = np.diff(ends, prepend=-1)
    longest = lengths.max(initial=0)
    if longest > _MAX_CODE_LENGTH:
        raise RegionError("mask counts hold a run longer than any picture; give COCO's compressed string.")
    starts = ends - lengths + 1
    values = (codes[starts] & 0x1F).astype(np.int64)
    for place in range(1, longest):
        longer = np.flatnonzero(lengths > place)
        values[longer] |= (codes[starts[longer] + place] & 0x1F).astype(np.int64) << (_CODE_BITS * place)
    negative = np.flatnonzero(codes[ends] & 0x10)
    values[negative] -= np.int64(1) << (_CODE_BITS * lengths[negative])
    counts = np.diff(np.searchsorted(ends, last, side="right"), prepend=0)
    return _summed(values, counts), counts


def _summed(values: Int[np.ndarray, " runs"], counts: Int[np.ndarray, " masks"]) -> Int[np.ndarray, " runs"]:
    """Undo the differences: in each mask, from the fourth run on, every run is stored less the one two before."""
    first = np.cumsum(counts) - counts
    odd = (np.arange(values.size) - np.repeat(first, counts)) & 1
    odd_sums = np.cumsum(values * odd)
    even_sums = np.cumsum(values) - odd_sums
    # The first run of a mask begins no sum: the third, too, is stored as it is.
    odd_sums -= np.repeat(odd_sums[first], counts)
    even_sums -= np.repeat(even_sums[first], counts)
    runs: NDArray[np.int64] = np.where(odd, odd_sums, even_sums)
    runs[first] = values[first]
    return runs


def _plain_runs(counts: Sequence[object]) -> Int[np.ndarray, " runs"]:
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or abs(int(count)) > MAX_PIXELS:
            raise RegionError(f"mask counts hold {count!r}; run lengths are whole numbers of pixels.")
    return np.array([int(count) for count in counts if isinstance(count, int | np.integer)], dtype=np.int64)


def _checked_runs(runs: Int[np.ndarray, " runs"], height: int, width: int) -> Int[np.ndarray, " runs"]:
    if runs.size and runs.min() < 0:
        raise RegionError("mask counts hold a negative run; give COCO's string unchanged.")
    if runs.sum() != height * width:
        raise RegionError(
            f"mask counts cover {int(runs.sum())} pixels, but size [{height}, {width}] has {height * width}; "
            "give the counts whole and the size as [height, width]."
        )
    return runs


def _checked_size(size: object) -> tuple[int, int]:
    if isinstance(size, Sequence | np.ndarray) and not isinstance(size, str | bytes) and len(size) == 2:
        height, width = size
        whole = all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in (height, width))
        if whole and height > 0 and width > 0 and int(height) * int(width) <= MAX_PIXELS:
            return int(height), int(width)
    raise RegionError(f"mask size is {size!r}; give [height, width] in pixels, at most {MAX_PIXELS} pixels together.")


def _joined_overlaps(a: Sequence[Rle | None], b: Sequence[Rle | None]) -> Int[np.ndarray, "2 frames"]:
    known = [rle for rle in (*a, *b) if rle is not None]
    if not known:
        return np.zeros((2, len(a)), dtype=np.int64)
    pixels = int(known[0]["size"][0]) * int(known[0]["size"][1])
    starts_a, ends_a = filled_runs(a, pixels)
    starts_b, ends_b = filled_runs(b, pixels)
    shared = _covered_before(ends_a, starts_b, ends_b) - _covered_before(starts_a, starts_b, ends_b)

    def by_frame(starts: Int[np.ndarray, " runs"], sizes: Int[np.ndarray, " runs"]) -> Int[np.ndarray, " frames"]:
        return np.bincount(starts // pixels, weights=sizes, minlength=len(a)).astype(np.int64)

    inside = by_frame(starts_a, shared)
    return np.stack([inside, by_frame(starts_a, ends_a - starts_a) + by_frame(starts_b, ends_b - starts_b) - inside])


def _covered_before(
    places: Int[np.ndarray, " places"], starts: Int[np.ndarray, " runs"], ends: Int[np.ndarray, " runs"]
) -> Int[np.ndarray, " places"]:
    """How much of the runs lies before each place."""
    covered = np.concatenate([[0], np.cumsum(ends - starts)])
    begun = np.searchsorted(starts, places)
    ends_of_begun = np.concatenate([[0], ends])[begun]
    return np.asarray(covered[begun] - np.maximum(ends_of_begun - places, 0))


def _same_size(rles: Sequence[Rle]) -> None:
    unpack(rles)
    _one_size(rles)


def _one_size(rles: Sequence[Rle]) -> None:
    sizes = sorted({f"{rle['size'][0]}x{rle['size'][1]}" for rle in rles})
    if len(sizes) > 1:
        raise RegionError(f"masks have the sizes {', '.join(sizes)} (height x width); resize them to one size first.")


def _named(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
