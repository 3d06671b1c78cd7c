import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from annotate_case import make_draft
from review_case import NOON, TURNS, decision, fix_row, row, write_decisions

from sama_video.annotate.review.decisions import decision_files, latest, read_decisions
from sama_video.errors import DataError


def test_a_saved_file_is_read_back(tmp_path: Path) -> None:
    draft = make_draft(*TURNS[:2])
    rows = [row("a", "1", "accept"), row("b", "2", "reject", note=" blurred "), fix_row("c", "3", draft, (1, 3))]
    accept, reject, fix = read_decisions(write_decisions(tmp_path / "decisions-ann.json", rows, " Ann "))
    assert (accept.verdict, accept.reviewer, accept.sample, accept.content) == ("accept", "Ann", "a", "1")
    assert accept.time == datetime.datetime(2026, 5, 1, 11, tzinfo=datetime.UTC)
    assert (reject.verdict, reject.note) == ("reject", "blurred")
    assert (fix.draft, fix.places) == (draft, (1, 3))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": "sama-review/2"}, "schema 'sama-review/2'"),
        ({"reviewer": " "}, "names no reviewer"),
        ({"decisions": {}}, "no list of decisions"),
        ({"decisions": [row("a", "1", "maybe")]}, "decision 1: decision is 'maybe'"),
        ({"decisions": [row("a", "1", "accept"), row("", "1", "accept")]}, "decision 2: sample is ''"),
        ({"decisions": [row("a", "1", "accept") | {"time": "noon"}]}, "time is 'noon'"),
        ({"decisions": [row("a", "1", "accept", note=3)]}, "note is no text"),
        ({"decisions": [row("a", "1", "fix")]}, "needs the lists turns and descriptions"),
        ({"decisions": [fix_row("a", "1", make_draft(*TURNS), (2, 1, 3))]}, "in order from 1"),
        ({"decisions": [row("a", "1", "fix", turns=[{"place": 1}], descriptions=[])]}, "question and answer"),
        ({"decisions": ["a"]}, "decision 1: sample is None"),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = write_decisions(tmp_path / "decisions.json", [])
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError, match="decisions.json") as found:
        read_decisions(path)
    assert told in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\x80"])
def test_what_is_no_file_of_decisions_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "decisions.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match="decisions.json"):
        read_decisions(path)


def test_files_are_those_of_the_folder_and_those_named_each_once(tmp_path: Path) -> None:
    own = write_decisions(tmp_path / "review" / "decisions-ann.json", [])
    other = write_decisions(tmp_path / "bob.json", [])
    write_decisions(tmp_path / "review" / "notes.json", [])
    assert decision_files(tmp_path / "review", [other, own]) == [own, other]
    with pytest.raises(DataError, match="gone.json"):
        decision_files(tmp_path / "review", [tmp_path / "gone.json"])
    assert decision_files(tmp_path / "nowhere") == []


def test_a_reviewers_last_decision_counts(tmp_path: Path) -> None:
    early = decision("accept", time=NOON)
    late = decision("reject", time=NOON + datetime.timedelta(hours=1))
    other = decision("accept", "Bob")
    assert latest([late, other, early]) == (late, other)
