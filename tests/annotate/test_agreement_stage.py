"""The stage `agreement` from end to end, our own model being the nano."""

from pathlib import Path

import pytest
from annotate_world import drawn_clips, settings_of

from sama_video.annotate.pipeline import Annotation
from sama_video.annotate.stages import Kept
from sama_video.data.records import read_records

pytestmark = pytest.mark.slow


def test_our_own_model_looks_for_each_phrase(tmp_path: Path) -> None:
    inputs = [{"records": str(drawn_clips(1) / "records.jsonl")}]
    ask = {"model": "scripted", "mistakes": 0.5}
    mix = {"most_turns": 2}
    settings = settings_of(tmp_path, inputs=inputs, ask=ask, mix=mix, agreement={}, split={"test_share": 0})
    out = tmp_path / "out"
    with Annotation(settings, out) as annotation:
        report = annotation.run()
    assert [tally.stage for tally in report.stages][-2:] == ["agreement", "balance"]
    compared = next(tally for tally in report.stages if tally.stage == "agreement")
    assert (compared.entered, compared.kept, compared.new) == (1, 1, 1)
    with Annotation(settings, out) as annotation:
        again = annotation.run()
        state = annotation._masklets()
        dialogues = annotation._dialogues(state)
        dialogues.run()
        looked = [annotation.ledger.result(state.alive[name]) for name in sorted(state.alive)]
    assert sum(tally.new for tally in again.stages) == 0
    turns = 0
    for found in looked:
        assert isinstance(found, Kept)
        payload = found.payload
        assert payload["model"].startswith("nano@")
        assert 0 < payload["agree"] <= payload["phrases"]
        disagreed = {row["place"] for row in payload["problems"] if row["reason"] == "masks_disagree"}
        assert all(place.startswith("turn ") for place in disagreed)
        turns += len(payload["draft"]["turns"]) + len(payload["draft"]["descriptions"])
    assert turns == sum(len(record.turns) for record in read_records(out / "train.jsonl"))
