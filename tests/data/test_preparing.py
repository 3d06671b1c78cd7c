"""What `sama data prepare` says is to be fetched, what it finds, and how it ends."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_sama import MEVIS, MEVIS_MASKS, RECORDS, TinySama, write_json

from sama_video.app.cli.main import main
from sama_video.data import preparing
from sama_video.data.findings import Findings
from sama_video.data.licences import PARTS_TERMS, TERMS, Terms
from sama_video.data.mask_files import open_mask_file
from sama_video.data.preparing import READERS, data_set, data_sets, find_parts, index_masks, locate, mask_bytes
from sama_video.data.sources.sama import BENCHMARK_MASKS, TRAINING_MASKS
from sama_video.errors import ConfigError

ASKED_FOR = {
    *("sama239k", "mevis", "lvvis", "ref-youtube-vos", "sa-v", "vidstg", "revos", "ref-sav", "ref-davis17"),
    *("refcoco", "refcoco+", "refcocog", "gcg", "chat-univi", "llava", "osprey", "sama-bench", "videorefer"),
    "videorefer-700k",
}


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["data", "prepare", *(str(word) for word in words)])
    out, err = capsys.readouterr()
    return code, out, err


def whole_sama(root: Path) -> TinySama:
    """The tiny records, and beside them something of each of the other sources."""
    tiny = TinySama(root).write()
    for name in ("lvvis/train/JPEGImages/00001/00000.jpg", "VidSTG/train/7/frame_0.jpg", "sav_train/sav_000/a.mp4"):
        (tiny.folder / name).parent.mkdir(parents=True)
        (tiny.folder / name).touch()
    for name in TRAINING_MASKS.values():
        if not (tiny.folder / name).exists():
            write_json(tiny.folder / name, {})
    return tiny


def test_every_set_says_what_from_whom_under_which_terms_and_where_to() -> None:
    assert set(data_sets()) >= ASKED_FOR
    for one in data_sets().values():
        assert one.fetch, one.name
        for fetch in one.fetch:
            assert all((fetch.what, fetch.publisher, fetch.terms.licence, fetch.terms.stated, fetch.into)), one.name
            assert fetch.url is None or fetch.url.startswith("https://")
            assert not fetch.into.startswith(("/", ".."))
        for part in one.parts:
            assert part.needs, one.name
            assert part.reader is None or part.reader in READERS


def test_licences_are_those_that_the_publishers_state() -> None:
    assert "CC-BY-NC-SA-4.0" in data_set("mevis").fetch[0].terms.licence
    assert data_set("sa-v").fetch[0].terms == Terms("CC-BY-4.0", True, "SAM 2 repository")
    assert "nothing in their repository" in data_set("sama239k").fetch[0].terms.licence


@pytest.mark.parametrize("terms", [*TERMS.values(), *PARTS_TERMS.values()], ids=[*TERMS, *PARTS_TERMS])
def test_only_what_is_free_of_conditions_on_trade_counts_as_commercial(terms: Terms) -> None:
    if terms.commercial:
        assert terms.licence == "CC-BY-4.0"
    if "NC-" in terms.licence or "non-commercial" in terms.licence:
        assert terms.commercial is False
    assert not terms.licence.endswith("ask them") or "not stated by their authors" in terms.licence


def test_mask_dictionaries_are_those_that_the_readers_open() -> None:
    assert set(data_set("sama239k").parts[0].masks) == set(TRAINING_MASKS.values())
    assert set(data_set("sama-bench").parts[0].masks) == set(BENCHMARK_MASKS.values())


@pytest.mark.parametrize("name", ["SAMA-239K", "sama_239k", "sama239k"])
def test_spelling_of_a_name_is_forgiven(name: str) -> None:
    assert data_set(name).name == "sama239k"


def test_unknown_set_is_a_mistake_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean revos\? "):
        data_set("revoz")


def test_needs_are_files_folders_with_something_in_them_patterns_and_choices(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.mp4").touch()
    (tmp_path / "empty").mkdir()
    assert locate(tmp_path, "full/") == tmp_path / "full"
    assert locate(tmp_path, "empty/") is None
    assert locate(tmp_path, "full") is None
    assert locate(tmp_path, "full/a.mp4/") is None
    assert locate(tmp_path, "*/*.mp4") == tmp_path / "full" / "a.mp4"
    assert locate(tmp_path, "gone | full/a.mp4") == tmp_path / "full" / "a.mp4"


def test_whole_set_is_complete_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole_sama(tmp_path)
    code, out, err = run(capsys, "sama239k", "--data", tmp_path, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["complete"] is True
    (part,) = document["parts"]
    assert part["missing"] == []
    assert part["counts"] == {"records": 2, "turns": 6, "descriptions": 4, "tracks": 4}
    assert {Path(mask["file"]).name: mask["annotations"] for mask in document["masks"]}[MEVIS_MASKS] == 2


def test_what_is_missing_is_named_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = whole_sama(tmp_path)
    (tiny.folder / MEVIS_MASKS).unlink()
    shutil.rmtree(tiny.folder / "lvvis")
    code, out, err = run(capsys, "sama239k", "--data", tmp_path)
    assert code == 2
    assert "9 of 11 found" in out
    assert "missing: lvvis/train/JPEGImages/" in out
    assert err.startswith("error: SAMA-239K is not complete in ")
    assert err.count("\n") == 1
    assert "and 1 more" in err


def test_video_that_a_record_names_is_missed_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = whole_sama(tmp_path)
    (tiny.folder / MEVIS).rename((tiny.folder / MEVIS).with_name("other"))
    code, out, err = run(capsys, "sama239k", "--data", tmp_path)
    assert (code, "missing_video 1" in err) == (2, True)
    assert "fault: missing_video 1" in out


def test_damaged_mask_dictionary_is_not_complete(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = whole_sama(tmp_path)
    (tiny.folder / MEVIS_MASKS).write_text('{"10": [')
    code, out, err = run(capsys, "sama239k", "--data", tmp_path, "--json")
    assert (code, "json_error" in err) == (2, True)
    masks = {Path(mask["file"]).name: mask for mask in json.loads(out)["masks"]}
    assert masks[MEVIS_MASKS]["annotations"] is None


def test_fault_of_the_data_set_itself_is_told_and_forgiven(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny = whole_sama(tmp_path)
    tiny.turn()[1]["from"] = "human"
    write_json(tiny.folder / RECORDS, tiny.records)
    code, out, _ = run(capsys, "sama239k", "--data", tmp_path)
    assert code == 0
    assert "fault: role_order 1" in out
    assert "SAMA-239K is complete" in out


def test_nothing_there_still_tells_what_to_fetch(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "llava", "--data", tmp_path / "gone")
    assert code == 2
    assert "licence: conversations: CC-BY-4.0, and OpenAI's terms" in out
    assert "(card of LLaVA-Instruct-150K on Hugging Face)" in out
    assert "into:    llava_data/LLaVA-Instruct-150K/" in out
    assert not (tmp_path / "gone").exists()


def test_part_is_looked_at_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "sama_bench/lvvis/val/JPEGImages"
    (folder / "00001").mkdir(parents=True)
    code, out, _ = run(capsys, "lvvis", "--data", tmp_path, "--part", "val", "--json")
    (part,) = json.loads(out)["parts"]
    assert (code, part["part"], part["counts"]) == (0, "val", {"videos": 1})
    code, _, err = run(capsys, "lvvis", "--data", tmp_path, "--part", "test")
    assert (code, "its parts are train, val" in err) == (2, True)
    assert run(capsys, "lvvis", "--data", tmp_path)[0] == 2


def test_entries_are_counted_beside_what_can_be_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = tmp_path / "video_datas/chat_univi"
    write_json(root / "video_chat.json", [{"id": 1}, {"id": 2}])
    (root / "Activity_Videos").mkdir()
    (root / "Activity_Videos" / "a.mp4").touch()
    code, out, _ = run(capsys, "chat-univi", "--data", tmp_path, "--json")
    document = json.loads(out)
    counts = {"conversations": 0, "turns": 0, "entries of video_chat.json": 2}
    assert (code, document["parts"][0]["counts"], document["faults"]) == (0, counts, {"missing_key": 2})


def test_large_mask_dictionary_gets_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = whole_sama(tmp_path)
    monkeypatch.setattr(
        preparing, "open_mask_file", lambda path, findings: open_mask_file(path, findings, index_above=1)
    )
    found = find_parts(data_set("sama239k").parts, tmp_path)
    steps: list[int] = []
    masks = index_masks(found, Findings(), steps.append)
    assert sum(steps) == mask_bytes(found)
    by_name = {one.path.name: one for one in masks}
    assert by_name[MEVIS_MASKS].index == tiny.folder / f"{MEVIS_MASKS}.sama-index"
    assert (tiny.folder / f"{MEVIS_MASKS}.sama-index").is_file()


def test_list_names_all_sets(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--list")
    assert code == 0
    assert len(out.splitlines()) == len(data_sets())
    code, out, _ = run(capsys, "--list", "--json")
    assert {row["name"] for row in json.loads(out)} == set(data_sets())


def test_name_is_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys)[2].startswith("error: sama data prepare was given no NAME")
    (tmp_path / "file").touch()
    assert "is no folder" in run(capsys, "mevis", "--data", tmp_path / "file")[2]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("sama239k", [{"records": 12, "turns": 37, "descriptions": 31, "tracks": 31}]),
        ("sa-v", [{"videos": 2, "masklets": 5}]),
        ("revos", [{"videos": 2, "expressions": 6, "tracks": 5}, {"videos": 1, "expressions": 3, "tracks": 2}]),
        ("ref-davis17", [{"videos": 1, "expressions": 8, "tracks": 8}, {"videos": 2, "expressions": 16, "tracks": 16}]),
        ("ref-sav", [{"videos": 2, "expressions": 5, "tracks": 5}]),
        ("refcoco", [{"pictures": 6, "objects": 11, "sentences": 20}]),
    ],
)
def test_miniatures_are_complete(
    name: str, counts: list[dict[str, int]], records_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, name, "--data", records_dir, "--json")
    document = json.loads(out)
    assert (code, err, document["faults"]) == (0, "", {})
    assert [part["counts"] for part in document["parts"]] == counts


@pytest.mark.parametrize(
    ("name", "parts", "missing"),
    [
        ("sama-bench", [], 6),
        ("videorefer", [], 0),
        ("region-caption", [], 0),
        ("gcg", ["val"], 0),
        ("gcg", ["test"], 2),
    ],
)
def test_benchmark_miniatures(
    name: str, parts: list[str], missing: int, records_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = records_dir.parent / "bench_mini"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    words = [word for part in parts for word in ("--part", part)]
    code, out, _ = run(capsys, name, "--data", folder, *words, "--json")
    document = json.loads(out)
    assert sum(len(part["missing"]) for part in document["parts"]) == missing
    assert code == (2 if missing else 0)
    if name == "sama-bench":
        assert document["parts"][0]["counts"] == {"records": 8, "turns": 25, "descriptions": 25, "tracks": 26}


# Sets of conversations, grounded captions and annotated videos


def talk(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[idx % 2], "value": text} for idx, text in enumerate(texts)]


def test_conversations_are_counted_and_a_missing_picture_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = tmp_path / "llava_data"
    said = talk("<image>\nWhat is it?", "Green.", "Sure?", "Yes.")
    rows = [{"id": "a", "image": "1.png", "conversations": said}, {"conversations": talk("One and one?", "Two.")}]
    write_json(root / "LLaVA-Instruct-150K" / "llava_v1_5_mix665k.json", rows)
    (root / "llava_images").mkdir()
    (root / "llava_images" / "1.png").touch()
    code, out, err = run(capsys, "llava", "--data", tmp_path, "--json")
    (part,) = json.loads(out)["parts"]
    assert (code, err) == (0, "")
    assert part["counts"] == {
        "conversations": 2,
        "turns": 3,
        "of them without a picture": 1,
        "entries of llava_v1_5_mix665k.json": 2,
    }
    (root / "llava_images" / "1.png").rename(root / "llava_images" / "2.png")
    code, _, err = run(capsys, "llava", "--data", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "missing_frame 1" in err


def test_every_set_of_the_mix_has_a_reader() -> None:
    for name in ("chat-univi", "llava", "osprey", "gcg", "videorefer-700k", "sa-v", "vidstg"):
        assert any(part.reader in READERS for part in data_set(name).parts), name


@pytest.mark.parametrize("reader", sorted(READERS))
def test_an_empty_folder_is_counted_as_nothing_or_one_fault(reader: str, tmp_path: Path) -> None:
    part = preparing.Part("train" if "captions" not in reader else "grandf", (".",), ("x",), reader=reader)
    findings = Findings()
    counts = preparing.count_part(preparing.Found(part, tmp_path, ("x",), ()), tmp_path, findings, lambda _: None)
    assert set(counts.values()) <= {0}
    assert set(findings.faults) <= {"missing_file", "missing_video"}
