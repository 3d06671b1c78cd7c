import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from nano_model import demo_picture, nano_model

from sama_video.bench.kits import vlmevalkit as adapter
from sama_video.bench.kits.answering import Generation, answer
from sama_video.errors import ConfigError
from sama_video.video.bundled import DEMO_CLIP


class BaseModel:
    """What the kit's base class gives to its children."""

    INTERLEAVE = False
    allowed_types = ["text", "image"]

    def dump_image(self, line: dict[str, Any], dataset: str) -> list[str]:
        return [f"{dataset}/{line['index']}.jpg"]


def model_of(**options: Any) -> Any:
    return adapter.make_class(BaseModel)(model=nano_model(), **options)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "a.png"
    demo_picture(0).save(path)
    return str(path)


def test_class_says_what_it_reads() -> None:
    kind = adapter.make_class(BaseModel)
    assert issubclass(kind, BaseModel)
    assert (kind.INTERLEAVE, kind.VIDEO_LLM, kind.is_api) == (True, True, False)  # type: ignore[attr-defined]
    assert kind.allowed_types == ["text", "image", "video"]  # type: ignore[attr-defined]


def test_message_is_answered_the_same_each_time(picture: str) -> None:
    model = model_of(max_new_tokens=8)
    message = [
        {"type": "text", "value": "Describe the"},
        {"type": "image", "value": picture},
        {"type": "text", "value": "video in detail."},
    ]
    wanted = answer(nano_model(), "Describe the\nvideo in detail.", [picture], Generation(8))
    assert model.generate_inner(message) == wanted
    model.generate_inner([{"type": "text", "value": "Else?"}, {"type": "image", "value": picture}], dataset="X")
    assert model.generate_inner(message, dataset="MMBench") == wanted
    assert len(wanted) > 10
    assert "<" not in wanted
    assert "[SEG]" not in wanted


def test_several_pictures_and_a_video_are_read(picture: str) -> None:
    model = model_of(max_new_tokens=4)
    text = {"type": "text", "value": "What?"}
    pictures = [{"type": "image", "value": picture}] * 3
    assert isinstance(model.generate_inner([*pictures, text]), str)
    assert isinstance(model.generate_inner([{"type": "video", "value": str(DEMO_CLIP)}, text]), str)
    with pytest.raises(ConfigError, match="a message holds audio"):
        model.generate_inner([{"type": "audio", "value": "x"}, text])


def test_prompt_of_a_choice_asks_for_a_letter() -> None:
    line = {"index": 7, "question": "Which?", "A": "cat", "B": "dog", "C": float("nan"), "D": None, "hint": "Look."}
    message = model_of().build_prompt(line, "MMBench")
    words = "Hint: Look.\nWhich?\nA. cat\nB. dog\nAnswer with the letter of the right option alone."
    assert message == [{"type": "image", "value": "MMBench/7.jpg"}, {"type": "text", "value": words}]
    plain = model_of().build_prompt({"index": 7, "question": "What?"}, "X")
    assert plain[-1] == {"type": "text", "value": "What?"}


@pytest.mark.parametrize(
    ("modality", "kind", "own"), [("IMAGE", "MCQ", True), ("IMAGE", "VQA", False), ("VIDEO", "MCQ", False)]
)
def test_own_prompt_is_for_choices_about_pictures(
    modality: str, kind: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = ModuleType("vlmeval.dataset")
    kit.DATASET_MODALITY = lambda _name: modality  # type: ignore[attr-defined]
    kit.DATASET_TYPE = lambda _name: kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vlmeval", ModuleType("vlmeval"))
    monkeypatch.setitem(sys.modules, "vlmeval.dataset", kit)
    assert model_of().use_custom_prompt("some set") is own


def test_class_is_made_on_the_kits_base_when_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = ModuleType("vlmeval.vlm.base")
    kit.BaseModel = BaseModel  # type: ignore[attr-defined]
    for name in ("vlmeval", "vlmeval.vlm"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "vlmeval.vlm.base", kit)
    assert adapter.Sama is adapter.make_class(BaseModel)
    assert adapter.Sama(model_path="nano", device="cpu").model.name == "nano"
