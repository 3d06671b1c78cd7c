"""The server under load, against one written in an afternoon; what it keeps of many conversations; a long soak.

    python benchmarks/serving.py                          # all three; the soak takes 30 minutes
    python benchmarks/serving.py --parts load             # requests/s and time to the first token
    python benchmarks/serving.py --parts soak --minutes 5

Every side is a process of its own that answers on the loopback interface, the nano on the CPU. Clients hold
conversations of three turns, one after the other, each turn sent as soon as the one before is answered.

load    `sama serve`, the same making its answers one by one, and `serving_plain.py`; the sides take turns.
memory  of `sama serve` after 100 and after 1,000 conversations, its cache full by then.
soak    four clients with a pause between turns; errors, latencies and memory by the minute.
"""

import argparse
import contextlib
import http.client
import json
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from harness import arguments, finish, print_table
from models import scene_clip

from sama_video.video.writer import write_video

HERE = Path(__file__).resolve().parent
QUESTIONS = ("How many objects can you see?", "Segment {name}.", "Is {name} in the video?")
START_SECONDS = 120.0
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


class Talk:
    """A conversation that its client keeps, and sends whole each time."""

    path = ""

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

    def body(self, question: str) -> dict[str, Any]:
        """The request."""
        raise NotImplementedError

    def read(self, line: bytes, reply: Reply) -> bool:
        """Take a line in; whether it brought text."""
        raise NotImplementedError


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


# the parts


def load(args: argparse.Namespace, films: list[Film], folder: Path) -> list[dict[str, Any]]:
    """Every side under every number of clients, the sides taking turns."""
    servers = {side: Server(side, args, folder) for side in args.sides}
    rows = []
    try:
        for server in servers.values():  # once through everything, so that no side pays for its start
            crowd(server, films, 1, len(films))
        for clients in args.clients:
            texts: dict[str, list[str]] = {}
            for side, server in servers.items():
                used = server.processor_seconds()
                replies, seconds = crowd(server, films, clients, max(args.conversations, clients))
                used = (server.processor_seconds() - used) / len(replies)
                texts[side] = sorted(reply.text for reply in replies)
                more = {"processor_seconds_per_request": used, "load_average": os.getloadavg()[0]}
                rows.append(load_row(side, clients, replies, seconds) | more)
                print_table(list(LOAD_HEAD), [load_cells(rows[-1])])
            for row in rows[-len(servers) :]:
                row["same_texts"] = texts[row["side"]] == texts[next(iter(servers))]
    finally:
        for server in servers.values():
            server.close()
    return rows


def load_row(side: str, clients: int, replies: list[Reply], seconds: float) -> dict[str, Any]:
    """One cell's figures."""
    good = [reply for reply in replies if reply.error is None]
    return {
        "side": side,
        "clients": clients,
        "requests": len(replies),
        "errors": len(replies) - len(good),
        "requests_per_second": len(good) / seconds,
        **{f"first_token_{name}": value for name, value in percentiles([reply.first for reply in good]).items()},
        **{f"answer_{name}": value for name, value in percentiles([reply.total for reply in good]).items()},
    }


def percentiles(values: list[float]) -> dict[str, float | None]:
    """The middle and the slow end."""
    if not values:
        return {"p50": None, "p95": None}
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}


LOAD_HEAD = (
    "side",
    "clients",
    "requests",
    "errors",
    "requests/s",
    "first p50 s",
    "first p95 s",
    "answer p50 s",
    "CPU s",
)


def load_cells(row: dict[str, Any]) -> list[Any]:
    """A row of the table."""
    keys = ("side", "clients", "requests", "errors", "requests_per_second", "first_token_p50", "first_token_p95")
    return [*(row[key] for key in keys), row["answer_p50"], row["processor_seconds_per_request"]]


def memory(args: argparse.Namespace, films: list[Film], folder: Path) -> dict[str, Any]:
    """Resident memory after a tenth and after all of many conversations, the cache full from early on."""
    server = Server("sama-serve", args, folder, cache_bytes=args.memory_cache)
    rows = []
    try:
        done = errors = 0
        for target in (args.conversations_kept // 10, args.conversations_kept):
            replies, _ = crowd(server, films, 4, target - done, turns=2)
            errors += sum(reply.error is not None for reply in replies)
            done = target
            rows.append({"conversations": done, "memory_mib": server.memory() / 2**20, "errors": errors})
            print(f"memory after {done} conversations: {rows[-1]['memory_mib']:.0f} MiB, {errors} errors", flush=True)
    finally:
        server.close()
    growth = rows[-1]["memory_mib"] / rows[0]["memory_mib"] - 1
    return {"rows": rows, "growth": growth, "cache_bytes": args.memory_cache}


@dataclass
class Minutes:
    """Replies by the minute in which they ended."""

    begun: float
    replies: list[Reply] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def note(self, memory_bytes: int) -> None:
        """Sum a minute up."""
        taken, self.replies = self.replies, []
        good = [reply for reply in taken if reply.error is None]
        first = percentiles([reply.first for reply in good])
        self.rows.append(
            {
                "minute": len(self.rows) + 1,
                "requests": len(taken),
                "errors": len(taken) - len(good),
                "first_token_p50": first["p50"],
                "first_token_p95": first["p95"],
                "memory_mib": memory_bytes / 2**20,
                "load_average": os.getloadavg()[0],
            }
        )
        print_table(list(self.rows[-1]), [list(self.rows[-1].values())])
        for reply in taken:
            if reply.error is not None:
                print(f"  {reply.error}", file=sys.stderr)


def soak(args: argparse.Namespace, films: list[Film], folder: Path) -> dict[str, Any]:
    """Clients that pause between turns, for as long as asked."""
    server = Server("sama-serve", args, folder, cache_bytes=args.memory_cache)
    ends_at = time.perf_counter() + 60 * args.minutes
    minutes = Minutes(time.perf_counter())

    def client(seed: int) -> None:
        draw = random.Random(seed)
        while time.perf_counter() < ends_at:
            hold(server, draw.choice(films), minutes.replies.append, pause=lambda: draw.expovariate(1 / args.pause))

    def clock() -> None:
        length = min(60.0, 60 * args.minutes / 4)
        while time.perf_counter() < ends_at:
            time.sleep(max(0.0, min(length, ends_at - time.perf_counter())))
            minutes.note(server.memory())

    try:
        together([*[lambda seed=seed: client(seed) for seed in range(args.soak_clients)], clock])
    finally:
        server.close()
    rows = minutes.rows
    early, late = (statistics.median(row["memory_mib"] for row in part) for part in halves(rows))
    return {
        "rows": rows,
        "requests": sum(row["requests"] for row in rows),
        "errors": sum(row["errors"] for row in rows),
        "growth": late / early - 1,
    }


def halves(rows: list[Any]) -> tuple[list[Any], list[Any]]:
    """The second and the last fifth; the first fills the cache."""
    part = max(1, len(rows) // 5)
    return rows[part : 2 * part] or rows[:1], rows[-part:]


def make_films(folder: Path, count: int, frames: int, side: int) -> list[Film]:
    """Clips of the drawn world."""
    folder.mkdir(exist_ok=True)
    films = []
    for number in range(count):
        clip, _, names = scene_clip(frames, 3, side, seed=16 + number)
        path = folder / f"film{number}.mp4"
        write_video(path, [clip.frame(idx) for idx in range(frames)], fps=24)
        films.append(Film(path, names[0]))
    return films


def parse_arguments() -> argparse.Namespace:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--parts", nargs="+", choices=("load", "memory", "soak"), default=("load", "memory", "soak"))
    parser.add_argument("--sides", nargs="+", choices=tuple(SIDES), default=tuple(SIDES))
    parser.add_argument("--words-only", action="store_true", help="no masks, so without the plain side")
    parser.add_argument("--clients", nargs="+", type=int, help="at once (default 1 8 32, quick 1 2)")
    parser.add_argument("--conversations", type=int, help="at least so many for each (default 8, quick 2)")
    parser.add_argument("--frames", type=int, help="of a clip under load and in the soak (default 48, quick 8)")
    parser.add_argument("--films", type=int, default=4, help="clips that the conversations are about (default 4)")
    parser.add_argument("--conversations-kept", type=int, help="of the memory part (default 1000, quick 20)")
    parser.add_argument("--memory-cache", type=int, default=32 << 20, help="bytes of the cache there (default 32 MiB)")
    parser.add_argument("--minutes", type=float, help="of the soak (default 30, quick 0.2)")
    parser.add_argument("--soak-clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=4.0, help="mean seconds between turns of the soak (default 4)")
    args = parser.parse_args()
    if args.words_only:
        args.sides = [side for side in args.sides if side != "plain"]
    usual = {"clients": ([1, 8, 32], [1, 2]), "conversations": (8, 2), "frames": (48, 8)}
    usual |= {"conversations_kept": (1000, 20), "minutes": (30.0, 0.2)}  # type: ignore[dict-item]
    for name, (whole, quick) in usual.items():
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else whole)
    return args


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)  # here only to be told: each server sets its own
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sama-serving-") as name:
        folder = Path(name)
        films = make_films(folder, args.films, args.frames, 256)
        short = make_films(folder / "short", 8, 8, 128) if "memory" in args.parts else []
        for part, way, clips in (("load", load, films), ("memory", memory, short), ("soak", soak, films)):
            if part in args.parts:
                begun = time.perf_counter()
                (folder / part).mkdir()
                found[part] = way(args, clips, folder / part)
                print(f"{part} took {time.perf_counter() - begun:.0f} s", flush=True)
    finish("serving", args, found)


if __name__ == "__main__":
    main()
