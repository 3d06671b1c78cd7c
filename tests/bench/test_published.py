from sama_video.bench.published import HEADING, quotations, quotations_for
from sama_video.bench.tasks import TASKS


def test_no_figure_is_known_for_sama() -> None:
    ours = [quotation for quotation in quotations() if quotation.model.startswith("SAMA")]
    assert {quotation.model for quotation in ours} == {"SAMA-1B", "SAMA-4B", "SAMA-8B"}
    assert {quotation.value for quotation in ours} == {None}
    assert {quotation.shown for quotation in ours} == {"unknown"}


def test_figures_name_a_benchmark_of_ours_or_none() -> None:
    assert {quotation.task for quotation in quotations()} - {None} <= set(TASKS)


def test_every_known_figure_has_a_source_and_is_a_percentage_or_a_mark() -> None:
    for quotation in quotations():
        if quotation.value is not None:
            assert quotation.source, quotation
            assert 0 <= quotation.value <= {"%": 100, "0-5": 5}[quotation.unit], quotation


def test_second_hand_figures_are_marked() -> None:
    mevis = {(row.model, row.value): row.cited for row in quotations_for("mevis-valid")}
    assert mevis["Sa2VA-8B", 46.9] == "Molmo2 paper, table 4 ◇"
    assert mevis["Sa2VA-i-8B", 59.5] == "Sa2VA-i README"


def test_rows_of_a_benchmark_begin_with_the_unknown() -> None:
    rows = quotations_for("ref-sav")
    assert [(row.model, row.shown) for row in rows] == [
        ("SAMA-1B", "unknown"),
        ("SAMA-4B", "unknown"),
        ("SAMA-8B", "unknown"),
        ("UniPixel-3B", "67.2"),
        ("UniPixel-7B", "69.0"),
    ]
    assert all(row.value is None for row in quotations_for("sama-bench-g"))


def test_revos_keeps_its_three_figures_apart() -> None:
    revseg = {row.split: row.value for row in quotations_for("revos") if row.model == "ReVSeg-7B"}
    assert revseg == {"overall": 62.1, "referring": 65.7, "reasoning": 58.6}


def test_the_heading_says_that_nothing_here_was_measured() -> None:
    assert "not measured" in HEADING
