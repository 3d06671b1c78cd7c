"""The report of a run: what came into each stage and left it, what was dropped for which reasons, what it cost."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.dialogue_stages import Dialogues
from sama_video.annotate.inputs.catalogue import Catalogue, told
from sama_video.annotate.review.reviewing import ReviewReport
from sama_video.annotate.run_state import Lost, RunState, Tally
from sama_video.annotate.stages import Json
from sama_video.data.findings import Finding
from sama_video.remote.reply_store import Spent

SCHEMA: Final = "sama-annotate-report/1"
REPORT: Final = "report.json"
PAGE: Final = "report.md"
MAX_LOST: Final = 1000
"""Dropped clips that a report names; all are counted."""


@dataclass(frozen=True)
class TextCounts:
    """What became of the texts that the model wrote.

    Attributes:
        accepted, repaired: Turns and descriptions that were kept, from the first reply and from its repair.
        rejected: Problems of those that were not, by reason.
    """

    accepted: int
    repaired: int
    rejected: Mapping[str, int]

    def to_json(self) -> dict[str, Json]:
        """As the report has it."""
        return {"accepted": self.accepted, "repaired": self.repaired, "rejected": dict(self.rejected)}


@dataclass(frozen=True)
class RunReport:
    """What a run came to.

    Attributes:
        faults: What the inputs had that cannot be used, by reason.
        left_out: The same one by one.
        lost: Clips that a stage dropped, one by one.
        complete: Whether no subject waits for another run.
        review: What became of people's decisions.
        limit: Subjects that the run was limited to.
        pages: The reviewers' page, if it was written.
    """

    stages: tuple[Tally, ...]
    faults: tuple[tuple[str, int], ...]
    left_out: tuple[Finding, ...]
    lost: tuple[Lost, ...]
    texts: TextCounts
    spent: Spent
    manifest: Mapping[str, Json]
    review: ReviewReport
    limit: int | None
    pages: Path | None

    @classmethod
    def of(
        cls,
        state: RunState,
        dialogues: Dialogues,
        spent: Spent,
        manifest: Mapping[str, Json],
        review: ReviewReport,
        limit: int | None,
        pages: Path | None,
    ) -> "RunReport":
        """The report of a run that came to its end."""
        texts = _count_texts(state, dialogues)
        found, lost = state.catalogue, tuple(islice(state.lost(), MAX_LOST))
        stages = tuple(state.tallies)
        return cls(stages, found.faults, found.left_out, lost, texts, spent, manifest, review, limit, pages)

    @property
    def waiting(self) -> Counter[str]:
        """Subjects without a result, by reason."""
        return sum((tally.waiting for tally in self.stages), Counter())

    @property
    def complete(self) -> bool:
        """Whether nothing waits."""
        return not self.waiting

    def to_json(self) -> dict[str, Json]:
        """The form of `report.json`."""
        return {
            "schema": SCHEMA,
            "complete": self.complete,
            "limit": self.limit,
            "input_faults": dict(self.faults),
            "input_rows": [row.to_json() for row in self.left_out],
            "dropped": [asdict(one) for one in self.lost],
            "stages": [tally.to_json() for tally in self.stages],
            "texts": self.texts.to_json(),
            "cost": {
                "requests": self.spent.requests,
                "tokens": self.spent.tokens,
                "money": round(self.spent.money, 6),
                "doubtful": self.spent.doubtful,
            },
            "review": self.review.to_json(),
            "review_page": None if self.pages is None else str(self.pages),
            "data_set": {"parts": self.manifest["parts"], "format": self.manifest["format"]},
        }


def write_report(out: Path, report: RunReport) -> None:
    """Write `report.json` and `report.md`, each whole or not at all."""
    _write(out, report.to_json(), report_lines(report))


def write_left_out(out: Path, catalogue: Catalogue) -> None:
    """The report of inputs of which nothing can be used."""
    row = {
        "schema": SCHEMA,
        "complete": False,
        "input_faults": dict(catalogue.faults),
        "input_rows": [row.to_json() for row in catalogue.left_out],
        "stages": [],
    }
    _write(out, row, input_lines(catalogue.faults, catalogue.left_out))


def _write(out: Path, row: Json, lines: Sequence[str]) -> None:
    for name, text in ((REPORT, json.dumps(row, ensure_ascii=False, indent=1)), (PAGE, "\n".join(lines))):
        partial = out / f".{name}.part"
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(out / name)


def input_lines(faults: Sequence[tuple[str, int]], left_out: Sequence[Finding]) -> list[str]:
    """What the inputs had that cannot be used, in Markdown; nothing where there is nothing."""
    count = sum(number for _, number in faults)
    if not count:
        return []
    rest = count - len(left_out)
    lines = ["# What the inputs had that cannot be used", "", *(f"- {told(row)}" for row in left_out)]
    return [*lines, *([f"- and {rest} more"] if rest > 0 else []), ""]


def report_lines(report: RunReport) -> list[str]:
    """The report for people, in Markdown."""
    lines = [
        *input_lines(report.faults, report.left_out),
        "# What became of the clips",
        "",
        "| stage | in | out | dropped | waiting |",
        "| --- | --- | --- | --- | --- |",
    ]
    for tally in report.stages:
        dropped, waiting = named_counts(tally.dropped), named_counts(tally.waiting)
        lines.append(f"| {tally.stage} | {tally.entered} | {tally.kept} | {dropped} | {waiting} |")
    if report.lost:
        lines += ["", "Dropped, one by one:", "", *(f"- {one.line}" for one in report.lost)]
        rest = sum(tally.dropped.total() for tally in report.stages) - len(report.lost)
        lines += [f"- and {rest} more"] if rest > 0 else []
    texts, spent = report.texts, report.spent
    lines += ["", "# What became of the texts", ""]
    lines.append(f"{texts.accepted} accepted at once, {texts.repaired} after repair.")
    if texts.rejected:
        lines += ["", "| rejected because | problems | |", "| --- | --- | --- |"]
        lines += [f"| {reason} | {count} | {REASONS.get(reason, '')} |" for reason, count in texts.rejected.items()]
    lines += ["", "# What it cost", ""]
    lines.append(f"{spent.requests} requests, {spent.tokens} tokens, {spent.money:.4f} in the currency of the prices.")
    if spent.doubtful:
        lines.append(f"Requests whose end is not known, counted at the most they can cost: {spent.doubtful}.")
    reviewed = report.review.lines()
    return [*lines, "", "# What reviewers decided", "", *reviewed] if reviewed else lines


def loss_lines(left_out: Sequence[Finding], lost: Sequence[Lost], most: int = 10) -> list[str]:
    """Lines for a terminal: what of the inputs was left out, and which clips were dropped."""
    lines = [*(f"left out: {told(row)}" for row in left_out), *(f"dropped: {one.line}" for one in lost)]
    rest = len(lines) - most
    return [*lines[:most], f"and {rest} more, all of them in {PAGE}"] if rest > 0 else lines


def stage_lines(stages: Sequence[Tally]) -> list[str]:
    """A line for each stage, for a terminal."""
    width = max(len(tally.stage) for tally in stages)
    return [
        f"{tally.stage:<{width}}  in {tally.entered}, out {tally.kept}"
        + (f", dropped {named_counts(tally.dropped)}" if tally.dropped else "")
        + (f", waiting {named_counts(tally.waiting)}" if tally.waiting else "")
        for tally in stages
    ]


def named_counts(counts: Mapping[str, int]) -> str:
    """Counts in words; a dash for none."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "-"


def _count_texts(state: RunState, dialogues: Dialogues) -> TextCounts:
    accepted = repaired = 0
    rejected: Counter[str] = Counter()
    for name in state.alive:
        first = state.payload("check", name)
        last = state.payload(dialogues.last_draft, name)
        before, after = (_num_texts(payload["draft"]) for payload in (first, last))
        accepted += min(before, after)
        repaired += max(0, after - before)
        problems = [*first["problems"], *([] if last == first else last["problems"])]
        rejected.update(row["reason"] for row in problems)
    return TextCounts(accepted, repaired, dict(rejected.most_common()))


def _num_texts(draft: Json) -> int:
    return len(draft["turns"]) + len(draft["descriptions"])
