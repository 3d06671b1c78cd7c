"""The servers that are measured, each in a process of its own, and the clients that talk to them."""

import argparse
import contextlib
import http.client
import json
import os
import queue
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
QUESTIONS = ("How many objects can you see?", "Segment {name}.", "Is {name} in the video?")
REQUEST_SECONDS = 3600.0
SERVE = "import sys; from sama_video.app.cli.main import main; sys.exit(main(sys.argv[1:]))"
SIDES = {"sama-serve": 8, "one-by-one": 1, "plain": 0}
"""How many answers each side makes side by side; the plain server knows nothing of that."""


@dataclass(frozen=True)
class Film:
    """A clip on disk, and what to call something in it."""

    path: Path
    name: str


@dataclass
class Reply:
    """What came of one request.

    Attributes:
        first: Seconds to the first text.
        error: Its status or line, if it went wrong.
    """

    text: str = ""
    first: float = 0.0
    total: float = 0.0
    ended: float = 0.0
    error: str | None = None


class Server:
    """A side's process; `talk` begins a conversation with it."""

    def __init__(self, side: str, args: argparse.Namespace, folder: Path, *, cache_bytes: int | None = None) -> None:
        self.side = side
        self.ground: str | bool = False if args.words_only else "auto"
        threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        path = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))
        self._log = (folder / f"{side}.log").open("w")
        if side == "plain":
            command = [sys.executable, str(HERE / "serving_plain.py"), "--port", "0", "--threads", str(args.threads)]
        else:
            command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--json", "--data", str(folder / "data")]
            command += ["--max-together", str(SIDES[side]), "--max-waiting", "256", "--device", "cpu"]
            command += ["--cache-bytes", str(cache_bytes)] if cache_bytes else []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **threads, "PYTHONPATH": path},
        )
        self.address = self._announced()
        self._ids: dict[Path, str] = {}
        self._lock = threading.Lock()

    def _announced(self) -> str:
        assert self.process.stdout is not None
        document = ""
        while not document.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"{self.side} did not start; see {self._log.name}")
            document += line
        return str(urlsplit(json.loads(document)["url"]).netloc)

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()

    def memory(self) -> int:
        """Bytes of its resident memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """What it has used of the processors so far, which tells more than a clock where others work as well."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def talk(self, film: Film) -> "Talk":
        """A new conversation about a clip."""
        return PlainTalk(self, film) if self.side == "plain" else OwnTalk(self, film, self.ground)

    def file_id(self, path: Path) -> str:
        """The clip's id there; it is sent once."""
        with self._lock:
            if path not in self._ids:
                head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.mp4"\r\n\r\n'
                body = head + path.read_bytes() + b"\r\n--b--\r\n"
                with self.post("/v1/files", body, "multipart/form-data; boundary=b") as reply:
                    self._ids[path] = str(json.load(reply)["id"])
            return self._ids[path]

    @contextlib.contextmanager
    def post(self, path: str, body: bytes, kind: str = "application/json") -> Iterator[http.client.HTTPResponse]:
        """Send, and give the answer for reading."""
        connection = http.client.HTTPConnection(self.address, timeout=REQUEST_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", path, body, {"Content-Type": kind})
            yield connection.getresponse()


class Talk(ABC):
    """A conversation that its client keeps, and sends whole each time.

    Attributes:
        path: Where it is sent to.
    """

    path: ClassVar[str]

    def __init__(self, server: Server, film: Film) -> None:
        self.server, self.film = server, film

    def ask(self, question: str) -> Reply:
        """One turn."""
        begun, reply = time.perf_counter(), Reply()
        try:
            with self.server.post(self.path, json.dumps(self.body(question)).encode()) as response:
                if response.status != 200:
                    reply.error = f"{response.status} {response.read(300)!r}"
                for line in response:
                    if self.read(line.strip(), reply) and not reply.first:
                        reply.first = time.perf_counter() - begun
        except OSError as error:
            reply.error = str(error)
        reply.ended = time.perf_counter()
        reply.total = reply.ended - begun
        if not reply.first and reply.error is None:
            reply.error = "no text came"
        return reply

    @abstractmethod
    def body(self, question: str) -> dict[str, Any]:
        """The request."""

    @abstractmethod
    def read(self, line: bytes, reply: Reply) -> bool:
        """Take a line in; whether it brought text."""


class OwnTalk(Talk):
    """OpenAI's protocol, groundings sent back."""

    path = "/v1/chat/completions"

    def __init__(self, server: Server, film: Film, ground: str | bool) -> None:
        super().__init__(server, film)
        self.ground = ground
        self.messages: list[dict[str, Any]] = []

    def body(self, question: str) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if not self.messages:
            parts.insert(0, {"type": "video_url", "video_url": {"url": self.server.file_id(self.film.path)}})
        self.messages.append({"role": "user", "content": parts})
        self.answer: dict[str, Any] = {"role": "assistant", "content": ""}
        return {"messages": self.messages, "stream": True, "ground": self.ground}

    def read(self, line: bytes, reply: Reply) -> bool:
        if line == b"data: [DONE]":
            self.messages.append(self.answer)
            reply.text = self.answer["content"]
        if not line.startswith(b"data: {"):
            return False
        row = json.loads(line[6:])
        if "error" in row:
            reply.error = row["error"]["message"]
            return False
        delta = row["choices"][0]["delta"] if row["choices"] else {}
        if "grounding" in delta:
            self.answer["grounding"] = delta["grounding"]
        self.answer["content"] += delta.get("content") or ""
        return bool(delta.get("content"))


class PlainTalk(Talk):
    """The afternoon's own protocol, raw answers sent back."""

    path = "/chat"

    def __init__(self, server: Server, film: Film) -> None:
        super().__init__(server, film)
        self.turns: list[dict[str, str]] = []

    def body(self, question: str) -> dict[str, Any]:
        self.turns.append({"question": question})
        return {"clip": str(self.film.path), "turns": self.turns}

    def read(self, line: bytes, reply: Reply) -> bool:
        row = json.loads(line)
        if "raw" in row:
            self.turns[-1]["answer"], reply.text = row["raw"], row["content"]
        return bool(row.get("text"))


def hold(
    server: Server,
    film: Film,
    told: Callable[[Reply], object],
    *,
    pause: Callable[[], float] = lambda: 0.0,
    turns: int = 3,
) -> None:
    """A whole conversation, each reply told as it comes; it ends where a turn goes wrong."""
    talk = server.talk(film)
    for question in QUESTIONS[:turns]:
        reply = talk.ask(question.format(name=film.name))
        told(reply)
        if reply.error is not None:
            return
        time.sleep(pause())


def crowd(
    server: Server, films: list[Film], clients: int, conversations: int, turns: int = 3
) -> tuple[list[Reply], float]:
    """Conversations held by so many clients at once; every reply, and the seconds that all took."""
    jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
    replies: list[Reply] = []
    for number in range(conversations):
        jobs.put(number)

    def client() -> None:
        while True:
            try:
                number = jobs.get_nowait()
            except queue.Empty:
                return
            hold(server, films[number % len(films)], replies.append, turns=turns)

    begun = time.perf_counter()
    together([client] * clients)
    return replies, time.perf_counter() - begun


def together(jobs: list[Callable[[], None]]) -> None:
    """Do all at once, and wait."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
