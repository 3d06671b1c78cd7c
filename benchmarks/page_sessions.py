"""The page's sections about turns, tracking and live sessions."""

from page_parts import Result, Section, capital, ms, table


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


TURNS = Section(
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
    turns,
)


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


OBJECTS = Section(
    "Objects tracked together",
    """All objects move in one batch over frames that are encoded once, against the inference session that comes
with `Sam2VideoModel`: one session per object, which encodes the clip for each, and one session that holds them all,
which encodes it once but steps the objects one by one. Aim: 8 objects at least 3 times faster than
object by object.""",
    objects,
)


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


LENGTH = Section(
    "Length of the clip",
    """One tracking pass over clips of growing length, each in a process of its own. Nothing is kept behind the
pass but a bounded memory of each object. Aims: peak memory within 10 % whatever the length, time per frame flat.""",
    length,
)


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


LIVE = Section(
    "Live",
    """Frames pushed one by one, every known object tracked on each as it comes, and a question of words every 24
frames. Frames per second are those of pushing alone (without an object, a push only keeps the frame), and with the
time of the questions counted in. The first token waits for the frames in the window to be encoded: pictures of a live
answer are those of now.""",
    live,
    derived=("warmup",),
)
