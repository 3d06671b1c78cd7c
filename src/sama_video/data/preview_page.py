"""The page of a preview: one file that works offline, runs no script, and takes whatever a data set says as text."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from sama_video.data.findings import Finding
from sama_video.data.preview_pictures import Picture, Strip, object_name
from sama_video.data.preview_subjects import MAX_OBJECTS, Exchange, SeenObject, Subject, Text, Words, cut
from sama_video.dialogue.static_page import element, fill, object_styles, source_hash
from sama_video.regions.rle import area

PAGE: Final = Path(__file__).parent / "page"
FINDINGS_SHOWN: Final = 20
_TITLE_CHARACTERS: Final = 160
_LABEL_CHARACTERS: Final = 24
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that a reader does not see, or that turn the text after them around."""


def page_parts(title: str, lead: str, left_out: Sequence[Finding], counts: Mapping[str, int]) -> tuple[str, str]:
    """What stands before the cards and after them.

    Args:
        left_out: Findings of no record that is shown, the first of them.
        counts: How many there are of each reason.
    """
    style = (PAGE / "preview.css").read_text(encoding="utf-8") + object_styles(map(object_name, range(MAX_OBJECTS)))
    slots = {
        "title": _safe(title, _TITLE_CHARACTERS),
        "lead": _safe(lead),
        "style": style,
        "style_hash": source_hash(style),
        "cards": "\0",
        "left_out": _left_out(left_out, counts),
    }
    before, after = fill((PAGE / "preview.html").read_text(encoding="utf-8"), slots).split("\0")
    return before, after


def card(number: int, subject: Subject, strip: Strip) -> str:
    """One record."""
    known = {"": subject.layout, "source ": subject.source, "licence: ": subject.licence}
    known |= {"task: ": subject.task, "clip: ": strip.facts}
    where = " · ".join(f"<bdi>{_safe(name + value, 400)}</bdi>" for name, value in known.items() if value)
    if subject.open_clip is None:
        kind, content = "card dropped", element("p", "dropped: nothing of this record can be used", "problem")
    else:
        kind = "card"
        content = f'<div class="sides"><div>{_seen(subject, strip)}</div><div>{_said(subject)}</div></div>'
    title = f"<h2><bdi>{_safe(subject.title, _TITLE_CHARACTERS)}</bdi></h2>"
    return (
        f'<article class="{kind}" id="record-{number}"><header>{title}{element("p", where, "where")}</header>'
        f"{content}{_findings(subject.findings)}</article>\n"
    )


def _safe(text: str, characters: int | None = None) -> str:
    """Text of a data set as markup: escaped, and what cannot be seen or written replaced by a mark that can."""
    whole = text if characters is None else cut(text, characters)
    return escape(_CONTROL.sub("�", whole).encode("utf-8", "replace").decode("utf-8"))


def _seen(subject: Subject, strip: Strip) -> str:
    problem = element("p", _safe(strip.problem, 600), "problem") if strip.problem else ""
    items = (f"<li>{_chip(subject.objects, place)} {_about(one)}</li>" for place, one in enumerate(subject.objects))
    objects = "".join(items)
    listed = f'<ul class="objects">{objects}</ul>' if objects else ""
    return f'{problem}<div class="pictures">{"".join(map(_figure, strip.pictures))}</div>{listed}'


def _figure(picture: Picture) -> str:
    content = base64.b64encode(picture.jpeg).decode("ascii")
    size = f'width="{picture.width}" height="{picture.height}" loading="lazy"'
    return (
        f'<figure><img {size} alt="{_safe(picture.instead, 300)}" src="data:image/jpeg;base64,{content}">'
        f"<figcaption>{_safe(picture.caption, 400)}</figcaption></figure>"
    )


def _about(one: SeenObject) -> str:
    """What else is known of an object: its other name, and on how many frames it is visible."""
    if one.track is None:
        visible = "no usable masks"
    elif len(one.track) == 1:
        visible = ""
    else:
        seen = sum(rle is not None and area(rle) > 0 for rle in one.track)
        visible = f"visible on {seen} of {len(one.track)} frames"
    return ", ".join(_safe(part, 100) for part in (one.hint, visible) if part)


def _said(subject: Subject) -> str:
    turns = "".join(_exchange(turn, subject.objects) for turn in subject.turns)
    texts = "".join(_text(text, subject.objects) for text in subject.texts)
    parts = [
        f'<h3>Dialogue</h3><dl class="said">{turns}</dl>' if turns else "",
        f'<h3>{subject.texts_name}</h3><dl class="said texts">{texts}</dl>' if texts else "",
        element("p", f"not shown: {_safe(subject.left_out)}", "hint") if subject.left_out else "",
    ]
    return "".join(parts) or element("p", "no text of this record can be used", "hint")


def _exchange(turn: Exchange, objects: Sequence[SeenObject]) -> str:
    question, answer = (_words(words, objects) for words in (turn.question, turn.answer))
    moments = f' <span class="hint">({_safe(turn.moments)})</span>' if turn.moments else ""
    return (
        f'<dt>Q {turn.number}</dt><dd dir="auto">{question}{moments}</dd>'
        f'<dt>A</dt><dd class="answer" dir="auto">{answer}</dd>'
    )


def _text(text: Text, objects: Sequence[SeenObject]) -> str:
    chips = (_chip(objects, place) for place in text.objects)
    heading = [_safe(text.heading, _LABEL_CHARACTERS)] if text.heading else []
    return f'<dt>{" ".join((*heading, *chips))}</dt><dd dir="auto">{_safe(text.text)}</dd>'


def _words(words: Iterable[Words], objects: Sequence[SeenObject]) -> str:
    return "".join(piece for one in words for piece in _piece(one, objects))


def _piece(words: Words, objects: Sequence[SeenObject]) -> Iterator[str]:
    """Words as markup: a phrase in the colour of its one mask, or plain with the colours of all its masks behind it."""
    if words.kind == "plain":
        yield _safe(words.text)
    elif words.kind == "region":
        yield "".join(_chip(objects, place, "chip region") for place in words.objects)
        if not words.objects:
            yield f'<span class="chip region">{_safe(words.text or "region", _LABEL_CHARACTERS)}</span>'
    else:
        if words.text:
            yield f'<span class="{_phrase_class(words)}">{_safe(words.text)}</span>'
        yield "".join(f" {_chip(objects, place)}" for place in words.objects)


def _phrase_class(words: Words) -> str:
    if not words.objects:
        return "bare"
    return f"phrase {object_name(words.objects[0])}" if len(words.objects) == 1 else "phrase"


def _chip(objects: Sequence[SeenObject], place: int, kind: str = "chip") -> str:
    return f'<span class="{kind} {object_name(place)}">{_safe(objects[place].label, _LABEL_CHARACTERS)}</span>'


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    more = len(findings) - FINDINGS_SHOWN
    rest = f'<li class="hint">and {more} more</li>' if more > 0 else ""
    return f"<h3>Faults and notes</h3>{_rows(findings[:FINDINGS_SHOWN])[:-5]}{rest}</ul>"


def _rows(findings: Iterable[Finding]) -> str:
    return f'<ul class="findings">{"".join(map(_finding, findings))}</ul>'


def _finding(finding: Finding) -> str:
    kind = "fault" if finding.is_fault else "note"
    place = finding.file if finding.record is None else f"{finding.file}, {finding.record}"
    return (
        f'<li><span class="{kind}">{kind}: {_safe(finding.reason)}</span> {_safe(finding.detail, 400)} '
        f'<span class="hint"><bdi>{_safe(place, 300)}</bdi></span></li>'
    )


def _left_out(findings: Sequence[Finding], counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    more = sum(counts.values()) - len(findings)
    rest = element("p", f"and {more} more; sama data check lists all", "hint") if more > 0 else ""
    listed = element("p", _safe(told), "hint") + _rows(findings) + rest
    return element("section", element("h2", "Of no record shown here") + listed, "card")
