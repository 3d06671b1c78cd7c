"""A tiny run in a process of its own, to be killed or split: tune_me.py OUT BASE [--resume] [option=value]...

die_at=N          kill this process in step N, after the optimiser has moved the weights
die_in_save=N     kill it in the middle of writing the checkpoint of step N
stop_at=N         send it a Ctrl-C in step N; with stop_rank=R only to that process
kind=fsdp2        the engine
batch=2 accumulation=1 steps=4 every=2
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2] / "src"), str(HERE.parents[1] / "fixtures")]

import torch  # noqa: E402
from tuning_world import synthetic_record, tiny_mixture, tiny_settings, verbal, words_alone  # noqa: E402

from sama_video.train.tuning import engine  # noqa: E402
from sama_video.train.tuning.settings import LoraSettings  # noqa: E402
from sama_video.train.tuning.trainer import tune  # noqa: E402


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arrange_stop(stop_at: int, rank: int) -> None:
    loss = engine.TuneTrainer.compute_loss

    def compute(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == stop_at - 1 and trainer.args.process_index == rank:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(trainer, *args, **kwargs)

    engine.TuneTrainer.compute_loss = compute  # type: ignore[method-assign]


def arrange_death(die_at: int, die_in_save: int) -> None:
    whole_save = engine.TuneTrainer._save_optimizer_and_scheduler
    step_end = engine.TuneTrainer._maybe_log_save_evaluate

    def save(trainer: Any, output_dir: str) -> None:
        if trainer.state.global_step == die_in_save:
            die()  # the weights are written, the optimiser is not
        whole_save(trainer, output_dir)

    def end(trainer: Any, *args: Any, **kwargs: Any) -> None:
        if trainer.state.global_step == die_at:
            die()
        step_end(trainer, *args, **kwargs)

    engine.TuneTrainer._save_optimizer_and_scheduler = save  # type: ignore[method-assign]
    engine.TuneTrainer._maybe_log_save_evaluate = end  # type: ignore[method-assign]


def main() -> None:
    torch.set_num_threads(1)
    given = dict(part.split("=") for part in sys.argv[3:] if "=" in part)
    arrange_death(int(given.get("die_at", 0)), int(given.get("die_in_save", 0)))
    arrange_stop(int(given.get("stop_at", 0)), int(given.get("stop_rank", 0)))
    settings = tiny_settings(
        model=sys.argv[2],
        batch=int(given.get("batch", 1)),
        accumulation=int(given.get("accumulation", 2)),
        steps=int(given.get("steps", 4)),
    )
    kind, every = given.get("kind", "ddp"), int(given.get("every", 2))
    own = replace(settings.engine, kind=kind, checkpoint_every=every, gradient_checkpointing=True)
    own = replace(own, precision=given.get("precision", "fp32"))
    settings = replace(settings, engine=own, data=replace(settings.data, workers=int(given.get("workers", 0))))
    if "lora" in given:
        settings = replace(settings, lora=LoraSettings(rank=2, targets=("q_proj", "v_proj")))
    records = [synthetic_record(seed) for seed in range(4)]
    stream = tiny_mixture([*records, verbal(records[0]), words_alone()])
    tune(settings, Path(sys.argv[1]), resume="--resume" in sys.argv, stream=stream, device="cpu")


if __name__ == "__main__":
    main()
