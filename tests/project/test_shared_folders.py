from pathlib import Path

import pytest
from shared_folders import find_folder, need_folder


def test_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMA_SOME_DIR", str(tmp_path))
    assert find_folder("SAMA_SOME_DIR", tmp_path / "elsewhere") == tmp_path


def test_variable_set_to_missing_folder_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMA_SOME_DIR", str(tmp_path / "gone"))
    with pytest.raises(pytest.UsageError, match=r"SAMA_SOME_DIR=.*gone is no folder"):
        need_folder("SAMA_SOME_DIR", tmp_path)


def test_missing_default_is_a_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMA_SOME_DIR", raising=False)
    assert find_folder("SAMA_SOME_DIR", tmp_path / "gone") is None
    with pytest.raises(pytest.skip.Exception, match="set SAMA_SOME_DIR"):
        need_folder("SAMA_SOME_DIR", tmp_path / "gone")
