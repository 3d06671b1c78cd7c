"""Clips under the hash of their content: what is here was checked, whole, and can be shown frame by frame."""

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import threading
import time
import unicodedata
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sama_video.app.server.probe import Found, ProbeLimits, probe
from sama_video.app.server.problems import ApiError
from sama_video.app.server.unnamed import unnamed
from sama_video.errors import VideoError
from sama_video.video.clip import Clip

LOG = logging.getLogger(__name__)
CLIP_ID = re.compile(r"[0-9a-f]{64}")
CHUNK_BYTES = 1 << 20
OPEN_CLIPS = 32
STALE_SECONDS = 3600.0
USE_NOTED_SECONDS = 60.0
"""How often at most the use of a clip is written down."""


@runtime_checkable
class Readable(Protocol):
    """Whatever bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""
        ...


@dataclass(frozen=True)
class StoredClip:
    """A clip of the store, as it was found to be when it came.

    Attributes:
        id: SHA-256 of the content.
        filename: What its sender called it; for people, never a path of ours.
    """

    id: str
    bytes: int
    created_at: int
    filename: str
    found: Found


class ClipStore:
    """A folder of clips, each under its hash, with a JSON file beside it that says that it was accepted.

    Several servers may share the folder. A clip that nobody used for long, and the least recently used ones beyond the
    quota, are dropped; one that is in use by a running job is not.

    Args:
        root: Made when it is not there.
        quota_bytes: What all clips together may take.
        max_file_bytes: What one may take.
        max_age_seconds: How long a clip is kept without use.
        limits: What a video may be.
        check: Judges a file; another process does by default.
    """

    def __init__(
        self,
        root: Path,
        *,
        quota_bytes: int,
        max_file_bytes: int,
        max_age_seconds: float | int,
        limits: ProbeLimits,
        check: Callable[[Path, ProbeLimits], Found] = probe,
    ) -> None:
        self._clips, self._partial = root / "clips", root / "partial"
        self._quota, self._max_file = quota_bytes, min(max_file_bytes, quota_bytes)
        self._max_age, self._limits, self._check = max_age_seconds, limits, check
        self._open: OrderedDict[str, Clip] = OrderedDict()
        self._pins: Counter[str] = Counter()
        self._lock = threading.RLock()
        for folder in (self._clips, self._partial):
            folder.mkdir(parents=True, exist_ok=True)
        self.sweep()

    def put(self, stream: Readable, filename: str = "") -> StoredClip:
        """Take a video in: it is here whole and checked, or nothing of it is.

        Raises:
            ApiError: 413 when it is too large.
            VideoError: It is no video, or breaks a limit.
        """
        partial = self._partial / uuid.uuid4().hex
        try:
            clip_id, size = self._receive(stream, partial)
            known = self._known(clip_id)
            if known is not None:
                return known
            found = self._check(partial, self._limits)
            stored = StoredClip(clip_id, size, int(time.time()), _shown_name(filename), found)
            with self._lock:
                self._make_room(size)
                self._keep(stored, partial)
            return stored
        finally:
            partial.unlink(missing_ok=True)

    def put_bytes(self, content: bytes, filename: str = "") -> StoredClip:
        """Take a video in, as `put` does; one that is here already is not written again."""
        return self._known(hashlib.sha256(content).hexdigest()) or self.put(io.BytesIO(content), filename)

    def get(self, clip_id: str) -> StoredClip:
        """What is known of a clip.

        Raises:
            ApiError: 404, there is none of this id.
        """
        known = self._known(clip_id)
        if known is None:
            raise ApiError(
                404, "there is no file of this id here (any more); upload it again.", code="file_missing", param="file"
            )
        return known

    def path(self, clip_id: str) -> Path:
        """Where the content of a clip lies; as for `get`."""
        self.get(clip_id)
        return self._content(clip_id)

    def open(self, clip_id: str) -> Clip:
        """The clip for reading; as for `get`. Opened clips are shared between callers."""
        path = self.path(clip_id)
        with self._lock:
            clip = self._open.get(clip_id)
            if clip is None:
                clip = self._open[clip_id] = unnamed(path)
            self._open.move_to_end(clip_id)
            while len(self._open) > OPEN_CLIPS:
                self._open.popitem(last=False)
            return clip

    @contextmanager
    def in_use(self, clip_id: str) -> Iterator[StoredClip]:
        """Keep a clip from being dropped meanwhile; as for `get`."""
        with self._lock:
            stored = self.get(clip_id)
            self._pins[clip_id] += 1
        try:
            yield stored
        finally:
            with self._lock:
                self._pins[clip_id] -= 1
                self._pins += Counter()  # drops the zeros

    def delete(self, clip_id: str) -> None:
        """Drop a clip; as for `get`."""
        self.get(clip_id)
        self._drop(clip_id)

    def __iter__(self) -> Iterator[StoredClip]:
        """Every clip, the newest first."""
        found = [self._known(path.stem, used=False) for path in self._clips.glob("*/*.json")]
        return iter(sorted((one for one in found if one is not None), key=lambda one: (-one.created_at, one.id)))

    @property
    def bytes(self) -> int:
        """What all clips take."""
        return sum(stored.bytes for stored in self)

    def sweep(self) -> None:
        """Drop what is too old, what lies beyond the quota, and what an interrupted server left behind."""
        now = time.time()
        with self._lock:
            for path in self._partial.iterdir():
                if now - _changed(path) > STALE_SECONDS:
                    path.unlink(missing_ok=True)
            for path in self._clips.glob("*/*"):
                orphan = path.suffix != ".json" and not path.with_suffix(".json").exists()
                if orphan and now - _changed(path) > STALE_SECONDS:
                    path.unlink(missing_ok=True)
            for path in self._clips.glob("*/*.json"):
                if now - _changed(path) > self._max_age and not self._pins[path.stem]:
                    self._drop(path.stem)
            self._make_room(0)

    def _receive(self, stream: Readable, partial: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        try:
            with partial.open("xb") as file:
                while chunk := stream.read(CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._max_file:
                        raise ApiError(
                            413,
                            f"the file has more than {self._max_file} bytes, which is this server's limit; "
                            "cut or compress it.",
                            code="file_too_large",
                            param="file",
                        )
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            LOG.error("a clip cannot be written", exc_info=error)
            raise ApiError(503, "the server cannot store files now; try again later.", code="storage") from None
        if size == 0:
            raise VideoError("the upload is empty (0 bytes); send a video.")
        return digest.hexdigest(), size

    def _keep(self, stored: StoredClip, partial: Path) -> None:
        content = self._content(stored.id)
        content.parent.mkdir(exist_ok=True)
        os.replace(partial, content)
        note = self._partial / uuid.uuid4().hex
        note.write_text(json.dumps(asdict(stored)), encoding="utf-8")
        os.replace(note, content.with_suffix(".json"))

    def _known(self, clip_id: str, *, used: bool = True) -> StoredClip | None:
        if not CLIP_ID.fullmatch(clip_id):
            return None
        note = self._content(clip_id).with_suffix(".json")
        try:
            row: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
            if used and time.time() - note.stat().st_mtime > USE_NOTED_SECONDS:
                os.utime(note)
        except FileNotFoundError:
            return None
        return StoredClip(**{**row, "found": Found(**row["found"])})

    def _make_room(self, size: int) -> None:
        """Drop the least recently used clips until another of some size fits into the quota."""
        notes = {path.stem: _changed(path) for path in self._clips.glob("*/*.json")}
        sizes = {clip_id: _size(self._content(clip_id)) for clip_id in notes}
        total = sum(sizes.values())
        for clip_id in sorted(notes, key=notes.__getitem__):
            if total + size <= self._quota:
                return
            if not self._pins[clip_id]:
                self._drop(clip_id)
                total -= sizes[clip_id]
        if total + size > self._quota:
            raise ApiError(
                503, "the server's store is full of clips in use; try again later.", code="storage",
                headers={"Retry-After": "30"},
            )  # fmt: skip

    def _drop(self, clip_id: str) -> None:
        content = self._content(clip_id)
        with self._lock:
            clip = self._open.pop(clip_id, None)
            content.with_suffix(".json").unlink(missing_ok=True)
            with contextlib.suppress(PermissionError):  # Windows keeps a file that is being read
                content.unlink(missing_ok=True)
        if clip is not None:
            clip.close()

    def _content(self, clip_id: str) -> Path:
        assert CLIP_ID.fullmatch(clip_id), "only hashes become paths"
        return self._clips / clip_id[:2] / clip_id


def _shown_name(filename: str) -> str:
    """A sender's file name as text for people: no folders, no control characters, of bounded length."""
    last = re.split(r"[/\\]", filename)[-1]
    kept = "".join(char for char in last if unicodedata.category(char)[0] != "C")
    return kept[:200] or "video"


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
