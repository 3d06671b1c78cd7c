import math

import numpy as np
import pytest
from annotate_case import make_draft
from review_case import TURNS, decision, fixed

from sama_video.annotate.review.agreement import (
    AgreementRow,
    agreement_lines,
    cohens_kappa,
    reviewer_agreement,
    share_alike,
    verdicts_of,
)
from sama_video.annotate.review.decisions import Decision

DRAFT = make_draft(*TURNS)


@pytest.mark.parametrize(
    ("table", "same", "kappa"),
    [
        # Two kinds, 50 items, 35 alike; 25 * 30 + 25 * 20 of 2500 by chance.
        ([[20, 0, 5], [0, 0, 0], [10, 0, 15]], 0.7, 0.4),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 5]], 1.0, 1.0),
        ([[0, 5, 0], [5, 0, 0], [0, 0, 0]], 0.0, -1.0),
        ([[1, 1, 0], [1, 1, 0], [0, 0, 0]], 0.5, 0.0),
        ([[7, 0, 0], [0, 0, 0], [0, 0, 0]], 1.0, math.nan),
    ],
)
def test_kappa_of_hand_worked_tables(table: list[list[int]], same: float, kappa: float) -> None:
    cells = np.array(table, dtype=np.float64).ravel()
    assert float(share_alike(cells)) == pytest.approx(same)
    assert float(cohens_kappa(cells)) == pytest.approx(kappa, nan_ok=True)


def test_an_empty_table_has_no_figure() -> None:
    assert math.isnan(float(share_alike(np.zeros(9))))
    assert math.isnan(float(cohens_kappa(np.zeros(9))))


def test_a_fix_says_of_each_turn_what_became_of_it() -> None:
    changed = TURNS[0].__class__("What is the brown dog <obj1> doing?", TURNS[0].answer, TURNS[0].task)
    found = verdicts_of(decision("fix", **fixed(DRAFT, turn1=changed, turn3=None)), DRAFT)
    assert found == {
        ("dialogue", "1"): "fix",
        ("relation", "2"): "accept",
        ("not_there", "3"): "reject",
        **{("object descriptions", name): "accept" for name in DRAFT.descriptions},
    }
    assert set(verdicts_of(decision("reject"), DRAFT).values()) == {"reject"}


def reviews(verdicts: dict[str, str]) -> list[Decision]:
    letters = {"a": "accept", "r": "reject"}
    return [
        decision(letters[letter], name, f"clip-{place}")  # type: ignore[arg-type]
        for name, row in verdicts.items()
        for place, letter in enumerate(row)
    ]


def rows_of(verdicts: dict[str, str]) -> dict[str, AgreementRow]:
    seen = {f"clip-{place}": DRAFT for place in range(40)}
    return {row.what: row for row in reviewer_agreement(reviews(verdicts), seen)}


def test_rows_are_samples_all_texts_and_each_kind() -> None:
    rows = rows_of({"Ann": "aarra", "Bob": "aarar"})
    assert list(rows) == [
        "samples",
        "turns and descriptions",
        "dialogue",
        "not_there",
        "object descriptions",
        "relation",
    ]
    assert (rows["samples"].clips, rows["samples"].items, rows["samples"].reviewers) == (5, 5, ("Ann", "Bob"))
    assert (rows["object descriptions"].clips, rows["object descriptions"].items) == (5, 15)
    assert rows["samples"].same.value == pytest.approx(0.6)
    assert rows["samples"].kappa.value == pytest.approx((0.6 - 0.52) / 0.48)


def test_an_interval_holds_its_figure_and_narrows_with_more_clips() -> None:
    few, many = rows_of({"Ann": "aarra" * 2, "Bob": "aarar" * 2}), rows_of({"Ann": "aarra" * 8, "Bob": "aarar" * 8})
    widths = []
    for rows in (few, many):
        found = rows["samples"].same
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0]


def test_reviewers_without_a_common_sample_have_no_figure() -> None:
    assert reviewer_agreement([decision("accept", "Ann", "x"), decision("accept", "Bob", "y")], {"x": DRAFT}) == ()
    assert agreement_lines(()) == []


def test_three_reviewers_are_compared_in_pairs() -> None:
    seen = {f"clip-{place}": DRAFT for place in range(3)}
    rows = reviewer_agreement(reviews({"Cid": "aar", "Ann": "aar", "Bob": "aa"}), seen)
    samples = {row.reviewers: row.clips for row in rows if row.what == "samples"}
    assert samples == {("Ann", "Bob"): 2, ("Ann", "Cid"): 3, ("Bob", "Cid"): 2}


def test_the_table_says_where_kappa_is_not_defined() -> None:
    lines = agreement_lines(tuple(rows_of({"A|nn": "aaaa", "Bob": "aaaa"}).values()))
    assert lines[2].startswith("| A/nn and Bob | samples | 4 | 4 | 100.0% [100.0, 100.0] | not defined |")
