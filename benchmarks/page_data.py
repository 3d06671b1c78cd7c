"""The page's sections about reading: videos, masks, records."""

from collections.abc import Callable

from page_parts import Result, Section, ms, table


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


DECODE = Section(
    "Decoding",
    """`Clip.stream` against a loop of PyAV that decodes and converts to RGB and does nothing else, both after
opening. Opening is listed apart, as a clip then finds out when each frame is shown. Aim: at least 0.9 of the bare
loop.""",
    decode,
)


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


JF = Section(
    "J and F of video segmentation",
    """Objects with ragged contours in a clip of 480 x 854, scored from run lengths, against the formula of DAVIS
written plainly over boolean pictures (its contours widened by OpenCV, as in the published code, where that is
installed) and against the package `vos_benchmark` over label maps. Reading the run lengths is timed, making pictures
and label maps is not. All three agree on every figure. Below: our time as objects and frames grow, and whole
sequences over processes. Aims: 10 times the formula, 5 times the package.""",
    jf,
)


def mask_index(result: Result) -> list[str]:
    """Each step's time and memory."""
    rates: dict[str, Callable[[float], str]] = {
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


MASK_INDEX = Section(
    "Opening a mask dictionary",
    """The official data sets keep all masks of a split in one JSON file. `index` opens it for the first time and
notes where each annotation begins; `open` is every later time; `tracks` decodes tracks at random places; `json.load` is
what one would do without an index. Memory is what each step adds to a process of its own. Aim: seconds for 100,000
annotations.""",
    mask_index,
)


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


LOADING = Section(
    "Loading of training records",
    """A record file of the mixture is opened for the first time (`index`) and again (`open`); then the mixture
chooses positions, reads records, and reads them in worker processes, whose memory is each one's own. `decode` adds up
to 32 frames of the clip. `loader` is torch's, two records a batch, with worker processes. A core's rate divides by
processor time, so that a busy machine does not show in it.""",
    loading,
    derived=("file_bytes",),
)
