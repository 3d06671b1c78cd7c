"""What `sama data annotate` takes beside the model: clips an hour and memory, and a ledger of 100,000 clips.

    python benchmarks/annotate.py
    python benchmarks/annotate.py --clips 500 --backends here ray-2

An endpoint on the loopback, in a process of its own, answers each request after 50 ms from what is drawn in the clips;
three texts of ten have a mistake, so that some clips are asked about twice. `here` is one process; `ray-1` and `ray-2`
are a local Ray cluster with one and two workers. Starting up is not counted. The ledger is filled with what the stages
said of real clips, over and over, then opened anew: resuming is what a run does before it can ask the first new thing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from harness import arguments, finish, peak_rss_mib, print_table

from sama_video.annotate.inputs.catalogue import Catalogue, Input, Listed, read_catalogue
from sama_video.annotate.inputs.records import RecordInput
from sama_video.annotate.ledger import Ledger
from sama_video.annotate.pipeline import LEDGER, Annotation
from sama_video.annotate.run_state import RunState
from sama_video.annotate.scripted import ScriptedTransport, Slips
from sama_video.annotate.settings import AnnotateSettings, InputSettings, ModelSettings
from sama_video.annotate.stages import Json, Kept, Stage, digest
from sama_video.data.findings import Findings
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.export import RECORDS, SynthSettings, write_synth

BACKENDS = ("here", "ray-1", "ray-2")
STAGES = ("probe", "select", "track", "ask", "check", "repair", "recheck")
SIZE = (128, 128)
LEVEL = 2


class ScriptedEndpoint(ThreadingHTTPServer):
    """Answers from the truth after a while, and counts for how long somebody waited for it."""

    daemon_threads = True

    def __init__(self, records: Path, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.transport = ScriptedTransport(Slips(rate=0.3), seed=0)
        source = RecordInput(records)
        self.transport.meet(*(source.load(row.locator) for row in source.listed(Findings())))
        self.delay = delay
        self.lock = threading.Lock()
        self.requests = self.under_way = 0
        self.waited = self.since = 0.0

    def reply(self, body: Mapping[str, Any]) -> bytes:
        with self.waiting():
            begun = time.monotonic()
            text = self.transport.reply_to(body)
            time.sleep(max(0.0, self.delay - (time.monotonic() - begun)))
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 1000, "completion_tokens": 300, "total_tokens": 1300}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return json.dumps({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}).encode()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        with self.lock:
            self.requests += 1
            self.under_way += 1
            self.since = time.monotonic() if self.under_way == 1 else self.since
        yield
        with self.lock:
            self.under_way -= 1
            self.waited += 0.0 if self.under_way else time.monotonic() - self.since


class Handler(BaseHTTPRequestHandler):
    """A chat completion for each POST; the endpoint's own count for a GET."""

    protocol_version = "HTTP/1.1"
    server: ScriptedEndpoint

    def do_POST(self) -> None:
        self._send(self.server.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def do_GET(self) -> None:
        self._send(json.dumps({"requests": self.server.requests, "waited": self.server.waited}).encode())

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def endpoint(records: Path, delay: float) -> Iterator[str]:
    """The address of an endpoint in a process of its own."""
    command = [sys.executable, __file__, "--serve", str(records), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def serve(records: Path, delay: float) -> None:
    server = ScriptedEndpoint(records, delay)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def annotate(backend: str, records: Path, out: Path, address: str, requests_at_once: int) -> dict[str, Any]:
    """One run from clips to a data set."""
    ask = ModelSettings("loopback", base_url=f"{address}/v1", workers=requests_at_once)
    settings = AnnotateSettings((InputSettings(records=records),), ask)
    settings = replace(settings, select=replace(settings.select, duplicate_bits=None))
    with ExitStack() as stack:
        mapper = None
        if backend != "here":
            from sama_video.annotate.ray_backend import RayMapper

            mapper = stack.enter_context(RayMapper("local", int(backend.removeprefix("ray-"))))
        annotation = stack.enter_context(Annotation(settings, out, mapper=mapper))
        begun, cpu = time.monotonic(), time.process_time()
        report = annotation.run()
        seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
        workers = ray_workers()
    assert report.complete, report.waiting
    clips = report.stages[0].entered
    counted = json.loads(urlopen(address).read())
    return {
        "backend": backend,
        "clips": clips,
        "requests": counted["requests"],
        "seconds": seconds,
        "clips_per_hour": 3600 * clips / seconds,
        "outside_waiting_seconds_per_clip": (seconds - counted["waited"]) / clips,
        "cpu_seconds_per_clip": (cpu + sum(one["cpu"] for one in workers)) / clips,
        "memory_mib": peak_rss_mib(),
        "worker_memory_mib": max((one["memory_mib"] for one in workers), default=None),
    }


def ray_workers() -> list[dict[str, float]]:
    """Processor time and most memory of Ray's worker processes below this one; none where there is no /proc."""
    parents: dict[int, int] = {}
    found: dict[int, dict[str, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(") ")[2].split()
            name = (folder / "cmdline").read_bytes()
            peak = next((line for line in (folder / "status").read_text().splitlines() if "VmHWM" in line), None)
        except OSError:
            continue  # it has ended meanwhile
        parents[int(folder.name)] = int(words[1])
        if name.startswith(b"ray::") and peak is not None:
            ticks = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
            found[int(folder.name)] = {"cpu": ticks, "memory_mib": int(peak.split()[1]) / 1024}
    return [one for process, one in found.items() if _is_below(process, parents)]


def _is_below(process: int, parents: Mapping[int, int]) -> bool:
    while process in parents and process != os.getpid():
        process = parents[process]
    return process == os.getpid()


class Many(Input):
    """So many subjects, none of which is ever loaded."""

    def __init__(self, count: int) -> None:
        self.count = count

    def key(self) -> Json:
        return self.count

    def listed(self, findings: Findings) -> Iterator[Listed]:
        for number in range(self.count):
            yield Listed(f"clip-{number:07d}", digest(number).hex(), [number])

    def load(self, locator: Json) -> Any:
        raise AssertionError("no work is left")


def payloads_of(out: Path) -> dict[str, list[Json]]:
    """What each stage said of the clips of a run."""
    with Ledger(out / LEDGER) as ledger:
        found: dict[str, list[Json]] = {}
        for stage in STAGES:
            results = [ledger.result(key) for key in ledger.outcomes(stage)]
            found[stage] = [one.payload for one in results if isinstance(one, Kept)]
    return found


def walk(path: Path, jobs: int, payloads: Mapping[str, list[Json]]) -> dict[str, Any]:
    """Bring so many subjects through all stages: for the first time, or again."""
    made = 0

    def perform(stage: str, todo: list[str]) -> Iterator[tuple[str, Kept]]:
        nonlocal made
        given = payloads[stage]
        for number, name in enumerate(todo):
            made += 1
            yield name, Kept(given[number % len(given)])

    begun, cpu = time.monotonic(), time.process_time()
    with Ledger(path) as ledger:
        catalogue: Catalogue = read_catalogue([Many(jobs)], ledger)
        state = RunState(ledger, catalogue, lambda stage, done, total: None)
        for stage in STAGES:
            state.run(Stage(stage), partial(perform, stage))
            if stage == "probe":  # choosing looks at all of them
                Counter(len(payload["objects"]) for _, payload in state.payloads("probe"))
        assert len(state.alive) == jobs
    return {
        "results": made,
        "seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "memory_mib": peak_rss_mib(),
        "file_bytes": path.stat().st_size,
    }


def in_own_process(*words: object) -> dict[str, Any]:
    """What a step prints, done in a process whose memory is its own."""
    command = [sys.executable, __file__, "--step", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def step(words: list[str]) -> None:
    name, *given = words
    if name == "annotate":
        backend, records, out, address, at_once = given
        print(json.dumps(annotate(backend, Path(records), Path(out), address, int(at_once))))
        return
    path, jobs, out = given
    print(json.dumps(walk(Path(path), int(jobs), payloads_of(Path(out)) if name == "fill" else {})))


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every run, then the ledger."""
    source = folder / "source"
    world = DiagnosticWorld(LEVEL, SIZE)
    source.mkdir()
    write_synth(source, SynthSettings(LEVEL, "train", 0, SIZE, "frames"), world, args.clips, lambda _: None)
    rows = []
    for backend in args.backends:
        with endpoint(source / RECORDS, args.delay_ms / 1000) as address:
            out = folder / backend
            rows.append(in_own_process("annotate", backend, source / RECORDS, out, address, args.requests_at_once))
    last, path = folder / args.backends[-1], folder / "many.sqlite"
    ledger = {
        "jobs": args.jobs,
        "fill": in_own_process("fill", path, args.jobs, last),
        "resume": in_own_process("resume", path, args.jobs, last),
    }
    assert ledger["resume"]["results"] == 0
    return {"rows": rows, "ledger": ledger}


def main() -> None:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--clips", type=int, help="drawn clips (default 200, quick 3)")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--delay-ms", type=int, default=50, help="of the endpoint (default 50)")
    parser.add_argument("--requests-at-once", type=int, default=1, help="under way at a time (default 1)")
    parser.add_argument("--jobs", type=int, help="clips in the ledger (default 100000, quick 300)")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(Path(args.serve[0]), float(args.serve[1]))
        return
    if args.step:
        step(args.step)
        return
    del args.step, args.serve
    args.clips = args.clips or (3 if args.quick else 200)
    args.jobs = args.jobs or (300 if args.quick else 100_000)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(args, Path(folder))
    show(result)
    finish("annotate", args, result)


def show(result: Mapping[str, Any]) -> None:
    keys = ("clips", "requests", "clips_per_hour", "outside_waiting_seconds_per_clip", "cpu_seconds_per_clip")
    head = ("back end", "clips", "requests", "clips/hour", "s/clip not waiting", "CPU s/clip", "MiB", "MiB a worker")
    rows = [
        [row["backend"], *(row[key] for key in (*keys, "memory_mib", "worker_memory_mib"))] for row in result["rows"]
    ]
    print_table(head, rows)
    ledger = result["ledger"]
    size = ledger["fill"]["file_bytes"] / 1e6
    print(f"\na ledger of {ledger['jobs']} clips through {len(STAGES)} stages: {size:.1f} MB")
    steps = [
        [name, *(ledger[name][key] for key in ("seconds", "cpu_seconds", "memory_mib"))] for name in ("fill", "resume")
    ]
    print_table(("step", "seconds", "CPU s", "MiB"), steps)


if __name__ == "__main__":
    main()
