"""Which official layouts lie directly below a folder, told by names and files; nothing deeper is searched."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias

from sama_video.data.findings import FaultError, Findings
from sama_video.data.json_items import iterate_object
from sama_video.data.records import SCHEMA_FAMILY
from sama_video.data.sources.chat_univi import FILE as CHAT_UNIVI_FILE
from sama_video.data.sources.grounded_captions import FILES as GCG_FILES
from sama_video.data.sources.llava import FILE as LLAVA_FILE
from sama_video.data.sources.osprey import FILES as OSPREY_FILES
from sama_video.data.sources.osprey import FOLDER as OSPREY_FOLDER
from sama_video.data.sources.sama import BENCHMARK_FILES, RECORD_FILE
from sama_video.data.sources.vidstg import SPLITS as VIDSTG_SPLITS

Kind: TypeAlias = Literal[
    "sama239k",
    "sama_bench",
    "mevis",
    "revos",
    "ref_youtube_vos",
    "ref_davis17",
    "ref_sav",
    "refcoco",
    "gcg",
    "llava",
    "chat_univi",
    "osprey",
    "videorefer_700k",
    "vidstg",
    "sav",
    "annotations",
    "records",
    "record_shards",
]

_VIDEO_SETS: Final[dict[str, Kind]] = {
    "mevis": "mevis",
    "revos": "revos",
    "rvos": "ref_youtube_vos",
    "ref_youtube_vos": "ref_youtube_vos",
    "davis17": "ref_davis17",
    "chat_univi": "chat_univi",
}
_OTHER_SETS: Final[dict[str, Kind]] = {
    "llava_data": "llava",
    "osprey-724k": "osprey",
    "glamm_data": "gcg",
    "videorefer_700k": "videorefer_700k",
    "vidstg": "vidstg",
}
_MARKS: Final[dict[Kind, tuple[str, ...]]] = {
    "llava": (LLAVA_FILE,),
    "chat_univi": (CHAT_UNIVI_FILE,),
    "osprey": tuple(f"{OSPREY_FOLDER}/{file}" for file in OSPREY_FILES),
    "gcg": tuple(GCG_FILES.values()),
    "vidstg": tuple(f"annotations/{split}_annotations.json" for split in VIDSTG_SPLITS),
    "sav": ("sav_train/sav_*/sav_*_manual.json", "sav_*/sav_*_manual.json", "sav_*_manual.json"),
}
"""Files by which a set's own folder is known, one of them at least."""

REF_SAV_FILE: Final = "Ref-SAV.json"
MAX_SNIFFED_BYTES: Final = 4096
SHARD_SUFFIXES: Final = (".parquet", ".tar")
"""Of files that hold many records of ours."""

_MANIFEST: Final = "dataset.json"
_MANIFEST_SCHEMA: Final = "sama-dataset/"
_PARTS: Final = ("train", "test")
_PARQUET_MARK: Final = b"sama_schema"
_FOOTER_BYTES: Final = 2**16


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
    """Every official layout directly below a folder, or the folder itself if it is one, and our records beside it."""
    found = list(_found(base)) or [(kind, base) for kind in _itself(base)]
    return [Layout(kind, path, base) for kind, path in dict.fromkeys([*found, *_own_records(base)])]


def splits_of(layout: Layout) -> list[str]:
    """The splits that an expression set has, sorted; Ref-SAV's file is one."""
    match layout.kind:
        case "ref_sav":
            return ["train"]
        case "vidstg":
            return [split for split in VIDSTG_SPLITS if _split_file(layout.path, split).is_file()]
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
    for name, kind in _OTHER_SETS.items():
        # A folder of pictures for a benchmark alone is no training set.
        if (base / name).is_dir() and (kind not in ("gcg", "vidstg") or _has_marks(base / name, kind)):
            yield kind, base / name


def _own_records(base: Path) -> Iterator[tuple[Kind, Path]]:
    """Record files and shards of ours: in the folder, or in the parts of a data set that was published there."""
    if any(path.name.endswith(".jsonl") and _begins_with_record(path) for path in _entries(base)):
        yield "records", base
    for folder in (base, *((base / part for part in _PARTS) if is_published(base) else ())):
        if has_records(folder):
            yield "record_shards", folder


def is_published(folder: Path) -> bool:
    """Whether `sama data annotate` has put a data set there."""
    return _says(folder / _MANIFEST, _MANIFEST_SCHEMA)


def has_records(folder: Path) -> bool:
    """Whether a folder holds Parquet or WebDataset shards of records of ours."""
    return any(path.suffix in SHARD_SUFFIXES and _is_shard(path) for path in _entries(folder))


def _is_shard(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix == ".tar":
        return _says(path, SCHEMA_FAMILY)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _FOOTER_BYTES))
        return _PARQUET_MARK in file.read()


def _says(path: Path, words: str) -> bool:
    """Whether a file has some words near its beginning."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return words.encode() in file.read(MAX_SNIFFED_BYTES)


def _split_file(root: Path, split: str) -> Path:
    return root / "annotations" / f"{split}_annotations.json"


def _has_marks(folder: Path, kind: Kind) -> bool:
    return any(next(folder.glob(mark), None) is not None for mark in _MARKS[kind])


def _itself(base: Path) -> list[Kind]:
    names = [path.name for path in _entries(base)]
    if RECORD_FILE in names:
        return ["sama239k"]
    if any(BENCHMARK_FILES.fullmatch(name) for name in names):
        return ["sama_bench"]
    if any(name.endswith(".jsonl") for name in names):
        return ["records"]
    return [kind for kind in _MARKS if _has_marks(base, kind)][:1]


def sav_root(layout: Layout) -> Path:
    """The folder that stands for the first part of Ref-SAV's paths: that part itself, or where SAMA-239K has SA-V."""
    try:
        _, entry = next(iterate_object(layout.path, Findings()))
    except (FaultError, StopIteration):
        return layout.path.parent
    path = entry.get("video_path") if isinstance(entry, dict) else None
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if len(parts) < 2 or ".." in parts:
        return layout.path.parent
    folders = (layout.path.parent / parts[0], layout.base / "sama239k_data", layout.path.parent)
    return next((folder for folder in folders if (folder / parts[1]).exists()), folders[0])


def record_files(folder: Path) -> list[Path]:
    """The record files of a folder of ours: those that say so, or all `.jsonl` files where none does."""
    files = [path for path in _entries(folder) if path.name.endswith(".jsonl")]
    return [path for path in files if _begins_with_record(path)] or files


def _begins_with_record(path: Path) -> bool:
    with path.open("rb") as lines:
        return SCHEMA_FAMILY.encode() in lines.readline(MAX_SNIFFED_BYTES)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
