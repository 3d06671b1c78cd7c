"""Everything this package raises on purpose.

    SamaError                    a caller's mistake or an unusable input; exit code 2, HTTP 4xx
    ├── VideoError               a video, image or frame index that cannot be used
    ├── RegionError              a point, box, mask or object reference that breaks a rule
    ├── DialogueError            a question whose tags and regions do not agree, a damaged dialogue
    ├── CheckpointError          weights that do not map, load or verify
    ├── ConfigError              an unknown preset, recipe key or impossible setting
    ├── DataError                a record or data set that breaks its format
    ├── SessionError             a session that is closed, unknown or cannot be restored
    ├── DeviceError              a device, precision or quantisation this machine does not have
    ├── MissingExtraError        an optional dependency that is not installed
    └── in `remote`              EndpointError, AccessError and BudgetError of a language model elsewhere

Each message is one line: what was given, the rule it broke, what to do next.
"""


class SamaError(Exception):
    """A caller's mistake, told in one line."""


class VideoError(SamaError):
    """A video, image or frame index that cannot be used."""


class RegionError(SamaError):
    """A point, box, mask or object reference that breaks a rule."""


class DialogueError(SamaError):
    """A question or dialogue whose parts do not agree."""


class CheckpointError(SamaError):
    """Weights that do not map, load or verify."""


class ConfigError(SamaError):
    """An unknown preset or key, or a setting that cannot be."""


class DataError(SamaError):
    """A record or data set that breaks its format."""


class SessionError(SamaError):
    """A session that is closed, unknown or cannot be restored."""


class DeviceError(SamaError):
    """A device, precision or quantisation this machine does not have."""


class MissingExtraError(SamaError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed, but this needs it; run: pip install 'sama-video[{extra}]'")


class SamaWarning(UserWarning):
    """Something was usable, but not whole."""


class TruncatedVideoWarning(SamaWarning):
    """A video ended before its container said it would."""
