"""`sama serve`: the same conversations over HTTP, with a web page."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video.app.cli.options import ModelOptions, checked, make_folder, model_options, parse_device, parse_size
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from sama_video.app.server.settings import ServerSettings
    from sama_video.chat.loading import LoadedModel

CACHE_BYTES = 2 << 30
PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
HOST_PATTERN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
LIMITS = {
    "max_upload": ("file_bytes", "SIZE", "Largest video."),
    "max_request": ("request_bytes", "SIZE", "Largest JSON body."),
    "max_clip_seconds": ("clip_seconds", "SECONDS", "Longest video."),
    "max_pixels": ("clip_pixels", "N", "Width times height of a video's frames."),
    "max_clip_frames": ("clip_frames", "N", "Frames of a video."),
    "max_decoded": ("decoded_bytes", "SIZE", "What a picture may take in memory."),
    "max_check_seconds": ("check_seconds", "SECONDS", "Time for decoding an upload to check it."),
    "max_question": ("question_chars", "N", "Characters of a question, and of an earlier answer."),
    "max_turns": ("turns", "N", "Questions of a conversation."),
    "max_regions": ("regions", "N", "Regions of a message."),
    "max_masklets": ("masklets", "N", "Masklets of a request."),
    "max_tokens": ("answer_tokens", "N", "Tokens of an answer."),
    "max_answer_seconds": ("answer_seconds", "SECONDS", "Time of a device for one answer."),
    "max_together": ("together", "N", "Answers that a device makes side by side; 1 makes them one by one."),
    "max_waiting": ("waiting", "N", "Requests that wait; one more gets 429."),
    "stop_seconds": ("stop_seconds", "SECONDS", "Time for answers under way once asked to stop."),
}


def parse_hosts(text: str) -> str:
    """Check a host that videos may be fetched from."""
    if not HOST_PATTERN.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is no host; write a name such as media.example.org, or name:port")
    return text.lower()


def parse_devices(text: str) -> tuple[str, ...]:
    """Read a list of devices, such as `cuda:0,cuda:1`; the CPU may be named again, for as many models on it."""
    devices = tuple(parse_device(one.strip()) for one in text.split(","))
    cards = [device for device in devices if device != "cpu"]
    if len(set(cards)) != len(cards):
        raise ValueError(f"{text!r} names a device twice; name each once, other than cpu")
    return devices


def limit_options(function: Any) -> Any:
    """Add an option for each limit; the command gets those that were given as `limits`, by the names of `Limits`."""

    def collect(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is not None:
            ctx.params.setdefault("limits", {})[LIMITS[str(param.name)][0]] = value
        return value

    for name, (_, metavar, told) in reversed(LIMITS.items()):
        if metavar == "SIZE":
            kind: Any = None
        else:
            kind = click.FloatRange(min=0, min_open=True) if metavar == "SECONDS" else click.IntRange(min=1)

        def callback(ctx: click.Context, param: click.Parameter, value: Any, sized: bool = kind is None) -> Any:
            return collect(ctx, param, checked(parse_size)(ctx, param, value) if sized else value)

        function = click.option(
            f"--{name.replace('_', '-')}", type=kind, metavar=metavar, callback=callback, expose_value=False, help=told
        )(function)
    return function


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the clips; in the user's cache."
)
@click.option(
    "--api-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keys that callers must show, one a line; or in SAMA_API_KEY.",
)
@click.option("--insecure", is_flag=True, help="Let other machines in without a key.")
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, callback=checked(parse_hosts), metavar="HOST",
    help="A name, beside localhost, by which a server without keys is called.",
)  # fmt: skip
@click.option(
    "--allow-fetch", "fetch_hosts", multiple=True, callback=checked(parse_hosts), metavar="HOST",
    help="A host that videos may be fetched from; may be repeated.",
)  # fmt: skip
@click.option(
    "--devices", callback=checked(parse_devices), metavar="LIST",
    help="Devices, such as cuda:0,cuda:1 or cpu,cpu; a model on each.",
)  # fmt: skip
@click.option("--ray", metavar="ADDRESS", help="Answer on a Ray cluster: local, auto, or its address.")
@click.option(
    "--replicas", type=click.IntRange(min=1), help="Models on the cluster; one a GPU or a machine by default."
)
@click.option("--quota", callback=checked(parse_size), default="20GiB", show_default=True, help="For all clips.")
@click.option(
    "--max-age", type=click.FloatRange(min=0, min_open=True), default=7.0, show_default=True, metavar="DAYS",
    help="After how long without use a clip is dropped.",
)  # fmt: skip
@limit_options
@model_options
@output_option
def command(
    host: str,
    port: int,
    data: Path | None,
    api_key: Path | None,
    insecure: bool,
    allowed_hosts: tuple[str, ...],
    fetch_hosts: tuple[str, ...],
    devices: tuple[str, ...] | None,
    ray: str | None,
    replicas: int | None,
    quota: int,
    max_age: float,
    model_options: ModelOptions,
    output: Output,
    limits: dict[str, Any] | None = None,
) -> None:
    """Answer over HTTP as OpenAI's API does, with a web page at /.

    Only this machine is let in, unless --host says otherwise; then callers need a key. Ctrl-C finishes the answers
    under way first; a second one does not.
    """
    check_packages()
    if ray is None and replicas is not None:
        raise ConfigError(f"--replicas {replicas} is about a cluster; add --ray ADDRESS.")
    if ray is not None and devices is not None:
        raise ConfigError("--devices are those of this machine; leave one out; replicas have a GPU each.")
    from sama_video.app.server.settings import Limits, ServerSettings, default_data_folder, read_keys

    settings = ServerSettings(
        data=make_folder(data or default_data_folder()),
        host=host,
        port=port,
        keys=read_keys(api_key, os.environ),
        insecure=insecure,
        allowed_hosts=allowed_hosts,
        fetch_hosts=fetch_hosts,
        quota_bytes=quota,
        max_age_seconds=max_age * 86400,
        cache_bytes=model_options.cache_bytes or CACHE_BYTES,
        chat_options={} if model_options.max_frames is None else {"max_frames": model_options.max_frames},
        limits=Limits(**(limits or {})),
    )
    if ray is not None:
        run_on_ray(settings, model_options, output, address=ray, replicas=replicas)
    else:
        run(settings, model_options, devices or (model_options.device,), output)


def run(settings: "ServerSettings", options: ModelOptions, devices: tuple[str, ...], output: Output) -> None:
    """Load the model on each device, and serve until stopped."""
    from sama_video.app.server.main import create_app, served_name
    from sama_video.app.server.run import bind, serve

    with bind(settings.host, settings.port) as listener:
        share_cores(devices.count("cpu"))
        models = [load_on(options, device) for device in devices]

        def announce(url: str) -> None:
            output.line(f"{served_name(models[0])} on {url} (Ctrl-C stops)")
            output.document({"url": url, "model": served_name(models[0]), "devices": list(devices)})

        serve(create_app(settings, models), listener, announce)


def run_on_ray(
    settings: "ServerSettings", options: ModelOptions, output: Output, *, address: str, replicas: int | None
) -> None:
    """Start replicas on a cluster, and serve until stopped."""
    from sama_video.app.server.main import create_app
    from sama_video.app.server.on_ray import Replicas, start_replicas
    from sama_video.app.server.run import bind, serve

    with bind(settings.host, settings.port) as listener:
        cluster = start_replicas(settings, options.model, options.load_arguments(), address=address, replicas=replicas)

        def announce(url: str) -> None:
            output.line(f"{cluster.told.name} on {url}, {cluster.count} replicas (Ctrl-C stops)")
            output.document({"url": url, "model": cluster.told.name, "replicas": cluster.count})

        app = create_app(
            settings,
            [],
            elsewhere=lambda store, metrics: (Replicas(cluster, settings.limits, store, metrics), cluster.told),
        )
        serve(app, listener, announce)


def share_cores(models: int) -> None:
    """Let several models on the CPU have a part of its cores each, where one would take all."""
    if models > 1:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // models))


def load_on(options: ModelOptions, device: str) -> "LoadedModel":
    """The model on one device."""
    from transformers.utils import logging

    from sama_video.chat.loading import load

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    return load(options.model, **replace(options, device=device).load_arguments())  # type: ignore[arg-type]


def check_packages() -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        MissingExtraError: One is missing.
    """
    from sama_video.app.machine import importable

    for package in PACKAGES:
        if not importable(package):
            raise MissingExtraError(package, "serve")
