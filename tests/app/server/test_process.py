"""`sama serve` as a process: what it prints, what it refuses, and how it stops."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sama_video.app.cli.main import main
from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "add --api-key FILE"),
        (["--host", "::"], "add --api-key FILE"),
        (["--api-key", "/nowhere/keys"], "--api-key"),
        (["--port", "70000"], "70000"),
        (["--allow-fetch", "http://x/"], "no host"),
        (["--devices", "cuda:0,cpu,cuda:0"], "twice"),
        (["--devices", "gpu"], "no device"),
        (["--max-upload", "much"], "no size"),
        (["--max-turns", "0"], "0"),
        (["--quota", "-1"], "no size"),
        (["--host", "300.1.1.1", "--insecure"], "cannot be listened on"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], bare_environment: Any
) -> None:
    assert main(["serve", "--data", str(tmp_path), *words]) == 2
    line = capsys.readouterr().err.strip()
    assert told in line
    assert "\n" not in line


def test_port_in_use_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str], bare_environment: Any) -> None:
    from sama_video.app.server.run import bind

    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        assert main(["serve", "--data", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another" in capsys.readouterr().err


def test_missing_extra_names_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sama_video.app.machine.importable", lambda name: name != "uvicorn")
    assert main(["serve", "--data", str(tmp_path)]) == 2
    assert "pip install 'sama-video[serve]'" in capsys.readouterr().err


def test_every_limit_is_an_option() -> None:
    from dataclasses import fields

    from sama_video.app.cli.serve import LIMITS
    from sama_video.app.server.settings import Limits

    names = [name for name, _, _ in LIMITS.values()]
    assert sorted(names) == sorted(field.name for field in fields(Limits))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    script = "import sys; from sama_video.app.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "serve", "--port", "0", "--data", str(tmp_path / "data"), "--json"]
    log = (tmp_path / "log").open("w")
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert running.stdout is not None
    document = ""
    while not document.endswith("}\n"):
        line = running.stdout.readline()
        assert line, (tmp_path / "log").read_text()
        document += line
    yield running, json.loads(document)["url"]
    running.kill()
    running.wait()
    running.stdout.close()
    log.close()


def call(url: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def upload(url: str, content: bytes) -> str:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.mp4"\r\n\r\n' + content + b"\r\n--b--\r\n"
    request = urllib.request.Request(f"{url}/v1/files", body, {"Content-Type": "multipart/form-data; boundary=b"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return str(json.load(reply)["id"])


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_answers_under_way_are_finished_and_new_ones_refused(
    process: tuple[subprocess.Popen[str], str], tmp_path: Path, sig: signal.Signals
) -> None:
    running, url = process
    clip = open_video(DEMO_CLIP)
    write_video(tmp_path / "clip.mp4", [clip.frame(idx) for idx in range(48)], fps=24)
    clip_id = upload(url, (tmp_path / "clip.mp4").read_bytes())
    parts = [
        {"type": "video_url", "video_url": {"url": clip_id}},
        {"type": "text", "text": "Segment the purple ring."},
    ]
    body = {"messages": [{"role": "user", "content": parts}], "stream": True}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as reply:
        seen = reply.readline()  # the answer has begun
        running.send_signal(sig)
        statuses = []
        while not statuses or statuses[-1] != 503:
            statuses.append(call(f"{url}/v1/models")[0])
            assert len(statuses) < 500
            time.sleep(0.02)
        assert call(f"{url}/health") == (503, {"status": "stopping", "version": call(f"{url}/health")[1]["version"]})
        seen += reply.read()
    assert seen.endswith(b"data: [DONE]\n\n")
    assert b'"grounding":{"phrases":[{"text"' in seen
    assert b'"error"' not in seen
    assert running.wait(60) == 0
    log = (tmp_path / "log").read_text()
    rows = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"stopping", "request"} <= {row["event"] for row in rows}
    assert "Traceback" not in log


@pytest.mark.slow
def test_second_signal_does_not_wait(process: tuple[subprocess.Popen[str], str]) -> None:
    running, url = process
    demo = call(f"{url}/v1/demo")[1]["file"]["id"]
    parts = [{"type": "video_url", "video_url": {"url": demo}}, {"type": "text", "text": "Segment the purple ring."}]
    body = {"messages": [{"role": "user", "content": parts}], "stream": True}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as reply:
        reply.readline()
        running.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
