"""J and F of video segmentation: our run lengths and bits against whole pictures.

    python benchmarks/jf.py

Three objects with ragged contours move through 60 frames of 480 x 854. `metrics.boundary.jf_series` starts from run
lengths; the others get what they want to start from: the formula of DAVIS, written plainly, a boolean picture of each
object and frame, and `vos_benchmark`, where it is installed, label maps. All take turns within one run. The formula
widens contours with OpenCV as the published code does, and without OpenCV by shifting pictures, which is slower.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from harness import arguments, finish, print_table, spread, timed

from sama_video.metrics.boundary import jf_series, tolerance
from sama_video.regions.rle import Rle, encode

Scores = np.ndarray
"""J and F of each object and frame, `[2, object, frame]`."""


@dataclass(frozen=True)
class Sequence:
    """One clip's masks, true and predicted, in each form that a way starts from.

    Attributes:
        labels: Label maps, uint8 `[side, frame, height, width]`.
    """

    labels: np.ndarray
    objects: int

    @property
    def size(self) -> tuple[int, int]:
        return int(self.labels.shape[2]), int(self.labels.shape[3])

    @property
    def frames(self) -> int:
        return int(self.labels.shape[1])

    def pictures(self) -> np.ndarray:
        """Booleans `[side, object, frame, height, width]`."""
        return np.stack([self.labels == number for number in range(1, self.objects + 1)], axis=1)

    def tracks(self) -> list[list[tuple[Rle, ...]]]:
        """Run lengths `[side][object][frame]`."""
        return [[tuple(map(encode, track)) for track in side] for side in self.pictures()]

    def part(self, objects: int, frames: int) -> "Sequence":
        """The first objects and frames."""
        labels = self.labels[:, :frames]
        return Sequence(np.where(labels > objects, 0, labels).astype(np.uint8), objects)


def make_sequence(size: tuple[int, int], frames: int, objects: int, seed: int) -> Sequence:
    """Blobs of 2 to 12 % of the picture, their contours wavy and ragged; predictions are off in place and shape."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((2, frames, *size), dtype=np.uint8)
    for number in range(1, objects + 1):
        radius = np.sqrt(rng.uniform(0.02, 0.12) * size[0] * size[1] / np.pi)
        start, speed = rng.uniform(radius, np.array(size)), rng.uniform(-4, 4, 2)
        waves = rng.normal(0, 0.06, 8), rng.uniform(0, 2 * np.pi, 8)
        for side in range(2):
            for frame in range(frames):
                centre = _bounced(start + speed * frame, np.array(size)) + side * rng.normal(0, 3, 2)
                own_waves = waves[0] + side * rng.normal(0, 0.05, 8), waves[1]
                _draw_blob(labels[side, frame], number, centre, radius, own_waves, frame, rng)
    return Sequence(labels, objects)


def _bounced(place: np.ndarray, size: np.ndarray) -> np.ndarray:
    bounced: np.ndarray = size - np.abs(place % (2 * size) - size)
    return bounced


def _draw_blob(
    labels: np.ndarray,
    number: int,
    centre: np.ndarray,
    radius: float,
    waves: tuple[np.ndarray, np.ndarray],
    frame: int,
    rng: np.random.Generator,
) -> None:
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    orders = np.arange(2, 10)[:, None]
    outline = 1 + (waves[0][:, None] * np.sin(orders * angles + waves[1][:, None] + 0.1 * frame)).sum(axis=0)
    outline = radius * outline + np.repeat(rng.normal(0, 1.0, 180), 4)
    rows, columns = (
        np.arange(max(int(middle - 2 * radius), 0), min(int(middle + 2 * radius), side))
        for middle, side in zip(centre, labels.shape, strict=True)
    )
    dy, dx = rows[:, None] - centre[0], columns[None] - centre[1]
    turn = (np.arctan2(dy, dx) / (2 * np.pi) * 720).astype(int) % 720
    labels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][np.hypot(dy, dx) < outline[turn]] = number


def ours(tracks: list[list[tuple[Rle, ...]]], size: tuple[int, int]) -> Scores:
    """From run lengths."""
    found = [jf_series(true, predicted, size) for true, predicted in zip(*tracks, strict=True)]
    return np.array([[one.j for one in found], [one.f for one in found]])


def by_formula(pictures: np.ndarray) -> Scores:
    """From booleans: the formula as it is told, picture by picture."""
    radius = tolerance(pictures.shape[-2:])
    offsets = np.arange(-radius, radius + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)
    dilate = dilation(disk)
    true, predicted = pictures
    j = [[_overlap(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(true, predicted, strict=True)]
    f = [
        [_contours_met(a, b, dilate) for a, b in zip(*pair, strict=True)] for pair in zip(true, predicted, strict=True)
    ]
    return np.array([j, f])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    united = np.sum(a | b)
    return float(np.sum(a & b) / united) if united else 1.0


def _contours_met(true: np.ndarray, predicted: np.ndarray, dilate: Callable[[np.ndarray], np.ndarray]) -> float:
    one, other = _contour(true), _contour(predicted)
    near_one, near_other = dilate(one), dilate(other)
    if not (one.any() and other.any()):
        return float(one.any() == other.any())
    precision = np.sum(other & near_one) / np.sum(other)
    recall = np.sum(one & near_other) / np.sum(one)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _contour(mask: np.ndarray) -> np.ndarray:
    right, below, across = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1], below[:-1], across[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    contour: np.ndarray = (mask ^ right) | (mask ^ below) | (mask ^ across)
    contour[-1] = mask[-1] ^ right[-1]
    contour[:, -1] = mask[:, -1] ^ below[:, -1]
    contour[-1, -1] = False
    return contour


def dilation(disk: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """OpenCV's, or a shifted picture for each pixel of the disk."""
    try:
        import cv2
    except ImportError:
        return partial(_dilate_by_shifts, disk)
    return lambda contour: cv2.dilate(contour.astype(np.uint8), disk).astype(bool)


def _dilate_by_shifts(disk: np.ndarray, contour: np.ndarray) -> np.ndarray:
    radius = len(disk) // 2
    framed, found = np.pad(contour, radius), np.zeros_like(contour)
    for dy, dx in np.argwhere(disk):
        found |= framed[dy : dy + len(contour), dx : dx + contour.shape[1]]
    return found


def by_package(labels: np.ndarray, evaluator: Any) -> np.ndarray:
    """From label maps: means of J and F of each object, `[2, object]`."""
    evaluation = evaluator()
    for true, predicted in zip(*labels, strict=True):
        evaluation.feed_frame(predicted, true)
    means = evaluation.conclude()
    return np.array([[one[number] for number in sorted(one)] for one in means]) / 100


def find_package() -> tuple[Any, str]:
    """The package's evaluator, or why there is none."""
    try:
        from vos_benchmark.evaluator import Evaluator
    except ImportError as error:
        return None, f"vos_benchmark cannot be imported ({error}); pip install vos-benchmark opencv-python"
    return Evaluator, ""


def compare(sequence: Sequence, repeats: int) -> dict[str, Any]:
    """All ways over one sequence, taking turns; ratios are medians over the rounds."""
    evaluator, missing = find_package()
    tracks, pictures = sequence.tracks(), sequence.pictures()
    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: ours(tracks, sequence.size),
        "formula": lambda: by_formula(pictures),
    }
    if evaluator is not None:
        ways["vos_benchmark"] = lambda: by_package(sequence.labels, evaluator)
    seconds, scores = take_turns(ways, repeats)
    rows: list[dict[str, Any]] = [
        {
            "way": name,
            "seconds": spread(taken),
            "frames_per_second": sequence.frames / statistics.median(taken),
            "ratio": statistics.median(
                mine and other / mine for mine, other in zip(seconds["ours"], taken, strict=True)
            ),
        }
        for name, taken in seconds.items()
    ]
    if missing:
        rows.append({"way": "vos_benchmark", "missing": missing})
    return {"rows": rows, "agreement": agreement(scores), "mean_j_and_f": scores["ours"].mean(axis=(1, 2)).tolist()}


def _mapped(pool: ProcessPoolExecutor, work: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return list(pool.map(work, items))


def take_turns(
    ways: Mapping[str, Callable[[], np.ndarray]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Seconds of each way in each round after a first one that warms up, and what the ways give."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    scores = {}
    for round_idx in range(repeats + 1):
        for name, way in ways.items():
            taken, scores[name] = timed(way)
            if round_idx:
                seconds[name].append(taken)
    return seconds, scores


def agreement(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of any J or F from ours: of frames for the formula, of means over them for the package."""
    found = {"formula": float(np.abs(scores["formula"] - scores["ours"]).max())}
    if "vos_benchmark" in scores:
        found["vos_benchmark"] = float(np.abs(scores["vos_benchmark"] - scores["ours"].mean(axis=2)).max())
    if max(found.values()) > 1e-9:
        raise SystemExit(f"the ways disagree: {found}")
    return found


def scale(sequence: Sequence, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time by objects and by frames, the sizes taking turns."""
    shapes = [(objects, args.frames) for objects in args.objects] + [(3, frames) for frames in args.lengths]
    parts = {shape: sequence.part(*shape).tracks() for shape in dict.fromkeys(shapes)}
    ways = {str(shape): partial(ours, tracks, sequence.size) for shape, tracks in parts.items()}
    seconds, _ = take_turns(ways, args.repeats)
    return [
        {
            "objects": objects,
            "frames": frames,
            "seconds": spread(seconds[str((objects, frames))]),
            "microseconds_per_mask": 1e6 * statistics.median(seconds[str((objects, frames))]) / (objects * frames),
        }
        for objects, frames in parts
    ]


def in_processes(sequence: Sequence, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Several sequences, one after the other and over processes; scores do not depend on it."""
    tracks, number = sequence.part(3, args.frames).tracks(), 4 * args.workers
    work = partial(ours, size=sequence.size)
    rows = []
    expected = [work(tracks)] * number
    for workers in sorted({1, args.workers}):
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(work, [tracks] * workers))  # processes start and import before the clock does
            runs = [timed(partial(_mapped, pool, work, [tracks] * number)) for _ in range(args.repeats)]
        assert all(np.array_equal(found, expected) for _, found in runs)
        rows.append({"workers": workers, "sequences": number, "seconds": spread([taken for taken, _ in runs])})
    for row in rows:
        row["speedup"] = rows[0]["seconds"]["median"] / row["seconds"]["median"]
    return rows


def main() -> None:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--frames", type=int, help="frames of the comparison (default 60, quick 6)")
    parser.add_argument("--size", type=int, nargs=2, help="height and width (default 480 854, quick 96 128)")
    parser.add_argument("--repeats", type=int, help="rounds after the warm-up (default 9, quick 1)")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="processes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.frames = args.frames or (6 if args.quick else 60)
    args.size = args.size or ([96, 128] if args.quick else [480, 854])
    args.repeats = args.repeats or (1 if args.quick else 9)
    args.objects, args.lengths = (1, 3, 6), (args.frames // 2, args.frames, 2 * args.frames)
    widened = prepare_opencv(args.threads)
    whole = make_sequence(tuple(args.size), 2 * args.frames, 6, args.seed)
    result = compare(whole.part(3, args.frames), args.repeats)
    result["scaling"], result["parallel"] = scale(whole, args), in_processes(whole, args)
    show(result)
    del args.objects, args.lengths
    finish("jf", args, {"dilation": widened, **result})


def prepare_opencv(threads: int) -> str:
    """Hold OpenCV to as many threads as everybody has; what the formula widens its contours with."""
    try:
        import cv2
    except ImportError:
        return "shifted pictures"
    cv2.setNumThreads(threads)
    return f"OpenCV {cv2.__version__}"


def show(result: dict[str, Any]) -> None:
    """Tables for the terminal."""
    print_table(
        ("way", "frames/s", "median ms", "of ours"),
        [
            (row["way"], row["frames_per_second"], 1000 * row["seconds"]["median"], row["ratio"])
            for row in result["rows"]
            if "missing" not in row
        ],
    )
    for row in result["rows"]:
        if "missing" in row:
            print(row["missing"])
    print(f"largest difference from ours: {result['agreement']}")
    for key, head in (("scaling", ("objects", "frames")), ("parallel", ("workers", "sequences"))):
        last = "microseconds_per_mask" if key == "scaling" else "speedup"
        rows = [(*(row[name] for name in head), 1000 * row["seconds"]["median"], row[last]) for row in result[key]]
        print_table((*head, "median ms", last.replace("_", " ")), rows)


if __name__ == "__main__":
    main()
