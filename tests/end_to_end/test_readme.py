"""Runs the commands of the documents as a reader would, so that none goes stale."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from document_blocks import ELSEWHERE, MARKS, Block, blocks, joined
from shared_folders import REPOSITORY

ADDRESS = "127.0.0.1:8000"
"""Where the documents' server listens; here it gets a port that is free."""


def blocks_of(document: str) -> list[Block]:
    return blocks((REPOSITORY / document).read_text(encoding="utf-8"), document)


PAGES = ("README.md", *sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("docs/**/*.md")))
DOCUMENTS = tuple(page for page in PAGES if any(block.is_run for block in blocks_of(page)))


def test_blocks_are_found_with_their_marks_and_without_make() -> None:
    text = "a\n```bash gpu\nmake demo\nls\n```\n```console\n$ echo 1\n1\n```\n```json\n{}\n```\n```python\nx = 1\n```\n"
    found = blocks(text, "a.md")
    assert [(block.where, block.language, block.marks, block.is_run) for block in found] == [
        ("a.md:2", "bash", {"gpu"}, False),
        ("a.md:6", "console", set(), True),
        ("a.md:13", "python", set(), True),
    ]
    assert [block.script() for block in found[:2]] == ["ls", "echo 1"]


def test_continued_blocks_share_an_interpreter() -> None:
    text = "```python client\na = 1\n```\n```bash\nls\n```\n```python continued\nprint(a)\n```\n"
    ls, python = joined(blocks(text, "a.md"))
    assert (ls.language, python.text, python.marks) == ("bash", "a = 1\n\nprint(a)\n", {"client"})


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    run_elsewhere = {line for other in DOCUMENTS for block in blocks_of(other) if block.is_run
                     for line in block.text.splitlines()}  # fmt: skip
    for block in blocks_of(page):
        assert block.marks <= MARKS, block.where
        if ELSEWHERE in block.marks:
            assert run_elsewhere.issuperset(block.text.splitlines()), block.where


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


@contextmanager
def serving(script: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server that a document starts; it must end in peace when told to."""
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
        yield f"127.0.0.1:{port}"
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_runs_as_written(document: str, copy: Path) -> None:
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMA_")}
    environment |= {"PYTHONPATH": str(copy / "src"), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    with ExitStack() as servers:
        address = ADDRESS
        for block in joined([block for block in blocks_of(document) if block.is_run]):
            if "serve" in block.marks:
                address = servers.enter_context(serving(block.script(), copy, environment))
                continue
            if "client" in block.marks:
                block = replace(block, text=block.text.replace(ADDRESS, address))
            done = subprocess.run(
                block.words(), cwd=copy, env=environment, capture_output=True, text=True, timeout=900, check=False
            )
            assert done.returncode == 0, (
                f"{block.where} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            )
