"""Small clips on disk with random masks."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_video.data.clips import FrameClip
from sama_video.data.formats.annotated import AnnotatedClip, AnnotatedObject
from sama_video.regions.masklet import Masklet

Maker = Callable[..., AnnotatedClip]


def write_pictures(folder: Path, names: Sequence[str], size: tuple[int, int], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)


def blobs(rng: np.random.Generator, num_frames: int, size: tuple[int, int], density: float) -> np.ndarray:
    """Masks with noise, holes and single pixels; the object is hidden on some frames, never on the first."""
    masks = rng.random((num_frames, *size)) < density
    masks[1::3] = False
    masks[0, 0, 0] = True
    return masks


def filled_boxes(rng: np.random.Generator, num_frames: int, size: tuple[int, int]) -> np.ndarray:
    masks = np.zeros((num_frames, *size), bool)
    for frame in range(num_frames):
        y, x = (int(rng.integers(0, side - 2)) for side in size)
        masks[frame, y : y + 2, x : x + 2] = True
    return masks


@pytest.fixture
def pictures() -> Callable[..., None]:
    return write_pictures


@pytest.fixture
def make_clip(tmp_path: Path) -> Maker:
    def make(
        name: str = "walk",
        num_frames: int = 4,
        size: tuple[int, int] = (9, 14),
        labels: Sequence[str] = ("car", "dog & <cat>", "car"),
        seed: int = 0,
        boxes: bool = False,
        apart: bool = False,
    ) -> AnnotatedClip:
        rng = np.random.default_rng(seed)
        names = [f"{frame:05d}.png" for frame in range(num_frames)]
        write_pictures(tmp_path / "pictures" / name, names, size, seed)
        objects = []
        taken = np.zeros((num_frames, *size), bool)
        for number, label in enumerate(labels, start=1):
            masks = blobs(rng, num_frames, size, 0.3) & ~(taken & apart)
            taken |= masks
            text = 'the "old" one, über 5 < 6' if number == 2 else None
            given = (("colour", "red"), ("parked", "true")) if number == 1 else ()
            masklet = Masklet.from_masks(f"obj{number}", masks)
            objects.append(AnnotatedObject(masklet, label, text, attributes=given))
        if boxes:
            masklet = Masklet.from_masks(f"obj{len(labels) + 1}", filled_boxes(rng, num_frames, size))
            objects.append(AnnotatedObject(masklet, "bus", box_frames=masklet.visible_frames))
        clip = FrameClip(tmp_path / "pictures", name, tuple(names))
        return AnnotatedClip(name, clip, *size, tuple(objects), "mine", "CC-BY-4.0")

    return make
