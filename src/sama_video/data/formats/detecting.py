"""Which format a file or folder is in, told by what is inside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sama_video.data.findings import FaultError, Findings
from sama_video.data.formats.cvat_video import FILE_NAME as CVAT_FILE
from sama_video.data.formats.cvat_xml import file_kind
from sama_video.data.formats.davis import is_davis
from sama_video.data.json_items import read_items, read_span
from sama_video.errors import DataError

NAMES: Final = ("coco", "youtube-vis", "davis", "cvat-video", "label-studio")


def detect_format(path: Path) -> tuple[str, tuple[Path, ...]]:
    """The format of a path, and the files or the one folder to read.

    A folder is looked at itself and in its folder `annotations`; for CVAT, in each of its folders.

    Raises:
        DataError: No format, several formats or several files are there.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; give an annotation file, or the folder that holds it.")
    if path.is_dir():
        return _of_folder(path)
    name = _of_file(path)
    if name is None:
        raise DataError(f"{path} is in none of the formats {', '.join(NAMES)}; unpack archives, and export as one.")
    return name, (path,)


def files_of(path: Path, name: str) -> tuple[Path, ...]:
    """What to read of a path that somebody says is in a format.

    Raises:
        DataError: It holds several files of that format, or none.
    """
    if not path.is_dir() or (name == "davis" and is_davis(path)):
        return (path,)
    found = tuple(file for file in _candidates(path) if _of_file(file) == name)
    return _checked(path, name, found)


def _of_folder(path: Path) -> tuple[str, tuple[Path, ...]]:
    if is_davis(path):
        return "davis", (path,)
    found: dict[str, list[Path]] = {}
    for file in _candidates(path):
        name = _of_file(file)
        if name is not None:
            found.setdefault(name, []).append(file)
    if len(found) != 1:
        what = f"files of {' and of '.join(found)}" if found else f"no file of {', '.join(NAMES)}"
        raise DataError(f"{path} holds {what}; give the annotation file itself.")
    name, files = found.popitem()
    return name, _checked(path, name, tuple(files))


def _checked(path: Path, name: str, files: tuple[Path, ...]) -> tuple[Path, ...]:
    if not files:
        raise DataError(f"{path} holds no annotations in the format {name}; give the annotation file itself.")
    if len(files) > 1 and name != "cvat-video":
        listed = ", ".join(file.name for file in files[:4])
        raise DataError(f"{path} holds {len(files)} files of {name} ({listed}); give one of them.")
    return files


def _candidates(folder: Path) -> list[Path]:
    """Files that may hold annotations, in the order of their names."""
    places = [folder, folder / "annotations"]
    files = [file for place in places if place.is_dir() for file in place.iterdir() if file.is_file()]
    files += [file for file in folder.glob(f"*/{CVAT_FILE}") if file.parent.name != "annotations"]
    return sorted(file for file in files if file.suffix.lower() in (".json", ".xml") and file.name[0] != ".")


def _of_file(path: Path) -> str | None:
    if path.suffix.lower() == ".xml":
        return "cvat-video" if file_kind(path) == "annotations" else None
    return _of_json(path) if path.suffix.lower() == ".json" else None


def _of_json(path: Path) -> str | None:
    """By the members of an object or the first entry of a list; nothing else is parsed."""
    try:
        items = read_items(path, Findings())
        if items.is_object:
            keys = set(items.keys)
            if {"images", "annotations", "categories"} <= keys:
                return "coco"
            return "youtube-vis" if {"videos", "annotations", "categories"} <= keys else None
        first = read_span(path, items.span(0), "task 0") if len(items) else None
    except FaultError:
        return None
    is_task = isinstance(first, Mapping) and isinstance(first.get("data"), Mapping)
    return "label-studio" if is_task and isinstance(first, Mapping) and "annotations" in first else None
