"""Small drawings for a report, as SVG without a style of their own: the page's sheet colours them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sama_video.bench.figures import Figure

_WIDTH, _HEIGHT = 480, 208
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 20, 40


@dataclass(frozen=True)
class CurvePoint:
    """A figure at one place of a curve, with how many questions it rests on."""

    label: str
    questions: int
    figure: Figure


def interval_bar(figure: Figure) -> str:
    """A fraction and its interval on a line from 0 to 1; empty for other units, which have no common scale."""
    if figure.value is None or figure.unit != "fraction" or not 0 <= figure.value <= 1:
        return ""
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = f'<line class="spread" x1="{_place(figure.low)}" x2="{_place(figure.high)}" y1="5" y2="5"/>'
    return (
        '<svg class="bar" viewBox="0 0 200 10" aria-hidden="true">'
        f'<line class="scale" x1="0" x2="200" y1="5" y2="5"/>{spread}'
        f'<circle class="point" cx="{_place(figure.value)}" cy="5" r="4"/></svg>'
    )


def curve(title: str, points: Sequence[CurvePoint]) -> str:
    """Fractions from left to right with their intervals, on a scale from 0 to 100 %."""
    known = [(idx, point) for idx, point in enumerate(points) if point.figure.value is not None]
    places = [(_across(idx, len(points)), point) for idx, point in known]
    line = " ".join(f"{x:.1f},{_up(point.figure.value):.1f}" for x, point in places if point.figure.value is not None)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join(_grid_line(level) for level in (0.0, 0.25, 0.5, 0.75, 1.0))
        + f'<polyline class="line" points="{line}"/>'
        + "".join(_mark(x, point) for x, point in places)
        + "".join(_tick(_across(idx, len(points)), point) for idx, point in enumerate(points))
        + "</svg>"
    )


def _mark(x: float, point: CurvePoint) -> str:
    figure = point.figure
    assert figure.value is not None
    y = _up(figure.value)
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = (
            f'<line class="spread" x1="{x:.1f}" x2="{x:.1f}" y1="{_up(figure.low):.1f}" y2="{_up(figure.high):.1f}"/>'
        )
    beside, anchor = (x - 7, "end") if x > _WIDTH - 60 else (x + 7, "start")
    return (
        f'{spread}<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
        f'<text class="figure" x="{beside:.1f}" y="{y - 5:.1f}" text-anchor="{anchor}">{figure.shown}</text>'
    )


def _tick(x: float, point: CurvePoint) -> str:
    base = _HEIGHT - _BOTTOM
    return (
        f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{escape(point.label)}</text>'
        f'<text x="{x:.1f}" y="{base + 31}" text-anchor="middle">n = {point.questions}</text>'
    )


def _grid_line(level: float) -> str:
    y = _up(level)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{round(100 * level)}</text>'
    )


def _across(idx: int, count: int) -> float:
    room = _WIDTH - _LEFT - _RIGHT
    return _LEFT + room * (idx + 0.5) / count


def _up(value: float | int) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value)


def _place(fraction: float | int) -> str:
    return f"{4 + 192 * fraction:.1f}"
