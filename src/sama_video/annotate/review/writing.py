"""Writing a review: OUT/review/index.html and OUT/review/samples/NAME.html, one sample in memory at a time.

A page that shows what it would show anyway is not drawn again. Each file is written beside its place and moved there
whole; the index comes last, then pages of samples that are gone are taken away. Files of decisions are never touched.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sama_video.annotate.drafts import Draft, DraftError, Problem, read_draft
from sama_video.annotate.review.page import VERSION, LeftOut, ReviewSample, assets_hash, index_page, sample_page
from sama_video.annotate.review.pictures import film
from sama_video.annotate.review.reviewing import (
    FOLDER,
    ReviewSettings,
    content_hash,
    double_reviewed,
    draw_of,
)
from sama_video.annotate.run_state import RunState
from sama_video.annotate.stages import Json, digest, plain
from sama_video.annotate.works import subject_of
from sama_video.errors import ConfigError

INDEX: Final = "index.html"
SAMPLES: Final = "samples"

_KEY: Final = re.compile(r'<meta name="sama-review-page" content="([0-9a-f]+)">')
_HEAD_BYTES: Final = 1024

Advance = Callable[[int, int], None]
"""Told how many pages are done, and how many there are."""


@dataclass(frozen=True)
class Written:
    """A review on disk.

    Attributes:
        index: The page to open.
        samples: How many have a page.
        drawn: How many of these were drawn now.
        double: How many are for two reviewers.
    """

    index: Path
    samples: int
    drawn: int
    double: int


def write_review(
    out: Path,
    title: str,
    names: Sequence[str],
    load: Callable[[str], ReviewSample],
    settings: ReviewSettings,
    seed: int = 0,
    advance: Advance = lambda done, total: None,
) -> Written:
    """Write the pages of a review.

    Args:
        out: The run's folder.
        title: Of the index.
        names: Samples that may be shown; of more than the settings want, the seed draws.
        load: Gives one of them.
        seed: Also draws those for two reviewers.

    Raises:
        ConfigError: The pages cannot be written there.
    """
    folder = out / FOLDER
    chosen = chosen_samples(names, settings.samples, seed)
    double = double_reviewed(chosen, settings.double_share, seed)
    rows: list[tuple[str, str, bool, str]] = []
    drawn = 0
    try:
        (folder / SAMPLES).mkdir(parents=True, exist_ok=True)
        for place, name in enumerate(chosen):
            advance(place, len(chosen))
            sample = load(name)
            drawn += _write_sample(folder / SAMPLES, sample, settings, *_beside(chosen, place))
            rows.append((name, sample.content, name in double, f"{SAMPLES}/{_file(name)}"))
        advance(len(chosen), len(chosen))
        _replace(folder / INDEX, index_page(title, str(folder), rows))
        _take_away(folder / SAMPLES, {_file(name) for name in chosen})
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}); name another --out.") from error
    return Written(folder / INDEX, len(rows), drawn, len(double))


def chosen_samples(names: Iterable[str], most: int | None, seed: int) -> list[str]:
    """Samples that get a page, in the order of their names; where there is room, one stays when others come or go."""
    known = sorted(names)
    if most is None or len(known) <= most:
        return known
    return sorted(sorted(known, key=lambda name: (draw_of(name, seed, "page"), name))[:most])


def sample_of(state: RunState, name: str, last_draft: str) -> ReviewSample:
    """A sample as the stages left it, with what each of them left out.

    Args:
        last_draft: The stage whose draft is reviewed.
    """
    row = state.rows[name]
    source = state.catalogue.inputs[row.input_idx]
    subject = subject_of(source, row, state.payload("select", name), state.payload("track", name))
    draft = Draft.from_json(state.payload(last_draft, name)["draft"])
    return ReviewSample(
        content=content_of(state, name, last_draft),
        subject=subject,
        draft=draft,
        left_out=tuple(left_out(state, name, last_draft)),
        model=state.payload("ask", name)["model"],
    )


def content_of(state: RunState, name: str, last_draft: str) -> str:
    """The hash of what a reviewer judges of a sample."""
    row = state.rows[name]
    source = state.catalogue.inputs[row.input_idx]
    subject = subject_of(source, row, state.payload("select", name), state.payload("track", name))
    draft = Draft.from_json(state.payload(last_draft, name)["draft"])
    return content_hash(subject, draft, state.payload("probe", name)["content"])


def left_out(state: RunState, name: str, last_draft: str) -> list[LeftOut]:
    """What was not kept of a sample's texts, by stage and place."""
    check, recheck = state.payload("check", name), state.payload("recheck", name)
    repair = state.payload("repair", name)
    first = _read(state.payload("ask", name))
    found = _grouped("check", check["problems"], first)
    last = check
    if repair is not None and recheck is not None:
        found += _grouped("recheck", recheck["problems"], Draft.from_json(check["draft"]).joined(_read(repair)))
        last = recheck
    final = state.payload(last_draft, name)
    later = final["problems"][len(last["problems"]) :] if last_draft not in ("check", "recheck") else []
    return found + _grouped(last_draft, later, Draft.from_json(last["draft"]))


def _read(reply: Json) -> Draft:
    """What could be read of a reply."""
    try:
        return read_draft(reply["text"], reply["finish_reason"], reply["refusal"])
    except DraftError:
        return Draft({}, ())


def _grouped(stage: str, rows: Sequence[Json], said: Draft) -> list[LeftOut]:
    """Problems of one look, those of one place together, with the words that stood there."""
    places: dict[str, list[Problem]] = {}
    for row in rows:
        problem = Problem.from_json(row)
        places.setdefault(problem.place, []).append(problem)
    return [LeftOut(stage, place, _texts(place, said), tuple(problems)) for place, problems in places.items()]


def _texts(place: str, said: Draft) -> tuple[str, ...]:
    kind, _, which = place.partition(" ")
    if kind == "turn" and which.isdecimal() and 1 <= int(which) <= len(said.turns):
        turn = said.turns[int(which) - 1]
        return turn.question, turn.answer
    return (said.descriptions[which],) if kind == "description" and which in said.descriptions else ()


def _write_sample(
    folder: Path, sample: ReviewSample, settings: ReviewSettings, before: str | None, after: str | None
) -> int:
    """Write a page unless it is there; gives how many were written."""
    shown = [settings.pictures, settings.longest_side, settings.clip_seconds, settings.clip_bytes]
    rest = [sample.model, sample.subject.source, sample.subject.licence, before, after]
    labels = [thing.label for thing in sample.subject.things]
    told = [one.to_json() for one in sample.left_out]
    key = digest([VERSION, assets_hash(), sample.content, plain(shown), rest, labels, told]).hex()
    path = folder / _file(sample.subject.subject_id)
    if _key_of(path) == key:
        return 0
    _replace(path, sample_page(sample, film(sample.subject, settings), key, before, after))
    return 1


def _beside(names: Sequence[str], place: int) -> tuple[str | None, str | None]:
    """The files of the samples before and after one."""
    before = _file(names[place - 1]) if place else None
    return before, _file(names[place + 1]) if place + 1 < len(names) else None


def _file(name: str) -> str:
    return f"{name}.html"


def _key_of(path: Path) -> str | None:
    """What a page was made of, by its own word."""
    try:
        with path.open("rb") as page:
            found = _KEY.search(page.read(_HEAD_BYTES).decode("utf-8", "replace"))
    except FileNotFoundError:
        return None
    return None if found is None else found[1]


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def _take_away(folder: Path, kept: set[str]) -> None:
    """Pages of samples that are gone, and what a kill left half written."""
    for path in folder.iterdir():
        if (path.suffix == ".html" and path.name not in kept) or path.name.endswith(".part"):
            path.unlink()
