"""Masks of a run -> the archive that a benchmark's server takes, checked before a byte of it is written.

MeViS and Ref-YouTube-VOS keep the ground truth of their `valid` split to themselves. They take a zip of PNGs, one for
each frame of each expression: single channel, 0 or 255, at the size of the video. As in the published inference the
first mask of an answer is its mask, and an answer without any gives empty pictures.
"""

import hashlib
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Final

import numpy as np
from jaxtyping import Bool
from PIL import Image, UnidentifiedImageError

from sama_video.bench.lines import write_whole
from sama_video.bench.report_files import SUBMISSION, options_of
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Json, Prediction
from sama_video.bench.tasks import load_task
from sama_video.errors import ConfigError, DataError
from sama_video.regions.rle import decode

SCHEMA: Final = "sama-submission/1"
ROOTS: Final = {"mevis-valid": "", "ref-youtube-vos": "Annotations/"}
"""Benchmarks with a server, and what the paths in their archive begin with."""

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell, so that equal masks give equal bytes
_SUFFIXES = (".jpg", ".jpeg", ".png")
_PNG_SLACK = 1 << 16
_PNG_RUNS = 3  # zlib's strategy for runs: of masks it makes smaller files in less time


@dataclass(frozen=True)
class Expected:
    """The pictures of one expression.

    Attributes:
        folder: Where they stand in the archive.
        names: Of the frames, without ending.
        size: Height and width.
    """

    sample_id: str
    video: str
    folder: str
    names: tuple[str, ...]
    size: tuple[int, int]

    def paths(self) -> list[str]:
        """Path of each frame's picture."""
        return [f"{self.folder}/{name}.png" for name in self.names]


@dataclass(frozen=True)
class Submission:
    """An archive that is whole, and its fingerprint."""

    task: str
    file: str
    sha256: str
    bytes: int
    videos: int
    expressions: int
    pngs: int

    def to_json(self) -> dict[str, Json]:
        """The form of submission.json."""
        return {"schema": SCHEMA} | asdict(self)


def pack(folder: RunFolder, out: Path, data: Path | None = None) -> Submission:
    """Write the archive and note its fingerprint in the run's folder.

    Args:
        out: The zip; it is there only when it is whole.
        data: The benchmark's files, to check the run against; else the run's own record of them is taken.

    Raises:
        ConfigError: The benchmark has no server, or the zip cannot be written there.
        DataError: An expression, a frame or a mask is missing or does not fit.
    """
    expected = expected_of(folder, data)
    for prediction in folder.predictions():
        _check_masks(prediction, expected[prediction.sample_id])
    with _whole_file(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for prediction in folder.predictions():
            _write_expression(archive, prediction, expected[prediction.sample_id])
    submission = _described(folder.run.task, out, expected.values())
    text = json.dumps(submission.to_json(), ensure_ascii=False, indent=2)
    write_whole(folder.path / SUBMISSION, text + "\n")
    return submission


def check_archive(folder: RunFolder, archive_path: Path, data: Path | None = None) -> Submission:
    """Check an archive, whoever packed it, against what the server expects: every picture, its size, and no more.

    Raises:
        DataError: Something is missing, too much, or not as it should be; names the first such thing.
    """
    expected = expected_of(folder, data)
    wanted = {path: one.size for one in expected.values() for path in one.paths()}
    try:
        with zipfile.ZipFile(archive_path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_names(archive_path, [entry.filename for entry in entries], wanted)
            for entry in entries:
                _check_png(archive, entry, wanted[entry.filename])
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive_path} is no readable zip ({error}); give one that is whole.") from error
    return _described(folder.run.task, archive_path, expected.values())


def expected_of(folder: RunFolder, data: Path | None) -> dict[str, Expected]:
    """What the archive must hold, by question.

    Raises:
        ConfigError: The benchmark has no server.
        DataError: The run is not whole, or is not of these data.
    """
    run = folder.run
    if run.task not in ROOTS:
        raise ConfigError(f"{run.task} has no server; only {' and '.join(ROOTS)} take a submission.")
    asked = [question.sample_id for question in folder.manifest()]
    if run.limit is not None:
        raise DataError(f"{folder.path} was limited to the first {run.limit} questions; run all of {run.task} first.")
    stored = dict(_stored(folder))
    if lacking := [sample_id for sample_id in asked if sample_id not in stored]:
        raise DataError(
            f"{folder.path} has no answer to {len(lacking)} of {len(asked)} questions, such as {lacking[0]}; "
            "run sama bench run again, which answers what is left."
        )
    if data is None:
        return stored
    official = {
        sample.sample_id: _expected(run.task, sample.sample_id, sample.video, sample.facts)
        for sample in load_task(run.task).samples(data, options_of(run))
    }
    if different := [key for key in official.keys() | stored.keys() if official.get(key) != stored.get(key)]:
        raise DataError(
            f"{folder.path} and {data} differ in {len(different)} expressions, such as {min(different)}; "
            "give the data that was run."
        )
    return official


def _stored(folder: RunFolder) -> Iterator[tuple[str, Expected]]:
    for prediction in folder.predictions():
        if prediction.error is not None:
            raise DataError(
                f"{folder.path}: {prediction.sample_id} failed ({prediction.error}); run sama bench run again, which "
                "asks what failed."
            )
        sample_id = prediction.sample_id
        yield sample_id, _expected(folder.run.task, sample_id, prediction.video, prediction.facts)


def _expected(task: str, sample_id: str, video: str, facts: Mapping[str, Json]) -> Expected:
    """What a question's facts say of its pictures; every part of a path must be a plain name."""
    names = tuple(_stem(name) for name in facts["frames"])
    parts = (*video.split("/"), str(facts["expression_id"]), *names)
    for part in parts:
        if part in ("", ".", "..") or any(character in part for character in '/\\:\0"<>|?*'):
            raise DataError(f"{sample_id}: {part!r} cannot be a name in the archive; check the expression file.")
    if len(set(names)) != len(names):
        raise DataError(f"{sample_id}: two frames of {video} have one name; check the expression file.")
    folder = f"{ROOTS[task]}{video}/{facts['expression_id']}"
    return Expected(sample_id, video, folder, names, (int(facts["height"]), int(facts["width"])))


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _SUFFIXES else name


def _check_masks(prediction: Prediction, expected: Expected) -> None:
    track = prediction.pred_tracks[0] if prediction.pred_tracks else ()
    if len(track) > len(expected.names):
        raise DataError(
            f"{prediction.sample_id} has masks of {len(track)} frames, but {expected.video} has {len(expected.names)}; "
            "give one for each frame."
        )
    for mask, name in zip(track, expected.names, strict=False):
        if mask is not None and tuple(mask["size"]) != expected.size:
            given, wanted = ("{1}x{0}".format(*size) for size in (mask["size"], expected.size))
            raise DataError(f"{prediction.sample_id}: the mask of frame {name} is {given}, the video {wanted}.")


def _write_expression(archive: zipfile.ZipFile, prediction: Prediction, expected: Expected) -> None:
    track = prediction.pred_tracks[0] if prediction.pred_tracks else ()
    for idx, path in enumerate(expected.paths()):
        mask = track[idx] if idx < len(track) else None
        entry = zipfile.ZipInfo(path, _FIXED_TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 3  # Unix, wherever it is written
        entry.external_attr = 0o100644 << 16
        archive.writestr(entry, empty_png(expected.size) if mask is None else png(decode(mask)))


def png(mask: Bool[np.ndarray, "height width"]) -> bytes:
    """A mask as the servers read it: one channel of eight bits, 0 and 255."""
    content = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(content, "PNG", compress_type=_PNG_RUNS)
    return content.getvalue()


@lru_cache(maxsize=8)
def empty_png(size: tuple[int, int]) -> bytes:
    """Nothing, at a size; most frames of many answers."""
    return png(np.zeros(size, dtype=np.bool_))


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when it is whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = beside.open("wb")
    except OSError as error:
        raise ConfigError(f"--out {path} cannot be written ({error.strerror}); name a file you may write.") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _described(task: str, path: Path, expected: Collection[Expected]) -> Submission:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Submission(
        task=task,
        file=path.name,
        sha256=sha256,
        bytes=path.stat().st_size,
        videos=len({one.video for one in expected}),
        expressions=len(expected),
        pngs=sum(len(one.names) for one in expected),
    )


def _check_names(archive_path: Path, found: Sequence[str], wanted: Mapping[str, object]) -> None:
    problems = {
        "lacks": sorted(wanted.keys() - set(found)),
        "has, besides what is expected,": sorted(set(found) - wanted.keys()),
        "has twice": sorted(name for name, count in Counter(found).items() if count > 1),
    }
    for problem, names in problems.items():
        if names:
            raise DataError(
                f"{archive_path} {problem} {len(names)} files, such as {names[0]}; {len(wanted)} are expected."
            )


def _check_png(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: tuple[int, int]) -> None:
    height, width = size
    if entry.file_size > 2 * height * width + _PNG_SLACK:
        raise DataError(f"{entry.filename} has {entry.file_size} bytes, too many for a mask of {width}x{height}.")
    try:
        with Image.open(io.BytesIO(archive.read(entry)), formats=["PNG"]) as image:
            mode, found = image.mode, (image.height, image.width)
            values = set(np.unique(np.asarray(image)).tolist()) if (mode, found) == ("L", size) else set()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{entry.filename} is no readable PNG ({error}).") from error
    if mode != "L" or found != size or not values <= {0, 255}:
        raise DataError(
            f"{entry.filename} is {found[1]}x{found[0]} of mode {mode} with {len(values)} values; a mask is "
            f"{width}x{height}, has one channel of eight bits, and the values 0 and 255."
        )
