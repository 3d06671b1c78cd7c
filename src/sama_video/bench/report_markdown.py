"""`report.md`: the tables of a report, for a terminal, a mail or a repository."""

from collections.abc import Iterable, Sequence

from sama_video.bench.figures import NOTHING, Figure, shown_unit
from sama_video.bench.published import HEADING, NOTE, quotations_for
from sama_video.bench.report import WIDE, Report
from sama_video.bench.report_questions import Said
from sama_video.bench.task import Mode


def report_markdown(report: Report, picked: dict[str, tuple[Said, ...]]) -> str:
    """The whole document."""
    parts = [f"# {_plain(report.run.model)} on {report.run.task}", _plain(report.title) + "."]
    if not report.state.complete:
        parts.append(f"> **{_plain(report.banner)}**")
    parts.append(lead(report))
    for mode in report.modes:
        parts += [f"## Figures, {mode}", _figures(report, mode, ("", *report.subsets)), *_gaps(report, mode)]
        if report.turns:
            parts += [f"## By turn, {mode}", _figures(report, mode, report.turns)]
    for heading, group in picked.items():
        parts += [f"## {heading}", _questions(group)]
    quoted = quotations_for(report.run.task)
    if quoted:
        heads = ("model", "benchmark", "metric", "value", "unit", "source", "note")
        rows = [
            (one.model, f"{one.benchmark} {one.split}".strip(), one.metric, one.shown, one.unit, one.cited, one.note)
            for one in quoted
        ]
        parts += [f"## {HEADING}", NOTE, table(heads, rows)]
    parts += ["## This run", table(("fact", "value"), list(facts(report).items()))]
    return "\n\n".join(parts) + "\n"


def lead(report: Report) -> str:
    """What the figures rest on."""
    questions, videos = report.counts()
    counts = f"{questions:,} questions on {videos:,} videos or pictures."
    return f"{counts} Figures in per cent unless a unit is given; ranges are 95 % intervals, resampled over videos."


def facts(report: Report) -> dict[str, str]:
    """What was run, by name; all that is needed to run it again."""
    run, scores = report.run, report.scores
    lines = {
        "task": f"{run.task}, version {run.task_version}",
        "model": run.model,
        "model hash": run.model_hash,
        "data hash": run.data_hash,
        "options": ", ".join(f"{name} {value}" for name, value in sorted(run.options.items())),
        "phrase similarity": str(scores["similarity"] or NOTHING),
        "judge": str(scores["judge"] or NOTHING),
        "code": run.code_version,
        "seed": str(run.seed),
    }
    if report.submission is not None:
        submission = report.submission
        lines["submission"] = f"{submission['file']}, {submission['pngs']:,} pictures"
        lines["submission SHA-256"] = str(submission["sha256"])
    return lines


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    lines += [" | ".join(_plain(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _figures(report: Report, mode: Mode, parts: Sequence[str]) -> str:
    found = {(figure.metric, figure.subset): figure for figure in report.figures if figure.mode == mode}
    if len(parts) > WIDE:
        return table(("part", "questions / videos", "figures"), [_part(report, mode, part) for part in parts])
    rows = [
        [_named(metric, found), *(_cell(found.get((metric, part))) for part in parts)]
        for metric in report.measured(parts, mode)
    ]
    rows.append(["questions / videos", *(report.counted(part, mode) for part in parts)])
    return table(["metric", *(part or "all" for part in parts)], rows)


def _part(report: Report, mode: Mode, part: str) -> list[str]:
    figures = [
        f"{figure.metric} {_cell(figure)}{'' if figure.unit == 'fraction' else ' ' + figure.unit}"
        for figure in report.of(part, mode)
        if figure.value is not None
    ]
    return [part or "all", report.counted(part, mode), "; ".join(figures)]


def _gaps(report: Report, mode: Mode) -> list[str]:
    gaps = [f"- {_plain(metric)}: {_plain(why)}" for metric, why in report.unmeasured(mode).items()]
    return ["Not measured:", "\n".join(gaps)] if gaps else []


def _named(metric: str, found: dict[tuple[str, str], Figure]) -> str:
    unit = next(figure.unit for (name, _), figure in found.items() if name == metric)
    return f"{metric}, {shown_unit(unit)}"


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return NOTHING
    return f"{figure.shown} ({figure.interval})" if figure.interval else figure.shown


def _questions(group: Sequence[Said]) -> str:
    rows = []
    for one in group:
        scores = "; ".join(f"{name} {value:.1f} ({mode})" for mode, (name, value) in one.main.items())
        rows.append((one.sample_id, one.subset, one.video, scores))
    return table(("question", "subset", "video", "score"), rows)


def _plain(text: str) -> str:
    """Text that stays in its cell and means nothing to Markdown or HTML."""
    for character, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("[", "\\[")):
        text = text.replace(character, safe)
    return " ".join(text.split())
