"""The server under load, against one written in an afternoon; what it keeps of many conversations; a long soak.

    python benchmarks/serving.py                          # all three; the soak takes 30 minutes
    python benchmarks/serving.py --parts load             # requests/s and time to the first token
    python benchmarks/serving.py --parts soak --minutes 5
    python benchmarks/serving.py --parts memory --json F  # the other parts that F has stay

Every side is a process of its own that answers on the loopback interface, the nano on the CPU. Clients hold
conversations of three turns, one after the other, each turn sent as soon as the one before is answered.

load    `sama serve`, the same making its answers one by one, and `serving_plain.py`; the sides take turns.
memory  of `sama serve` after 100 and after 1,000 conversations, its cache full by then.
soak    four clients with a pause between turns; errors, latencies and memory by the minute.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from harness import arguments, finish, print_table
from models import scene_clip
from serving_sides import SIDES, Film, Reply, Server, crowd, hold, together

from sama_video.video.writer import write_video


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
            rows[-1]["load_average"] = os.getloadavg()[0]
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


PARTS = {"load": load, "memory": memory, "soak": soak}


def keep(args: argparse.Namespace, part: str, found: Any) -> None:
    """Write a part into the result file; others that it has stay, with their own day, options and machine in `made`."""
    finish("serving", args, others(args.json, part) | {part: found})


def others(path: Path | None, measured: str) -> dict[str, Any]:
    """The parts of a result file but one, and how each was made where that is not what the file will say of itself."""
    if path is None or not path.exists():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    whole = {key: document[key] for key in ("date", "arguments", "machine")}
    parts = {part: document[part] for part in PARTS if part in document and part != measured}
    return parts | {"made": {part: document.get("made", {}).get(part, whole) for part in parts}}


def parse_arguments() -> argparse.Namespace:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
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
    usual: dict[str, tuple[Any, Any]] = {"clients": ([1, 8, 32], [1, 2]), "conversations": (8, 2), "frames": (48, 8)}
    usual |= {"conversations_kept": (1000, 20), "minutes": (30.0, 0.2)}
    for name, (whole, quick) in usual.items():
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else whole)
    return args


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)  # here only to be told: each server sets its own
    with tempfile.TemporaryDirectory(prefix="sama-serving-") as name:
        folder = Path(name)
        films = make_films(folder, args.films, args.frames, 256)
        short = make_films(folder / "short", 8, 8, 128) if "memory" in args.parts else []
        for part, measure in PARTS.items():
            if part in args.parts:
                begun = time.perf_counter()
                (folder / part).mkdir()
                keep(args, part, measure(args, short if part == "memory" else films, folder / part))
                print(f"{part} took {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
