"""The Java programs that metrics of captions need: the PTB tokenizer, METEOR and SPICE, run from pycocoevalcap's files.

That package's own wrappers write into its folder, never notice a dead process and wait for ever for a hung one. Here
a program runs in a private folder, reads what it needs from pipes, has a time limit, and one line says what went wrong.
"""

import contextlib
import importlib.util
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sama_video.errors import DeviceError

# Not counted as words by the caption metrics of COCO.
PUNCTUATION: Final = frozenset(
    {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
)
_LINE_BREAKS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_UTF8: Final = "-Dfile.encoding=UTF-8"  # Java before 18 asks the locale


@dataclass(frozen=True)
class Programs:
    """Where Java and pycocoevalcap are, and how long a program may take to say something."""

    java: str
    package: Path
    timeout_seconds: float | int = 300

    @property
    def tokenizer_jar(self) -> Path:
        return self.package / "tokenizer" / "stanford-corenlp-3.4.1.jar"

    @property
    def meteor_jar(self) -> Path:
        return self.package / "meteor" / "meteor-1.5.jar"

    @property
    def spice_jar(self) -> Path:
        return self.package / "spice" / "spice-1.0.jar"


def find_package() -> Path | None:
    """The folder of pycocoevalcap, without importing it."""
    found = importlib.util.find_spec("pycocoevalcap")
    folders = list(found.submodule_search_locations or ()) if found else []
    return Path(folders[0]) if folders else None


def find_java() -> str | None:
    """The program that runs Java: of JAVA_HOME if that is set, else the one on the path."""
    home = os.environ.get("JAVA_HOME")
    inside = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    return inside or shutil.which("java")


def ptb_tokens(texts: Sequence[str], programs: Programs) -> list[str]:
    """Each text's words as the Penn Treebank writes them, lower-cased, without punctuation, joined by blanks.

    One process for all texts. A line break inside a text becomes a blank, for the program answers line by line.
    """
    if not texts:
        return []
    lines = [_LINE_BREAKS.sub(" ", text) for text in texts]
    options = ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    command = [programs.java, _UTF8, "-cp", str(programs.tokenizer_jar), *options]
    written = _run("the PTB tokenizer", command, "\n".join([*lines, ""]), programs.timeout_seconds)
    answers = written.split("\n")[:-1]
    if len(answers) != len(lines):
        raise DeviceError(
            f"the PTB tokenizer gave {len(answers)} lines for {len(lines)} captions; check the Java installation "
            f"({programs.java}) and score again."
        )
    return [" ".join(word for word in answer.split() if word not in PUNCTUATION) for answer in answers]


class MeteorProcess:
    """METEOR 1.5, English, kept alive: its start takes seconds, a caption milliseconds.

    Close it when done; the process ends with it.
    """

    def __init__(self, programs: Programs) -> None:
        self._timeout = programs.timeout_seconds
        self._folder = tempfile.TemporaryDirectory(prefix="sama-meteor-")
        options = ["-", "-", "-stdio", "-l", "en", "-norm"]
        try:
            self._process = self._start([programs.java, _UTF8, "-Xmx2G", "-jar", str(programs.meteor_jar), *options])
        except OSError as error:
            self._folder.cleanup()
            raise _failure("METEOR", f"could not be started: {error.strerror}") from error
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def statistics(self, candidate: str, references: Sequence[str]) -> str:
        """What METEOR counts for one caption, in its own form; texts are tokens joined by blanks."""
        self._write(" ||| ".join(["SCORE", *references, candidate]))
        return self._line()

    def evaluate(self, statistics: Sequence[str]) -> tuple[float, tuple[float, ...]]:
        """The score of a corpus from the counts of its captions, and that of each caption."""
        self._write(" ||| ".join(["EVAL", *statistics]))
        scores = tuple(float(self._line()) for _ in statistics)
        return float(self._line()), scores

    def close(self) -> None:
        """End the process; may be called twice."""
        self._process.kill()
        self._process.wait()
        self._reader.join(timeout=1)
        with contextlib.suppress(OSError):  # bytes that a dead process never took
            self._pipe_in().close()
        self._folder.cleanup()

    def _start(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        with self._errors().open("wb") as errors:
            return subprocess.Popen(command, cwd=self._folder.name, stdin=pipe, stdout=pipe, stderr=errors)

    def _errors(self) -> Path:
        return Path(self._folder.name) / "errors.txt"

    def _pipe_in(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _write(self, request: str) -> None:
        try:
            self._pipe_in().write(f"{request}\n".encode("utf-8", "replace"))
            self._pipe_in().flush()
        except OSError as error:
            raise self._ended() from error

    def _line(self) -> str:
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            raise _failure("METEOR", f"said nothing for {self._timeout:g} seconds") from None
        if line is None:
            raise self._ended()
        text = line.decode("utf-8", "replace").strip()
        if text.startswith("Error"):
            raise _failure("METEOR", f"refused a caption: {text}")
        return text

    def _ended(self) -> DeviceError:
        try:
            code = self._process.wait(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            return _failure("METEOR", "closed its output, but did not end")
        return _failure("METEOR", _told(code, self._errors().read_bytes()))


def spice_scores(pairs: Sequence[tuple[str, Sequence[str]]], programs: Programs) -> list[float]:
    """SPICE of each (candidate, references), all as tokens.

    Raises:
        DeviceError: Its models are not there (they are never downloaded), or the program failed, as it often does on a
            Java newer than 8.
    """
    folder = programs.package / "spice" / "lib"
    if not list(folder.glob("stanford-corenlp-*-models.jar")):
        raise DeviceError("SPICE needs the models of Stanford CoreNLP 3.6.0, which pycocoevalcap does not bring.")
    with tempfile.TemporaryDirectory(prefix="sama-spice-") as private:
        asked, answered = Path(private) / "in.json", Path(private) / "out.json"
        items = [{"image_id": place, "test": pair[0], "refs": list(pair[1])} for place, pair in enumerate(pairs)]
        asked.write_text(json.dumps(items), encoding="utf-8")
        jar = [programs.java, _UTF8, "-Xmx8G", "-jar", str(programs.spice_jar)]
        _run("SPICE", [*jar, str(asked), "-out", str(answered), "-silent"], "", programs.timeout_seconds)
        if not answered.is_file():
            raise _failure("SPICE", "wrote no result")
        found = {
            item["image_id"]: float(item["scores"]["All"]["f"]) for item in json.loads(answered.read_text("utf-8"))
        }
    return [found[place] for place in range(len(pairs))]


def _run(name: str, command: Sequence[str], given: str, timeout_seconds: float | int) -> str:
    with tempfile.TemporaryDirectory(prefix="sama-java-") as private:
        try:
            done = subprocess.run(
                command,
                input=given.encode("utf-8", "replace"),
                capture_output=True,
                cwd=private,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _failure(name, f"was not done after {timeout_seconds:g} seconds") from None
        except OSError as error:
            raise _failure(name, f"could not be started: {error.strerror}") from error
    if done.returncode:
        raise _failure(name, _told(done.returncode, done.stderr))
    return done.stdout.decode("utf-8", "replace")


def _told(code: int, errors: bytes) -> str:
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    end = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"{end}: {lines[0][:200]}" if lines else end


def _failure(name: str, what: str) -> DeviceError:
    return DeviceError(f"{name}, a Java program, {what}; check java and free memory (`sama doctor`), then score again.")
