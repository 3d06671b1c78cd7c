"""`report.html`: one file that works offline and from anywhere, with tables, charts, pictures and every question.

Whatever comes from a model or a data set is escaped or enters the page as text, and the page's content security policy
lets only its own script run.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from sama_video.bench.figures import NOTHING, Figure, shown_unit
from sama_video.bench.published import HEADING, NOTE, quotations_for
from sama_video.bench.report import WIDE, Report, turn_number
from sama_video.bench.report_charts import CurvePoint, curve, interval_bar
from sama_video.bench.report_markdown import facts, lead
from sama_video.bench.report_pictures import Picture
from sama_video.bench.report_questions import Piece, Said, Shown
from sama_video.bench.task import Json, Mode
from sama_video.dialogue.static_page import fill, object_styles, source_hash

PAGE: Final = Path(__file__).parent / "page"
_CURVES = 2  # of each mode


def report_html(report: Report, said: Sequence[Said], picked: Mapping[str, Sequence[Shown]]) -> str:
    """The whole page.

    Args:
        said: Every question with its answer, in the order of the benchmark.
        picked: Questions shown with pictures, under the heading that says why they were picked.
    """
    style, script = _asset("report.css") + _colours(picked), _asset("report.js")
    pictured = {shown.said.sample_id for group in picked.values() for shown in group}
    slots = {
        "title": escape(f"{'' if report.state.complete else 'INCOMPLETE: '}{report.run.model} on {report.run.task}"),
        "task": escape(f"{report.run.task}: {report.title}"),
        "model": escape(report.run.model),
        "lead": escape(lead(report)),
        "banner": "" if report.state.complete else f'<div class="banner" role="alert">{escape(report.banner)}</div>',
        "tiles": _tiles(report.leading),
        "modes": _mode_switch(report.modes),
        "subset_options": _options(["", *report_subsets(said)]),
        "tables": "".join(_table(report, mode) for mode in report.modes),
        "turns": _curves(report),
        "cards": "".join(_cards(heading, group, said) for heading, group in picked.items()),
        "quoted": _quoted(report),
        "facts": _facts(report),
        "questions": _embedded([_question(one, one.sample_id in pictured) for one in said]),
        "style": style,
        "script": script,
        "style_hash": source_hash(style),
        "script_hash": source_hash(script),
    }
    return fill(_asset("report.html"), slots)


def report_subsets(said: Sequence[Said]) -> list[str]:
    """Parts of the benchmark that its questions belong to."""
    return list(dict.fromkeys(one.subset for one in said if one.subset))


def _asset(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _embedded(value: Json) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _colours(picked: Mapping[str, Sequence[Shown]]) -> str:
    """The colours of objects in answers: those of their masks."""
    drawn = [shown.illustration for group in picked.values() for shown in group]
    objects = sorted({name for one in drawn for name in (*one.reference_objects, *one.predicted_objects)})
    return object_styles(objects)


def _tiles(figures: Sequence[Figure]) -> str:
    """The figures that a reader looks for; one that is the same in both modes stands once."""
    values: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in figures:
        values.setdefault((figure.metric, figure.shown, figure.interval), []).append(figure)
    return f'<div class="tiles">{"".join(map(_tile, values.values()))}</div>' if figures else ""


def _tile(same: Sequence[Figure]) -> str:
    figure = same[0]
    shown_in = f' data-mode="{figure.mode}"' if len(same) == 1 else ""
    unit = f' <span class="unit">{escape(shown_unit(figure.unit))}</span>' if figure.value is not None else ""
    return (
        f'<div class="tile"{shown_in}>'
        f'<div class="name">{escape(figure.metric)} {"".join(_mode(one.mode) for one in same)}</div>'
        f'<div class="value">{figure.shown}{unit}</div>'
        f'<div class="range">{figure.interval or "no interval"}</div>{interval_bar(figure)}</div>'
    )


def _mode(mode: Mode) -> str:
    return f'<span class="mode">{mode}</span>'


def _mode_switch(modes: Sequence[Mode]) -> str:
    if len(modes) < 2:
        return ""
    radios = "".join(
        f'<label><input type="radio" name="mode" value="{name}"{" checked" if name == "both" else ""}> {name}</label>'
        for name in ("both", *modes)
    )
    return f"<fieldset><legend>Mode</legend>{radios}</fieldset>"


def _options(subsets: Iterable[str]) -> str:
    return "".join(f'<option value="{escape(name)}">{escape(name) or "all"}</option>' for name in subsets)


def _table(report: Report, mode: Mode) -> str:
    """Metrics by part of the benchmark, and beneath them what could not be measured."""
    parts = ("", *report.subsets)
    content = (_parts_as_rows if len(parts) > WIDE else _parts_as_columns)(report, mode, parts)
    gaps = "".join(f"<li>{escape(metric)}: {escape(why)}</li>" for metric, why in report.unmeasured(mode).items())
    return (
        f'<section data-mode="{mode}"><h2>Figures {_mode(mode)}</h2><div class="scroll" tabindex="0"><table>'
        f"{content}</table></div>"
        + (f'<div class="hint">Not measured:</div><ul class="hint">{gaps}</ul>' if gaps else "")
        + "</section>"
    )


def _parts_as_columns(report: Report, mode: Mode, parts: Sequence[str]) -> str:
    figures = _figures(report, mode)
    head = "".join(f'<th scope="col">{escape(part) or "all"}</th>' for part in parts)
    counts = "".join(f"<td>{escape(report.counted(part, mode))}</td>" for part in parts)
    rows = "".join(
        f'<tr><th scope="row">{_named(metric, figures)}</th>'
        f"{''.join(_cell(figures.get((metric, part))) for part in parts)}</tr>"
        for metric in report.measured(parts, mode)
    )
    return (
        f'<thead><tr><th scope="col">metric</th>{head}</tr></thead><tbody>{rows}'
        f'<tr class="counts"><th scope="row">questions / videos</th>{counts}</tr></tbody>'
    )


def _parts_as_rows(report: Report, mode: Mode, parts: Sequence[str]) -> str:
    figures, metrics = _figures(report, mode), report.measured(parts, mode)
    head = "".join(f'<th scope="col">{_named(metric, figures)}</th>' for metric in metrics)
    rows = "".join(
        f'<tr><th scope="row">{escape(part) or "all"}</th><td>{escape(report.counted(part, mode))}</td>'
        f"{''.join(_cell(figures.get((metric, part))) for metric in metrics)}</tr>"
        for part in parts
    )
    return (
        '<thead><tr><th scope="col">part</th><th scope="col">questions / videos</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody>"
    )


def _figures(report: Report, mode: Mode) -> dict[tuple[str, str], Figure]:
    return {(figure.metric, figure.subset): figure for figure in report.figures if figure.mode == mode}


def _named(metric: str, figures: Mapping[tuple[str, str], Figure]) -> str:
    """A metric's name, and its unit where that is not per cent."""
    units = {figure.unit for (name, _), figure in figures.items() if name == metric} - {"fraction"}
    unit = f' <span class="range">{escape(", ".join(sorted(units)))}</span>' if units else ""
    return f"{escape(metric)}{unit}"


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return f'<td class="none">{NOTHING}</td>'
    return f'<td>{figure.shown}<span class="range">{figure.interval}</span></td>'


def _curves(report: Report) -> str:
    """Scores by position in the dialogue, of the figures that a reader looks for."""
    charts = [chart for mode in report.modes for chart in _curves_of(report, mode)]
    if not charts:
        return ""
    return f'<section><h2>Score by turn</h2><div class="charts">{"".join(charts)}</div></section>'


def _curves_of(report: Report, mode: Mode) -> list[str]:
    found = _figures(report, mode)
    drawable = [figure.metric for figure in report.leading if figure.mode == mode and figure.unit == "fraction"]
    charts = []
    for metric in drawable:
        figures = [(turn, found[metric, turn]) for turn in report.turns if (metric, turn) in found]
        points = [CurvePoint(f"turn {turn_number(turn)}", report.counts(turn)[0], figure) for turn, figure in figures]
        if points:
            drawing = curve(f"{metric} ({mode}) by turn", points)
            caption = f"<figcaption>{escape(metric)}, % {_mode(mode)}</figcaption>"
            charts.append(f'<figure class="chart" data-mode="{mode}">{caption}{drawing}</figure>')
    return charts[:_CURVES]


def _cards(heading: str, group: Sequence[Shown], said: Sequence[Said]) -> str:
    places = {one.sample_id: place for place, one in enumerate(said)}
    cards = "".join(_card(shown, places[shown.said.sample_id]) for shown in group)
    return (
        f'<section class="picked"><h2>{escape(heading)}</h2>'
        '<div class="hint nothing" hidden>The filters leave none.</div>'
        f'<div class="cards">{cards}</div></section>'
    )


def _card(shown: Shown, place: int) -> str:
    one, drawn = shown.said, shown.illustration
    scores = "".join(
        f'<span class="score" data-mode="{mode}">{escape(name)} {value:.1f} {_mode(mode)}</span>'
        for mode, (name, value) in one.main.items()
    )
    note = f'<div class="hint">{escape(drawn.note)}</div>' if drawn.note else ""
    lines = {
        "Question": escape(one.question),
        "Answer": _pieces(one.answer, drawn.predicted_objects) or NOTHING,
        "Reference": _pieces(one.reference, drawn.reference_objects),
        "Video": escape(one.video),
    }
    pairs = f'<div class="pairs">{"".join(map(_pair, drawn.pictures))}</div>' if drawn.pictures else ""
    said = "".join(f"<dt>{name}</dt><dd>{line}</dd>" for name, line in lines.items() if line)
    return (
        f'<article class="card" id="card-{place}" data-place="{place}"><header>{scores}'
        f'<span class="where">{escape(one.where)}</span></header>{pairs}{note}'
        f'<dl class="said">{said}</dl></article>'
    )


def _pair(picture: Picture) -> str:
    size = f'width="{picture.width}" height="{picture.height}" loading="lazy"'
    sides = {"reference": picture.reference, "prediction": picture.prediction}
    images = "".join(
        f'<div><div class="side">{side}</div><img {size} alt="{side}, frame {picture.frame_idx}" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode("ascii")}"></div>'
        for side, jpeg in sides.items()
    )
    caption = f"<figcaption>frame {picture.frame_idx}</figcaption>"
    return f'<figure class="pair">{caption}<div class="sides">{images}</div></figure>'


def _pieces(pieces: Sequence[Piece], objects: Sequence[str]) -> str:
    """Words, and phrases in the colours of their masks."""
    marked = (
        f'<span class="{_phrase_class(piece, objects)}">{escape(piece.text)}</span>'
        if piece.phrase
        else escape(piece.text)
        for piece in pieces
    )
    return "".join(marked)


def _phrase_class(piece: Piece, objects: Sequence[str]) -> str:
    coloured = piece.mask_idx is not None and piece.mask_idx < len(objects)
    return f"phrase {objects[piece.mask_idx]}" if coloured and piece.mask_idx is not None else "phrase"


def _question(one: Said, pictured: bool) -> dict[str, Json]:
    """What the page's script needs of a question."""
    return {
        "id": one.sample_id,
        "video": one.video,
        "subset": one.subset,
        "where": one.where,
        "question": one.question,
        "answer": [[piece.text, piece.phrase] for piece in one.answer],
        "reference": [[piece.text, piece.phrase] for piece in one.reference],
        "scores": one.scores,
        "main": {mode: round(value, 3) for mode, (_, value) in one.main.items()},
        "error": one.error,
        "pictured": pictured,
    }


def _quoted(report: Report) -> str:
    """What others published, apart from the figures above in place, heading and looks."""
    rows = "".join(
        f'<tr><th scope="row">{escape(one.model)}</th><td>{escape(f"{one.benchmark} {one.split}".strip())}</td>'
        f"<td>{escape(one.metric)}</td><td>{one.shown} {one.unit if one.value is not None else ''}</td>"
        f"<td>{escape(one.cited)}</td><td>{escape(one.note)}</td></tr>"
        for one in quotations_for(report.run.task)
    )
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col">{name}</th>' for name in ("model", "benchmark", "metric", "value", "source", "note")
    )
    return (
        f'<section class="quoted"><h2>{HEADING}</h2><div>{NOTE}</div><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _facts(report: Report) -> str:
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(report).items())
    return f'<section><h2>This run</h2><dl class="facts">{lines}</dl></section>'
