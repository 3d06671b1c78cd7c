"""The scripts of `examples/` do what they say, run as their users run them."""

import json
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video

MOST_LINES = 40
Run = Callable[..., str]


@pytest.fixture
def run(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a script of the examples, in this process: importing torch takes longer than all that they do."""

    def script(name: str, *words: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(repository / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return script


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled clip, with fewer frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with_frames(path, range(0, 48, 8), fps=4)
    return path


def with_frames(path: Path, indices: range, fps: float | int) -> None:
    source = open_video(DEMO_CLIP)
    write_video(path, (source.frame(idx % source.num_frames) for idx in indices), fps=fps)


def test_every_script_is_short_and_tells_what_it_is_for(repository: Path) -> None:
    scripts = sorted((repository / "examples").glob("*.py"))
    assert len(scripts) >= 5
    for path in scripts:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= MOST_LINES, path.name
        assert lines[0].startswith('"""'), path.name
        assert any(f"python examples/{path.name}" in line for line in lines), path.name


@contextmanager
def serving(data: Path) -> Iterator[str]:
    words = [sys.executable, "-m", "sama_video.app.cli.main", "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found, "the server ended before it answered"
            yield found[0]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0


@pytest.mark.slow
def test_openai_client(run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    with serving(tmp_path) as url:
        monkeypatch.setenv("SAMA_URL", f"{url}/v1")
        first, second = run("openai_client.py", clip, 51, 153).splitlines()
    assert "red" in first
    assert "red" in second


@pytest.mark.slow
def test_batch_goes_on_after_a_stop_and_names_what_is_broken(run: Run, clip: Path, tmp_path: Path) -> None:
    videos, out = tmp_path / "videos", tmp_path / "answers.jsonl"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(clip.read_bytes())
    assert run("batch_folder.py", videos, "Segment the red star.", out).startswith("a.mp4 -> ")
    (videos / "b.mp4").write_bytes(clip.read_bytes())
    (videos / "c.mp4").write_bytes(clip.read_bytes()[:2000])
    told = run("batch_folder.py", videos, "Segment the red star.", out).splitlines()
    assert [line.partition(" ")[0] for line in told] == ["b.mp4", "c.mp4"]
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["video"] for line in lines] == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(lines[1]["objects"]["obj1"]["frames"]) == 6
    assert set(lines[2]) == {"video", "error"}


@pytest.mark.slow
def test_live_holds_no_more_than_its_window(run: Run, tmp_path: Path) -> None:
    stream = tmp_path / "stream.mp4"
    with_frames(stream, range(0, 90, 3), fps=2)
    told = run("live_camera.py", stream, "Segment the purple ring.", 6)
    held = [int(number) for number in re.findall(r"\((\d+) frames held\)", told)]
    seconds = [float(number) for number in re.findall(r"^(\d+\.\d) s: ", told, re.MULTILINE)]
    assert len(held) >= 2
    assert max(held) <= 21
    assert seconds == sorted(seconds)
    assert seconds[-1] > 13
    assert "obj1 in sight" in told


@pytest.mark.slow
def test_cvat_reads_back_what_was_exported(run: Run, clip: Path, tmp_path: Path) -> None:
    from sama_video.data.findings import Findings
    from sama_video.data.formats import FORMATS

    told = run("export_cvat.py", clip, "the cyan triangle", "the purple ring", tmp_path / "task")
    assert "the cyan triangle: obj1" in told
    [read] = FORMATS["cvat-video"].read(tmp_path / "task", Findings(strict=True))
    assert {one.label for one in read.objects} == {"cyan triangle", "purple ring"}
    assert read.num_frames == 6


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
def test_supervision_draws_on_every_frame(run: Run, clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("supervision")
    drawn = tmp_path / "drawn.mp4"
    assert "triangle" in run("supervision_annotators.py", clip, "Segment the cyan triangle.", drawn)
    before, after = open_video(clip), open_video(drawn)
    assert after.num_frames == before.num_frames
    changed = np.abs(before.frame(3).astype(int) - after.frame(3).astype(int)).max(-1) > 60
    assert 0.005 < changed.mean() < 0.3
