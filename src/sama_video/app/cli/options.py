"""Options that several commands share, checked once, as they are read."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.regions.shapes import Region

Ground = bool | Literal["auto"]

_UNITS = {"": 1, "B": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("KMGT", start=1)
    for suffix, base in (("", 1024), ("iB", 1024), ("B", 1000))
}


def parse_size(text: str) -> int:
    """Read a number of bytes, such as 1000000, 512MiB, 2GB or 1.5G (K, M, G and T alone are powers of 1024).

    >>> parse_size("1.5KiB")
    1536
    """
    units = {unit.lower(): factor for unit, factor in _UNITS.items()}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is no size; write bytes, or a number with a unit such as 512MiB or 2GB")
    return int(float(match[1]) * units[match[2]])


def parse_device(text: str) -> str:
    """Check how a device is spelled; whether this machine has it is found out by whoever loads the model."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise ValueError(f"{text!r} is no device; write auto, cpu, mps, cuda or cuda:N")
    return text


def parse_region(text: str) -> "Region":
    """Read a region from its JSON: a moment with points, a box or a mask, or a known object.

    Raises:
        RegionError: The JSON is read, but says no region.
    """
    from sama_video.regions.shapes import region_from_json

    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        example = '\'{"frame": 0, "box": [10, 20, 60, 90]}\''
        raise ValueError(f"{text!r} is not JSON ({error}); write it like {example}") from error
    return region_from_json(document)


def checked(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make an option's callback of a parser that raises ValueError; a repeated option gives a tuple."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(parse(one) for one in value)
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


@dataclass(frozen=True)
class ModelOptions:
    """Which model to load, and how it shall run.

    Attributes:
        model: `nano`, a folder, or a Hub id.
        device: A torch device, or `auto`.
        dtype: A torch dtype's name, or `auto` for what the device does best.
        max_frames: Most frames that the language model looks at; None leaves it to the model.
        cache_bytes: Budget of a session's feature cache; None leaves it to the session.
    """

    model: str = "nano"
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    protocol: str = "consistent"
    seed: int = 0
    max_frames: int | None = None
    cache_bytes: int | None = None

    def load_arguments(self) -> dict[str, str | int | None]:
        """Give the keyword arguments of `sama_video.load`, where None means the loader's own choice."""
        return {
            "device": None if self.device == "auto" else self.device,
            "dtype": None if self.dtype == "auto" else self.dtype,
            "quantize": None if self.quantize == "none" else self.quantize,
            "protocol": self.protocol,
            "seed": self.seed,
        }

    def chat_arguments(self) -> dict[str, int]:
        """Give the keyword arguments of `model.chat`: only those that the caller set."""
        given = {"max_frames": self.max_frames, "cache_bytes": self.cache_bytes}
        return {name: value for name, value in given.items() if value is not None}


_MODEL_OPTIONS = (
    click.option("--model", default="nano", show_default=True, help="nano (bundled), a folder, or a Hub id."),
    click.option(
        "--device",
        callback=checked(parse_device),
        default="auto",
        show_default=True,
        help="auto, cpu, mps, cuda or cuda:N.",
    ),
    click.option(
        "--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto", show_default=True
    ),
    click.option(
        "--quantize",
        type=click.Choice(["none", "int8", "int4"]),
        default="none",
        show_default=True,
        help="Precision of the language model's weights.",
    ),
    click.option(
        "--protocol",
        type=click.Choice(["consistent", "paper"]),
        default="consistent",
        show_default=True,
        help="consistent: words and masks of the same frames; paper: the published inference, quirks included.",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
    click.option("--max-frames", type=click.IntRange(min=1), help="Most frames that the language model looks at."),
    click.option(
        "--cache-bytes",
        callback=checked(parse_size),
        metavar="SIZE",
        help="Budget of the feature cache, such as 512MiB.",
    ),
)


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the model options to a command, which gets them as one `ModelOptions`, the argument `model_options`."""

    @functools.wraps(function)
    def with_model_options(*args: Any, **given: Any) -> Any:
        chosen = {name: given.pop(name) for name in ModelOptions.__dataclass_fields__}
        return function(*args, model_options=ModelOptions(**chosen), **given)

    command: Callable[..., Any] = with_model_options
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


def out_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--out DIR` to a command, which gets a `Path` or None; `make_folder` creates it when it is needed."""
    return click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for what is made.")(
        function
    )


def make_folder(out: Path) -> Path:
    """Create a folder for results, its parents too, and give it back.

    Raises:
        ConfigError: The path is a file, or the system does not let us write there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {out}: cannot be made a folder ({error.strerror}); name a folder that you may write to"
        ) from error
    return out


@dataclass(frozen=True)
class Ask:
    """One question of the command line with the regions it points at and its wish about masks."""

    text: str
    regions: "tuple[Region, ...]" = ()
    ground: Ground = "auto"


def collect_asks(words: Iterable[tuple[str, Any]]) -> tuple[Ask, ...]:
    """Give the questions of a command line, each with the options that follow it.

    Args:
        words: Option and value in the order they were typed: `--ask` with a text, `--region` with a region, `--ground`
            with `auto`, `yes` or `no`.

    Raises:
        ConfigError: A region or a wish comes before any question, or a question has two wishes.
    """
    asks: list[Ask] = []
    decided = False
    for option, value in words:
        if option == "--ask":
            asks.append(Ask(value))
            decided = False
            continue
        if not asks:
            raise ConfigError(
                f"{option} stands before any --ask, but belongs to the --ask before it; move it behind one"
            )
        last = asks[-1]
        if option == "--region":
            asks[-1] = Ask(last.text, (*last.regions, value), last.ground)
        elif decided:
            raise ConfigError(f"--ask {last.text!r} is followed by two --ground, but takes one; leave one out")
        else:
            wishes: dict[str, Ground] = {"auto": "auto", "yes": True, "no": False}
            asks[-1], decided = Ask(last.text, last.regions, wishes[value]), True
    return tuple(asks)


class AskCommand(click.Command):
    """A command whose `--ask`, `--region` and `--ground` keep their order; it gets them as the argument `asks`.

    Declare the three with `ask_options`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line twice: as click does, then for the order in which the three were typed."""
        words = list(args)
        rest = super().parse_args(ctx, args)
        values, _, order = self.make_parser(ctx).parse_args(args=words)
        ctx.params["asks"] = collect_asks(_in_typed_order(ctx, values, order))
        return rest


def _in_typed_order(
    ctx: click.Context, values: dict[str, Any], order: Sequence[click.Parameter]
) -> Iterable[tuple[str, Any]]:
    """Pair each occurrence of an ask option with its own value: click keeps the order and the values apart."""
    remaining = {name: iter(values.get(name) or ()) for name in ("ask", "region", "ground")}
    for param in order:
        if param.name in remaining:
            value = next(remaining[param.name])
            yield param.opts[0], checked(parse_region)(ctx, param, value) if param.name == "region" else value


def ask_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--ask`, `--region` and `--ground` to an `AskCommand`."""
    options = (
        click.option("--ask", multiple=True, expose_value=False, metavar="TEXT", help="A question; may be repeated."),
        click.option(
            "--region",
            multiple=True,
            expose_value=False,
            metavar="JSON",
            help='Region of the --ask before it, like \'{"frame": 0, "box": [10, 20, 60, 90]}\'.',
        ),
        click.option(
            "--ground",
            multiple=True,
            expose_value=False,
            type=click.Choice(["auto", "yes", "no"]),
            help="Whether the --ask before it wants masks.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
