"""The page's sections about whole processes and whole models: starting, training, published sizes."""

from page_parts import Result, Section, ms, table


def startup(result: Result) -> list[str]:
    """Whole processes."""
    rows = [[row["what"], f"{1000 * row['seconds']['min']:.0f}", ms(row["seconds"])] for row in result["rows"]]
    return [f"`sama.load` loads the {result['model']}.", "", *table(("process", "shortest ms", "median ms"), rows)]


STARTUP = Section(
    "Starting up",
    """From the start of a process to its end, torch and transformers alone for comparison. Importing the package
does no work; torch comes with the first thing that needs it. Aim: `sama --help` under 0.3 s.""",
    startup,
)


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


TRAINING = Section(
    "Training on records",
    """One update in parts, each waited for: reading a batch on one core (paint, resize, tokenise), forward,
backward, optimiser. Records and tokens per second are those of a whole run, worker processes reading ahead if there
are any. Use of the matrix units is the work of one forward and backward, nothing computed twice, over the time of
forward, backward and optimiser, as a share of what large matrix products reach on the same device. Aim: 45 % for the
1B on one H200.""",
    training,
)


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


REAL_SIZE = Section(
    "Real sizes",
    """The published sizes with random weights in bfloat16, so that the figures say something about them although
no weights are at hand. Turn 1 encodes the clip, grounds two objects and propagates them; turn 2 speaks of them again.
The tracker is SAM 2.1 hiera-large, frames encoded in the same pass, its memory full. On a CPU these are for the
record. Aims on an H200, compiled: above 60 frames/s with 1 object and above 40 with 16.""",
    real_size,
    derived=("warmups", "segmenter"),
)


def other_hand(result: Result) -> list[str]:
    """Every figure with its interval."""
    rows = [
        [
            row["figure"],
            f"{row['mean']:.3f}",
            "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}",
            row["count"],
        ]
        for row in result["rows"]
    ]
    return [f"Weights `{result['revision']}`.", "", *table(("figure", "mean", "95 %", "asked"), rows)]


OTHER_HAND = Section(
    "The nano on clips of another hand",
    """No speed, but reach: shapes and colours of the nano's vocabulary, drawn by Pillow with nothing of the project's
generators: other colour values, outlines, sizes, backgrounds and paths, no textures; 24 frames of 256 x 256. Click, box
and outline are on the first frame, the outline is followed over the others. Ways are asked for as the nano's own world
asks, and in other words, which no training had: with diagonals to choose from.""",
    other_hand,
)
