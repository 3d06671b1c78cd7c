"""`sama data annotate`: grounded dialogues for clips, written by a language model, checked and published."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video.app.cli.data.patience import patient_interrupts
from sama_video.app.cli.options import make_folder, out_option
from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError, SamaWarning

if TYPE_CHECKING:
    from sama_video.annotate.pipeline import Annotation
    from sama_video.annotate.reporting import RunReport
    from sama_video.annotate.run_state import Report
    from sama_video.remote.language_model import Estimate
    from sama_video.remote.messages import Picture, Request


@click.command
@click.argument("config", type=click.Path(path_type=Path))
@out_option
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it may cost; send nothing.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N clips, by name.")
@click.option("--replay", is_flag=True, help="Use the replies recorded in --out alone; send nothing.")
@click.option(
    "--ray", metavar="ADDRESS", help="Probe, track, draw and check on a Ray cluster: local, auto, or its address."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tasks at a time on the cluster; as many as fit if left out.",
)
@click.option("--review", is_flag=True, help="Also write pages for reviewers, OUT/review/index.html.")
@click.option("--upload", metavar="OWNER/NAME", help="Send the data set to the Hub afterwards, by your own login.")
@click.option("--public", is_flag=True, help="Make the uploaded data set public; it is private otherwise.")
@output_option
def command(
    config: Path,
    out: Path | None,
    dry_run: bool,
    limit: int | None,
    replay: bool,
    review: bool,
    ray: str | None,
    workers: int | None,
    upload: str | None,
    public: bool,
    output: Output,
) -> None:
    """Make grounded dialogues for clips by a language model, as CONFIG says, and publish them in --out.

    CONFIG is a YAML file that names clips, a model and what differs from the defaults. Clips are looked at, chosen and,
    where they have no masklets, tracked; the model sees them with their objects marked; what it writes is checked,
    mended once, split by video and published, with a data card. Interrupted at any moment, the same command goes on
    where it was, and pays for nothing twice; Ctrl-C waits for replies that are under way, a second one does not. A key
    to the endpoint comes from OPENAI_API_KEY alone.
    """
    if out is None:
        raise ConfigError(
            "sama data annotate was given no --out; name a folder for the data set, like --out dialogues."
        )
    if workers is not None and ray is None:
        raise ConfigError(
            "--workers is of --ray; name a cluster, or set ask.workers in the file for requests at a time."
        )
    from sama_video.annotate.pipeline import Annotation, Options
    from sama_video.annotate.settings import read_settings

    settings = read_settings(config)
    folder = make_folder(out)
    with ExitStack() as stack:
        stack.enter_context(patient_interrupts())
        mapper = None if ray is None else stack.enter_context(_cluster(ray, workers))
        report = stack.enter_context(_progress(output))
        options = Options(limit, replay, review)
        annotation = stack.enter_context(Annotation(settings, folder, mapper=mapper, report=report, options=options))
        if dry_run:
            _dry_run(annotation, output)
            return
        result = annotation.run()
    _tell(result, folder, output)
    sent = _upload(folder, upload, private=not public, output=output)
    output.document({"out": str(folder), **result.to_json(), "uploaded": sent})
    if result.complete and not result.manifest["parts"]:
        warnings.warn(f"no clip is left, so nothing is published; {folder / 'report.md'} says why", SamaWarning, 2)
    if not result.complete:
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(result.waiting.items()))
        warnings.warn(f"some clips wait for another run ({told}); the same command goes on", SamaWarning, stacklevel=2)


def _dry_run(annotation: "Annotation", output: Output) -> None:
    from sama_video.annotate.reporting import loss_lines, stage_lines

    state, estimate, first = annotation.dry_run()
    left_out, lost = state.catalogue.left_out, list(state.lost())
    for line in (*stage_lines(state.tallies), *loss_lines(left_out, lost)):
        output.line(line)
    if first is not None:
        _show_request(first, output)
    _show_estimate(estimate, output)
    output.document(
        {
            "stages": [tally.to_json() for tally in state.tallies],
            "input_rows": [row.to_json() for row in left_out],
            "dropped": [vars(one) for one in lost],
            "estimate": vars(estimate),
            "request": None if first is None else _texts(first),
        }
    )


def _show_request(request: "Request", output: Output) -> None:
    output.line(f"\nthe first request ({request.prompt_version}, {request.num_pictures} pictures)")
    for role, text in _texts(request):
        output.line(f"--- {role}")
        output.line(text)
    output.line("---\n")


def _texts(request: "Request") -> list[tuple[str, str]]:
    return [(message.role, "\n".join(map(_shown, message.parts))) for message in request.messages]


def _shown(part: "str | Picture") -> str:
    return part if isinstance(part, str) else f"[picture, {len(part.content)} bytes]"


def _show_estimate(estimate: "Estimate", output: Output) -> None:
    output.line(f"{estimate.requests} requests to send, {estimate.recorded} recorded already; nothing was sent")
    output.line(f"likely {estimate.likely_tokens} tokens, {estimate.likely_money:.4f} in the currency of the prices")
    output.line(f"at most {estimate.most_tokens} tokens, {estimate.most_money:.4f}")
    output.line("a reply that has to be mended costs once more; that and a critic are not in these figures")


def _tell(result: "RunReport", folder: Path, output: Output) -> None:
    from sama_video.annotate.reporting import loss_lines, stage_lines

    for line in (*stage_lines(result.stages), *loss_lines(result.left_out, result.lost)):
        output.line(line)
    texts, spent = result.texts, result.spent
    output.line(
        f"{texts.accepted} texts accepted at once, {texts.repaired} after repair; {spent.requests} requests, "
        f"{spent.tokens} tokens, {spent.money:.4f}"
    )
    for part, counts in result.manifest["parts"].items():
        output.line(f"{part}: {counts['records']} records with {counts['turns']} turns about {counts['clips']} clips")
    for told in result.review.lines():
        output.line(told)
    if result.pages is not None:
        output.line(f"to be reviewed: {result.pages}")
    if result.manifest["parts"]:
        output.line(f"published in {folder}; next: sama data check {folder}")


def _upload(folder: Path, repo: str | None, *, private: bool, output: Output) -> str | None:
    if repo is None:
        return None
    from sama_video.annotate.publish.uploading import upload

    address = upload(folder, repo, private=private)
    output.line(f"sent to {address}")
    return address


@contextmanager
def _cluster(address: str, workers: int | None) -> Iterator[Any]:
    from sama_video.annotate.ray_backend import RayMapper

    with RayMapper(address, workers) as mapper:
        yield mapper


@contextmanager
def _progress(output: Output) -> Iterator["Report"]:
    """A bar for each stage in turn, with the rate and the time left."""
    stack = ExitStack()
    shown = ""
    tell: Callable[[int, int], None] | None = None

    def report(stage: str, done: int, total: int) -> None:
        nonlocal shown, tell
        if stage != shown:
            stack.close()
            shown, tell = stage, stack.enter_context(output.tally(stage))
        assert tell is not None, "the first stage has opened it"
        tell(done, total)

    with stack:
        yield report
