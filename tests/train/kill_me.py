"""A slow toy run in processes of its own, to be killed: kill_me.py OUT [--resume]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from toy_stage import ToyStage

from sama_video.train.config import load_recipe
from sama_video.train.engine import train

if __name__ == "__main__":
    ToyStage.pause = 0.01
    run = load_recipe("nano", ["stages=[see]", "see.steps=300", "see.batch=4", "checkpoint_seconds=0.1", "log_every=1"])
    train(run, Path(sys.argv[1]), {"see": ToyStage}, version="test", resume="--resume" in sys.argv)
