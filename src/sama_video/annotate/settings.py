"""Settings of `sama data annotate`: a YAML file that says what differs from the defaults.

    schema: sama-annotate/1
    inputs:
      - records: data/video_datas/mevis
    ask: {model: gemini-2.5-flash, base_url: https://..., budget: {money: 20}, prices: {prompt: 0.3, completion: 2.5}}
    publish: {title: My dialogues}

Paths are relative to the file. An unknown key is refused with the nearest known one. A key to an endpoint stands
neither here nor on the command line: the environment holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from sama_video.annotate.asking import AskSettings, TaskMix
from sama_video.annotate.checks.checking import CheckRules
from sama_video.annotate.drawing import DrawOptions
from sama_video.annotate.inputs.annotations import AnnotationInput, ClipInput
from sama_video.annotate.inputs.catalogue import Input
from sama_video.annotate.inputs.records import RecordInput, SyntheticInput
from sama_video.annotate.probing import ProbeSettings
from sama_video.annotate.publish.balancing import BalanceSettings, SplitSettings
from sama_video.annotate.publish.publishing import PublishSettings
from sama_video.annotate.review.reviewing import ReviewSettings
from sama_video.annotate.selecting import SelectSettings
from sama_video.annotate.stages import Json, digest, plain
from sama_video.annotate.tracking import TrackSettings
from sama_video.annotate.trees import from_tree
from sama_video.data.formats.options import UNKNOWN_LICENCE
from sama_video.errors import ConfigError
from sama_video.remote.language_model import DEFAULT_TOKENS_PER_PICTURE, Limits
from sama_video.remote.pace import Patience
from sama_video.remote.reply_store import Budget, Prices
from sama_video.remote.transport import KEY_VARIABLE

SCHEMA: Final = "sama-annotate/1"
SCRIPTED: Final = "scripted"
"""The model's name that stands for the endpoint of tests and examples, which knows the drawn clips' truth."""

_KEY_NAMES: Final = ("api_key", "key", "key_file", "token", "apikey", "api-key")


@dataclass(frozen=True)
class SyntheticClips:
    """Clips of the drawn world.

    Attributes:
        size: Pixels of the square.
    """

    clips: int
    seed: int = 0
    level: int = 2
    size: int = 128


@dataclass(frozen=True)
class InputSettings:
    """One source of clips; exactly one of the first four says which.

    Attributes:
        records: What `data.stores.opening.open_store` opens, with `layout`, `root` and `split`.
        annotations: A file or folder of an annotation tool, with `format` and `media`.
        clips: A folder of clips, with `prompts`, a JSON file of boxes or points in each.
        synthetic: Drawn clips.
        source, licence: Where the files do not say it; a licence that is given here counts in any case.
    """

    records: Path | None = None
    annotations: Path | None = None
    clips: Path | None = None
    synthetic: SyntheticClips | None = None
    layout: str = "auto"
    root: Path | None = None
    split: str = "train"
    format: str = "auto"
    media: Path | None = None
    prompts: Path | None = None
    source: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("records", "annotations", "clips", "synthetic") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"an input has {' and '.join(given) or 'nothing'}; give one of records, annotations, clips, synthetic."
            )

    def open(self, out: Path) -> Input:
        """The input.

        Args:
            out: Where drawn clips are put.
        """
        if self.records is not None:
            return RecordInput(self.records, self.layout, self.root, self.licence, self.split)
        if self.annotations is not None:
            return AnnotationInput(self.annotations, self.format, self.media, self.source, self.licence)
        if self.clips is not None:
            return ClipInput(self.clips, self.prompts, self.source or "clips", self.licence or UNKNOWN_LICENCE)
        drawn = self.synthetic
        assert drawn is not None, "checked when it was built"
        folder = out / "synthetic" / f"{drawn.level}-{drawn.seed}-{drawn.size}"
        return SyntheticInput(folder, drawn.clips, drawn.seed, drawn.level, drawn.size)


@dataclass(frozen=True)
class ModelSettings:
    """A language model, how it is asked, and what it may cost.

    Attributes:
        model: Its name at the endpoint; a dated version where there is one.
        base_url: Of the endpoint; `OPENAI_BASE_URL`, or OpenAI's, if not given.
        limit_name: What the server calls the longest reply; some want `max_completion_tokens`.
        workers: Requests under way at a time.
        tokens_per_picture: What a picture is counted as before the bill says it.
        attempt_seconds, total_seconds: Longest that one attempt, and one request with its waits, may take.
        temperature, max_tokens, seed, structured, language: As `AskSettings`.
        mistakes: Of the scripted endpoint alone: share of its texts with a planted mistake.
        delay_ms: Of the scripted endpoint alone: how long it takes.
    """

    model: str
    base_url: str | None = None
    limit_name: str = "max_tokens"
    workers: int = 4
    requests_per_minute: float | int | None = None
    tokens_per_minute: float | int | None = None
    tokens_per_picture: int = DEFAULT_TOKENS_PER_PICTURE
    budget: Budget = field(default_factory=Budget)
    prices: Prices = field(default_factory=Prices)
    attempt_seconds: float | int = 120
    total_seconds: float | int = 900
    temperature: float | int | None = 0.7
    max_tokens: int = 4096
    seed: int | None = None
    structured: bool = True
    language: str = "English"
    mistakes: float | int = 0.0
    delay_ms: float | int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers is {self.workers}; at least one request has to be under way.")
        if not 0 <= self.mistakes <= 1:
            raise ConfigError(f"mistakes is {self.mistakes}; give a share from 0 to 1.")
        if self.model != SCRIPTED and (self.mistakes or self.delay_ms):
            raise ConfigError(f"mistakes and delay_ms are of the model {SCRIPTED} alone; leave them out.")

    @property
    def asking(self) -> AskSettings:
        """How requests are put."""
        return AskSettings(self.temperature, self.max_tokens, self.seed, self.structured, self.language)

    @property
    def limits(self) -> Limits:
        """What asking may cost, and how fast and patient it is."""
        patience = Patience(attempt_seconds=self.attempt_seconds, total_seconds=self.total_seconds)
        return Limits(
            self.budget,
            self.prices,
            self.requests_per_minute,
            self.tokens_per_minute,
            patience,
            self.tokens_per_picture,
        )

    @property
    def shaping(self) -> Json:
        """What of it changes a reply."""
        script = [self.mistakes] if self.model == SCRIPTED else []
        return plain([self.model, self.asking, *script])


@dataclass(frozen=True)
class AgreementSettings:
    """Whether our own model finds by each phrase what the phrase is said to mean.

    Attributes:
        model: `nano`, a folder, or a Hub id.
        least_iou: Overlap of the masks that it finds with those of the object.
    """

    model: str = "nano"
    device: str | None = None
    least_iou: float | int = 0.5


@dataclass(frozen=True)
class AnnotateSettings:
    """Everything that decides what becomes of the inputs.

    Attributes:
        repair: Whether a faulty reply is followed by one request to mend it.
        critic: A second model that looks at what passed; None for none.
        agreement: Ask our own model as well; None not to.
        review: What people get to see, and whether only what they decided about is published.
        decisions: Files of reviewers' decisions; those in OUT/review are read in any case.
    """

    inputs: tuple[InputSettings, ...]
    ask: ModelSettings
    schema: str = SCHEMA
    seed: int = 0
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    select: SelectSettings = field(default_factory=SelectSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    draw: DrawOptions = field(default_factory=DrawOptions)
    mix: TaskMix = field(default_factory=TaskMix)
    check: CheckRules = field(default_factory=CheckRules)
    repair: bool = True
    critic: ModelSettings | None = None
    agreement: AgreementSettings | None = None
    review: ReviewSettings = field(default_factory=ReviewSettings)
    decisions: tuple[Path, ...] = ()
    balance: BalanceSettings = field(default_factory=BalanceSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ConfigError(f"schema is {self.schema!r}, this version reads {SCHEMA!r}; correct the first line.")
        if not self.inputs:
            raise ConfigError("inputs is empty; name at least one source of clips.")

    @property
    def fingerprint(self) -> str:
        """Hash of all settings."""
        return digest(plain(self)).hex()


def read_settings(path: Path) -> AnnotateSettings:
    """The settings of a YAML file.

    Raises:
        ConfigError: It is not there, is no YAML, or has an unknown key or an impossible value.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a YAML file of settings.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds {tree!r}; settings are keys and values, the first of them schema: {SCHEMA}.")
    if "schema" not in tree:
        raise ConfigError(f"{path} has no schema; its first line is schema: {SCHEMA}.")
    _refuse_keys_of_endpoints(tree, "")
    try:
        settings = from_tree(AnnotateSettings, tree, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return _from_folder(settings, path.parent.absolute())


def settings_yaml(settings: AnnotateSettings) -> str:
    """All settings, defaults included, as they are saved beside what they made."""
    return yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True)


def _refuse_keys_of_endpoints(tree: Mapping[str, Any], where: str) -> None:
    for name, value in tree.items():
        if str(name).lower() in _KEY_NAMES:
            raise ConfigError(
                f"{where}{name} stands in the file; a key to an endpoint comes from the environment alone, from "
                f"{KEY_VARIABLE}. Take it out, and change the key if others have seen the file."
            )
        if isinstance(value, Mapping):
            _refuse_keys_of_endpoints(value, f"{where}{name}.")


def _from_folder(settings: AnnotateSettings, folder: Path) -> AnnotateSettings:
    """Paths of the file, which are relative to it, made whole."""

    def placed(path: Path | None) -> Path | None:
        return None if path is None else folder / path

    inputs = [
        replace(
            one,
            records=placed(one.records),
            annotations=placed(one.annotations),
            clips=placed(one.clips),
            root=placed(one.root),
            media=placed(one.media),
            prompts=placed(one.prompts),
        )
        for one in settings.inputs
    ]
    decisions = tuple(folder / path for path in settings.decisions)
    published = replace(settings.publish, root=placed(settings.publish.root))
    return replace(settings, inputs=tuple(inputs), decisions=decisions, publish=published)
