"""The HTML of a review: a page for each sample, and the index that keeps what is decided.

Each page is one file that works offline, in light and dark. Texts of models and data sets enter as text alone; the
content security policy lets no other script run than the page's own.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from sama_video.annotate.case import Subject
from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.drafts import Draft, Problem
from sama_video.annotate.marks import mark_of
from sama_video.annotate.review.decisions import SCHEMA
from sama_video.annotate.review.pictures import Footage, ReviewPicture
from sama_video.annotate.stages import Json
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START
from sama_video.dialogue.static_page import element, fill, source_hash
from sama_video.regions.ink import text_on

PAGE: Final = Path(__file__).parent / "static"
VERSION: Final = 1


@dataclass(frozen=True)
class LeftOut:
    """Something a model wrote that was not kept.

    Attributes:
        stage: Which look at it that was: `check`, `recheck`, `critic`, ...
        place: Such as `turn 3`.
        texts: Its words, as far as they could be read.
        problems: Why.
    """

    stage: str
    place: str
    texts: tuple[str, ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> Json:
        """What a page depends on."""
        return [self.stage, self.place, list(self.texts), [one.to_json() for one in self.problems]]


@dataclass(frozen=True)
class ReviewSample:
    """A sample as a reviewer sees it.

    Attributes:
        content: Hash of what is judged.
        subject: With masklets.
        draft: What passed the checks.
        left_out: What did not.
        model: That wrote it.
    """

    content: str
    subject: Subject
    draft: Draft
    left_out: tuple[LeftOut, ...] = ()
    model: str = ""


def sample_page(sample: ReviewSample, footage: Footage, key: str, before: str | None, after: str | None) -> str:
    """One sample's page.

    Args:
        key: Hash of all that the page depends on.
        before, after: Files of the samples beside it, for when it is opened by itself.
    """
    subject = sample.subject
    style = _asset("review.css") + _colours(subject)
    script = _asset("sample.js")
    facts = (subject.source, subject.licence, footage.facts, sample.model)
    slots = {
        "key": escape(key),
        "title": escape(subject.subject_id),
        "facts": escape(" · ".join(fact for fact in facts if fact)),
        "before": _link(before, "before", "Previous"),
        "after": _link(after, "after", "Next"),
        "problem": element("p", escape(f"No pictures: {footage.problem}"), "problem") if footage.problem else "",
        "strip": "".join(map(_thumb, footage.pictures)),
        "note": element("p", escape(footage.note), "faint") if footage.note else "",
        "left_out": _left_out(sample.left_out),
        "data": embedded(_data(sample, footage)),
        "mp4": "" if footage.moving is None else base64.b64encode(footage.moving).decode("ascii"),
        "style": style,
        "script": script,
        "style_hash": source_hash(style),
        "script_hash": source_hash(script),
    }
    return fill(_asset("sample.html"), slots)


def index_page(title: str, folder: str, samples: Iterable[tuple[str, str, bool, str]]) -> str:
    """The page that holds all samples.

    Args:
        folder: Where saved decisions are to be put.
        samples: Name, content hash, whether for two reviewers, and file of each.
    """
    style, script = _asset("review.css"), _asset("index.js")
    rows = [
        {"sample": name, "title": name, "content": content, "double": double, "page": page}
        for name, content, double, page in samples
    ]
    slots = {
        "title": escape(title),
        "data": embedded({"schema": SCHEMA, "folder": folder, "samples": rows}),
        "style": style,
        "script": script,
        "style_hash": source_hash(style),
        "script_hash": source_hash(script),
    }
    return fill(_asset("index.html"), slots)


def assets_hash() -> str:
    """Hash of the files that all samples' pages are made with."""
    return source_hash("".join(_asset(name) for name in ("review.css", "sample.html", "sample.js")))


def embedded(value: Json) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _colours(subject: Subject) -> str:
    """The colours of marks, as the pictures have them."""
    marks = [(thing.object_id, mark_of(thing.object_id)) for thing in subject.things]
    return "".join(
        f".{name} {{ background: rgb{mark.colour}; color: rgb{text_on(mark.colour)}; }}\n" for name, mark in marks
    )


def _link(file: str | None, kind: str, words: str) -> str:
    return "" if file is None else f'<a class="{kind}" href="{escape(file)}">{words}</a>'


def _thumb(picture: ReviewPicture) -> str:
    content = base64.b64encode(picture.jpeg).decode("ascii")
    seen = ", ".join(picture.masks) or "no object"
    told = f"frame {picture.frame}, {picture.seconds:.2f} s: {seen}"
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<button type="button"><img {size} alt="{escape(told)}" src="data:image/jpeg;base64,{content}"></button>'


def _left_out(left_out: Sequence[LeftOut]) -> str:
    """What the checks dropped, and why, folded away."""
    if not left_out:
        return '<p class="faint">The checks left nothing out.</p>'
    rows = "".join(f"<li>{_left_out_row(one)}</li>" for one in left_out)
    words = f"Left out by the checks ({len(left_out)})"
    return f'<details id="left-out"><summary>{words}</summary><ul class="left-out">{rows}</ul></details>'


def _left_out_row(one: LeftOut) -> str:
    texts = "".join(f"<p><bdi>{escape(text)}</bdi></p>" for text in one.texts)
    whys = "".join(
        f"<p><b>{escape(problem.reason)}</b>: <bdi>{escape(problem.detail)}</bdi> "
        f'<span class="faint">{escape(REASONS.get(problem.reason, ""))}</span></p>'
        for problem in one.problems
    )
    return f'<span class="faint">{escape(one.stage)}, {escape(one.place)}</span>{texts}{whys}'


def _data(sample: ReviewSample, footage: Footage) -> Json:
    """What the page's script works on."""
    return {
        "schema": SCHEMA,
        "sample": sample.subject.subject_id,
        "content": sample.content,
        "marks": [PHRASE_START, PHRASE_END],
        "draft": Draft(sample.draft.descriptions, sample.draft.turns).to_json(),
        "objects": [_object(thing.object_id, thing.label) for thing in sample.subject.things],
        "pictures": [_picture(one) for one in footage.pictures],
    }


def _object(object_id: str, label: str | None) -> Json:
    mark = mark_of(object_id)
    return {
        "id": object_id,
        "number": mark.number,
        "label": label or "",
        "colour": list(mark.colour),
        "dashes": mark.dashes,
    }


def _picture(picture: ReviewPicture) -> Json:
    return {
        "width": picture.width,
        "height": picture.height,
        "left": picture.left,
        "inner": picture.inner_width,
        "frame": picture.frame,
        "seconds": picture.seconds,
        "masks": dict(picture.masks),
    }
