"""Records in order: the same batches however many workers and ranks there are."""

from dataclasses import replace

import pytest
import torch
from tiny_model import build_processor
from torch.utils.data import DataLoader
from tuning_world import lost, synthetic_record, tiny_mixture, tiny_settings, verbal

from sama_video.data.records import write_records
from sama_video.errors import ConfigError, DataError
from sama_video.model.presets import preset_config
from sama_video.train.tuning.collate import Collate, TuneBatch
from sama_video.train.tuning.examples import ExampleMaker
from sama_video.train.tuning.reading import ExampleData, InOrder, open_stream
from sama_video.train.tuning.settings import DataSettings, SourceSettings

RECORDS = [synthetic_record(0), lost(synthetic_record(1)), verbal(synthetic_record(2)), synthetic_record(3)]


def batches(workers: int, size: int = 2) -> list[TuneBatch]:
    maker = ExampleMaker(preset_config("tiny"), build_processor(), tiny_settings().data)
    data = ExampleData(tiny_mixture(RECORDS), maker, 6)
    loader = DataLoader(data, size, sampler=InOrder(len(data)), collate_fn=Collate(0), num_workers=workers)
    return [one["batch"] for one in loader]


def test_batches_are_the_same_for_any_number_of_workers() -> None:
    for own, other in zip(batches(0), batches(2), strict=True):
        assert own.record_ids == other.record_ids
        assert torch.equal(own.input_ids, other.input_ids)
        assert own.refused == other.refused
        assert (own.targets is None) == (other.targets is None)
        if own.targets is not None and other.targets is not None:
            assert torch.equal(own.targets.seeds, other.targets.seeds)
            assert torch.equal(own.targets.pixels, other.targets.pixels)


def test_ranks_share_the_order_of_one() -> None:
    whole = [name for batch in batches(0, 2) for name in batch.record_ids]
    single = [batch.record_ids[0] for batch in batches(0, 1)]
    assert whole == single
    assert sorted({*whole}) == ["synthetic-0", "synthetic-2-verbal", "synthetic-3"]


def test_rows_are_padded_and_masks_point_at_their_own_frames() -> None:
    maker = ExampleMaker(preset_config("tiny"), build_processor(), tiny_settings().data)
    from sama_video.train.tuning.collate import ReadExample

    examples = [maker.make(record, record.clip.open(), 0) for record in (RECORDS[0], RECORDS[2], RECORDS[3])]
    batch = Collate(pad_id=0)([ReadExample(example) for example in examples])["batch"]
    assert batch.targets is not None
    first, last = examples[0].targets, examples[2].targets
    assert first is not None
    assert last is not None
    assert len(batch.targets) == len(first) + len(last) == batch.num_prompts
    assert torch.equal(batch.targets.pixels[batch.targets.frame[-1]], last.pixels[last.frame[-1]])
    assert int(batch.targets.seg[-1]) == int(last.seg[-1]) + examples[0].num_segs
    lengths = [len(example.row.input_ids) for example in examples]
    assert batch.input_ids.shape == (3, max(lengths))
    assert all((batch.labels[row, length:] == -100).all() for row, length in enumerate(lengths))
    assert batch.num_labels == sum(int((example.row.labels != -100).sum()) for example in examples)


def test_a_strict_stream_stops_at_the_first_fault() -> None:
    maker = ExampleMaker(preset_config("tiny"), build_processor(), tiny_settings().data)
    stream = tiny_mixture(RECORDS)
    stream.strict = True
    data = ExampleData(stream, maker, 8)
    with pytest.raises(DataError, match=r"gone\.mp4"):
        [data[position] for position in range(8)]


def test_a_recipe_names_its_sources(tmp_path: object) -> None:
    from pathlib import Path

    root = Path(str(tmp_path))
    write_records(root / "a.jsonl", [synthetic_record(0), synthetic_record(1)])
    source = SourceSettings("a.jsonl", weight=2.0)
    stream = open_stream(DataSettings(sources=(source,), balance="none"), 0, root=root)
    assert len(stream) == 2
    assert stream.record(0).record_id.startswith("synthetic-")
    with pytest.raises(ConfigError, match="names 'a.jsonl' twice"):
        open_stream(DataSettings(sources=(source, replace(source, weight=1.0))), 0, root=root)
    with pytest.raises(ConfigError, match=r"data\.sources is empty"):
        open_stream(DataSettings(), 0)
