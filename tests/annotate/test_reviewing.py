"""Decisions read back: what they are about, and what they do to a run."""

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from annotate_case import make_draft, make_subject, square
from annotate_world import settings_of
from review_case import NOON, TURNS, decision, fix_row, fixed, row, write_decisions

from sama_video.annotate.drafts import Draft, DraftTurn
from sama_video.annotate.pipeline import Annotation, Options
from sama_video.annotate.reporting import RunReport
from sama_video.annotate.review.reviewing import ReviewSettings, content_hash, double_reviewed, judge
from sama_video.data.records import read_records
from sama_video.errors import ConfigError

DRAFT = make_draft(*TURNS)


@pytest.mark.parametrize(
    "change",
    [
        lambda subject, draft: (subject, make_draft(*TURNS[:2]), "p"),
        lambda subject, draft: (subject, replace(draft, descriptions={}), "p"),
        lambda subject, draft: (subject, draft, "q"),
        lambda subject, draft: (replace(subject, subject_id="other"), draft, "p"),
        lambda subject, draft: (make_subject(masks=[square(3), square(24), square(46)]), draft, "p"),
    ],
)
def test_the_hash_changes_with_everything_that_is_judged(change: Callable[..., tuple]) -> None:  # type: ignore[type-arg]
    subject = make_subject()
    assert content_hash(*change(subject, DRAFT)) != content_hash(subject, DRAFT, "p")


def test_the_hash_does_not_know_where_a_clip_lies() -> None:
    here, there = (
        replace(make_subject(), clip=replace(make_subject().clip, root=Path(name)))  # type: ignore[type-var]
        for name in ("a", "b")
    )
    assert content_hash(here, DRAFT, "p") == content_hash(there, DRAFT, "p")


def judged(*decisions: object) -> object:
    return judge(decisions, lambda name: name != "nobody", lambda name: ("c", DRAFT) if name == "clip-1" else None)  # type: ignore[arg-type]


def test_one_rejection_is_enough_and_the_last_fix_counts() -> None:
    later = NOON + datetime.timedelta(minutes=1)
    first, second = fixed(DRAFT, turn1=None), fixed(DRAFT, turn2=None)
    accept, fix = decision("accept", "Ann"), decision("fix", "Bob", time=later, **second)
    rulings = judged(accept, fix, decision("fix", "Cid", **first)).rulings  # type: ignore[attr-defined]
    assert rulings["clip-1"].verdict == "fix"
    assert rulings["clip-1"].draft == second["draft"]
    assert rulings["clip-1"].line == "fixed by Bob, Cid"
    rejected = judged(accept, fix, decision("reject", "Dee", note="blurred")).rulings["clip-1"]  # type: ignore[attr-defined]
    assert (rejected.verdict, rejected.line, rejected.notes) == ("reject", "rejected by Dee", ("blurred",))


def test_decisions_about_something_else_are_refused_by_name() -> None:
    report = judged(
        decision("reject", content="older"), decision("reject", clip="nobody"), decision("reject", clip="clip-9")
    )
    assert [(one.sample, one.reason) for one in report.refused] == [  # type: ignore[attr-defined]
        ("clip-1", "other_content"),
        ("clip-9", "dropped_before"),
        ("nobody", "unknown_sample"),
    ]
    assert not report.rulings  # type: ignore[attr-defined]
    assert "clip-1, by Ann: not applied, the sample has other texts" in "\n".join(replace(report, files=("f",)).lines())  # type: ignore[type-var]


def test_who_is_asked_twice_stays_when_samples_come_and_go() -> None:
    names = [f"s{number}" for number in range(200)]
    chosen = double_reviewed(names, 0.2, 7)
    assert 20 < len(chosen) < 60
    assert double_reviewed(names[:100], 0.2, 7) == chosen & set(names[:100])
    assert double_reviewed(names, 0.2, 8) != chosen
    assert len(double_reviewed(names[:3], 0.001, 7)) == 1
    assert double_reviewed(names, 0, 7) == double_reviewed([], 0.5, 7) == frozenset()


@pytest.mark.parametrize(
    "wrong",
    [{"samples": 0}, {"double_share": 1.5}, {"pictures": 0}, {"longest_side": 10}, {"clip_seconds": -1}],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ReviewSettings(**wrong)  # type: ignore[arg-type]


REVIEW = {"pictures": 2, "longest_side": 96, "clip_seconds": 0, "double_share": 0.5}


def run(folder: Path, *, review: bool = False, **changes: object) -> RunReport:
    settings = settings_of(folder, review={**REVIEW, **changes}, ask={"model": "scripted"})
    with Annotation(settings, folder / "out", options=Options(review=review)) as annotation:
        return annotation.run()


def shown_on(out: Path) -> dict[str, tuple[str, Draft]]:
    """What the pages show: content hash and texts of each sample."""
    found = {}
    for page in sorted((out / "review" / "samples").glob("*.html")):
        text = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
        data = json.loads(text)
        found[data["sample"]] = data["content"], Draft.from_json(data["draft"])
    return found


def record_words(out: Path) -> dict[str, str]:
    """All texts and the word of the review of each clip's records."""
    words: dict[str, str] = {}
    for part in ("train", "test"):
        for record in read_records(out / f"{part}.jsonl") if (out / f"{part}.jsonl").exists() else ():
            name = Path(getattr(record.clip, "path", "")).stem
            texts = [f"{turn.question} {turn.answer}" for turn in record.turns]
            words[name] = "\n".join([words.get(name, ""), str(record.provenance.get("review")), *texts])
    return words


@pytest.mark.slow
def test_a_run_does_what_reviewers_decided(tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = run(tmp_path, review=True)
    shown = shown_on(out)
    (a, (a_hash, _)), (b, (b_hash, b_draft)), (c, _) = shown.items()
    assert before.review.lines() == []
    names = list(b_draft.descriptions)
    good = DraftTurn(f"What about this thing <{names[0]}>?", f"<p>This thing</p><{names[0]}> is here.", "dialogue")
    bad = DraftTurn(f"What is in the box <{names[0]}>?", f"It is <{names[0]}> in the red box.", "dialogue")
    fix = replace(b_draft, turns=(good, bad, *b_draft.turns[2:]))
    write_decisions(
        out / "review" / "decisions-ann.json",
        [row(a, a_hash, "accept"), fix_row(b, b_hash, fix), row(c, "0" * 32, "reject")],
    )
    write_decisions(out / "review" / "decisions-bob.json", [row(a, a_hash, "reject", note="dull")], "Bob")
    report = run(tmp_path)
    stage = next(tally for tally in report.stages if tally.stage == "review")
    assert (stage.entered, stage.kept, dict(stage.dropped)) == (3, 2, {"review_rejected": 1})
    words = record_words(out)
    assert set(words) == {b, c}
    assert "What about this thing" in words[b]
    assert "red box" not in words[b]
    assert "fixed by Ann" in words[b]
    assert "None" in words[c]
    assert [(one.sample, one.reason) for one in report.review.refused] == [(c, "other_content")]
    assert {(sample, one.place) for sample, one in report.review.unfit} == {(b, "turn 2")}
    assert report.review.agreement[0].items == 1
    saved = json.loads((out / "report.json").read_text())["review"]
    assert (saved["accepted"], saved["fixed"], saved["rejected"]) == (0, 1, 1)
    # Decisions do not change what is shown, so they stay valid; the same run does nothing anew.
    again = run(tmp_path, review=True)
    assert shown_on(out) == shown
    assert sum(tally.new for tally in again.stages) == 0
    # Without the files everything is as it was.
    for path in (out / "review").glob("decisions*.json"):
        path.unlink()
    run(tmp_path)
    assert set(record_words(out)) == {a, b, c}


def test_only_reviewed_samples_can_be_wanted(tmp_path: Path) -> None:
    run(tmp_path, review=True)
    name, (content, _) = next(iter(shown_on(tmp_path / "out").items()))
    write_decisions(tmp_path / "out" / "review" / "decisions.json", [row(name, content, "accept")])
    report = run(tmp_path, only_reviewed=True)
    stage = next(tally for tally in report.stages if tally.stage == "review")
    assert dict(stage.dropped) == {"not_reviewed": 2}
    assert set(record_words(tmp_path / "out")) == {name}
