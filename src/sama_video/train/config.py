"""Recipes: short YAML over typed settings, strict about every key."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sama_video.errors import ConfigError

RECIPES = Path(__file__).parent / "recipes"
T = typing.TypeVar("T")
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
STAGE_NAMES = ("segment", "track", "see", "speak", "refer", "joint")
PLAIN_STAGE_NAMES = ("plain_segment", "plain_track", "plain_see", "plain_refer")
"""Stages that lead to their namesakes by the older, plainer world; a recipe leaves them out by giving them no steps."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How every stage steps; vectors (biases, norms) never decay.

    Args:
        betas: AdamW's.
        matrices: What steps the matrices between hidden states: "adamw" as all else, or "muon", which learns more from
            as many clips and takes longer for a step.
    """

    matrices: typing.Literal["adamw", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    warmup_steps: int = 50


@dataclass(frozen=True)
class WorldConfig:
    """Where clips come from.

    Args:
        name: "levels" for the diagnostic world, "plain" for the older and simpler one.
        level: Of the diagnostic world.
        easier_share: Share of its clips that are of level 1.
    """

    name: str = "levels"
    level: int = 2
    easier_share: float = 0.2

    def __post_init__(self) -> None:
        if self.name not in ("levels", "plain"):
            raise ConfigError(f"world.name is {self.name!r}; the worlds are levels and plain.")
        if self.level not in (1, 2, 3):
            raise ConfigError(f"world.level is {self.level}; the levels are 1, 2 and 3.")


@dataclass(frozen=True)
class StageConfig:
    """What every stage has.

    Args:
        evaluate_every: Steps between evaluations on held-out scenes; 0 leaves only the one at the end.
    """

    steps: int = 1000
    batch: int = 8
    learning_rate: float = 1e-3
    evaluate_every: int = 250
    evaluation_scenes: int = 24


@dataclass(frozen=True)
class SegmentConfig(StageConfig):
    """SAM 2 on single frames.

    Args:
        prompts: Prompts per frame, over clicks, boxes, corrections and attributes.
        absent_share: Share of the attribute prompts that name something that is not there.
        dense_weight: Weight of the attribute cross-entropy of each cell of the feature maps.
        scale_weight: Weight of the mean square of the feature maps, which have no norm of their own.
    """

    prompts: int = 12
    absent_share: float = 0.15
    dense_weight: float = 0.3
    scale_weight: float = 0.05
    presence_weight: float = 0.1


@dataclass(frozen=True)
class TrackConfig(StageConfig):
    """SAM 2's memory, with single-frame batches between so that neither skill is lost.

    Args:
        batch: Clips per step.
        objects: Objects followed per clip.
        frames: Frames of a clip that are unrolled, the first of them prompted; further prompted frames come on top.
        long_share: Share of steps with half as many clips, twice as long.
        segment_every: About every so many steps a single-frame batch is trained instead; 0 for never.
    """

    batch: int = 4
    learning_rate: float = 7e-4
    objects: int = 4
    frames: int = 4
    long_share: float = 0.3
    segment_every: int = 3
    presence_weight: float = 0.1


@dataclass(frozen=True)
class SeeConfig(StageConfig):
    """The vision tower, told every object's attributes, cell by cell and object by object.

    Args:
        gray_shapes: Shapes are learnt from pictures without colour, and coloured ones are to give what those give. Else
            a colour that never came with a shape is learnt as a sign against it.
        place_weight: Weight of telling where in the picture each token is; nobody else tells the decoder.
    """

    dense_weight: float = 0.5
    gray_shapes: bool = False
    place_weight: float = 0.0


@dataclass(frozen=True)
class LanguageConfig(StageConfig):
    """A stage that talks.

    Args:
        batch: Dialogues per step.
        turns: Turns per dialogue at most.
        region_only_share: Share of dialogues without any frame tokens: only context and region tokens.
        text_share: Share of steps that are pixel-free dialogues.
        late_frame_share: Share of dialogues in which a later turn brings a dense frame of its own.
        masks_per_object: Dense frames on which a `[SEG]`'s mask is supervised.
        plain_share: Share of dialogues about the diagnostic world that are put in the plain world's words.
        gray_share: Share of dialogues about the diagnostic world whose clips have no colour, and name none: what is
            learnt of shapes there is bound to no colour.
        renamed_share: Share of objects of pixel-free dialogues that take a colour and shape which no clip shows
            together; so the words at least are no strangers to each other.
        reworded_share: Share of questions about clips of the diagnostic world that are put in other words than its
            benchmark's, so that it is not one wording that is learnt.
        mask_share: Share of steps with pictures in which masks are made at all; they cost as much as the words.
        centre_weight: Weight of telling places: of each frame token; of an object over time, from the states of its
            region and of its `[SEG]`; and the way it has come, from its own tokens.
        look_weight: Weight of telling what a region's object looks like from the state at the region's end.
        gaze_weight: Weight of looking at the frame tokens that show what is named or pointed at.
        decoder_learning_rate: For SAM 2's mask decoder in the joint stage.
    """

    turns: int = 8
    region_only_share: float = 0.0
    text_share: float = 0.0
    late_frame_share: float = 0.25
    masks_per_object: int = 2
    plain_share: float = 0.2
    gray_share: float = 0.0
    renamed_share: float = 0.0
    reworded_share: float = 0.0
    mask_share: float = 1.0
    mask_weight: float = 0.5
    distillation_weight: float = 1.0
    dense_weight: float = 0.3
    centre_weight: float = 0.0
    look_weight: float = 0.0
    gaze_weight: float = 0.0
    decoder_learning_rate: float = 1e-4


@dataclass(frozen=True)
class TrainConfig:
    """One training run: a preset's sizes, and the stages in order.

    Args:
        start_from: "nano", or a folder or hub id of a model that stands for the stages left out; else nothing does.
        stages: Stages to run, in this order; independent ones may run as two processes on one folder.
        checkpoint_seconds: A kill loses at most about so much work.
    """

    preset: str = "nano"
    start_from: str = ""
    seed: int = 0
    stages: tuple[str, ...] = STAGE_NAMES
    checkpoint_seconds: float = 60.0
    log_every: int = 20
    world: WorldConfig = field(default_factory=WorldConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    plain_segment: SegmentConfig = field(default_factory=partial(SegmentConfig, steps=0))
    plain_track: TrackConfig = field(default_factory=partial(TrackConfig, steps=0))
    plain_see: SeeConfig = field(default_factory=partial(SeeConfig, steps=0))
    plain_refer: LanguageConfig = field(default_factory=partial(LanguageConfig, steps=0))
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    see: SeeConfig = field(default_factory=SeeConfig)
    speak: LanguageConfig = field(default_factory=LanguageConfig)
    refer: LanguageConfig = field(default_factory=LanguageConfig)
    joint: LanguageConfig = field(default_factory=LanguageConfig)

    def __post_init__(self) -> None:
        for name in self.stages:
            if name not in (*PLAIN_STAGE_NAMES, *STAGE_NAMES):
                known = ", ".join((*PLAIN_STAGE_NAMES, *STAGE_NAMES))
                raise ConfigError(f"stages names {name!r}; the stages are {known}.")

    def stage(self, name: str) -> StageConfig:
        """The settings of a stage."""
        settings: StageConfig = getattr(self, name)
        return settings


def load_recipe(recipe: str | Path, overrides: typing.Sequence[str] = ()) -> TrainConfig:
    """The settings of a recipe: a bundled name or a YAML file, then `key=value` with dots for nested keys.

    Raises:
        ConfigError: No such recipe, not YAML, an unknown key, or a value of the wrong kind.
    """
    tree = _read(Path(recipe))
    for override in overrides:
        _override(tree, override)
    return from_tree(TrainConfig, tree, "")


def to_yaml(config: TrainConfig) -> str:
    """All settings, defaults included, as YAML that `load_recipe` reads back."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def stage_yaml(config: TrainConfig, name: str) -> str:
    """The settings that decide what a stage becomes, as YAML."""
    tree = dataclasses.asdict(config)
    keys = ("preset", *(("start_from",) if config.start_from else ()), "seed", "world", "optimizer", name)
    return yaml.safe_dump(_plain({key: tree[key] for key in keys}), sort_keys=False)


def first_difference(begun: Any, given: Any, where: str = "") -> str:
    """The first setting in which two trees differ.

    >>> first_difference({"steps": 8, "lora": {"rank": 4}}, {"steps": 8, "lora": {"rank": 2}})
    'lora.rank was 4 and is 2'
    """
    if isinstance(begun, dict) and isinstance(given, dict):
        for key in (*begun, *given):
            if begun.get(key) != given.get(key):
                return first_difference(begun.get(key), given.get(key), f"{where}.{key}" if where else str(key))
    return f"{where} was {begun!r} and is {given!r}"


def from_tree(kind: type[T], tree: object, where: str) -> T:
    """A frozen dataclass from nested plain values, refusing unknown keys and wrong types."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{where or 'the recipe'} is {tree!r}; it takes keys and values.")
    hints = typing.get_type_hints(kind)
    for key in tree:
        if key not in hints:
            raise ConfigError(f"unknown key {_join(where, str(key))!r}; here the keys are {', '.join(hints)}.")
    return kind(**{key: _value(hints[key], value, _join(where, key)) for key, value in tree.items()})


def _read(recipe: Path) -> dict[str, Any]:
    bundled = RECIPES / f"{recipe.name.removesuffix('.yaml')}.yaml"
    path = recipe if recipe.is_file() else bundled
    if not path.is_file() or (path == bundled and len(recipe.parts) > 1):
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
        raise ConfigError(f"no recipe {str(recipe)!r}: give a YAML file or a bundled name ({known}).")
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    return {} if tree is None else tree


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is no override; write key=value, with dots for nested keys.")
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key!r} goes through {parent!r}, which holds no keys of its own.")
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML.") from error


def _value(hint: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_tree(typing.cast(type[Any], hint), value, where)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _tuple(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{where} is {value!r}; it is one of {', '.join(typing.get_args(hint))}.")
        return value
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        value = _float(value, where)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} is {value!r}; it takes {_KINDS.get(hint, hint.__name__)}.")
    return value


def _tuple(hint: Any, value: object, where: str) -> tuple[Any, ...]:
    kinds = typing.get_args(hint)
    if not isinstance(value, list | tuple) or (kinds[-1] is not Ellipsis and len(value) != len(kinds)):
        raise ConfigError(f"{where} is {value!r}; it takes a list.")
    each = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
    return tuple(_value(kind, item, where) for kind, item in zip(each, value, strict=True))


def _float(value: int | str, where: str) -> float:
    # YAML reads 1e-3 (without a dot) as text.
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{where} is {value!r}; it takes a number.") from error


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
