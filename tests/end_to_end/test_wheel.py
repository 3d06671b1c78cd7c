import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def run(*words: object, cwd: Path) -> str:
    """Run a program without the paths and settings that this test run gave itself; give its standard output."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SAMA_", "PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, repository, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sama(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the wheel into an environment that has nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    install = (programs / "python", "-m", "pip", "install", "--quiet", "--constraint", repository / "constraints.txt")
    run(*install, "torch", cwd=folder)
    run(*install, wheel, cwd=folder)
    return programs / "sama"


def test_wheel_is_pure_and_holds_all_its_data(wheel: Path, repository: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    source = repository / "src"
    ours = {
        path.relative_to(source).as_posix()
        for path in (source / "sama_video").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == ours


def test_demo_runs_from_the_wheel_in_an_empty_folder(sama: Path, tmp_path: Path) -> None:
    run(sama, "demo", "--out", "made", cwd=tmp_path)
    answers = json.loads((tmp_path / "made" / "answers.json").read_text(encoding="utf-8"))
    assert len(answers["turns"]) == 3
    for name in ("overlay.mp4", "overlay.png"):
        assert (tmp_path / "made" / name).stat().st_size > 0
    for known in answers["objects"]:
        assert (tmp_path / "made" / known["masklet"]).is_file()
        assert (tmp_path / "made" / "truth" / f"{known['id']}.json").is_file()


def test_base_install_works_without_any_extra(sama: Path, tmp_path: Path) -> None:
    told = json.loads(run(sama, "doctor", "--json", cwd=tmp_path))
    assert told["extras"]["train"]["installed"] is False
    assert all(
        version is not None for name, version in told["packages"].items() if name in ("torch", "transformers", "av")
    )
