"""What it takes to open 100,000 records, to draw them from a mixture, and to decode their clips.

    python benchmarks/loading.py
    python benchmarks/loading.py --records 1000000

Each row is a process of its own, so that its memory is its own. `index` opens the record file for the first time,
`open` again; `choices` and `records` draw from a mixture of two parts with unequal weights; `workers` draws in two
processes side by side, their start included, and its memory is the most that one of them grew by. The decoding rows
read a record and the frames that a model would see (32 at most) of clips made here, in one process with one thread;
the example rows make a whole training row of the 1B's sizes of them (frames resized for tower and SAM 2, masks, words);
`loader` does the decoding for the mixture of all clips behind torch's DataLoader. "Of a core" counts the processor's
time and not the clock's, so it holds on a busy machine as well.

The last table is a calculation: how many cores keep an H200 busy that trains by the recipe `sama-1b` at 45 % of its
peak, from the rates of the example rows and the operations of a typical record.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, finish, peak_rss_mib, print_table
from PIL import Image

from sama_video.data.mixture import Choice, Mixture
from sama_video.data.mixture_shares import MixturePart
from sama_video.data.records import TASKS, DialogueRecord, FileClip, RecordTurn, write_records
from sama_video.data.stores.jsonl import JsonlStore
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.parquet import write_parquet
from sama_video.regions.masklet import Masklet
from sama_video.video import sparse_indices, write_video

SIDES = (360, 640)
CLIP_FRAMES = 96
PARQUET_RECORDS = 2000
COLUMNS = ("step", "records", "seconds", "records_per_second", "records_per_core_second", "memory_mib")
FPS = 24
LAYOUTS = ("mp4", "every fourth frame of an mp4", "folder of JPEG")
RECIPE = "sama-1b"


def masklets(frames: int, height: int, width: int, count: int) -> tuple[Masklet, ...]:
    """Discs that move."""
    rows, columns = np.mgrid[:height, :width]
    radius = height // 6
    return tuple(
        Masklet.from_masks(
            f"obj{number + 1}",
            [
                (rows - height // 2 - 9 * number) ** 2 + (columns - width // 4 - 3 * idx) ** 2 < radius**2
                for idx in range(frames)
            ],
        )
        for number in range(count)
    )


def write_index_file(path: Path, count: int) -> None:
    """Records of one object on eight frames, some 1.3 KB each."""
    turn = RecordTurn("What moves?", (), "A disc does.", ())
    objects = masklets(8, 90, 160, 1)
    example = DialogueRecord("", FileClip("a.mp4", 8, 90, 160), objects, (turn,), "made", "CC0-1.0")
    lines = []
    for task in TASKS:
        write_records(path, [replace(example, record_id="NUMBER", task=task)])
        lines.append(path.read_text(encoding="utf-8"))
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            out.write(lines[number % len(lines)].replace("NUMBER", f"r{number}", 1))


def frames_of(clip_number: int, count: int) -> Iterator[np.ndarray]:
    """Pictures with texture and motion, which cost a decoder about what a real video does."""
    rng = np.random.default_rng(clip_number)
    small = rng.integers(0, 255, (SIDES[0] // 8, 2 * SIDES[1] // 8, 3), dtype=np.uint8)
    ground = np.asarray(Image.fromarray(small).resize((2 * SIDES[1], SIDES[0]), Image.Resampling.BICUBIC))
    for idx in range(count):
        yield np.ascontiguousarray(ground[:, 4 * idx : 4 * idx + SIDES[1]])


def write_clips(folder: Path, layout: str, clips: int) -> None:
    """Clips of one layout, and a record for each."""
    records = []
    for number in range(clips):
        path = folder / f"{number}{'' if layout == LAYOUTS[2] else '.mp4'}"
        if layout == LAYOUTS[2]:
            path.mkdir(parents=True)
            for idx, frame in enumerate(frames_of(number, CLIP_FRAMES)):
                Image.fromarray(frame).save(path / f"{idx:05d}.jpg", quality=90)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, frames_of(number, CLIP_FRAMES), fps=FPS)
        every = 4 if layout == LAYOUTS[1] else 1
        clip = FileClip(path.name, CLIP_FRAMES // every, *SIDES, every=every)
        turn = RecordTurn("Show the discs.", (), "They are [SEG] and [SEG].", (("obj1",), ("obj2",)))
        objects = masklets(clip.num_frames, *SIDES, 2)
        records.append(DialogueRecord(f"{number}", clip, objects, (turn,), "made", "CC0-1.0"))
    write_records(folder / "train.jsonl", records)


def mixture_of(path: Path) -> Mixture:
    """Two parts of one file."""
    store = JsonlStore([path], index_above=0)
    return Mixture([MixturePart("once", store, 1), MixturePart("thrice", store, 3)])


def decode(record: DialogueRecord, choice: Choice) -> np.ndarray:
    """The frames that a model is shown, and the masks on those that it looks at closely."""
    clip = record.clip.open()
    shown = sparse_indices(clip.num_frames)
    for masklet in record.objects:
        for frame in shown[:5]:
            masklet.mask(frame)
    pixels = clip.frames(shown)
    clip.close()
    return pixels


def example_maker() -> Callable[[DialogueRecord, Choice], object]:
    """Makes training rows of the 1B's sizes; words are the nano's, for those of the 1B are not at hand."""
    from sama_video.model import SamaProcessor
    from sama_video.model.presets import BUNDLED_NANO, preset_config
    from sama_video.train.tuning.examples import ExampleMaker
    from sama_video.train.tuning.recipes import read_recipe

    config, nano = preset_config(RECIPE), SamaProcessor.from_pretrained(BUNDLED_NANO, local_files_only=True)
    processor = SamaProcessor.for_config(config, nano.tokenizer, nano.qformer_tokenizer)
    maker = ExampleMaker(config, processor, read_recipe(RECIPE).settings().data)

    def make(record: DialogueRecord, choice: Choice) -> object:
        clip = record.clip.open()
        example = maker.make(record, clip, choice.seed)
        clip.close()
        return example

    return make


def read_positions(path: Path, positions: range) -> float:
    """Read in another process; MiB that it grew by."""
    before = peak_rss_mib() or 0.0
    mixture = mixture_of(path)
    for position in positions:
        mixture.record(position)
    return (peak_rss_mib() or 0.0) - before


def in_workers(path: Path, count: int) -> float:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(read_positions, [path] * 2, [range(rank, count, 2) for rank in range(2)]))


class Frames:
    """The mixture as torch's DataLoader takes it."""

    def __init__(self, mixture: Mixture, count: int) -> None:
        self.mixture, self.count = mixture, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> int:
        # Pixels stay in the worker: what becomes of them there is the trainer's business.
        return int(self.mixture.draw_with(position, decode).item.shape[0])


def through_loader(folder: Path, count: int, workers: int) -> Callable[[], None]:
    from torch.utils.data import DataLoader

    parts = [MixturePart(child.name, open_store(child)) for child in sorted(folder.iterdir()) if child.is_dir()]
    frames: Any = Frames(Mixture(parts), count)
    loader: DataLoader[int] = DataLoader(frames, batch_size=2, num_workers=workers)

    def read() -> None:
        assert sum(len(batch) for batch in loader) == count

    return read


def step_of(step: str, path: Path, count: int) -> Callable[[], float | None]:
    """What a row times; gives memory where that of this process is not what is meant."""
    if step in ("index", "open"):
        return _for_time_alone(lambda: JsonlStore([path], index_above=0))
    if step == "workers":
        return lambda: in_workers(path, count)
    if step.startswith("loader"):
        return through_loader(path, count, workers=int(step.split()[1]))
    if step.startswith(("decode", "example")):
        mixture = Mixture([MixturePart("clips", open_store(path))])
        make = decode if step.startswith("decode") else example_maker()
        return _for_time_alone(lambda: [mixture.draw_with(position, make) for position in range(count)])
    mixture = mixture_of(path) if path.suffix == ".jsonl" else Mixture([MixturePart("shards", open_store(path))])
    read = mixture.choice if step == "choices" else mixture.record
    return _for_time_alone(lambda: [read(position) is None for position in range(count)])


def _for_time_alone(work: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        work()

    return run


def one_step(step: str, path: Path, count: int) -> dict[str, Any]:
    """Do one thing and tell how long it took and how much memory it left behind."""
    before = peak_rss_mib()
    work = step_of(step, path, count)
    begun, busy = time.perf_counter(), time.process_time()
    grown = work()
    seconds, core_seconds = time.perf_counter() - begun, time.process_time() - busy
    after = peak_rss_mib()
    if grown is None and after is not None and before is not None:
        grown = after - before
    return {"step": step, "records": count, "seconds": seconds, "core_seconds": core_seconds, "memory_mib": grown}


def in_own_process(step: str, path: Path, count: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", step, str(path), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(done.stdout)
    row["records_per_second"] = None if step in ("index", "open") else count / row["seconds"]
    # Other processes' work is none of this one's time.
    in_process = step not in ("index", "open", "workers", "loader 1 workers", "loader 2 workers")
    row["records_per_core_second"] = count / row["core_seconds"] if in_process else None
    return row


def measure(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows."""
    path = folder / "index" / "train.jsonl"
    path.parent.mkdir()
    write_index_file(path, args.records)
    args.file_bytes = path.stat().st_size
    rows = [in_own_process(step, path, args.records) for step in ("index", "open")]
    rows += [in_own_process(step, path, args.draws) for step in ("choices", "records", "workers")]
    write_parquet(folder / "shards", islice(open_store(path), PARQUET_RECORDS))
    rows.append(in_own_process("records of Parquet", folder / "shards", max(1, args.draws // 10)))
    for number, layout in enumerate(LAYOUTS):
        clips = folder / "clips" / str(number)
        write_clips(clips, layout, args.clips)
        for step in ("decode", "example"):
            rows.append({**in_own_process(step, clips, args.decoded), "step": f"{step} {layout}"})
    for workers in (0, 1, 2):
        rows.append(in_own_process(f"loader {workers} workers", folder / "clips", 3 * args.decoded))
    return rows


def needs_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each layout's rate means for the 1B on an H200; calculated."""
    from sama_video.train.tuning.loader_need import loader_need, recipe_flops

    flops = recipe_flops(RECIPE, RECIPE)
    rates = {row["step"]: row["records_per_core_second"] for row in rows if row["step"].startswith("example ")}
    return [
        {"layout": step.removeprefix("example "), **loader_need(flops, rate).to_json()} for step, rate in rates.items()
    ]


def main() -> None:
    parser = arguments(__doc__, device=False)
    parser.add_argument("--records", type=int, help="in the record file (default 100000, quick 500)")
    parser.add_argument("--draws", type=int, help="positions read (default 5000, quick 100)")
    parser.add_argument("--clips", type=int, help="of each layout (default 4, quick 1)")
    parser.add_argument("--decoded", type=int, help="records decoded of each layout (default 20, quick 1)")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        step, path, count = args.step
        print(json.dumps(one_step(step, Path(path), int(count))))
        return
    del args.step
    args.records = args.records or (500 if args.quick else 100_000)
    args.draws = args.draws or (100 if args.quick else 5000)
    args.clips = args.clips or (1 if args.quick else 4)
    args.decoded = args.decoded or (1 if args.quick else 20)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args)
    print(
        f"{args.records} records, {args.file_bytes / 1e6:.0f} MB; clips of {CLIP_FRAMES} frames, {SIDES[1]}x{SIDES[0]}"
    )
    print_table(
        ("step", "records", "seconds", "records/s", "records/s of a core", "memory MiB"),
        [[row[key] for key in COLUMNS] for row in rows],
    )
    needs = needs_of(rows)
    print(
        f"\n{RECIPE} on an H200 at 45 % of its peak, calculated: {needs[0]['record_flops'] / 1e12:.1f} TFLOP a record"
    )
    print_table(
        ("clips", "records/s of the card", "records/s of a core", "cores"),
        [[row[key] for key in ("layout", "card_records", "core_records", "cores")] for row in needs],
    )
    finish("loading", args, {"rows": rows, "needs": needs})


if __name__ == "__main__":
    main()
