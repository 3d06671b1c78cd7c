"""Which official layouts lie directly below a folder, told by names and files; nothing deeper is searched."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sama_video.data.records import SCHEMA_FAMILY
from sama_video.data.sources.sama import BENCHMARK_FILES, RECORD_FILE

Kind: TypeAlias = Literal[
    "sama239k", "sama_bench", "mevis", "revos", "ref_youtube_vos", "ref_davis17", "ref_sav", "refcoco", "records"
]

_VIDEO_SETS: Final[dict[str, Kind]] = {
    "mevis": "mevis",
    "revos": "revos",
    "rvos": "ref_youtube_vos",
    "ref_youtube_vos": "ref_youtube_vos",
    "davis17": "ref_davis17",
}
REF_SAV_FILE: Final = "Ref-SAV.json"
MAX_SNIFFED_BYTES: Final = 4096


@dataclass(frozen=True)
class Layout:
    """One data set as it was published.

    Attributes:
        kind: Which reader reads it.
        path: Its folder, or its one file.
        base: The folder that was searched.
    """

    kind: Kind
    path: Path
    base: Path

    @property
    def name(self) -> str:
        """Where it lies below the folder that was searched."""
        return self.path.relative_to(self.base).as_posix()


def find_layouts(base: Path) -> list[Layout]:
    """Every official layout directly below a folder, or the folder itself if it is one; empty if there is none."""
    found = [Layout(kind, path, base) for kind, path in _found(base)]
    return found or [Layout(kind, base, base) for kind in _itself(base)]


def splits_of(layout: Layout) -> list[str]:
    """The splits that an expression set has, sorted; Ref-SAV's file is one."""
    match layout.kind:
        case "ref_sav":
            return ["train"]
        case "mevis":
            return sorted(path.parent.name for path in layout.path.glob("*/meta_expressions.json"))
        case "revos":
            files = layout.path.glob("meta_expressions_*_.json")
            return sorted(path.name.removeprefix("meta_expressions_").removesuffix("_.json") for path in files)
        case _:
            return sorted(path.parent.name for path in layout.path.glob("meta_expressions/*/meta_expressions.json"))


def _found(base: Path) -> Iterator[tuple[Kind, Path]]:
    if (base / "sama239k_data").is_dir():
        yield "sama239k", base / "sama239k_data"
    if (base / "sama_bench").is_dir():
        yield "sama_bench", base / "sama_bench"
    for path in _entries(base / "video_datas"):
        if path.name in _VIDEO_SETS and path.is_dir():
            yield _VIDEO_SETS[path.name], path
        elif path.name == REF_SAV_FILE:
            yield "ref_sav", path
    for path in _entries(base / "ref_seg"):
        if path.name.startswith("refcoco") and path.is_dir():
            yield "refcoco", path


def _itself(base: Path) -> list[Kind]:
    names = [path.name for path in _entries(base)]
    if RECORD_FILE in names:
        return ["sama239k"]
    if any(BENCHMARK_FILES.fullmatch(name) for name in names):
        return ["sama_bench"]
    return ["records"] if any(name.endswith(".jsonl") for name in names) else []


def record_files(folder: Path) -> list[Path]:
    """The record files of a folder of ours: those that say so, or all `.jsonl` files where none does."""
    files = [path for path in _entries(folder) if path.name.endswith(".jsonl")]
    return [path for path in files if _begins_with_record(path)] or files


def _begins_with_record(path: Path) -> bool:
    with path.open("rb") as lines:
        return SCHEMA_FAMILY.encode() in lines.readline(MAX_SNIFFED_BYTES)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
