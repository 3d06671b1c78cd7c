from pathlib import Path

import pytest
import yaml
from annotate_world import settings_of
from shared_folders import REPOSITORY

from sama_video.annotate.inputs.annotations import AnnotationInput, ClipInput
from sama_video.annotate.inputs.records import RecordInput, SyntheticInput
from sama_video.annotate.settings import read_settings, settings_yaml
from sama_video.errors import ConfigError

LEAST = {"schema": "sama-annotate/1", "inputs": [{"records": "a.jsonl"}], "ask": {"model": "m"}}


def write(folder: Path, tree: object) -> Path:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def refused(folder: Path, **changes: object) -> str:
    with pytest.raises(ConfigError) as error:
        read_settings(write(folder, {**LEAST, **changes}))
    return str(error.value)


def test_defaults_fill_what_a_file_leaves_out(tmp_path: Path) -> None:
    settings = read_settings(write(tmp_path, LEAST))
    assert settings.inputs[0].records == tmp_path / "a.jsonl"
    assert settings.ask.temperature == 0.7
    assert settings.repair
    assert settings.critic is None


def test_unknown_keys_are_refused_with_the_nearest(tmp_path: Path) -> None:
    assert "unknown key 'slect' (did you mean select?)" in refused(tmp_path, slect={})
    assert "unknown key 'ask.modle' (did you mean model?)" in refused(tmp_path, ask={"modle": "m"})
    assert "unknown key 'inputs[0].record' (did you mean records?)" in refused(tmp_path, inputs=[{"record": "a"}])
    assert "unknown key 'ask.budget.moneys' (did you mean money?)" in refused(
        tmp_path, ask={"model": "m", "budget": {"moneys": 1}}
    )


@pytest.mark.parametrize("name", ["api_key", "key", "token"])
def test_a_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path, ask={"model": "m", name: "sk-secret"})
    assert "comes from the environment alone" in message
    assert "sk-secret" not in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": "sama-annotate/9"}, "reads 'sama-annotate/1'"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": [{"records": "a", "clips": "b"}]}, "records and clips; give one of"),
        ({"inputs": [{"licence": "MIT"}]}, "nothing; give one of"),
        ({"ask": {}}, "ask.model is missing"),
        ({"ask": {"model": 3}}, "ask.model is 3; it takes text"),
        ({"ask": {"model": "m", "mistakes": 0.5}}, "of the model scripted alone"),
        ({"select": {"seconds": [5, 1]}}, "smaller number first"),
        ({"select": {"seconds": [5]}}, "a list of 2"),
        ({"publish": {"format": "parket"}}, "did you mean parquet?"),
        ({"publish": {"clips": "relative"}}, "give both or neither"),
        ({"split": {"test_share": 1}}, "below 1"),
        ({"mix": {"shares": {"temporel": 1}}}, "temporel"),
        ({"check": {"fewest_turns": True}}, "it takes a whole number"),
    ],
)
def test_impossible_values_are_told(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    assert told in refused(tmp_path, **changes)


def test_a_file_that_is_no_settings_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "absent.yaml")
    for text, told in (("[1", "is not YAML"), ("- 1", "settings are keys"), ("ask: {model: m}", "has no schema")):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ConfigError, match=told):
            read_settings(tmp_path / "c.yaml")


def test_each_kind_of_input_opens_as_what_it_is(tmp_path: Path) -> None:
    inputs = [
        {"records": "r.jsonl", "layout": "jsonl"},
        {"annotations": "coco.json", "media": "pictures"},
        {"clips": "folder", "licence": "MIT"},
        {"synthetic": {"clips": 2, "level": 1}},
    ]
    settings = read_settings(write(tmp_path, {**LEAST, "inputs": inputs}))
    opened = [one.open(tmp_path / "out") for one in settings.inputs]
    assert [type(one) for one in opened] == [RecordInput, AnnotationInput, ClipInput, SyntheticInput]
    assert opened[1].media == tmp_path / "pictures"  # type: ignore[attr-defined]
    assert opened[2].licence == "MIT"  # type: ignore[attr-defined]


def test_saved_settings_read_back_the_same(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, critic={"model": "scripted"}, decisions=["d.json"])
    saved = tmp_path / "saved.yaml"
    saved.write_text(settings_yaml(settings))
    assert read_settings(saved) == settings


def test_the_example_is_read() -> None:
    settings = read_settings(REPOSITORY / "examples" / "annotate.yaml")
    assert settings.ask.model == "scripted"
    assert settings.inputs[0].synthetic is not None
    assert settings.inputs[0].synthetic.clips == 8
