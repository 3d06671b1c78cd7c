import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sama_video


def run_python(code: str, repository: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository / "src", capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_public_names_are_pinned() -> None:
    assert sama_video.__all__ == [
        "load",
        "open_video",
        "Clip",
        "Box",
        "Points",
        "Mask",
        "ObjectRef",
        "Region",
        "Masklet",
        "Turn",
        "Dialogue",
        "Phrase",
        "Answer",
        "ChatSession",
        "SamaError",
        "SamaConfig",
        "SamaForConditionalGeneration",
        "SamaProcessor",
    ]


def test_import_does_no_work(repository: Path) -> None:
    heavy = ["torch", "numpy", "transformers", "av", "click", "rich"]
    code = f"import sys, sama_video; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code, repository) == "[]"


def test_rooms_without_torch_import_none(repository: Path) -> None:
    rooms = [name for name in ("video", "regions", "dialogue", "metrics", "data") if room(repository, name).is_dir()]
    modules = [
        ".".join(path.relative_to(repository / "src").with_suffix("").parts)
        for name in rooms
        for path in sorted(room(repository, name).rglob("*.py"))
    ]
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(name.removesuffix(".__init__"))
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    assert run_python(code, repository) == "[]"


def room(repository: Path, name: str) -> Path:
    return repository / "src" / "sama_video" / name


@pytest.mark.parametrize("name", sama_video.__all__)
def test_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(sama_video, name) is not None
    assert name in dir(sama_video)


def test_public_name_is_the_one_of_its_room() -> None:
    assert sama_video.Clip is importlib.import_module("sama_video.video.clip").Clip


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clap'"):
        _ = sama_video.Clap  # type: ignore[attr-defined]
