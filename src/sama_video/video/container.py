"""Opening a container again and again: a path or bytes in, FFmpeg's streams or one clear error out."""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from sama_video.errors import VideoError

SNIFFED_BYTES = 4096
ODD_TAGS = "replace"
"""What PyAV, which reads all tags when it opens a file, does with those that are no UTF-8; we use none of them."""

# PyAV's type stubs have a generic Packet, its modules a plain one.
if TYPE_CHECKING:
    AnyPacket: TypeAlias = Packet[Any]
else:
    AnyPacket = Packet


@dataclass(frozen=True)
class VideoFile:
    """A video that can be opened as often as needed: a file's path, or its bytes."""

    name: str
    path: Path | None = None
    content: bytes | None = field(default=None, repr=False)

    def head(self) -> bytes:
        """Read the first few kilobytes, or raise the line that says why not."""
        if self.content is not None:
            return self.content[:SNIFFED_BYTES]
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                return file.read(SNIFFED_BYTES)
        except FileNotFoundError:
            raise VideoError(f"{self.name} does not exist; check the path.") from None
        except PermissionError:
            raise VideoError(f"{self.name} may not be read by this user; change its permissions.") from None
        except OSError as error:
            raise VideoError(f"{self.name} cannot be read ({error.strerror}); check the path and the disk.") from None

    def open(self) -> InputContainer:
        """Open the container. Only this file is read: a playlist's reach for other files or hosts is refused."""
        options = {"protocol_whitelist": "file"}
        try:
            if self.content is not None:
                return av.open(io.BytesIO(self.content), "r", options=options, metadata_errors=ODD_TAGS)
            assert self.path is not None
            # The "file:" prefix keeps FFmpeg from reading a protocol into an odd file name.
            return av.open(f"file:{self.path}", "r", options=options, metadata_errors=ODD_TAGS)
        except av.FFmpegError as error:
            raise VideoError(self._why_unreadable(str(error.strerror))) from None

    def sha256(self) -> str:
        """Hash the content."""
        if self.content is not None:
            return hashlib.sha256(self.content).hexdigest()
        assert self.path is not None
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _why_unreadable(self, reason: str) -> str:
        if self.head()[4:8] in (b"ftyp", b"mdat", b"moov", b"wide"):
            return (
                f"{self.name} starts like an MP4 but its index is missing or damaged, as after an interrupted "
                "recording or copy; fetch the file again."
            )
        return (
            f"{self.name} is not a video that FFmpeg can read ({reason}); "
            "give a video file, an image or a folder of images."
        )


def check_content(video: VideoFile) -> None:
    """Raise for an empty file, and for text, which FFmpeg would follow as a playlist or draw as a picture."""
    head = video.head()
    if not head:
        raise VideoError(f"{video.name} is empty (0 bytes); fetch the file again.")
    if not head.startswith(b"YUV4MPEG2") and not any(byte < 9 or 13 < byte < 27 for byte in head):
        raise VideoError(f"{video.name} holds text, not a video; give a video file, an image or a folder of images.")


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Pick the first real video stream, ready to decode on several threads; cover art does not count."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            stream.thread_type = "AUTO"
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    found = f"only {' and '.join(kinds)}" if kinds else "no streams"
    raise VideoError(f"{name} holds {found}, no video; give a file with pictures.")
