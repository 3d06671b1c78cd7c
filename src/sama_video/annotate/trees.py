"""Nested plain values as frozen dataclasses: unknown keys refused with the nearest known one, values by their types."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from sama_video.errors import ConfigError

T = TypeVar("T")


def from_tree(kind: type[T], tree: object, where: str) -> T:
    """A dataclass from keys and values.

    Args:
        kind: The dataclass; a class check of its own refuses impossible values.
        tree: As YAML or JSON give it.
        where: Its place, with dots, for messages; empty for the whole file.

    Raises:
        ConfigError: A key is unknown or missing, or a value is of another type.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where or 'the file'} is {tree!r}; it takes keys and values.")
    hints = typing.get_type_hints(kind)
    for key in tree:
        if key not in hints:
            raise ConfigError(
                f"unknown key {_join(where, key)!r}{nearest(str(key), hints)}; keys are {', '.join(hints)}."
            )
    for one in dataclasses.fields(typing.cast(Any, kind)):
        has_default = one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
        if not has_default and one.name not in tree:
            raise ConfigError(f"{_join(where, one.name)} is missing; give it a value.")
    return kind(**{key: _value(hints[key], value, _join(where, key)) for key, value in tree.items()})


def nearest(given: str, known: Iterable[str]) -> str:
    """Ask whether a word was mistyped; nothing when no known one is close."""
    close = get_close_matches(given, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _value(hint: Any, value: object, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of_several(inner, value, where)
    if dataclasses.is_dataclass(hint):
        return from_tree(typing.cast(type[Any], hint), value, where)
    if origin is typing.Literal:
        return _choice(inner, value, where)
    if origin is tuple:
        return _tuple(inner, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(inner, value, where)
    return _plain(hint, value, where)


def _one_of_several(kinds: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    rest = [kind for kind in kinds if kind is not type(None)]
    # A number may be written whole or not, whatever its type here.
    return _plain(float, value, where) if set(rest) == {int, float} else _value(rest[0], value, where)


def _choice(choices: tuple[Any, ...], value: object, where: str) -> Any:
    if value not in choices:
        hint = nearest(value, map(str, choices)) if isinstance(value, str) else ""
        raise ConfigError(f"{where} is {value!r}{hint}; it is one of {', '.join(map(str, choices))}.")
    return value


def _tuple(kinds: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    several = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or (not several and len(value) != len(kinds)):
        raise ConfigError(f"{where} is {value!r}; it takes a list{'' if several else f' of {len(kinds)}'}.")
    each = [kinds[0]] * len(value) if several else kinds
    return tuple(
        _value(kind, item, f"{where}[{number}]") for number, (kind, item) in enumerate(zip(each, value, strict=True))
    )


def _mapping(kinds: tuple[Any, ...], value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is {value!r}; it takes keys and values.")
    return {
        _value(kinds[0], key, f"a key of {where}"): _value(kinds[1], item, _join(where, key))
        for key, item in value.items()
    }


def _plain(kind: Any, value: object, where: str) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        # YAML reads 1e-3, without a dot, as text.
        try:
            return value if isinstance(value, int) else float(value)
        except ValueError as error:
            raise ConfigError(f"{where} is {value!r}; it takes a number.") from error
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where} is {value!r}; it takes {_named(kind)}.")
    return value


def _named(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return names.get(kind, f"a {getattr(kind, '__name__', kind)}")


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
