"""Clips of a data set: copied out of whatever they come in."""

from pathlib import Path

import numpy as np
import pytest
from annotate_world import drawn_clips

from sama_video.annotate.publish.clip_copies import ClipFolder
from sama_video.annotate.publish.shards import write_shards
from sama_video.data.record_clips import FileClip
from sama_video.data.records import read_records
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.tar import TarClip
from sama_video.errors import DataError


def test_a_clip_of_a_shard_goes_into_a_folder_and_into_another_shard(tmp_path: Path) -> None:
    (record,) = read_records(drawn_clips(1) / "records.jsonl")
    write_shards(tmp_path / "one", "a", [("walk", (record,))])
    (packed,) = open_store(tmp_path / "one")
    assert isinstance(packed.clip, TarClip)
    own = ClipFolder(tmp_path / "out").own(packed.clip, "mine")
    assert isinstance(own, FileClip)
    assert own.path == "clips/mine"
    assert ClipFolder(tmp_path / "out").own(packed.clip, "mine") == own
    assert [path.name for path in (tmp_path / "out" / "clips").iterdir()] == ["mine"]
    write_shards(tmp_path / "two", "a", [("run", (packed,))])
    (again,) = open_store(tmp_path / "two")
    for clip in (own, again.clip):
        assert np.array_equal(clip.open().frame(1), record.clip.open().frame(1))
    with pytest.raises(DataError, match="copy it out of the shard first"):
        ClipFolder(tmp_path, "relative").own(packed.clip, "mine")
