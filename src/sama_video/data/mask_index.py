"""An index of a big file's items, kept in a small file of its own, so that the big one is opened without being read.

    [items' own text, if the big file cannot be read in parts] [starts] [lengths] [key ends] [keys] [header] [footer]

The footer comes last and the file gets its name only when it is whole, so a file that was left half written, by a kill
or a full disk, is never taken for an index. An index belongs to one size and one time of change of the big file and to
one version of this format; any other is made anew. Several processes may make it at once: each writes a file of its own
name, and all of them write the same.
"""

import io
import json
import mmap
import os
import secrets
import struct
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape as glob_escape
from hashlib import sha256
from io import BufferedIOBase
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64

from sama_video.data.json_items import Items, Span

VERSION: Final = 1
SUFFIX: Final = ".sama-index"
_FOOTER: Final = struct.Struct("<I8s")
_MAGIC: Final = b"SAMAIDX\n"
_NUMBER: Final = np.dtype("<i8")
_STALE_SECONDS: Final = 24 * 3600


@dataclass(frozen=True)
class Stamp:
    """What tells one state of a file from another."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, stream: BufferedIOBase) -> "Stamp":
        """The state of an open file."""
        status = os.fstat(stream.fileno())
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class Index:
    """Where each item is, by key; sorted by key, so that finding one takes a few steps and no memory.

    Attributes:
        stamp: The state of the big file that it belongs to.
        starts, lengths: Bytes of each item.
        key_ends: Where each key ends in `keys`.
        keys: All keys as UTF-8, sorted, without gaps.
        has_bom: Whether the big file begins with a byte order mark.
        text: What the bytes are counted in, if that is not the big file: another file, or bytes in memory.
    """

    stamp: Stamp
    starts: Int64[np.ndarray, " items"]
    lengths: Int64[np.ndarray, " items"]
    key_ends: Int64[np.ndarray, " items"]
    keys: bytes | memoryview
    has_bom: bool = False
    text: Path | bytes | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def find(self, key: str) -> Span | None:
        """Where an item is, None if there is none of that key."""
        wanted = _as_bytes(key)
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self) or self._key(low) != wanted:
            return None
        return Span(int(self.starts[low]), int(self.lengths[low]))

    def ids(self) -> Iterator[str]:
        """All keys, in the order of the items in the file."""
        for number in np.argsort(self.starts, kind="stable").tolist():
            yield self._key(number).decode("utf-8", "surrogatepass")

    def _key(self, number: int) -> bytes:
        return bytes(self.keys[int(self.key_ends[number - 1]) if number else 0 : int(self.key_ends[number])])


def make_index(items: Items, stamp: Stamp, text: Path | bytes | None = None) -> Index:
    """Sort the items of an object by key; of several with one key the last counts, as JSON readers have it."""
    last = {_as_bytes(key): number for number, key in enumerate(items.keys)}
    keys = sorted(last)
    order = np.fromiter((last[key] for key in keys), np.int64, len(keys))
    starts, ends = (np.frombuffer(numbers, np.int64)[order] for numbers in (items.starts, items.ends))
    key_ends = np.cumsum(np.fromiter(map(len, keys), np.int64, len(keys)))
    return Index(stamp, starts, ends - starts, key_ends, b"".join(keys), items.has_bom, text)


def read_index(path: Path, stamp: Stamp) -> Index | None:
    """Open an index; None if there is none, or not a whole one, or one of another state of the big file.

    The arrays stay on disk and are shared by all processes that have them open.
    """
    try:
        with path.open("rb") as stream:
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return _unpack(content, path, stamp)
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        # Whatever is wrong with it, it is made anew and nothing is lost.
        return None


def write_index(path: Path, index: Index) -> bool:
    """Write an index under its name, whole or not at all; False where no such file can be written."""
    return _publish(path, lambda stream: _pack(stream, index, text_bytes=0))


def write_index_with_text(path: Path, stamp: Stamp, values: Iterable[tuple[str, object]]) -> bool:
    """Write an index that holds the items' own JSON text; False where no such file can be written."""
    return _publish(path, lambda stream: _pack(stream, *_with_text(stream, stamp, values)))


def index_in_memory(stamp: Stamp, values: Iterable[tuple[str, object]]) -> Index:
    """Make an index of values whose JSON text stays in memory."""
    stream = io.BytesIO()
    index, _ = _with_text(stream, stamp, values)
    return Index(stamp, index.starts, index.lengths, index.key_ends, index.keys, text=stream.getvalue())


def index_places(path: Path) -> tuple[Path, Path]:
    """Where the index of a file may be: beside it, or in the cache where its folder cannot be written."""
    from sama_video.remote.hub import cache_folder

    name = sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return path.with_name(path.name + SUFFIX), cache_folder() / "mask-index" / f"{name}{SUFFIX}"


def _with_text(stream: BufferedIOBase, stamp: Stamp, values: Iterable[tuple[str, object]]) -> tuple[Index, int]:
    keys: list[str] = []
    starts, ends = array("q"), array("q")
    for key, value in values:
        keys.append(key)
        starts.append(stream.tell())
        stream.write(json.dumps(value, separators=(",", ":")).encode())
        ends.append(stream.tell())
    items = Items(is_object=True, keys=tuple(keys), starts=starts, ends=ends, has_bom=False)
    return make_index(items, stamp), stream.tell()


def _pack(stream: BufferedIOBase, index: Index, text_bytes: int) -> None:
    """Write what follows the items' text, the footer last."""
    arrays = (index.starts, index.lengths, index.key_ends)
    body = b"".join(numbers.astype(_NUMBER).tobytes() for numbers in arrays) + bytes(index.keys)
    header = json.dumps(
        {
            "version": VERSION,
            "size": index.stamp.size,
            "mtime_ns": index.stamp.mtime_ns,
            "items": len(index),
            "text_bytes": text_bytes,
            "key_bytes": len(index.keys),
            "has_bom": index.has_bom,
            "crc": zlib.crc32(body),
        }
    ).encode()
    stream.write(body + header + _FOOTER.pack(len(header), _MAGIC))


def _unpack(content: memoryview, path: Path, stamp: Stamp) -> Index | None:
    header_bytes, magic = _FOOTER.unpack_from(content, len(content) - _FOOTER.size)
    if magic != _MAGIC:
        return None
    body_end = len(content) - _FOOTER.size - header_bytes
    header = json.loads(bytes(content[body_end : len(content) - _FOOTER.size]))
    if header["version"] != VERSION or Stamp(header["size"], header["mtime_ns"]) != stamp:
        return None
    begin, items = header["text_bytes"], header["items"]
    keys_begin = begin + 3 * items * _NUMBER.itemsize
    if keys_begin + header["key_bytes"] != body_end or zlib.crc32(content[begin:body_end]) != header["crc"]:
        return None
    numbers = np.frombuffer(content[begin:keys_begin], _NUMBER).astype(np.int64, copy=False).reshape(3, items)
    if (numbers[:2] < 0).any():
        return None
    text = path if begin else None
    return Index(stamp, numbers[0], numbers[1], numbers[2], content[keys_begin:body_end], header["has_bom"], text)


def _publish(path: Path, write: Callable[[BufferedIOBase], None]) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        with _whole_or_nothing(path) as stream:
            write(stream)
    except OSError:
        return False
    return True


@contextmanager
def _whole_or_nothing(path: Path) -> Iterator[BufferedIOBase]:
    """Open a new file that gets its name at the end, when it is safely on disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove what a killed process left half written a day ago or earlier; a younger one may still be at work."""
    for partial in path.parent.glob(f".{glob_escape(path.name)}.*.partial"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > _STALE_SECONDS:
                partial.unlink()


def _as_bytes(key: str) -> bytes:
    # JSON may spell half a surrogate pair; it is an id like any other.
    return key.encode("utf-8", "surrogatepass")
