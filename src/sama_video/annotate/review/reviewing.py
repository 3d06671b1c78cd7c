"""Review: what people decided about samples, read back into the pipeline.

A sample that anyone rejects is dropped as `review_rejected`; a fixed one goes through the checks again, of several
fixes the last one; an accepted one goes on with its reviewers' names. A decision about other content than a sample has
now is refused by name and changes nothing.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sama_video.annotate.case import Subject
from sama_video.annotate.drafts import Draft, Problem
from sama_video.annotate.review.agreement import AgreementRow, agreement_lines, reviewer_agreement
from sama_video.annotate.review.decisions import Decision, Verdict, decision_files, latest, read_decisions
from sama_video.annotate.run_state import RunState
from sama_video.annotate.stages import Dropped, Json, Kept, Result, Stage, digest
from sama_video.annotate.subject_json import clip_to_json
from sama_video.annotate.works import Mapper, Work
from sama_video.errors import ConfigError

FOLDER: Final = "review"
STAGE: Final = "review"
VERSION: Final = 1
WHOLE: Final = "draft"
"""The place of problems that are of no part: that something is missing, which a reviewer may have wanted so."""

DROP_REASONS: Final[Mapping[str, str]] = {
    "review_rejected": "A reviewer rejected the sample.",
    "not_reviewed": "Only reviewed samples are wanted, and nobody has decided about this one.",
}
REFUSALS: Final[Mapping[str, str]] = {
    "other_content": "the sample has other texts, masks or pixels now than the reviewer saw",
    "unknown_sample": "the inputs have no such sample",
    "dropped_before": "the sample was dropped by an earlier stage",
}


@dataclass(frozen=True)
class ReviewSettings:
    """How samples are shown to people, and what is asked of them.

    Attributes:
        samples: Most samples that get a page, drawn by the seed; None for all.
        double_share: Of these, the share that two people are asked to look at, drawn by the seed.
        only_reviewed: Whether samples that nobody decided about are left out of the data set.
        pictures: Most pictures of a sample.
        longest_side: Of a picture in pixels.
        clip_seconds: Longest clip that is shown moving; 0 for none.
        clip_bytes: Largest file of one.
    """

    samples: int | None = 500
    double_share: float | int = 0.1
    only_reviewed: bool = False
    pictures: int = 12
    longest_side: int = 640
    clip_seconds: float | int = 60
    clip_bytes: int = 2 * 2**20

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise ConfigError(f"review.samples is {self.samples}; give 1 or more, or null for all.")
        if not 0 <= self.double_share <= 1:
            raise ConfigError(f"review.double_share is {self.double_share}; give a share from 0 to 1.")
        if self.pictures < 1 or self.longest_side < 96:
            raise ConfigError(
                f"review has {self.pictures} pictures of {self.longest_side} pixels; give at least 1 of at least 96."
            )
        if self.clip_seconds < 0 or self.clip_bytes < 0:
            raise ConfigError("review.clip_seconds and clip_bytes are below 0; give 0 for no moving clip.")


@dataclass(frozen=True)
class Refusal:
    """A decision that is not applied.

    Attributes:
        reason: A key of `REFUSALS`.
    """

    file: str
    sample: str
    reviewer: str
    reason: str

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.file}: {self.sample}, by {self.reviewer}: not applied, {REFUSALS[self.reason]}"

    def to_json(self) -> dict[str, Json]:
        """As the report has it."""
        return {"file": self.file, "sample": self.sample, "reviewer": self.reviewer, "reason": self.reason}


@dataclass(frozen=True)
class Ruling:
    """What follows from all decisions about one sample.

    Attributes:
        draft: The texts as they are to be; of a fix alone.
        reviewers: Who decided so, by name.
        notes: What they wrote.
    """

    verdict: Verdict
    reviewers: tuple[str, ...]
    notes: tuple[str, ...] = ()
    draft: Draft | None = None

    @property
    def line(self) -> str:
        """As a record's provenance has it."""
        return f"{ {'accept': 'accepted', 'fix': 'fixed', 'reject': 'rejected'}[self.verdict] } by " + ", ".join(
            self.reviewers
        )

    def to_json(self) -> Json:
        """What a result depends on."""
        draft = None if self.draft is None else self.draft.to_json()
        return [self.verdict, list(self.reviewers), list(self.notes), draft]


@dataclass(frozen=True)
class ReviewReport:
    """What became of people's decisions.

    Attributes:
        files: That were read.
        rulings: By sample, of those that are applied.
        refused: Decisions that are not.
        agreement: Of each two reviewers.
        unfit: Parts of fixed samples that the checks dropped again.
    """

    files: tuple[str, ...] = ()
    rulings: Mapping[str, Ruling] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    agreement: tuple[AgreementRow, ...] = ()
    unfit: tuple[tuple[str, Problem], ...] = ()

    def count(self, verdict: Verdict) -> int:
        """Samples with this verdict."""
        return sum(ruling.verdict == verdict for ruling in self.rulings.values())

    def to_json(self) -> dict[str, Json]:
        """As `report.json` has it."""
        return {
            "files": list(self.files),
            "accepted": self.count("accept"),
            "fixed": self.count("fix"),
            "rejected": self.count("reject"),
            "refused": [one.to_json() for one in self.refused],
            "unfit": [{"sample": sample, **problem.to_json()} for sample, problem in self.unfit],
            "agreement": [row.to_json() for row in self.agreement],
        }

    def lines(self) -> list[str]:
        """For people, in Markdown; nothing where there are no decisions."""
        if not self.files:
            return []
        told = [f"{self.count('accept')} accepted, {self.count('fix')} fixed, {self.count('reject')} rejected."]
        if self.refused:
            told += ["", f"{len(self.refused)} decisions are not applied:", ""]
            told += [f"- {one.line}" for one in self.refused]
        if self.unfit:
            told += ["", f"{len(self.unfit)} faults of fixed samples, whose parts are left out:", ""]
            told += [f"- {sample}, {one.place}: {one.reason}, {one.detail}" for sample, one in self.unfit]
        table = agreement_lines(self.agreement)
        return [*told, *(["", *table] if table else [])]


@dataclass(frozen=True)
class ReviewStage(Stage):
    """The stage of decisions; a subject's result depends on what was decided about itself alone."""

    rulings: Mapping[str, Ruling] = field(default_factory=dict, hash=False)

    def key(self, subject_id: str, before: bytes) -> bytes:
        """As of any stage, with the ruling about the subject."""
        ruling = self.rulings.get(subject_id)
        own = super().key(subject_id, before)
        return digest([own.hex(), None if ruling is None else ruling.to_json()])


def content_hash(subject: Subject, draft: Draft, pixels: str) -> str:
    """Hash of everything that a reviewer judges: the texts, the masks and the clip.

    Args:
        pixels: Hash of the clip's content.
    """
    clip = {key: value for key, value in clip_to_json(subject.clip).items() if key != "root"}
    masks = hashlib.sha256()
    for masklet in subject.masklets:
        masks.update(f"\n{masklet.object_id}".encode())
        for rle in masklet.rles:
            masks.update(b"\n" if rle is None else f"\n{rle['counts']}".encode())
    return digest([subject.subject_id, pixels, clip, masks.hexdigest(), draft.to_json()]).hex()


def read_all_decisions(out: Path, more: Sequence[Path] = ()) -> tuple[tuple[str, ...], tuple[Decision, ...]]:
    """Names of the files with decisions, and the decisions that count.

    Args:
        out: The run's folder, of which `review/decisions*.json` are read.
        more: Files besides.

    Raises:
        DataError: A file cannot be read, or breaks the form.
    """
    files = decision_files(out / FOLDER, more)
    return tuple(path.name for path in files), latest([one for path in files for one in read_decisions(path)])


def judge(
    decisions: Iterable[Decision], known: Callable[[str], bool], seen: Callable[[str], tuple[str, Draft] | None]
) -> ReviewReport:
    """Decisions put together, those about other content refused.

    Args:
        known: Whether the inputs have a sample.
        seen: Content hash and texts of a sample that has come to the review, None for others.
    """
    valid: dict[str, list[Decision]] = defaultdict(list)
    drafts: dict[str, Draft] = {}
    refused: list[Refusal] = []
    for sample, group in _by_sample(decisions):
        found = seen(sample) if known(sample) else None
        for one in group:
            if found is not None and one.content == found[0]:
                valid[sample].append(one)
                drafts[sample] = found[1]
            else:
                reason = "other_content" if found else "dropped_before" if known(sample) else "unknown_sample"
                refused.append(Refusal(one.file, sample, one.reviewer, reason))
    agreement = reviewer_agreement([one for group in valid.values() for one in group], drafts)
    rulings = {sample: _ruling(group) for sample, group in valid.items()}
    return ReviewReport((), rulings, tuple(refused), agreement)


def apply_review(
    state: RunState, mapper: Mapper, check: Work, before: str, report: ReviewReport, *, only_reviewed: bool
) -> ReviewReport:
    """Bring all subjects through the stage `review`, whose payloads are drafts as those of the stage before are.

    Args:
        check: Holds a reply against the rules, and drops a subject of which nothing is left.
        before: The stage whose drafts were reviewed.

    Returns:
        The report, with what the checks found in fixed samples.
    """
    stage = ReviewStage(STAGE, VERSION, only_reviewed, rulings=report.rulings)
    state.run(stage, lambda todo: _results(state, mapper, check, before, report.rulings, todo, only_reviewed))
    fixed = [name for name, ruling in report.rulings.items() if ruling.draft is not None and name in state.alive]
    found = [(name, Problem.from_json(row)) for name in fixed for row in state.payload(STAGE, name)["problems"]]
    return replace(report, unfit=tuple((name, one) for name, one in found if one.place != WHOLE))


def double_reviewed(samples: Iterable[str], share: float | int, seed: int) -> frozenset[str]:
    """Samples that two people are asked to look at; one stays chosen when others come or go.

    With any share, at least one of the samples is chosen.
    """
    places = {name: draw_of(name, seed, "double") for name in samples}
    chosen = {name for name, place in places.items() if place < share}
    return frozenset(chosen or ([min(places, key=lambda name: (places[name], name))] if places and share else []))


def draw_of(name: str, seed: int, what: str) -> float:
    """A number from 0 to 1 that belongs to a name."""
    return int.from_bytes(hashlib.sha256(f"{seed} review {what} {name}".encode()).digest()[:8], "big") / 2**64


def _by_sample(decisions: Iterable[Decision]) -> Iterator[tuple[str, list[Decision]]]:
    groups: dict[str, list[Decision]] = defaultdict(list)
    for one in decisions:
        groups[one.sample].append(one)
    return iter(sorted(groups.items()))


def _ruling(decisions: Sequence[Decision]) -> Ruling:
    """Rejected if anyone rejects, else the last fix, else accepted."""
    verdicts = {one.verdict for one in decisions}
    verdict: Verdict = "reject" if "reject" in verdicts else "fix" if "fix" in verdicts else "accept"
    of = sorted((one for one in decisions if one.verdict == verdict), key=lambda one: (one.time, one.reviewer))
    reviewers = tuple(sorted(one.reviewer for one in of))
    notes = tuple(one.note for one in of if one.note)
    return Ruling(verdict, reviewers, notes, of[-1].draft)


def _results(
    state: RunState,
    mapper: Mapper,
    check: Work,
    before: str,
    rulings: Mapping[str, Ruling],
    todo: list[str],
    only_reviewed: bool,
) -> Iterator[tuple[str, Result]]:
    fixed = []
    for name in todo:
        ruling = rulings.get(name)
        if ruling is None and only_reviewed:
            yield name, Dropped("not_reviewed")
        elif ruling is not None and ruling.verdict == "reject":
            yield name, Dropped("review_rejected", "; ".join([ruling.line, *ruling.notes]))
        elif ruling is not None and ruling.draft is not None:
            fixed.append(name)
        else:
            yield name, Kept(state.payload(before, name))
    jobs = (replace(job, reply=_as_reply(rulings[job.subject_id])) for job in state.jobs(fixed))
    yield from mapper.map(check, jobs)


def _as_reply(ruling: Ruling) -> Json:
    """A fix as the checks know a reply of a model."""
    assert ruling.draft is not None, "only fixes are checked again"
    text = json.dumps(ruling.draft.to_json(), ensure_ascii=False)
    return {"text": text, "finish_reason": "stop", "refusal": None, "model": ruling.line}
