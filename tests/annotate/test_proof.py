import ast
from pathlib import Path

import pytest

import sama_video.annotate.scripted
from sama_video.annotate.checks.reasons import REASONS
from sama_video.annotate.proof import EXPECTED, prove
from sama_video.annotate.scripted.mistakes import HARMLESS_KINDS, KINDS
from sama_video.data.synthetic.levels import SHAPES

NOT_ALWAYS = ("invented object", "false denial", "wrong language")
"""Kinds of which the checks miss some; docs/annotate.md says how many."""


def test_planting_and_checking_share_no_code() -> None:
    folder = Path(sama_video.annotate.scripted.__file__).parent
    allowed = {"scripted", "case"}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sama_video.annotate."):
                assert (node.module or "").split(".")[2] in allowed, path


def test_every_kind_of_mistake_has_a_reason_that_exists() -> None:
    assert set(EXPECTED) == set(KINDS)
    assert {reason for reasons in EXPECTED.values() for reason in reasons} <= set(REASONS)


def test_planted_mistakes_are_found_and_clean_answers_pass() -> None:
    proof = prove(clips=2, seed=1)
    assert proof.false_alarms == 0
    assert proof.clean_texts > 10
    assert sum(score.planted for score in proof.kinds) > 50
    always = [score for score in proof.kinds if score.kind not in NOT_ALWAYS]
    assert [score.kind for score in always if score.found < score.planted] == []
    assert all(score.precision in (None, 1.0) for score in proof.kinds)
    assert [score.dropped for score in proof.harmless] == [0]
    assert {score.kind for score in proof.harmless} == set(HARMLESS_KINDS)
    table = proof.to_markdown()
    assert "| missing tag | 2 | 2 | 2 | 1.000 | 1.000 |" in table
    assert "| wrong way |" in table


@pytest.mark.slow
def test_the_less_is_known_the_less_is_found() -> None:
    def recall(known: str, labels: tuple[str, ...] = ()) -> list[float]:
        found = {score.kind: score.recall or 0.0 for score in prove(20, 2, 2, known, labels).kinds}  # type: ignore[arg-type]
        return [found[kind] for kind in ("swapped ids", "wrong object", "invented object")]

    named, labelled, bare = recall("names"), recall("labels"), recall("nothing")
    assert min(named[:2]) >= 0.95
    assert all(a >= b >= c for a, b, c in zip(named, labelled, bare, strict=True))
    assert bare == [0.0, 0.0, 0.0]
    assert recall("names", SHAPES)[2] == 1.0
