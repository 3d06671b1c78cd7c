"""What a server is told when it starts: where its data lies, whom it lets in, and how much anyone may ask of it."""

import hashlib
import hmac
import ipaddress
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sama_video.errors import ConfigError

KEY_VARIABLE = "SAMA_API_KEY"
MIN_KEY_LENGTH = 16
MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How much one request, one clip and one client may ask for; each is an option of `sama serve`.

    Attributes:
        file_bytes: Of one video.
        request_bytes: Of one JSON body, which may hold a video as a `data:` URL and the masks of a conversation.
        clip_seconds: How long a video may be.
        clip_pixels: Width times height of a frame.
        clip_frames: Frames of a video.
        decoded_bytes: What a picture, which is decoded as a whole, may take in memory.
        question_chars: Of one question, and of one earlier answer.
        turns: Questions of one conversation.
        regions: Things pointed at in one message, or followed in one request.
        masklets: Masklets in one request.
        answer_tokens: Longest answer.
        answer_seconds: How long a device may work at one answer.
        check_seconds: How long an uploaded video may take to be decoded for its check.
        together: Answers that a device makes side by side.
        waiting: Requests that wait for a model; one more gets 429.
        stop_seconds: How long answers under way may take once the server was asked to stop.
    """

    file_bytes: int = 512 * MIB
    request_bytes: int = 64 * MIB
    clip_seconds: float | int = 600.0
    clip_pixels: int = 4096 * 2304
    clip_frames: int = 20_000
    decoded_bytes: int = 512 * MIB
    question_chars: int = 4000
    turns: int = 64
    regions: int = 32
    masklets: int = 256
    answer_tokens: int = 512
    answer_seconds: float | int = 600.0
    check_seconds: float | int = 120.0
    together: int = 8
    waiting: int = 64
    stop_seconds: float | int = 60.0


@dataclass(frozen=True)
class Keys:
    """Keys that callers show, kept as digests; none at all lets everybody in."""

    digests: tuple[bytes, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.digests)

    @classmethod
    def of(cls, lines: str, origin: str) -> "Keys":
        """Read one key a line; blank lines and those that begin with `#` do not count.

        Raises:
            ConfigError: There is no key, or one that could be guessed.
        """
        rows = [line.strip() for line in lines.splitlines()]
        keys = [row for row in rows if row and not row.startswith("#")]
        if not keys:
            raise ConfigError(f"{origin} holds no key; write one on a line, such as from: openssl rand -hex 32.")
        for number, key in enumerate(keys, start=1):
            if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(
                    f"key {number} of {origin} is too short or has odd characters; give at least {MIN_KEY_LENGTH} "
                    "letters and digits, such as from: openssl rand -hex 32."
                )
        return cls(tuple(_digest(key) for key in keys))

    def holder(self, key: str) -> str | None:
        """A short name for whose key this is, None for a key that is not known; takes the same time for any key."""
        given = _digest(key)
        found = None
        for number, digest in enumerate(self.digests, start=1):
            if hmac.compare_digest(given, digest):
                found = f"key{number}"
        return found


@dataclass(frozen=True)
class ServerSettings:
    """Everything `sama serve` was told, the models apart.

    Attributes:
        data: Folder of the clips.
        keys: Who may come in.
        insecure: Serve other machines without keys.
        allowed_hosts: Names, beside the loopback ones, under which a server without keys may be called.
        fetch_hosts: Hosts whose videos may be fetched, as `host` or `host:port`.
        quota_bytes: What all clips together may take.
        max_age_seconds: After how long without use a clip is dropped.
        cache_bytes: Budget for the conversations that a device remembers.
        features_bytes: Budget of the pictures' features of one clip that is being pointed at.
        chat_options: For `model.chat`, such as `max_frames`.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    keys: Keys = Keys()
    insecure: bool = False
    allowed_hosts: tuple[str, ...] = ()
    fetch_hosts: tuple[str, ...] = ()
    quota_bytes: int = 20 << 30
    max_age_seconds: float | int = 7 * 86400.0
    cache_bytes: int = 2 << 30
    features_bytes: int = 256 * MIB
    chat_options: Mapping[str, int] = field(default_factory=dict)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.keys and not self.insecure and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} lets other machines in, but there is no key; add --api-key FILE, set "
                f"{KEY_VARIABLE}, or say --insecure if everybody may use it."
            )


def read_keys(path: Path | None, environment: Mapping[str, str]) -> Keys:
    """The keys of a file, else of the environment, else none.

    Raises:
        ConfigError: The file cannot be read, or a key will not do.
    """
    if path is not None:
        try:
            return Keys.of(path.read_text(encoding="utf-8"), f"--api-key {path}")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--api-key {path} cannot be read ({error}); name a text file with a key.") from error
    if environment.get(KEY_VARIABLE):
        return Keys.of(environment[KEY_VARIABLE].replace(",", "\n"), KEY_VARIABLE)
    return Keys()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def default_data_folder() -> Path:
    """Where clips are kept when nothing else was said: the user's cache."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "sama-video" / "server"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
