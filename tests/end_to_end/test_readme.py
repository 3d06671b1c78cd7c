"""Runs the commands of the documents as a reader would, so that none goes stale."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "docs/training.md")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document: its language, what else its fence says, and its lines."""

    where: str
    language: str
    marks: frozenset[str]
    text: str

    def words(self) -> list[str]:
        """The command line that runs it."""
        if self.language == "python":
            return [sys.executable, "-c", self.text]
        return ["bash", "-euo", "pipefail", "-c", self.script()]

    def script(self) -> str:
        """Its commands, but for the make targets: they make environments, and one of them runs this test."""
        lines = self.text.splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return "\n".join(line for line in lines if not re.match(r"make(\s|$)", line))


def blocks(text: str, document: str) -> list[Block]:
    """Find the blocks that can be run, in order."""
    found = []
    for match in re.finditer(r"^```(bash|console|python)([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(f"{document}:{line}", match[1], frozenset(match[2].split()), match[3]))
    return found


def test_blocks_are_found_with_their_marks_and_without_make() -> None:
    text = "a\n```bash gpu\nmake demo\nls\n```\n```console\n$ echo 1\n1\n```\n```json\n{}\n```\n```python\nx = 1\n```\n"
    found = blocks(text, "a.md")
    assert [(block.where, block.language, block.marks) for block in found] == [
        ("a.md:2", "bash", {"gpu"}),
        ("a.md:6", "console", set()),
        ("a.md:13", "python", set()),
    ]
    assert [block.script() for block in found[:2]] == ["ls", "echo 1"]


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """The repository's own files, where a reader's commands may leave what they make."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    target = tmp_path / "copy"
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, target / name)
    return target


def serves(script: str, folder: Path, environment: dict[str, str]) -> bool:
    """Whether a server's command answers, on a port that is free here, and ends in peace when told to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([*shlex.split(script), "--port", str(port)], cwd=folder, env=environment)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
                    assert reply.status == 200
                break
            except OSError:
                assert server.poll() is None, "the server ended before it answered"
                time.sleep(0.2)
        server.send_signal(signal.SIGINT)
        return server.wait(60) == 0
    finally:
        server.kill()
        server.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_runs_as_written(document: str, copy: Path) -> None:
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMA_")}
    environment |= {"PYTHONPATH": str(copy / "src"), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for block in blocks((copy / document).read_text(encoding="utf-8"), document):
        if "gpu" in block.marks:
            continue
        if "serve" in block.marks:
            assert serves(block.script(), copy, environment)
            continue
        done = subprocess.run(
            block.words(), cwd=copy, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, (
            f"{block.where} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
        ran += 1
    assert ran > 0
