"""One update of training on records: where its time goes, records and tokens per second, and use of the card.

    python benchmarks/training.py                                          # the nano's sizes, CPU
    python benchmarks/training.py --device cuda --presets sama-1b sama-4b  # random weights, bfloat16

Parts are timed one after the other, the device waited for after each, on synthetic dialogues: reading (one core: paint
or decode, resize, tokenise), forward, backward, optimiser. The rate of the run is that of `tune` itself, with worker
processes reading ahead. Matrix work is counted by torch over one forward and backward without the recomputation of
gradient checkpointing, and compared with the rate at which the device multiplies large matrices.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import arguments, finish, print_table, settler, spread
from models import random_model
from torch.utils.flop_counter import FlopCounterMode

from sama_video.data.findings import Findings
from sama_video.data.mixture_shares import MixturePart
from sama_video.data.records import DialogueRecord, Task, record_from_synthetic
from sama_video.data.stores.store import RecordStore
from sama_video.data.synthetic.language import sample_dialogue
from sama_video.data.synthetic.world import World
from sama_video.train.tuning.base import Base, prepare
from sama_video.train.tuning.collate import Collate, ReadExample, TuneBatch
from sama_video.train.tuning.examples import ExampleMaker
from sama_video.train.tuning.model_step import TuningModel
from sama_video.train.tuning.reading import SourceMixture
from sama_video.train.tuning.settings import DataSettings, EngineSettings, TuneConfig
from sama_video.train.tuning.trainer import tune, tuning_model

MATRIX_SIDE = {"cuda": 8192, "cpu": 1024}
KINDS = {"segment_text": 2.0, "segment_region": 2.0, "attribute": 1.0}


class Painted(RecordStore):
    """Synthetic dialogues of a fixed size."""

    name = "painted"

    def __init__(self, count: int, frames: int, side: int, turns: int) -> None:
        self.count, self.frames, self.side, self.turns = count, frames, side, turns
        self.findings = Findings()

    def __len__(self) -> int:
        return self.count

    def task(self, index: int) -> Task:
        return "dialogue"

    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        clip = World.sample(index, side=self.side, num_frames=self.frames, num_objects=(3, 3), level="easy")
        rng = np.random.default_rng(index)
        return record_from_synthetic(clip, sample_dialogue(clip, rng, self.turns, KINDS), rng)


@dataclass
class Parts:
    """Seconds of each part of the updates timed."""

    read: list[float]
    forward: list[float]
    backward: list[float]
    optimiser: list[float]

    def spreads(self) -> dict[str, dict[str, float]]:
        return {f"{name}_seconds": spread(values) for name, values in vars(self).items()}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--presets", nargs="+", default=["nano"])
    parser.add_argument("--batch", type=int, default=2, help="records per micro-step")
    parser.add_argument("--frames", type=int, default=96, help="frames of a clip")
    parser.add_argument("--side", type=int, default=128, help="side of a frame before it is resized")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--updates", type=int, default=5, help="timed after two that warm up")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--no-checkpointing", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.frames, args.turns, args.updates, args.batch = 8, 2, 1, 1
    torch.set_num_threads(args.threads)
    rows = [measure(args, preset) for preset in args.presets]
    rate = rows[0]["matrix_tflops_per_second"]
    print_table(
        ("preset", "tokens", "read s", "forward s", "backward s", "optimiser s", "records/s", "tokens/s", "MFU %"),
        [
            (
                row["preset"],
                row["tokens"],
                *(row[f"{name}_seconds"]["median"] for name in ("read", "forward", "backward", "optimiser")),
                row["records_per_second"],
                row["tokens_per_second"],
                100 * row["matrix_use"],
            )
            for row in rows
        ],
    )
    print(f"matrices: {rate:.3g} TFLOP/s")
    finish("training", args, {"rows": rows})


def measure(args: argparse.Namespace, preset: str) -> dict[str, Any]:
    """All figures of one size."""
    on_card = args.device.startswith("cuda")
    settings = TuneConfig(
        model=preset,
        batch=args.batch,
        accumulation=1,
        steps=args.updates + 2,
        data=DataSettings(workers=args.workers),
        engine=EngineSettings(
            precision="bf16" if on_card else "fp32",
            gradient_checkpointing=not args.no_checkpointing,
            checkpoint_every=10**6,
            log_every=1,
            report_to=(),
        ),
    )
    loaded = random_model(preset, args.device, torch.float32)
    store = Painted(64, args.frames, args.side, args.turns)
    stream = SourceMixture([MixturePart(store.name, store)], balance="none")
    base = Base(loaded.model, loaded.processor, "random")
    run, figures = run_rate(settings, base, stream, args.device)
    prepare(base.model, settings)
    model = tuning_model(base.model, settings).to(args.device).train()
    parts, batch = time_parts(settings, model, base, stream, args)
    flops = count_flops(model, batch, args.device, base)
    own = torch.bfloat16 if on_card else torch.float32
    rate = matrix_rate(args.device, own)
    step = sum(spread(values)["median"] for name, values in vars(parts).items() if name != "read")
    trained = sum(parameter.numel() for _, parameter in model.trained())
    return {
        "preset": preset,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained_parameters": trained,
        "batch": args.batch,
        "tokens": int(batch.input_ids.numel()),
        "masks": batch.num_prompts,
        **parts.spreads(),
        "records_per_second": run["records_per_second"],
        "tokens_per_second": run["tokens_per_second"],
        "data_wait_share": run["data_wait_share"],
        "step_tflop": flops / 1e12,
        "matrix_tflops_per_second": rate / 1e12,
        "matrix_use": flops / step / rate,
        "losses": figures,
        **peak(args.device),
    }


def run_rate(
    settings: TuneConfig, base: Base, stream: SourceMixture, device: str
) -> tuple[dict[str, float], list[float]]:
    """Rates of a run of `tune`, less the two updates that warm up; and its losses."""
    lines: list[dict[str, float]] = []
    folder = Path(tempfile.mkdtemp())
    try:
        tune(
            settings,
            folder / "run",
            base=base,
            stream=stream,
            device="cpu" if device == "cpu" else "auto",
            report=lambda progress: lines.append(dict(progress.figures)),
        )
    finally:
        shutil.rmtree(folder)
    kept = lines[2:]
    names = ("records_per_second", "tokens_per_second", "data_wait_share")
    return {name: float(np.median([line[name] for line in kept])) for name in names}, [line["loss"] for line in lines]


def time_parts(
    settings: TuneConfig, model: TuningModel, base: Base, stream: SourceMixture, args: argparse.Namespace
) -> tuple[Parts, TuneBatch]:
    """Each part of some updates by itself, and the last batch."""
    maker = ExampleMaker(loaded_config(base), base.processor, settings.data)
    optimiser = torch.optim.AdamW([parameter for _, parameter in model.trained()], lr=1e-5, fused=True)
    parts = Parts([], [], [], [])
    settle = settler(args.device) or (lambda: None)
    for update in range(settings.steps):
        positions = range(update * args.batch, (update + 1) * args.batch)
        took, batch = clocked(partial(read, stream, maker, positions), settle)
        batch = batch.to(args.device)
        settle()
        forward, loss = clocked(partial(loss_of, model, batch, args.device), settle)
        backward, _ = clocked(loss.backward, settle)
        optimise, _ = clocked(lambda: (optimiser.step(), optimiser.zero_grad(set_to_none=True)), settle)
        if update >= 2:
            for values, seconds in zip(vars(parts).values(), (took, forward, backward, optimise), strict=True):
                values.append(seconds)
    return parts, batch


def loaded_config(base: Base) -> Any:
    """The model's configuration, which to a checker is any."""
    return base.model.config


def read(stream: SourceMixture, maker: ExampleMaker, positions: range) -> TuneBatch:
    """What a worker process does for a batch."""
    examples = []
    for position in positions:
        drawn = stream.draw_with(position, lambda record, choice: maker.make(record, record.clip.open(), choice.seed))
        examples.append(ReadExample(drawn.item))
    return Collate(0)(examples)["batch"]


def loss_of(model: TuningModel, batch: TuneBatch, device: str) -> torch.Tensor:
    """The forward pass in the precision of the run."""
    counts = torch.tensor([batch.num_labels, batch.num_prompts], dtype=torch.float32, device=device)
    loss: torch.Tensor = model(batch, counts[0], counts[1])["loss"]
    return loss


def clocked(work: Callable[[], Any], settle: Callable[[], None]) -> tuple[float, Any]:
    """Seconds of a call, the device waited for."""
    began = time.perf_counter()
    value = work()
    settle()
    return time.perf_counter() - began, value


def count_flops(model: TuningModel, batch: TuneBatch, device: str, base: Base) -> float:
    """Floating point operations of matrix products and attention, forward and backward, nothing computed twice."""
    language: Any = base.model.model.language_model
    for layer in language.layers:
        layer.gradient_checkpointing = False
    with FlopCounterMode(display=False) as counter:
        loss_of(model, batch, device).backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations per second of large square products: what the device gives in practice."""
    side = MATRIX_SIDE[device.split(":")[0]]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    settle = settler(device) or (lambda: None)
    for _ in range(3):
        left @ right
    settle()
    best = min(clocked(lambda: [left @ right for _ in range(10)], settle)[0] for _ in range(5))
    return 10 * 2 * side**3 / best


def peak(device: str) -> dict[str, float]:
    """Most memory of the card."""
    return {"device_peak_gib": torch.cuda.max_memory_allocated() / 2**30} if device.startswith("cuda") else {}


if __name__ == "__main__":
    main()
