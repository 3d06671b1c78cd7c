"""Records by their path: its name and the files in it tell which store reads them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sama_video.data.findings import Findings
from sama_video.data.formats import detect
from sama_video.data.sources.layouts import REF_SAV_FILE, find_layouts, has_records, record_files
from sama_video.data.sources.refcoco import INSTANCES, REFS
from sama_video.data.sources.sama import RECORD_FILE
from sama_video.data.sources.to_records import OPENERS, open_source
from sama_video.data.stores.jsonl import JsonlStore
from sama_video.data.stores.parquet import ParquetStore, shard_files
from sama_video.data.stores.store import DEFAULTS, RecordStore, StoreOptions
from sama_video.data.stores.tar import TarStore, tar_files
from sama_video.errors import DataError

OWN: Final = ("jsonl", "parquet", "webdataset")
LAYOUTS: Final = (*OWN, *OPENERS)
"""Names that `open_store` takes."""


def open_store(
    path: str | os.PathLike[str],
    layout: str = "auto",
    *,
    options: StoreOptions = DEFAULTS,
    root: str | os.PathLike[str] | None = None,
    strict: bool = False,
) -> RecordStore:
    """Open records without reading them.

    Args:
        path: A JSON Lines file, a folder of such files or of Parquet or WebDataset shards, or the folder of a published
            data set (`sama239k_data`, `video_datas/mevis`, `ref_seg/refcoco`, ...; the file `Ref-SAV.json`), or
            annotations of another tool.
        layout: One of `LAYOUTS`, or "auto" to tell it by names and files.
        options: How entries of published data sets become records.
        root: Folder that the clips of our own records are named relative to; that of the file if not given.
        strict: Raise the first fault instead of counting it.

    Raises:
        DataError: There is nothing of a known layout, or no record in it.
        MissingExtraError: Parquet, without pyarrow.
    """
    path = Path(path)
    if layout != "auto" and layout not in LAYOUTS:
        raise DataError(f"layout {layout!r} is unknown; layouts are auto, {', '.join(LAYOUTS)}.")
    if not path.exists():
        raise DataError(f"{path} is not there; give a record file, a folder of them, or a data set's folder.")
    findings = Findings(strict, base=path if path.is_dir() else path.parent)
    layout = layout_of(path) if layout == "auto" else layout
    if layout in OPENERS:
        return open_source(path, layout, options, findings)
    clips = None if root is None else Path(root)
    store: RecordStore
    if layout == "parquet":
        files = [path] if path.is_file() else shard_files(path)
        store = ParquetStore(_some(files, path, "Parquet shard"), clips, findings)
    elif layout == "webdataset":
        files = [path] if path.is_file() else tar_files(path)
        store = TarStore(_some(files, path, "tar shard"), findings)
    else:
        files = [path] if path.is_file() else record_files(path)
        store = JsonlStore(_some(files, path, ".jsonl file"), clips, findings)
    return store


def layout_of(path: Path) -> str:
    """The layout of a file or folder.

    Raises:
        DataError: It has none that is known, or holds several data sets.
    """
    if path.is_file():
        known: Mapping[str, str] = {".jsonl": "jsonl", ".parquet": "parquet", ".tar": "webdataset"}
        found = "ref_sav" if path.name == REF_SAV_FILE else known.get(path.suffix)
    else:
        found = _layout_of_folder(path)
    if found is not None:
        return found
    inside = [one.name for one in find_layouts(path)] if path.is_dir() else []
    if inside and inside != ["."]:
        raise DataError(f"{path} holds {len(inside)} data sets; open one of them: {', '.join(inside)}.")
    found = _format_of(path)
    if found is not None:
        return found
    raise DataError(f"{path} has no records of a known layout; say which it is: {', '.join(LAYOUTS)}.")


def _layout_of_folder(path: Path) -> str | None:
    names = {entry.name for entry in path.iterdir()}
    if RECORD_FILE in names:
        return "sama239k"
    if any(name.endswith(".parquet") for name in names):
        return "parquet"
    if any(name.endswith(".jsonl") for name in names):
        return "jsonl"
    if any(name.endswith(".tar") for name in names) and has_records(path):
        return "webdataset"
    if INSTANCES in names and names.intersection(REFS):
        return "refcoco"
    if any(name.startswith("meta_expressions_") and name.endswith("_.json") for name in names):
        return "revos"
    if "meta_expressions" in names:
        return "ref_davis17" if "davis" in path.absolute().name.lower() else "ref_youtube_vos"
    if any(path.glob("*/meta_expressions.json")):
        return "mevis"
    found = next((one.kind for one in find_layouts(path) if one.path == path), None)
    return found if found in OPENERS else None


def _format_of(path: Path) -> str | None:
    """The annotation format of another tool."""
    try:
        return detect(path).name
    except DataError:
        return None


def _some(files: list[Path], path: Path, what: str) -> list[Path]:
    if not files:
        raise DataError(f"{path} has no {what}; give a folder that holds one.")
    return files
