import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from nano_model import demo_picture, nano_model

from sama_video.bench.kits import lmms_eval as adapter
from sama_video.bench.kits.answering import Generation, answer
from sama_video.errors import ConfigError
from sama_video.video.bundled import DEMO_CLIP


class Hook:
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def add_partial(self, *what: Any) -> None:
        self.seen.append(what)


class Lmms:
    """What the kit's base class gives to its children."""

    is_simple = True

    def __init__(self) -> None:
        self._rank, self._world_size = 0, 1
        self.cache_hook = Hook()
        self.task_dict: dict[str, Any] = {}

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return self._world_size


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


QUESTIONS = ("Describe the video in detail.", "How many objects are there?", "What is in the video?")
PICTURES = [demo_picture(frame_idx) for frame_idx in (0, 20, 40)]
DOCS = [{"pictures": [picture], "words": words} for picture, words in zip(PICTURES, QUESTIONS, strict=True)]
WISHES = {"max_new_tokens": 8, "temperature": 0, "until": ["\n\n"], "do_sample": False}


def model_of(name: str = "Sama", **options: Any) -> Any:
    model = adapter.make_class(name, Lmms)(model=nano_model(), **options)
    model.task_dict = {"task": {"test": DOCS}}
    return model


def simple(doc_id: int, **wishes: Any) -> Any:
    return SimpleNamespace(
        args=(DOCS[doc_id]["words"], WISHES | wishes, lambda doc: doc["pictures"], doc_id, "task", "test")
    )


def expected(doc_id: int, count: int = 8) -> str:
    return answer(nano_model(), str(DOCS[doc_id]["words"]), [PICTURES[doc_id]], Generation(count))


def test_answers_come_in_the_order_of_the_requests() -> None:
    model = model_of()
    order = [2, 0, 1, 0]
    answers = model.generate_until([simple(place) for place in order])
    assert answers == [expected(place) for place in order]
    assert len(set(answers)) == 3
    assert model.generate_until([simple(0)]) == [answers[1]]
    assert all("<" not in text and "[SEG]" not in text for text in answers)


def test_wishes_differ_from_request_to_request() -> None:
    long, short = model_of().generate_until([simple(0, max_new_tokens=12), simple(0, max_new_tokens=2)])
    assert long == expected(0, 12)
    assert short == expected(0, 2)
    stop = long.split()[1]
    (cut,) = model_of().generate_until([simple(0, max_new_tokens=12, until=[stop])])
    assert cut == long[: long.index(stop)].strip()


def test_kit_is_told_each_answer_for_its_cache() -> None:
    model = model_of()
    (text,) = model.generate_until([simple(1)])
    assert model.cache_hook.seen == [("generate_until", (DOCS[1]["words"], WISHES), text)]


@pytest.mark.parametrize(
    "visuals", [[str(DEMO_CLIP)], [[PICTURES[0], PICTURES[1]]], PICTURES[0], [Path(DEMO_CLIP)], None, []]
)
def test_visuals_come_as_tasks_like(visuals: Any) -> None:
    request = SimpleNamespace(args=("What?", WISHES, lambda _doc: visuals, 0, "task", "test"))
    (text,) = model_of().generate_until([request])
    assert isinstance(text, str)


def test_chat_model_takes_messages() -> None:
    def messages(doc: dict[str, Any]) -> list[dict[str, Any]]:
        content = [{"type": "image", "url": doc["pictures"][0]}, {"type": "text", "text": doc["words"]}]
        return [{"role": "user", "content": content}]

    model = model_of("SamaChat")
    assert model.is_simple is False
    requests = [SimpleNamespace(args=("", messages, WISHES, place, "task", "test")) for place in (1, 0)]
    assert model.generate_until(requests) == [expected(1), expected(0)]
    sound = SimpleNamespace(
        args=("", lambda _: [{"role": "user", "content": [{"type": "audio", "url": "x"}]}], WISHES, 0, "task", "test")
    )
    with pytest.raises(ConfigError, match="task task asks about audio"):
        model.generate_until([sound])


@pytest.mark.parametrize("name", ["loglikelihood", "generate_until_multi_round"])
def test_what_is_not_supported_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not supported by sama; choose a task of the kind generate_until"):
        getattr(model_of(), name)([simple(0)])


def test_rank_and_world_size_are_the_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (model_of().rank, model_of().world_size) == (0, 1)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert (model_of().rank, model_of().world_size) == (5, 8)


def test_arguments_of_the_command_line() -> None:
    model = adapter.make_class("Sama", Lmms)(pretrained="nano", batch_size="1", device="cpu", max_batch_size=None)
    assert model.model.name == "nano"
    assert str(model.device) == "cpu"
    with pytest.raises(ConfigError, match="batch_size is 4"):
        model_of(batch_size=4)


def test_classes_are_made_on_the_kits_base_when_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = ModuleType("lmms_eval.api.model")
    kit.lmms = Lmms  # type: ignore[attr-defined]
    for name, module in (("lmms_eval", ModuleType("lmms_eval")), ("lmms_eval.api", ModuleType("lmms_eval.api"))):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "lmms_eval.api.model", kit)
    assert issubclass(adapter.Sama, Lmms)
    assert (adapter.Sama.is_simple, adapter.SamaChat.is_simple) == (True, False)
    assert adapter.Sama is adapter.Sama
    with pytest.raises(AttributeError, match="no attribute 'Samba'"):
        _ = adapter.Samba


def test_files_need_no_kit(repository: Path) -> None:
    code = """
import sys
from sama_video.bench.kits import lmms_eval, vlmevalkit
from sama_video.errors import ConfigError
for module in (lmms_eval, vlmevalkit):
    try:
        module.Sama
    except ConfigError as error:
        print(error)
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository / "src", capture_output=True, text=True, check=True, timeout=60
    )
    told = done.stdout.splitlines()
    assert told[0].startswith("lmms-eval is not installed as a whole")
    assert told[1].startswith("VLMEvalKit is not installed")
    assert told[2] == "False"
