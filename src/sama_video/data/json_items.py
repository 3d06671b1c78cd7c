"""Where the items of a big JSON list or object are, found in one pass that parses none of them.

A mask dictionary has gigabytes, one of its tracks some kilobytes. The pass looks at quotes, brackets, commas and colons
only, a block at a time, and keeps two numbers and the key of each item; an item is parsed when it is asked for.
"""

import codecs
import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8
from numpy.typing import NDArray

from sama_video.data.findings import FaultError, Findings

BLOCK_BYTES: Final = 2**18
MAX_KEY_BYTES: Final = 2**16
BOM: Final = codecs.BOM_UTF8

_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1
_SEPARATORS = np.zeros(256, np.bool_)
_SEPARATORS[[ord(","), ord(":")]] = True
_STRUCTURE: NDArray[np.bool_] = (_STEP != 0) | _SEPARATORS
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_INK = re.compile(rb"[^ \t\r\n]")


class Span(NamedTuple):
    """Bytes `start` to `start + length` of a file."""

    start: int
    length: int


@dataclass(frozen=True)
class Items:
    """The items of one list or object, in file order.

    Attributes:
        is_object: Whether they have keys.
        keys: One an item; none for a list.
        starts, ends: First byte of each item and the byte after it, white space included.
        has_bom: Whether the file begins with a byte order mark.
    """

    is_object: bool
    keys: tuple[str, ...]
    starts: "array[int]"
    ends: "array[int]"
    has_bom: bool

    def __len__(self) -> int:
        return len(self.starts)

    def span(self, number: int) -> Span:
        """Where one item is."""
        return Span(self.starts[number], self.ends[number] - self.starts[number])


def scan_items(stream: BufferedIOBase, name: str, block_bytes: int = BLOCK_BYTES) -> Items:
    """Find the items of the list or object that a JSON file is.

    Only what tells items apart is checked here: UTF-8, quotes, brackets, keys. Each item is checked when it is parsed.

    Raises:
        FaultError: `encoding_error`, `json_error` or, for a lone number or text, `schema_error`.
    """
    scanner = _Scanner(name)
    while block := stream.read(block_bytes):
        scanner.take(block)
    return scanner.finish()


def read_items(path: Path, findings: Findings) -> Items:
    """Find the items of a file, noting a byte order mark.

    Raises:
        FaultError: As `scan_items`, or `missing_file`.
    """
    try:
        with path.open("rb") as stream:
            items = scan_items(stream, str(path))
    except OSError as error:
        raise missing_file(path, error) from None
    if items.has_bom:
        note_bom(path, findings)
    return items


def iterate_list(path: Path, findings: Findings) -> Iterator[tuple[int, object]]:
    """Number and parse the entries of a file that is a JSON list, one at a time, so that memory holds one of them.

    Raises:
        FaultError: The file is missing, is no list or is damaged.
    """
    items = read_items(path, findings)
    if items.is_object:
        raise FaultError("schema_error", str(path), None, "the file is an object; it should be a list of records")
    for number in range(len(items)):
        yield number, read_span(path, items.span(number), f"record {number}")


def iterate_object(path: Path, findings: Findings) -> Iterator[tuple[str, object]]:
    """Parse the members of a file that is a JSON object one at a time, so that memory holds one of them.

    Raises:
        FaultError: The file is missing, is no object or is damaged.
    """
    items = read_items(path, findings)
    if not items.is_object:
        raise FaultError("schema_error", str(path), None, "the file is a list; it should be an object")
    for number, key in enumerate(items.keys):
        yield key, read_span(path, items.span(number), key)


def read_document(path: Path, findings: Findings) -> object:
    """Parse a whole JSON file.

    Raises:
        FaultError: `missing_file`, `encoding_error` or `json_error`, with the position.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise missing_file(path, error) from None
    text = content.removeprefix(BOM)
    if len(text) < len(content):
        note_bom(path, findings)
    return parse(text, str(path), None, len(content) - len(text))


def read_span(path: Path, span: Span, record: str | None) -> object:
    """Parse one item.

    Raises:
        FaultError: `json_error` with the position in the file.
    """
    return parse(read_bytes(path, span), str(path), record, span.start)


def read_bytes(path: Path, span: Span) -> bytes:
    """Read one item's text; the file is opened each time, so that processes and threads may share whoever reads."""
    try:
        with path.open("rb") as stream:
            stream.seek(span.start)
            return stream.read(span.length)
    except OSError as error:
        raise missing_file(path, error) from None


def parse(content: bytes, name: str, record: str | None, offset: int) -> object:
    """Parse JSON text that begins at byte `offset` of a file; a damaged one is told with its byte in the file."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(name, offset + error.start) from None
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        at = offset + len(text[: error.pos].encode())
        raise FaultError("json_error", name, record, f"no JSON at byte {at}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise FaultError("json_error", name, record, f"no usable JSON from byte {offset} on: {error}") from None
    return value


def missing_file(path: Path, error: OSError) -> FaultError:
    """The fault of a file that cannot be opened."""
    return FaultError("missing_file", str(path), None, f"the file cannot be read ({error.strerror})")


def note_bom(path: Path, findings: Findings) -> None:
    """Note a byte order mark, which JSON does not have but some editors write."""
    findings.note("byte_order_mark", str(path), None, "the file begins with a byte order mark")


def _not_utf8(name: str, position: int) -> FaultError:
    return FaultError("encoding_error", name, None, f"byte {position} is not UTF-8; JSON files are")


class _Scanner:
    """Follows a file block by block: before its bracket, in a key, in an item, after its bracket."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._strings = _Strings()
        self._state = "before"
        self._is_object = False
        self._position = 0  # of the block's first byte in the file
        self._depth = 0
        self._has_bom = False
        self._key_text = bytearray()
        self._item_begun = 0
        self._item_has_ink = False
        self._keys: list[str] = []
        self._starts = array("q")
        self._ends = array("q")

    def take(self, block: bytes) -> None:
        """Go through the next bytes of the file."""
        self._check_encoding(block)
        if self._position == 0 and block.startswith(BOM):
            self._has_bom = True
            block = b" " * len(BOM) + block[len(BOM) :]
        codes = np.frombuffer(block, np.uint8)
        places = np.flatnonzero(_STRUCTURE[codes] & ~self._strings.inside(codes))
        steps = _STEP[codes[places]]
        depths = np.cumsum(steps, dtype=np.int64) + self._depth
        # Brackets of the whole, and what parts its items; all deeper ones belong to an item.
        events = np.where(steps < 0, depths <= 0, depths == 1)
        done = 0
        for place in places[events].tolist():
            self._pass(block, done, place)
            self._meet(block[place : place + 1], self._position + place)
            done = place + 1
        self._pass(block, done, len(block))
        self._position += len(block)
        if len(depths):
            self._depth = int(depths[-1])

    def finish(self) -> Items:
        """Come to the end of the file."""
        if self._decoder.getstate()[0]:
            raise _not_utf8(self._name, self._position - len(self._decoder.getstate()[0]))
        if self._state == "before":
            raise self._broken(self._position, "the file is empty")
        if self._state != "after":
            where = f" (the last whole item is {self._keys[-2]!r})" if len(self._keys) > 1 else ""
            raise self._broken(self._position, f"the file ends before its last bracket is closed{where}")
        return Items(self._is_object, tuple(self._keys), self._starts, self._ends, self._has_bom)

    def _check_encoding(self, block: bytes) -> None:
        kept = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _not_utf8(self._name, self._position - kept + error.start) from None

    def _pass(self, block: bytes, start: int, stop: int) -> None:
        """Go past bytes between two events."""
        if self._state == "key":
            self._key_text += block[start:stop]
            if len(self._key_text) > MAX_KEY_BYTES:
                raise self._broken(self._position + start, "a key is longer than any id")
        elif not (self._state == "item" and self._item_has_ink):
            ink = _INK.search(block, start, stop)
            if ink is not None and self._state == "before":
                reason = "schema_error" if ink[0] in b'"-0123456789tfn' else "json_error"
                raise FaultError(
                    reason, self._name, None, f"byte {self._position + ink.start()} begins no list or object"
                )
            if ink is not None and self._state == "after":
                raise self._broken(self._position + ink.start(), "text goes on after the last bracket")
            self._item_has_ink = ink is not None

    def _meet(self, mark: bytes, at: int) -> None:
        """Take a bracket of the whole, or a comma or colon between its items."""
        if self._state == "before" and mark in b"[{":
            self._is_object = mark == b"{"
            self._begin(at)
        elif self._state == "key" and mark == b":":
            self._keys.append(self._key(at))
            self._state, self._item_begun, self._item_has_ink = "item", at + 1, False
        elif self._state == "item" and mark == b"," and self._item_has_ink:
            self._end(at)
            self._begin(at)
        elif mark == (b"}" if self._is_object else b"]") and self._may_close():
            if self._item_has_ink:
                self._end(at)
            self._state = "after"
        else:
            raise self._broken(at, f"unexpected {mark.decode()!r}")

    def _begin(self, at: int) -> None:
        self._state = "key" if self._is_object else "item"
        self._key_text.clear()
        self._item_begun, self._item_has_ink = at + 1, False

    def _end(self, at: int) -> None:
        self._starts.append(self._item_begun)
        self._ends.append(at)

    def _may_close(self) -> bool:
        """After an item; or where there is none, but not after a comma or a colon."""
        if self._state == "item" and self._item_has_ink:
            return True
        if self._starts or self._keys:
            return False
        return self._state == "item" or (self._state == "key" and _INK.search(self._key_text) is None)

    def _key(self, at: int) -> str:
        try:
            key = json.loads(self._key_text)
        except ValueError:
            key = None
        if not isinstance(key, str):
            raise self._broken(at, "no text in quotes before a colon")
        return key

    def _broken(self, at: int, why: str) -> FaultError:
        return FaultError("json_error", self._name, None, f"no JSON at byte {at}: {why}")


class _Strings:
    """Tells which bytes are inside quotes, across blocks."""

    def __init__(self) -> None:
        self._open = False
        self._escaped = False  # whether the next byte follows a backslash that is not escaped itself

    def inside(self, codes: UInt8[np.ndarray, " bytes"]) -> Bool[np.ndarray, " bytes"]:
        """Mark the bytes between quotes; the closing quote itself counts as outside."""
        quotes: NDArray[np.bool_] = codes == _QUOTE
        quotes[self._escaped_quotes(codes, np.flatnonzero(quotes))] = False
        quotes[0] ^= self._open
        inside: NDArray[np.bool_] = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)
        self._open = bool(inside[-1])
        return inside

    def _escaped_quotes(
        self, codes: UInt8[np.ndarray, " bytes"], quotes: Int[np.ndarray, " quotes"]
    ) -> Int[np.ndarray, " escaped"]:
        """Those of the quotes that an odd run of backslashes comes before."""
        slashes = np.flatnonzero(codes == _BACKSLASH)
        first_is_escaped, self._escaped = self._escaped, False
        if len(slashes) == 0:
            return quotes[:1][quotes[:1] == 0] if first_is_escaped else quotes[:0]
        begins = np.concatenate([[True], np.diff(slashes) > 1])
        run_starts = np.maximum.accumulate(np.where(begins, slashes, 0))
        if first_is_escaped:
            run_starts += run_starts == 0  # an escaped backslash escapes nothing
        lengths = slashes + 1 - run_starts  # of the run, up to each backslash
        if slashes[-1] == len(codes) - 1:
            self._escaped = bool(lengths[-1] % 2)
        before = np.searchsorted(slashes, quotes) - 1  # the last backslash before each quote, if any
        follows = (before >= 0) & (slashes[before] == quotes - 1)
        escaped: NDArray[np.bool_] = follows & (lengths[before] % 2 == 1)
        if first_is_escaped and len(quotes):
            escaped[0] |= quotes[0] == 0
        return quotes[escaped]
