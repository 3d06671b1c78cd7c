"""What to fetch for a data set, and whether it is there: `sama data prepare`. Nothing is downloaded.

`data_sets.yaml` says for each set who gives it out, under which terms and where it belongs; what is found there is
counted by the readers' own passes over record files, and its mask dictionaries get their indexes.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from sama_video.data.counting import COUNTERS, Advance, CountPart
from sama_video.data.findings import FaultError, Findings
from sama_video.data.json_items import read_items
from sama_video.data.licences import Terms, terms_of
from sama_video.data.mask_files import open_mask_file
from sama_video.data.mask_index import index_places
from sama_video.data.sources.counters import COUNTERS as MORE_COUNTERS
from sama_video.errors import ConfigError

DATA_SETS: Final = Path(__file__).with_name("data_sets.yaml")
READERS: Final[dict[str, CountPart]] = COUNTERS | MORE_COUNTERS
"""Counts a part, by the name of its reader."""

LACKS: Final = frozenset(
    {"missing_file", "missing_video", "missing_frame", "encoding_error", "json_error", "unsafe_pickle"}
)
"""Faults that say a file is not there, or not as its publisher gave it out; the others are the data set's own."""


@dataclass(frozen=True)
class Fetch:
    """One thing to get, and from whom.

    Attributes:
        publisher: Who gives it out, by name.
        url: The publisher's own address, where it is well known; else None.
        terms: As the publisher states them.
        into: Folder below `--data`.
    """

    what: str
    publisher: str
    url: str | None
    terms: Terms
    into: str

    def to_json(self) -> dict[str, str | bool | None]:
        """An entry of `fetch` in `sama data prepare --json`."""
        terms = {"licence": self.terms.licence, "commercial": self.terms.commercial, "stated": self.terms.stated}
        return {"what": self.what, "from": self.publisher, "url": self.url, **terms, "into": self.into}


@dataclass(frozen=True)
class Part:
    """A split of a data set, or what else of it may be wanted alone.

    Attributes:
        folders: Where its folder may be below `--data`, most usual first.
        needs: Paths below that folder: `a/` is a folder that holds something, `a/*.mp4` at least one such file, `a | b`
            one of them.
        masks: Mask dictionaries, which are needed too.
        reader: Key of `READERS`; None where no reader of ours reads the part.
        entries: JSON files whose entries are counted.
        videos: Pattern of which each match is one video.
    """

    name: str
    folders: tuple[str, ...]
    needs: tuple[str, ...]
    masks: tuple[str, ...] = ()
    reader: str | None = None
    entries: tuple[str, ...] = ()
    videos: str | None = None


@dataclass(frozen=True)
class DataSet:
    """A published data set: what to fetch for it, and what then has to be there."""

    name: str
    title: str
    about: str
    fetch: tuple[Fetch, ...]
    parts: tuple[Part, ...]

    def only(self, names: Sequence[str]) -> tuple[Part, ...]:
        """The parts of these names; all where none is named.

        Raises:
            ConfigError: There is no part of a name.
        """
        known = {part.name: part for part in self.parts}
        for name in names:
            if name not in known:
                raise ConfigError(f"{self.title} has no part {name!r}; its parts are {', '.join(known)}.")
        return tuple(known[name] for name in dict.fromkeys(names)) or self.parts


@dataclass(frozen=True)
class Found:
    """What there is of a part.

    Attributes:
        root: The part's folder, or where it is to be.
        found, missing: The part's needs, mask dictionaries included, as they stand in its description.
    """

    part: Part
    root: Path
    found: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def masks(self) -> tuple[Path, ...]:
        """The mask dictionaries that are there."""
        return tuple(path for need in self.part.masks if (path := locate(self.root, need)) is not None)

    @property
    def readable(self) -> bool:
        """Whether the file that the part's reader begins with is there."""
        return self.part.needs[0] not in self.missing

    def to_json(self) -> dict[str, Any]:
        """The part's presence in `sama data prepare --json`."""
        return {
            "part": self.part.name,
            "folder": str(self.root),
            "found": list(self.found),
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class IndexedMasks:
    """A mask dictionary that can be opened without being read.

    Attributes:
        annotations: How many it holds; None where it cannot be read.
        index: The index's file; None for a dictionary so small that it is scanned anew each time.
    """

    path: Path
    annotations: int | None
    index: Path | None

    def to_json(self) -> dict[str, Any]:
        """An entry of `masks` in `sama data prepare --json`."""
        index = None if self.index is None else str(self.index)
        return {"file": str(self.path), "annotations": self.annotations, "index": index}


@lru_cache(maxsize=1)
def data_sets() -> dict[str, DataSet]:
    """All sets that `data_sets.yaml` describes, by name."""
    document = yaml.safe_load(DATA_SETS.read_text(encoding="utf-8"))
    return {name: _data_set(name, row) for name, row in document["sets"].items()}


def data_set(name: str) -> DataSet:
    """A data set by name; capitals, blanks, hyphens and underscores make no difference.

    Raises:
        ConfigError: There is none of that name; names the nearest.
    """
    known = {_plain(key): key for key in data_sets()}
    if _plain(name) not in known:
        close = get_close_matches(_plain(name), known, n=1)
        nearest = f"did you mean {known[close[0]]}? " if close else ""
        raise ConfigError(f"no data set {name!r}; {nearest}sama data prepare --list names them.")
    return data_sets()[known[_plain(name)]]


def find_parts(parts: Iterable[Part], base: Path) -> tuple[Found, ...]:
    """Look for parts below a folder; no file is opened.

    Raises:
        ConfigError: The folder is a file.
    """
    if base.exists() and not base.is_dir():
        raise ConfigError(f"--data {base} is no folder; name the one that holds, or is to hold, the data sets.")
    return tuple(_find(part, base) for part in parts)


def index_masks(found: Sequence[Found], findings: Findings, advance: Advance) -> tuple[IndexedMasks, ...]:
    """Open each mask dictionary once, which makes its index where it is large.

    Args:
        findings: Takes what is wrong with one.
        advance: Told of the bytes done; `mask_bytes` gives how many there are.
    """
    paths = _distinct_masks(found)
    return tuple(_indexed(path, findings, advance) for path in paths)


def mask_bytes(found: Sequence[Found]) -> int:
    """Bytes of all mask dictionaries that `index_masks` opens."""
    return sum(path.stat().st_size for path in _distinct_masks(found))


def count_part(found: Found, base: Path, findings: Findings, advance: Advance) -> dict[str, int]:
    """Count what is in a part; frames and masks stay closed.

    Args:
        base: The folder of all data sets.
        findings: Takes what is dropped.
        advance: Told of each record, video or picture.
    """
    part, counts = found.part, dict[str, int]()
    try:
        if part.reader is not None and found.readable:
            counts |= READERS[part.reader](found.root, base, part.name, findings, advance)
        for name in part.entries:
            path = locate(found.root, name)
            if path is not None:
                counts[f"entries of {path.name}"] = len(read_items(path, findings))
    except FaultError as error:
        findings.take(error)
    if part.videos is not None:
        counts["videos"] = sum(1 for _ in found.root.glob(part.videos))
    return counts


def lacking(findings: Findings) -> dict[str, int]:
    """Faults that say something was not fetched whole, by reason."""
    return {reason: count for reason, count in sorted(findings.faults.items()) if reason in LACKS}


def locate(root: Path, need: str) -> Path | None:
    """The first thing below a folder that fulfils a need; None if nothing does."""
    for name in (one.strip() for one in need.split("|")):
        path = root / name
        if "*" in name:
            match = next(root.glob(name), None)
            if match is not None:
                return match
        elif (name.endswith("/") and path.is_dir() and any(path.iterdir())) or (
            not name.endswith("/") and path.is_file()
        ):
            return path
    return None


def _find(part: Part, base: Path) -> Found:
    """What there is of a part in the first of its folders that has any of it; a set's own folder may be given too."""
    needs = (*part.needs, *part.masks)
    places = [base / folder for folder in part.folders]
    root = next((place for place in (*places, base) if any(locate(place, need) for need in needs)), places[0])
    there = {need for need in needs if locate(root, need) is not None}
    return Found(part, root, *(tuple(need for need in needs if (need in there) is wanted) for wanted in (True, False)))


def _distinct_masks(found: Sequence[Found]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(path for one in found for path in one.masks))


def _indexed(path: Path, findings: Findings, advance: Callable[[int], None]) -> IndexedMasks:
    size = path.stat().st_size
    try:
        annotations = len(open_mask_file(path, findings))
    except FaultError as error:
        findings.take(error)
        annotations = None
    advance(size)
    index = next((place for place in index_places(path) if annotations is not None and place.is_file()), None)
    return IndexedMasks(path, annotations, index)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def _data_set(name: str, row: Mapping[str, Any]) -> DataSet:
    return DataSet(
        name,
        row["title"],
        row["about"],
        tuple(_fetch(one) for one in row["fetch"]),
        tuple(_part(part, {"folders": row["folders"], **given}) for part, given in row["parts"].items()),
    )


def _fetch(row: Mapping[str, str]) -> Fetch:
    return Fetch(row["what"], row["from"], row.get("url"), terms_of(row["terms"]), row["into"])


def _part(name: str, row: Mapping[str, Any]) -> Part:
    lists = {key: tuple(row.get(key, ())) for key in ("folders", "needs", "masks", "entries")}
    return Part(name, **lists, reader=row.get("reader"), videos=row.get("videos"))
