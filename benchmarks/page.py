"""The page of results: what each figure means, in words that stay true whatever the figures are, and the tables."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]

HEAD = """# Benchmarks

Made by `python benchmarks/run_all.py`, which runs each script below in a process of its own, one after the other, and
writes this page from `benchmarks/results/`. Do not edit it by hand.

Ways that are compared take turns within one run, on the same inputs, after a round that only warms up; times are
medians unless a column says otherwise. A ratio above 1 means that the first way is faster. Above each table stand the
command that makes it again, the day, and the machine.
"""

SCRIPTS: dict[str, tuple[str, str]] = {
    "turns": (
        "Turns of one conversation",
        """A session keeps what it has computed: tokens of the frames, SAM 2's features of them, the decoder's cache,
and the masklets of known objects. The other side is the same model without any of it, doing in every turn what the
published inference does: all context frames through the vision tower, all frames resized for SAM 2, the whole
conversation prefilled, and for every `[SEG]` all frames encoded and propagated by itself. Frames, questions and
answers are the same on both sides; answers are written beforehand, so that the work does not depend on the training.
The other side is given what the published code lacks: frames encoded in batches, prompts of one object decoded in one
batch, and our tracker.

Aims: turn 2, about known objects, at least 20 times faster, with no encoder call; turn 3, which grounds a new object,
one propagation and no encoder call. What remains of turn 3 is that propagation, which both sides have.""",
    ),
    "objects": (
        "Objects tracked together",
        """All objects move in one batch over frames that are encoded once, against the inference session that comes
with `Sam2VideoModel`: one session per object, which encodes the clip for each, and one session that holds them all,
which encodes it once but steps the objects one by one. Aim: 8 objects at least 3 times faster than
object by object.""",
    ),
    "length": (
        "Length of the clip",
        """One tracking pass over clips of growing length, each in a process of its own. Nothing is kept behind the
pass but a bounded memory of each object. Aims: peak memory within 10 % whatever the length, time per frame flat.""",
    ),
    "live": (
        "Live",
        """Frames pushed one by one, every known object tracked on each as it comes, and a question of words every 24
frames. Frames per second are those of pushing alone (without an object, a push only keeps the frame), and with the
time of the questions counted in. The first token waits for the frames in the window to be encoded: pictures of a live
answer are those of now.""",
    ),
    "decode": (
        "Decoding",
        """`Clip.stream` against a loop of PyAV that decodes and converts to RGB and does nothing else, both after
opening. Opening is listed apart, as a clip then finds out when each frame is shown. Aim: at least 0.9 of the bare
loop.""",
    ),
    "jf": (
        "J and F of video segmentation",
        """Objects with ragged contours in a clip of 480 x 854, scored from run lengths, against the formula of DAVIS
written plainly over boolean pictures (its contours widened by OpenCV, as in the published code, where that is
installed) and against the package `vos_benchmark` over label maps. Reading the run lengths is timed, making pictures
and label maps is not. All three agree on every figure. Below: our time as objects and frames grow, and whole
sequences over processes. Aims: 10 times the formula, 5 times the package.""",
    ),
    "mask_index": (
        "Opening a mask dictionary",
        """The official data sets keep all masks of a split in one JSON file. `index` opens it for the first time and
notes where each annotation begins; `open` is every later time; `tracks` decodes tracks at random places; `json.load` is
what one would do without an index. Memory is what each step adds to a process of its own. Aim: seconds for 100,000
annotations.""",
    ),
    "loading": (
        "Loading of training records",
        """A record file of the mixture is opened for the first time (`index`) and again (`open`); then the mixture
chooses positions, reads records, and reads them in worker processes, whose memory is each one's own. `decode` adds up
to 32 frames of the clip. `loader` is torch's, two records a batch, with worker processes. A core's rate divides by
processor time, so that a busy machine does not show in it.""",
    ),
    "startup": (
        "Starting up",
        """From the start of a process to its end, torch and transformers alone for comparison. Importing the package
does no work; torch comes with the first thing that needs it. Aim: `sama --help` under 0.3 s.""",
    ),
    "training": (
        "Training on records",
        """One update in parts, each waited for: reading a batch on one core (paint, resize, tokenise), forward,
backward, optimiser. Records and tokens per second are those of a whole run, worker processes reading ahead if there
are any. Use of the matrix units is the work of one forward and backward, nothing computed twice, over the time of
forward, backward and optimiser, as a share of what large matrix products reach on the same device. Aim: 45 % for the
1B on one H200.""",
    ),
    "serving": (
        "The server",
        """`sama serve` against the server that one writes in an afternoon (`benchmarks/serving_plain.py`): the same
model through `generate` behind FastAPI, one lock, nothing kept, every request from the clip up. Its objects
are followed by our tracker, all in one batch. `one-by-one` is `sama serve --max-together 1`. Conversations
have three turns, of which the second asks for masks; every client sends its next turn when the one before
is answered. Both sides write the same words. The first token counts the time in the queue.

Memory is that of the process, over conversations of two turns about eight clips in turn, with a cache that is full by
the first tenth. The soak has four clients who pause between turns; its growth is that of the last fifth of the minutes
over the second, for the first fills the cache. Aims: memory within 10 %, no error, no growth.""",
    ),
    "real_size": (
        "Real sizes",
        """The published sizes with random weights in bfloat16, so that the figures say something about them although
no weights are at hand. Turn 1 encodes the clip, grounds two objects and propagates them; turn 2 speaks of them again.
The tracker is SAM 2.1 hiera-large, frames encoded in the same pass, its memory full. On a CPU these are for the
record. Aims on an H200, compiled: above 60 frames/s with 1 object and above 40 with 16.""",
    ),
}


def write_page(results: Path, page: Path) -> None:
    """Write the page of all results that are there."""
    parts = [HEAD]
    for name, (title, words) in SCRIPTS.items():
        found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob(f"{name}.*.json"))]
        if found:
            parts += [f"## {title}\n\n{words}\n", *(section(name, result) for result in found)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts), encoding="utf-8")


def section(name: str, result: Result) -> str:
    """One result: how it was made, and its tables."""
    return "\n".join(
        [f"`{command(name, result)}`, {result['date']}, {place(result['machine'])}", "", *TABLES[name](result), ""]
    )


def command(name: str, result: Result) -> str:
    """The command that makes this result again."""
    words = ["python", f"benchmarks/{name}.py"]
    for key, value in result["arguments"].items():
        if value is None or value is False or key in DERIVED.get(name, ()) or key == "json":
            continue
        flag = f"--{key.replace('_', '-')}"
        given = value if isinstance(value, list) else [] if value is True else [value]
        words += [flag, *map(str, given)]
    return " ".join(words)


DERIVED = {"live": ("warmup",), "loading": ("file_bytes",), "real_size": ("warmups", "segmenter")}


def place(machine: Result) -> str:
    """The machine in a line."""
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    memory = f", {machine['memory_gib']} GiB" if machine.get("memory_gib") else ""
    threads = f"{machine['threads']} thread" + ("s" if machine["threads"] != 1 else "")
    return (
        f"{gpu}{machine['cpu']}, {machine['cores']} cores{memory}, {threads}, Python {machine['python']}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}; "
        f"load average {machine.get('load_average', '-')}."
    )


def turns(result: Result) -> list[str]:
    """Both sides of each turn."""
    keys = ("vision_frames", "segmenter_frames", "prefill_tokens", "propagations")
    rows = [
        [
            row["turn"],
            ms(row["reuse"]["seconds"]),
            ms(row["no_reuse"]["seconds"]),
            f"{row['ratio']:.1f}",
            *(f"{row['reuse'][key]} / {row['no_reuse'][key]}" for key in keys),
        ]
        for row in result["rows"]
    ]
    head = (
        "turn",
        "session ms",
        "no reuse ms",
        "ratio",
        "tower frames",
        "SAM 2 frames",
        "prefilled tokens",
        "propagations",
    )
    height, width = result["size"]
    return [
        f"{capital(result['model'])}, {result['frames']} frames of {height} x {width}; counts are session / no reuse. "
        f"Masks of both sides overlap by {result['smallest_mask_iou']:.4f} or more.",
        "",
        *table(head, rows),
    ]


def objects(result: Result) -> list[str]:
    """Milliseconds per frame of the three ways."""
    rows = [
        [
            row["objects"],
            f"{row['together_ms']:.1f}",
            f"{row['sessions_ms']:.1f}",
            f"{row['sessions_ms'] / row['together_ms']:.1f}",
            f"{row['one_session_ms']:.1f}",
            f"{row['one_session_ms'] / row['together_ms']:.1f}",
        ]
        for row in result["rows"]
    ]
    head = ("objects", "together ms/frame", "session each ms/frame", "ratio", "one session ms/frame", "ratio")
    return table(head, rows)


def length(result: Result) -> list[str]:
    """Peak and pace by length."""
    rows = [
        [row["frames"], f"{row['peak_mib']:.0f}", *(f"{row[key]:.1f}" for key in ("ms", "first_ms", "last_ms"))]
        for row in result["rows"]
    ]
    head = ("frames", "peak MiB", "ms/frame", "first hundred", "last hundred")
    return [
        *table(head, rows),
        "",
        f"Peak memory grows by {result['peak_growth']:.1%} from the shortest to the longest.",
    ]


def live(result: Result) -> list[str]:
    """Pushing and asking."""
    rows = [
        [
            row["objects"],
            f"{row['frames_per_second']:.1f}",
            f"{row['frames_per_second_with_questions']:.1f}",
            ms(row["first_token_seconds"]),
            ms(row["answer_seconds"]),
        ]
        for row in result["rows"]
    ]
    head = ("objects followed", "frames/s pushed", "questions counted in", "first token ms", "answer ms")
    return [f"{capital(result['model'])}.", "", *table(head, rows)]


def decode(result: Result) -> list[str]:
    """Both loops over each clip."""
    rows = [
        [
            row["clip"],
            f"{row['size'][1]} x {row['size'][0]}",
            row["frames"],
            f"{row['clip_frames_per_second']:.0f}",
            f"{row['bare_frames_per_second']:.0f}",
            f"{row['ratio']:.2f}",
            ms(row["clip_open_seconds"]),
            ms(row["bare_open_seconds"]),
        ]
        for row in result["rows"]
    ]
    head = ("clip", "size", "frames", "Clip.stream frames/s", "PyAV frames/s", "ratio", "open ms", "PyAV open ms")
    return table(head, rows)


def jf(result: Result) -> list[str]:
    """The ways, then how ours grows and spreads over processes."""
    ways = [
        [row["way"], f"{row['frames_per_second']:,.0f}", ms(row["seconds"]), f"{row['ratio']:.1f}"]
        for row in result["rows"]
        if "missing" not in row
    ]
    sizes = [
        [row["objects"], row["frames"], ms(row["seconds"]), f"{row['microseconds_per_mask']:.0f}"]
        for row in result["scaling"]
    ]
    pools = [
        [row["workers"], row["sequences"], ms(row["seconds"]), f"{row['speedup']:.2f}"] for row in result["parallel"]
    ]
    return [
        *(f"{row['way']}: {row['missing']}." for row in result["rows"] if "missing" in row),
        f"Contours of the formula widened by {result['dilation']}. Ratios are medians over rounds.",
        "",
        *table(("way", "frames/s", "ms", "times ours"), ways),
        "",
        *table(("objects", "frames", "ms", "µs per mask"), sizes),
        "",
        *table(("processes", "sequences", "ms", "speedup"), pools),
    ]


def mask_index(result: Result) -> list[str]:
    """Each step's time and memory."""
    rates = {
        "bytes_per_second": lambda rate: f"{rate / 1e6:,.0f} MB/s",
        "tracks_per_second": lambda rate: f"{rate:,.0f} tracks/s",
    }
    rows = [
        [
            row["step"],
            f"{row['seconds']:.3g}",
            next((shown(row[key]) for key, shown in rates.items() if key in row), ""),
            "-" if row["memory_mib"] is None else f"{row['memory_mib']:,.0f}",
        ]
        for row in result["rows"]
    ]
    given = result["arguments"]
    return [
        f"{given['annotations']:,} annotations of {given['frames']} frames in {result['file_bytes'] / 1e6:,.0f} MB; "
        f"their index has {result['index_bytes'] / 1e6:.1f} MB.",
        "",
        *table(("step", "seconds", "rate", "memory MiB"), rows),
    ]


def loading(result: Result) -> list[str]:
    """Rates of each step."""
    rows = [
        [
            row["step"],
            row["records"],
            f"{row['seconds']:.3g}",
            *(
                "" if row[key] is None else f"{row[key]:,.3g}"
                for key in ("records_per_second", "records_per_core_second")
            ),
            "-" if row["memory_mib"] is None else f"{row['memory_mib']:,.0f}",
        ]
        for row in result["rows"]
    ]
    given = result["arguments"]
    return [
        f"{given['records']:,} records in {given['file_bytes'] / 1e6:,.0f} MB.",
        "",
        *table(("step", "records", "seconds", "records/s", "records/s of a core", "memory MiB"), rows),
        *loader_needs(result),
    ]


def loader_needs(result: Result) -> list[str]:
    """How many cores keep a card busy; nothing for a result that does not have it."""
    needs = result.get("needs", [])
    if not needs:
        return []
    rows = [[row["layout"], f"{row['card_records']:.3g}", f"{row['core_records']:.3g}", row["cores"]] for row in needs]
    return [
        "",
        "Calculated, not measured: an H200 that trains by `sama-1b` at 45 % of its peak (989 TFLOP/s, bfloat16) takes "
        f"records of {needs[0]['record_flops'] / 1e12:.1f} TFLOP as fast as so many cores read them.",
        "",
        *table(("clips", "records/s of the card", "records/s of a core", "cores"), rows),
    ]


def startup(result: Result) -> list[str]:
    """Whole processes."""
    rows = [[row["what"], f"{1000 * row['seconds']['min']:.0f}", ms(row["seconds"])] for row in result["rows"]]
    return [f"`sama.load` loads the {result['model']}.", "", *table(("process", "shortest ms", "median ms"), rows)]


def training(result: Result) -> list[str]:
    """The parts of an update of each size, and the rate of a run."""
    rows = [
        [
            row["preset"],
            f"{row['trained_parameters'] / 1e6:,.0f} of {row['parameters'] / 1e6:,.0f} M",
            row["batch"],
            row["tokens"],
            row["masks"],
            *(ms(row[f"{part}_seconds"]) for part in ("read", "forward", "backward", "optimiser")),
            f"{row['records_per_second']:.3g}",
            f"{row['tokens_per_second']:,.0f}",
            f"{100 * row['data_wait_share']:.0f} %",
            f"{100 * row['matrix_use']:.0f} %",
        ]
        for row in result["rows"]
    ]
    head = ("preset", "trained", "records", "tokens", "masks", "read ms", "forward ms", "backward ms", "optimiser ms")
    more = ("records/s", "tokens/s", "waits for data", "of matrix rate")
    rate = result["rows"][0]["matrix_tflops_per_second"]
    return [f"Random weights. Large matrices: {rate:.3g} TFLOP/s.", "", *table((*head, *more), rows)]


def real_size(result: Result) -> list[str]:
    """Turns of each size, then the tracker."""
    chats = [
        [
            chat["preset"],
            f"{chat['parameters'] / 1e6:,.0f} M",
            row["turn"],
            f"{row['seconds']['median']:.3g}",
            f"{row['first_token_seconds']['median']:.3g}",
            row["vision_frames"],
            row["segmenter_frames"],
            row["prefill_tokens"],
        ]
        for chat in result["chats"]
        for row in chat["rows"]
    ]
    tracks = [
        [
            row["way"],
            row["objects"],
            f"{row['frames_per_second']:.3g}",
            f"{1000 * row['seconds_per_frame']['median']:,.0f}",
        ]
        for row in result["tracks"]
    ]
    head = (
        "model",
        "parameters",
        "turn",
        "seconds",
        "first token s",
        "tower frames",
        "SAM 2 frames",
        "prefilled tokens",
    )
    frames = result["arguments"]["frames"]
    return [
        f"{frames} frames, {result['arguments']['dtype']}; tracker of SAM 2.1 {result['arguments']['segmenter']}.",
        "",
        *(table(head, chats) if chats else ()),
        "",
        *(table(("tracker", "objects", "frames/s", "ms/frame"), tracks) if tracks else ()),
    ]


def serving(result: Result) -> list[str]:
    """Load, memory and the soak, as far as they were run."""
    lines: list[str] = []
    if "load" in result:
        keys = ("clients", "requests", "errors")
        seconds = ("first_token_p50", "first_token_p95", "answer_p50", "answer_p95")
        rows = [
            [
                row["side"],
                *(row[key] for key in keys),
                f"{row['requests_per_second']:.2f}",
                *("-" if row[key] is None else f"{row[key]:.3g}" for key in seconds),
                f"{row['processor_seconds_per_request']:.3g}",
                f"{row['load_average']:.1f}",
            ]
            for row in result["load"]
        ]
        head = (
            "side",
            *keys,
            "requests/s",
            "first token p50 s",
            "p95 s",
            "answer p50 s",
            "p95 s",
            "CPU s each",
            "load average",
        )
        lines += [*table(head, rows), ""]
    if "memory" in result:
        rows = [[row["conversations"], f"{row['memory_mib']:.0f}", row["errors"]] for row in result["memory"]["rows"]]
        lines += [*table(("conversations", "memory MiB", "errors"), rows), ""]
        cache = result["memory"]["cache_bytes"] / 2**20
        lines += [f"Memory grows by {result['memory']['growth']:.1%}; the cache has {cache:.0f} MiB.", ""]
    if "soak" in result:
        found = result["soak"]
        last = found["rows"][-1]
        lines += [
            f"Soak of {result['arguments']['minutes']:g} minutes: {found['requests']} requests, {found['errors']} "
            f"errors, memory at the end {last['memory_mib']:.0f} MiB, growth {found['growth']:.1%}."
        ]
    return lines


TABLES: dict[str, Callable[[Result], list[str]]] = {
    "turns": turns,
    "objects": objects,
    "length": length,
    "live": live,
    "decode": decode,
    "jf": jf,
    "mask_index": mask_index,
    "loading": loading,
    "startup": startup,
    "training": training,
    "serving": serving,
    "real_size": real_size,
}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table, all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(map(str, row)) + " |" for row in (head, rule, *rows)]


def ms(seconds: Mapping[str, float]) -> str:
    """The median in milliseconds."""
    return f"{1000 * seconds['median']:,.3g}" if seconds["median"] < 0.1 else f"{1000 * seconds['median']:,.0f}"


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]
