"""What an answer depends on, as hashes: an answer is used again only where all of it is the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import sama_video
from sama_video.bench.records import same_tracks
from sama_video.bench.store import RunInfo
from sama_video.bench.task import Json, Sample, Track
from sama_video.regions.shapes import region_to_json

ANSWERING_ROOMS = ("video", "regions", "dialogue", "model", "chat", "bench/models")
"""Whose code has a say in an answer; how it is scored can change without asking anew."""

KEY_LENGTH = 24


def sample_json(sample: Sample) -> dict[str, Json]:
    """Everything that a sample asks and refers to, but its pictures and reference masks."""
    return {
        "id": sample.sample_id,
        "video": sample.video,
        "subset": sample.subset,
        "question_id": sample.question_id,
        "question": sample.question,
        "regions": [region_to_json(region) for region in sample.regions],
        "prompt": dict(sample.prompt),
        "ground": sample.ground,
        "reference_text": sample.reference_text,
        "reference_phrases": list(sample.reference_phrases),
        "dialogue": sample.dialogue,
        "turn": sample.turn_idx,
        "frames": None if sample.frames is None else list(sample.frames),
        "facts": dict(sample.facts),
    }


class DataHash:
    """Hash of a benchmark's questions, taken one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, sample: Sample) -> None:
        """Take one more question in."""
        self._digest.update(_canonical(sample_json(sample)) + b"\n")

    def hexdigest(self) -> str:
        """Of all so far."""
        return self._digest.hexdigest()[:KEY_LENGTH]


def prediction_key(run: RunInfo, sample_id: str, pictures: str, references: Sequence[Track]) -> str:
    """Hash of all that one answer and its record depend on.

    The run's own hash of all questions is part of it: with a history, an answer depends on other questions too.

    Args:
        pictures: Hash of the clip's content; empty for a model that looks at none.
        references: The sample's reference masks.
    """
    parts = {"run": run.to_json(), "id": sample_id, "pictures": pictures, "references": same_tracks(references)}
    return hashlib.sha256(_canonical(parts)).hexdigest()[:KEY_LENGTH]


@cache
def code_version() -> str:
    """Version of the package and hash of the code that answers."""
    package = Path(sama_video.__file__).parent
    files = sorted(path for room in ANSWERING_ROOMS for path in (package / room).rglob("*.py"))
    return f"{sama_video.__version__}+{_hash_of(files, package)[:12]}"


def file_hash(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:KEY_LENGTH]


def _hash_of(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _canonical(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
