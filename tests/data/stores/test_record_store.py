"""Stores of our own records: found by index or row group, the same as read in a row, and refused one by one."""

import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sama_video.data.findings import FaultError, Findings
from sama_video.data.records import TASKS, DialogueRecord, FileClip, RecordTurn, write_records
from sama_video.data.stores.jsonl import SUFFIX, JsonlStore, index_places
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.packing import PackedItems
from sama_video.data.stores.parquet import write_parquet
from sama_video.data.stores.store import RecordStore, StoreOptions
from sama_video.errors import DataError, MissingExtraError
from sama_video.regions.masklet import Masklet


def make_records(count: int, tag: str = "r") -> list[DialogueRecord]:
    masks = np.zeros((2, 4, 6), bool)
    masks[1, 1:3, 2:] = True
    return [
        DialogueRecord(
            f"{tag}{number}",
            FileClip("a.mp4", 2, 4, 6),
            (Masklet.from_masks("obj1", masks),),
            (RecordTurn(f'Is "task":"caption" {number}?', (), "Yes.", ()),),
            "made",
            "CC0-1.0",
            TASKS[number % len(TASKS)],
        )
        for number in range(count)
    ]


def check_store(store: RecordStore, records: list[DialogueRecord]) -> None:
    assert len(store) == len(records)
    order = np.random.default_rng(0).permutation(len(records)).tolist()
    assert [store.record(index) for index in order] == [records[index] for index in order]
    assert [store.task(index) for index in range(len(store))] == [record.task for record in records]
    assert [TASKS[code] for code in store.task_codes()] == [record.task for record in records]
    for index in (-1, len(records)):
        with pytest.raises(IndexError, match=store.name):
            store.record(index)


@pytest.mark.parametrize("form", ["jsonl", "folder", "parquet"])
def test_store_gives_the_records_of_its_files(tmp_path: Path, form: str) -> None:
    records = make_records(11)
    if form == "parquet":
        write_parquet(tmp_path, records, records_per_shard=5, rows_per_group=2)
    else:
        write_records(tmp_path / "a.jsonl", records[:4])
        write_records(tmp_path / "b.jsonl", records[4:])
    path, wanted = (tmp_path / "b.jsonl", records[4:]) if form == "jsonl" else (tmp_path, records)
    store = open_store(path)
    check_store(store, wanted)
    check_store(pickle.loads(pickle.dumps(store)), wanted)
    clip = store.record(0).clip
    assert isinstance(clip, FileClip)
    assert clip.root == tmp_path
    elsewhere = open_store(path, root=tmp_path / "clips").record(0).clip
    assert isinstance(elsewhere, FileClip)
    assert elsewhere.root == tmp_path / "clips"


def test_index_is_kept_beside_its_file_and_made_anew_when_that_changes(tmp_path: Path) -> None:
    path, records = tmp_path / "a.jsonl", make_records(7)
    write_records(path, records)
    index = index_places(path)[0]
    check_store(JsonlStore([path], index_above=0), records)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jsonl", f"a.jsonl{SUFFIX}"]
    made = index.read_bytes()
    check_store(JsonlStore([path], index_above=0), records)
    more = make_records(9, "s")
    write_records(path, more)
    check_store(JsonlStore([path], index_above=0), more)
    assert index.read_bytes() != made


@pytest.mark.parametrize(
    "damage", [lambda old: old[:-1], lambda old: b"", lambda old: b"x" + old[1:], lambda old: old[9:]]
)
def test_damaged_index_is_made_anew(tmp_path: Path, damage) -> None:
    path, records = tmp_path / "a.jsonl", make_records(7)
    write_records(path, records)
    JsonlStore([path], index_above=0)
    index = index_places(path)[0]
    sound = index.read_bytes()
    index.write_bytes(damage(sound))
    check_store(JsonlStore([path], index_above=0), records)
    assert index.read_bytes() == sound


def test_small_file_gets_no_index(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", make_records(3))
    open_store(tmp_path / "a.jsonl")
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_index_goes_to_the_cache_where_the_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sama_video.data.stores.jsonl.cache_folder", lambda: tmp_path / "cache")
    folder = tmp_path / "data"
    folder.mkdir()
    records = make_records(5)
    write_records(folder / "a.jsonl", records)
    index_places(folder / "a.jsonl")[0].mkdir()  # nobody, root included, can put a file there
    check_store(JsonlStore([folder / "a.jsonl"], index_above=0), records)
    assert len(list((tmp_path / "cache" / "record-index").iterdir())) == 1


def test_file_that_changes_in_use_is_not_misread(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_records(path, make_records(3))
    store = open_store(path)
    with path.open("ab") as out:
        out.write(b"\n")
    with pytest.raises(DataError, match="changed while it was in use"):
        store.record(0)


def test_lines_of_other_makes_are_read(tmp_path: Path) -> None:
    records = make_records(6)
    lines = [json.dumps(dict(reversed(record.to_json().items())), indent=None) for record in records]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\n".join(lines).encode())
    store = open_store(tmp_path)
    check_store(store, records)
    assert dict(store.findings.notes) == {"byte_order_mark": 1}


def test_bad_line_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    records = make_records(4)
    lines = [json.dumps(record.to_json()).encode() for record in records]
    bad_mask = records[1].to_json()
    bad_mask["objects"][0]["masks"] = ["!", None]  # type: ignore[index]
    other = {**records[2].to_json(), "schema": "sama-record/9"}
    lines[1:3] = [json.dumps(bad_mask).encode(), json.dumps(other).encode(), b"{", b"\xff"]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    store = open_store(tmp_path)
    assert list(store) == [records[0], records[3]]
    assert dict(store.findings.faults) == {"bad_rle": 1, "schema_error": 1, "json_error": 1, "encoding_error": 1}
    with pytest.raises(FaultError, match="record 1"):
        list(open_store(tmp_path, strict=True))


def test_shards_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path, make_records(7), records_per_shard=3)
    shards = sorted(tmp_path.iterdir())
    assert [path.name for path in shards] == [f"records-{number:05d}-of-00003.parquet" for number in range(3)]
    write_parquet(tmp_path, make_records(5), records_per_shard=3)
    assert len(list(tmp_path.iterdir())) == 2
    write_parquet(tmp_path / "other", make_records(7), records_per_shard=3)
    for path in (tmp_path / "other").iterdir():
        path.rename(tmp_path / path.name)
    with pytest.raises(DataError, match="two sets of shards"):
        open_store(tmp_path)
    for path in shards[:1]:
        path.unlink()
    for path in tmp_path.glob("*-of-00002.parquet"):
        path.unlink()
    with pytest.raises(DataError, match="2 of the 3 shards"):
        open_store(tmp_path)


def test_failed_parquet_leaves_what_was_there(tmp_path: Path) -> None:
    write_parquet(tmp_path, make_records(3))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken():
        yield from make_records(9)
        raise RuntimeError("source broke")

    with pytest.raises(RuntimeError, match="source broke"):
        write_parquet(tmp_path, broken(), records_per_shard=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_parquet_of_something_else_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="schema none"):
        open_store(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        open_store(tmp_path / "a.parquet")


def test_parquet_shows_plain_columns_to_other_tools(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path, make_records(2))
    row = pq.read_table(tmp_path).to_pylist()[1]
    assert (row["id"], row["task"], row["turns"][0]["answer"]) == ("r1", TASKS[1], "Yes.")
    assert row["objects"][0]["masks"][0] is None
    assert isinstance(row["objects"][0]["masks"][1], str)


def test_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"sama-video\[data\]"):
        write_parquet(tmp_path, make_records(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "is not there"), ("empty", "known layout"), ("a.txt", "known layout"), ("several", "2 data sets")],
)
def test_path_without_records_says_what_is_missing(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    (tmp_path / "several" / "sama239k_data").mkdir(parents=True)
    (tmp_path / "several" / "video_datas" / "mevis").mkdir(parents=True)
    with pytest.raises(DataError, match=message) as caught:
        open_store(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_unknown_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'mevis2' is unknown"):
        open_store(tmp_path, "mevis2")


def test_options_are_checked() -> None:
    with pytest.raises(DataError, match="turns_per_record"):
        StoreOptions(turns_per_record=0)
    with pytest.raises(DataError, match="region_forms"):
        StoreOptions(region_forms=())


class Shared:
    """Something that many items have in common."""


def test_packed_items_come_back_with_what_they_share() -> None:
    one, seen = Shared(), []
    items = PackedItems([(number, one) for number in range(5)], (Shared,), lambda number, item: seen.append(number))
    assert seen == list(range(5))
    assert [number for number, _ in (items[place] for place in range(len(items)))] == seen
    assert all(items[place][1] is one for place in seen)
    copy = pickle.loads(pickle.dumps(items))
    assert copy[3][1] is copy[4][1] is not one
    with pytest.raises(IndexError):
        items[5]


def test_store_counts_under_findings_of_its_own(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", [replace(record, provenance={"file": "x"}) for record in make_records(2)])
    store = JsonlStore([tmp_path / "a.jsonl"], findings=Findings())
    assert store.record(1).provenance == {"file": "x"}
    assert not store.findings.faults
    assert os.fspath(store.files[0]).endswith("a.jsonl")
