"""`sama data check` and `sama data info` as a shell or a program calls them: what they print and their exit codes."""

import json
from pathlib import Path

import pytest
from tiny_sama import RECORDS, TinySama

from sama_video.app.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_sound_folder_is_done(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    TinySama(tmp_path).write()
    code, out, err = run(capsys, "data", "check", tmp_path)
    assert (code, out, err) == (0, "2 records, 6 turns kept, 4 descriptions\n", "")


def test_faults_are_a_mistake_that_still_has_its_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    for idx in range(2):
        tiny.turn(idx)[1]["from"] = "human"
    tiny.first["anno_map"] += [-1]
    tiny.write()
    code, out, err = run(capsys, "data", "check", tmp_path, "--json")
    document = json.loads(out)
    assert code == 2
    assert {key: document[key] for key in ("records", "turns_kept", "descriptions", "faults", "notes")} == {
        "records": 2,
        "turns_kept": 4,
        "descriptions": 4,
        "faults": {"role_order": 2},
        "notes": {"chunk_without_seg": 1, "object_without_track": 1},
    }
    assert [row["reason"] for row in document["rows"]].count("role_order") == 2
    assert err.count("\n") == 1
    assert "2 faults (role_order 2)" in err


def test_strict_check_stops_at_the_first_fault(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    for idx in range(2):
        tiny.turn(idx)[1]["from"] = "human"
    tiny.write()
    code, out, _ = run(capsys, "data", "check", tmp_path, "--strict", "--json")
    assert (code, json.loads(out)["faults"]) == (2, {"role_order": 1})


def test_notes_alone_are_done(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.first["anno_map"] += [-1]
    tiny.write()
    code, out, err = run(capsys, "data", "check", tmp_path)
    assert (code, err) == (0, "")
    assert "note: object_without_track 1" in out
    assert f"sama239k_data/{RECORDS}, record 0 (mevis/train/JPEGImages/aa)" in out


def test_long_list_of_faults_is_cut_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.records += [{"video": f"nowhere/{number}"} for number in range(30)]
    tiny.write()
    code, out, _ = run(capsys, "data", "check", tmp_path)
    assert code == 2
    assert "fault: unknown_source 30" in out
    assert "and 10 more; --json lists them" in out
    assert out.count("(unknown_source)") == 20


@pytest.mark.parametrize("command", ["check", "info"])
def test_folder_without_data_is_a_mistake(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "data", command, tmp_path / "gone")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "is no folder; give a folder that holds sama239k_data/" in err


def test_info_gives_counts_and_licences(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = TinySama(tmp_path)
    tiny.turn()[1]["from"] = "human"
    tiny.write()
    code, out, err = run(capsys, "data", "info", tmp_path)
    assert (code, err) == (0, "")
    assert "sama239k_data, mevis: 1 records, 1 videos, 2 turns, 2 descriptions, 2 tracks, 4 frames" in out
    assert "CC-BY-NC-SA-4.0" in out
    assert "1 faults left out of the counts" in out
    code, out, _ = run(capsys, "data", "info", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["faults"]) == (0, {"role_order": 1})
    assert [part["part"] for part in document["parts"]] == ["mevis", "ref_youtube_vos"]
    assert document["parts"][0]["counts"]["frames"] == 4


def test_nothing_of_the_model_is_loaded(tmp_path: Path) -> None:
    import subprocess
    import sys

    TinySama(tmp_path).write()
    code = (
        "import sys\n"
        "from sama_video.app.cli.main import main\n"
        f"assert main(['data', 'check', {str(tmp_path)!r}]) == 0\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
