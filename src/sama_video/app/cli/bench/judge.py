"""`sama bench judge`: have a run's stored answers scored by a judge, which `sama bench score` then reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sama_video.app.cli.output import Output, output_option
from sama_video.errors import ConfigError

if TYPE_CHECKING:
    from sama_video.bench.judge import LanguageJudge
    from sama_video.bench.judgements import Verdict
    from sama_video.bench.offline_judge import Agreement
    from sama_video.bench.store import RunFolder
    from sama_video.remote.language_model import LanguageModel, Limits

MONEY = click.FloatRange(min=0)
COUNT = click.IntRange(min=0)


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--judge", required=True, metavar="MODEL", help="A model of the endpoint, or overlap-1, which needs none."
)
@click.option("--scale", type=click.Choice(["clair", "videorefer-d"]), help="What is scored; the benchmark's own.")
@click.option("--base-url", metavar="URL", help="OpenAI-compatible endpoint; default $OPENAI_BASE_URL, else OpenAI's.")
@click.option("--key-file", type=click.Path(path_type=Path), help="File with the key; default $OPENAI_API_KEY.")
@click.option("--replies", type=click.Path(path_type=Path), help="Where replies are kept; default DIR/judge.")
@click.option("--replay", is_flag=True, help="Use kept replies only; nothing leaves this machine.")
@click.option("--dry-run", is_flag=True, help="Tell what it would take, and send nothing.")
@click.option("--budget", type=MONEY, help="Most money in all; needs --price-in and --price-out.")
@click.option("--max-requests", type=COUNT, help="Most requests in all, those that failed included.")
@click.option("--max-tokens", type=COUNT, help="Most tokens in all.")
@click.option("--price-in", type=MONEY, help="Money for a million tokens of prompts.")
@click.option("--price-out", type=MONEY, help="Money for a million tokens of replies.")
@click.option("--requests-per-minute", type=click.FloatRange(min=0, min_open=True))
@click.option("--tokens-per-minute", type=click.FloatRange(min=0, min_open=True))
@click.option("--workers", type=click.IntRange(min=1), default=4, show_default=True, help="Requests at a time.")
@click.option("--agreement", metavar="JUDGE", help="Tell how far another judge of this run agrees with this one.")
@output_option
def command(folder: Path, judge: str, dry_run: bool, agreement: str | None, output: Output, **options: Any) -> None:
    """Have the stored answers of the run in DIR scored by a judge.

    Replies are kept as they come, so judging goes on where it ended and pays nothing twice. Scores go to
    DIR/judge/JUDGE.jsonl, where JUDGE is the model and the version of the wording.
    """
    from sama_video.bench import offline_judge
    from sama_video.bench.judge import OfflineJudge
    from sama_video.bench.store import RunFolder

    run = RunFolder(folder)
    task = run.run.task  # an unusable folder is refused before anything is made in it
    if judge == offline_judge.NAME:
        document = _plan_of_nothing(judge) if dry_run else _judged(run, OfflineJudge(), output)
    else:
        with _open_model(run, judge, options, reads_only=dry_run) as model:
            language_judge = _language_judge(task, model, options)
            document = _planned(run, language_judge, output) if dry_run else _judged(run, language_judge, output)
            judge = language_judge.name
    if agreement is not None and not dry_run:
        document["agreement"] = _agreement(folder, agreement, judge, output)
    output.document(document)


def _judged(run: "RunFolder", judge: Any, output: Output) -> dict[str, Any]:
    """Judge and tell what came of it; what ended it early is raised after that."""
    from sama_video.bench.judgements import judge_run, judgements_path

    verdict = judge_run(run, judge)
    output.line(f"{verdict.judge}: {verdict.scored} of {verdict.questions} answers scored")
    for reason, count in verdict.failures.items():
        output.line(f"    not scored: {count} × {reason}")
    output.line(f"saved in {judgements_path(run.path, judge.name)}")
    document = _document(verdict)
    model = getattr(judge, "model", None)
    if model is not None:
        spent = model.spent()
        document["spent"] = {name: getattr(spent, name) for name in ("requests", "tokens", "money", "doubtful")}
        output.line(f"spent in all: {spent.requests} requests, {spent.tokens} tokens, {spent.money:.4g} money")
    if verdict.ended is not None:
        raise verdict.ended
    if absent := verdict.failures.get("not_recorded"):
        raise ConfigError(f"{absent} replies are not among those kept; judge once without --replay.")
    return document


def _document(verdict: "Verdict") -> dict[str, Any]:
    return {
        "schema": "sama-judgements/1",
        "judge": verdict.judge,
        "questions": verdict.questions,
        "scored": verdict.scored,
        "failed": dict(verdict.failures),
    }


def _planned(run: "RunFolder", judge: "LanguageJudge", output: Output) -> dict[str, Any]:
    """Tell what judging would take."""
    from sama_video.bench.judgements import cases_of

    plan = judge.estimate(cases_of(run))
    output.line(
        f"{judge.name}: {plan.requests} requests to send, {plan.recorded} replies kept; about {plan.likely_tokens} "
        f"tokens for {plan.likely_money:.4g}, at most {plan.most_tokens} for {plan.most_money:.4g}"
    )
    names = ("requests", "recorded", "likely_tokens", "likely_money", "most_tokens", "most_money")
    return {"judge": judge.name, "plan": {name: getattr(plan, name) for name in names}}


def _plan_of_nothing(judge: str) -> dict[str, Any]:
    return {"judge": judge, "plan": {"requests": 0, "recorded": 0}}


def _agreement(folder: Path, stored: str, own: str, output: Output) -> dict[str, Any]:
    """Tell how far the two judges rank the answers alike."""
    from sama_video.bench.judgements import load_values
    from sama_video.bench.offline_judge import agreement

    found = agreement(load_values(folder, stored), load_values(folder, own))
    output.line(f"agreement with {stored}: {_told(found)} on {found.count} answers")
    return {"with": stored, "tau": found.tau, "low": found.low, "high": found.high, "answers": found.count}


def _told(found: "Agreement") -> str:
    if found.tau is None or found.low is None or found.high is None:
        return "none to tell, as a judge gives all answers one score"
    return f"Kendall's tau-b {found.tau:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


def _open_model(run: "RunFolder", name: str, options: dict[str, Any], *, reads_only: bool) -> "LanguageModel":
    """The judge's model; a plan and a replay send nothing, so they need neither key nor address."""
    from sama_video.bench.judgements import replies_path
    from sama_video.remote.language_model import open_language_model
    from sama_video.remote.reply_store import ReplyStore
    from sama_video.remote.transport import Endpoint

    limits = _limits(options)
    path = options["replies"] or replies_path(run.path)
    endpoint = None if options["replay"] or reads_only else Endpoint.find(options["base_url"], options["key_file"])
    nothing_kept = reads_only and not path.exists()
    store = ReplyStore(":memory:") if nothing_kept else ReplyStore(path, read_only=endpoint is None)
    return open_language_model(name, endpoint, store, limits)


def _language_judge(task: str, model: "LanguageModel", options: dict[str, Any]) -> "LanguageJudge":
    from sama_video.bench.judge import LanguageJudge
    from sama_video.bench.judge_prompts import scale_named, scale_of_task

    scale = scale_of_task(task) if options["scale"] is None else scale_named(options["scale"])
    return LanguageJudge(model, scale, workers=options["workers"])


def _limits(options: dict[str, Any]) -> "Limits":
    from sama_video.remote.language_model import Limits
    from sama_video.remote.reply_store import Budget, Prices

    prices = (options["price_in"], options["price_out"])
    if options["budget"] is not None and None in prices:
        raise ConfigError(
            "--budget is in money, but --price-in and --price-out do not say what a million tokens cost; give both."
        )
    return Limits(
        Budget(options["max_requests"], options["max_tokens"], options["budget"]),
        Prices(*(price or 0.0 for price in prices)),
        options["requests_per_minute"],
        options["tokens_per_minute"],
    )
