"""A finished model taken up into a run's folder, where it stands among the results of stages."""

from sama_video.errors import ConfigError
from sama_video.model.weight_files import fingerprint
from sama_video.train.config import TrainConfig
from sama_video.train.run_folder import RunFolder
from sama_video.train.stages.base import Stage
from sama_video.train.stages.going_on import prompts_of_names
from sama_video.train.stages.speak import SpeakStage
from sama_video.train.starting_model import STARTING_MODEL, folder_of, weights_of

_ORIGIN = "origin.txt"
"""Beside the weights: what tells them from those of another model."""


def take_up(run: TrainConfig, folder: RunFolder) -> None:
    """Lay the model that a run goes on from into its folder, with the prompts of names that its stages need.

    Raises:
        CheckpointError: There is no such model, or none that a stage could go on from.
        ConfigError: The run began from another one.
    """
    origin, now = folder.stage(STARTING_MODEL) / _ORIGIN, fingerprint(folder_of(run))
    if folder.has(STARTING_MODEL):
        if origin.read_text() != now:
            raise ConfigError(
                f"start_from: {run.start_from} holds other weights than when {folder.path} began; give that model, or "
                "choose an empty folder."
            )
        return
    weights = weights_of(run)
    speaker = SpeakStage(run)
    speaker.take_over(weights)
    folder.write(STARTING_MODEL, weights | prompts_of_names(speaker), {_ORIGIN: now.encode()})


def clips_of(run: TrainConfig, kind: type[Stage], folder: RunFolder) -> str:
    """Names the clips that a stage draws: others than those that the model it goes on from was made with."""
    if not run.start_from:
        return kind.name
    return f"{kind.name}/{(folder.stage(STARTING_MODEL) / _ORIGIN).read_text()}"


def origins(run: TrainConfig, kind: type[Stage], folder: RunFolder) -> tuple[str, ...]:
    """The results that a stage takes over: its predecessors', or a model's and those of them that the run has."""
    before = kind.predecessors(run)
    if not run.start_from:
        return before
    return (STARTING_MODEL, *(name for name in before if name in run.stages or folder.has(name)))
