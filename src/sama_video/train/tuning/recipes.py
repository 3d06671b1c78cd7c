"""Recipes of training on records: short YAML, each the difference from the defaults or from another recipe.

    # What it is, in one line.
    extends: sama-1b
    data: {balance: equal}

An unknown key is refused with the nearest known one. Sources are a list, or keys and values by name, so that another
recipe can change one of them; null leaves it out. `data=FOLDER` on the command line stands for one source. `variants`
hold what else differs when the model is the one of that name: `variants: {nano: {...}}`.
"""

import copy
import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sama_video.errors import ConfigError
from sama_video.train.config import RECIPES as STAGE_RECIPES
from sama_video.train.config import TrainConfig, from_tree
from sama_video.train.tuning.settings import TuneConfig

RECORD_RECIPES: Final = STAGE_RECIPES / "records"
ENGINE_FILES: Final = STAGE_RECIPES / "engines"
EXTENDS: Final = "extends"
VARIANTS: Final = "variants"


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was written, overrides applied.

    Attributes:
        name: Of the bundled recipe or the file.
        in_stages: Whether it trains a preset from nothing, stage by stage, as `train.config` has it.
        tree: Nested plain values.
    """

    name: str
    in_stages: bool
    tree: Mapping[str, Any]

    def settings(self) -> TuneConfig:
        """The settings of a run on records.

        Raises:
            ConfigError: A key is unknown, or a value impossible.
        """
        settings = from_tree(TuneConfig, self.tree, "")
        file = ENGINE_FILES / f"deepspeed-{settings.engine.deepspeed_config}.json"
        if settings.engine.deepspeed_config and file.is_file():
            engine = dataclasses.replace(settings.engine, deepspeed_config=str(file))
            settings = dataclasses.replace(settings, engine=engine)
        if settings.engine.deepspeed_config:
            read_deepspeed(settings.engine.deepspeed_config)
        return settings


def bundled_recipes() -> dict[str, str]:
    """Every bundled recipe and what its first line says of it, the nano first."""
    files = [*sorted(STAGE_RECIPES.glob("*.yaml")), *sorted(RECORD_RECIPES.glob("*.yaml"))]
    return {file.stem: _first_line(file) for file in files}


def read_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """A bundled recipe or a YAML file, what it extends under it, `key=value` with dots for nested keys over it.

    Raises:
        ConfigError: There is no such recipe, it is no YAML, or a key is unknown.
    """
    path = find_recipe(recipe)
    tree = _with_bases(path, ())
    variants = tree.pop(VARIANTS, {})
    changed = _changed(tree, overrides)
    if isinstance(variants, dict) and changed.get("model") in variants:
        changed = _changed(_over(variants[changed["model"]] or {}, tree), overrides)
    tree = changed
    in_stages = _is_in_stages(path, tree)
    if not in_stages:
        _list_sources(tree)
    check_keys(TrainConfig if in_stages else TuneConfig, tree, "")
    return Recipe(path.stem, in_stages, tree)


def find_recipe(recipe: str) -> Path:
    """The file of a recipe.

    Raises:
        ConfigError: It is neither a bundled name nor a file.
    """
    path = Path(recipe).expanduser()
    if path.is_file():
        return path
    for folder in (STAGE_RECIPES, RECORD_RECIPES):
        if (file := folder / f"{recipe.removesuffix('.yaml')}.yaml").parent == folder and file.is_file():
            return file
    known = list(bundled_recipes())
    raise ConfigError(
        f"no recipe {recipe!r}{_nearest(recipe, known)}; give a YAML file or a bundled name ({', '.join(known)})."
    )


def check_keys(kind: type, tree: object, where: str, *, everywhere: Sequence[str] = ()) -> None:
    """Refuse keys that a dataclass does not have, at any depth; says which is the nearest.

    Raises:
        ConfigError: A key is unknown, or a value is no mapping where keys are needed.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where or 'the recipe'} is {tree!r}; it takes keys and values.")
    hints = typing.get_type_hints(kind)
    everywhere = everywhere or list(_places(kind, ""))
    for key, value in tree.items():
        place = f"{where}.{key}" if where else str(key)
        if key not in hints:
            raise ConfigError(_unknown_key(str(key), place, list(hints), everywhere))
        inner, several = _dataclass_of(hints[key])
        if inner is None:
            continue
        if several and isinstance(value, list | tuple):
            for number, item in enumerate(value):
                check_keys(inner, item, f"{place}[{number}]", everywhere=everywhere)
        elif not several:
            check_keys(inner, value, place, everywhere=everywhere)


def _first_line(file: Path) -> str:
    line = file.read_text(encoding="utf-8").partition("\n")[0]
    return line.removeprefix("#").strip() if line.startswith("#") else ""


def _is_in_stages(path: Path, tree: Mapping[str, Any]) -> bool:
    """Bundled recipes lie apart; in a file, a key that only one of the two kinds has decides."""
    if path.parent in (STAGE_RECIPES, RECORD_RECIPES):
        return path.parent == STAGE_RECIPES
    stages, records = ({field.name for field in dataclasses.fields(kind)} for kind in (TrainConfig, TuneConfig))
    return bool(tree.keys() & (stages - records)) and not tree.keys() & (records - stages)


def _with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe over those it extends."""
    if path in seen:
        raise ConfigError(f"{path} extends itself by way of {seen[-1]}; break the circle.")
    tree = _read(path)
    base = tree.pop(EXTENDS, None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{path} extends {base!r}; it takes the name of one recipe.")
    beside = path.parent / base
    below = _with_bases(beside if beside.is_file() else find_recipe(base), (*seen, path))
    return _over(tree, below)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"{path} holds {tree!r}; a recipe has keys and values.")
    return tree or {}


def _over(tree: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees as one, the first one's values over the other's; lists are replaced whole."""
    joined = dict(below)
    for key, value in tree.items():
        under = joined.get(key)
        joined[key] = _over(value, under) if isinstance(value, dict) and isinstance(under, dict) else value
    return joined


def _changed(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A tree with overrides applied; the one given stays as it is."""
    changed = copy.deepcopy(dict(tree))
    for override in overrides:
        _apply(changed, override)
    return changed


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is no override; write key=value, with dots for nested keys.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML.") from error
    if key == "data" and isinstance(value, str | list):
        key, value = "data.sources", [_source(one) for one in ([value] if isinstance(value, str) else value)]
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key!r} goes through {parent!r}, which holds no keys of its own.")
    tree[last] = value


def _list_sources(tree: dict[str, Any]) -> None:
    """Sources by name as the list that settings have."""
    data = tree.get("data")
    sources = data.get("sources") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(sources, dict):
        return
    for name, source in sources.items():
        if source is not None and not isinstance(source, dict):
            raise ConfigError(f"data.sources.{name} is {source!r}; it takes keys and values, or null to leave it out.")
    listed = [{"name": str(name), **source} for name, source in sources.items() if source is not None]
    tree["data"] = data | {"sources": listed}


def _source(path: object) -> dict[str, str]:
    """A folder named on the command line, which is relative to where the command runs."""
    if not isinstance(path, str) or not path:
        raise ConfigError(f"data is {path!r}; give a folder, or a list of folders.")
    return {"path": str(Path(path).expanduser().absolute())}


def _dataclass_of(hint: Any) -> tuple[type | None, bool]:
    """The dataclass that a key's value is made of, and whether it takes several."""
    if dataclasses.is_dataclass(hint):
        return typing.cast(type, hint), False
    arguments = [one for one in typing.get_args(hint) if dataclasses.is_dataclass(one)]
    if not arguments:
        return None, False
    several = typing.get_origin(hint) not in (typing.Union, types.UnionType)
    return typing.cast(type, arguments[0]), several


def _unknown_key(key: str, place: str, here: Sequence[str], everywhere: Sequence[str]) -> str:
    """Names the nearest key: here, or of that very name elsewhere."""
    elsewhere = [one for one in everywhere if one.rsplit(".", 1)[-1] == key]
    hint = f" (did you mean {elsewhere[0]}?)" if len(elsewhere) == 1 else _nearest(key, here)
    return f"unknown key {place!r}{hint}; keys here are {', '.join(here)}."


def _places(kind: type, where: str) -> Iterator[str]:
    """Every key, with dots, that a recipe may have."""
    for name, hint in typing.get_type_hints(kind).items():
        place = f"{where}.{name}" if where else name
        yield place
        inner, several = _dataclass_of(hint)
        if inner is not None and not several:
            yield from _places(inner, place)


def _nearest(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def read_deepspeed(path: str) -> dict[str, Any]:
    """A DeepSpeed configuration, checked for what a run here relies on.

    Raises:
        ConfigError: It is not there, is no JSON, or shards by another stage than 2 or 3.
    """
    try:
        document: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(
            sorted(file.stem.removeprefix("deepspeed-") for file in ENGINE_FILES.glob("deepspeed-*.json"))
        )
        raise ConfigError(
            f"engine.deepspeed_config={path}: {error.strerror}; give a JSON file, or one of {known}."
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}); give a DeepSpeed configuration.") from error
    zero = document.get("zero_optimization") if isinstance(document, dict) else None
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if stage not in (2, 3):
        raise ConfigError(f"{path} has zero_optimization.stage {stage!r}; runs on records take stage 2 or 3.")
    for key in ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "train_batch_size"):
        if document.get(key, "auto") != "auto":
            raise ConfigError(f"{path} sets {key}; leave it 'auto', for batch and accumulation of the recipe say it.")
    return document
