"""Options of a model inside its spec, as in an address: `openai:gpt-4o?coords=pixels&frames=16`."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sama_video.errors import ConfigError

Readers = Mapping[str, Callable[[str], Any]]


def split_spec(spec: str, prefix: str, readers: Readers) -> tuple[str, dict[str, Any]]:
    """The model's name and its options.

    Args:
        prefix: What the spec begins with, such as `openai:`.
        readers: How each option is read from text; a reader raises ValueError.

    Raises:
        ConfigError: There is no name, an option is unknown, given twice, or not what it should be.
    """
    name, _, query = spec.removeprefix(prefix).partition("?")
    if not name:
        raise ConfigError(f"--model {spec} names no model; write {prefix} and its name.")
    options: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in readers:
            raise ConfigError(f"--model {spec}: no option {key!r}; there are: {', '.join(readers)}.")
        if key in options:
            raise ConfigError(f"--model {spec}: {key} is given twice; give it once.")
        try:
            options[key] = readers[key](text)
        except ValueError as error:
            raise ConfigError(f"--model {spec}: {key} is {text!r} ({error}); see the option's kind.") from error
    return name, options


def yes_or_no(text: str) -> bool:
    """Read a switch.

    >>> yes_or_no("yes")
    True
    """
    if text not in ("yes", "no"):
        raise ValueError("write yes or no")
    return text == "yes"


def refuse_unused(spec: str, options: Mapping[str, Any]) -> None:
    """Refuse options of the command line that a model has no use for, rather than overlook them."""
    if options:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise ConfigError(f"{names} has no meaning for --model {spec}; leave it out.")
