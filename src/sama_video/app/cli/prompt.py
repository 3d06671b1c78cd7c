"""The interactive prompt of `sama chat`: questions, and a few commands that begin with a slash."""

import contextlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from sama_video.app.cli.options import Ask, make_folder
from sama_video.app.cli.output import Output
from sama_video.app.cli.talk import print_turn, save
from sama_video.chat.session import ChatSession
from sama_video.errors import SamaError
from sama_video.regions.shapes import Box, Points, Region, region_to_json

HELP = """\
Type a question. <region> stands for what you pointed at since the last question, <obj2> for a known object.
  /click FRAME X Y [X Y ...]   point at something; a coordinate pair after "not" is beside it
  /box FRAME X0 Y0 X1 Y1       draw a box around it
  /objects                     list what the session knows
  /forget obj2                 drop an object
  /save [DIR]                  save the session and its overlays
  /help                        this text
  /quit                        end (or Ctrl-D)"""


class Prompt:
    """One interactive conversation.

    Args:
        folder: Where `/save` without a folder saves.
    """

    def __init__(self, session: ChatSession, output: Output, folder: Path | None) -> None:
        self.session = session
        self.output = output
        self.folder = folder
        self.pointed: list[Region] = []
        self.commands: dict[str, Callable[[list[str]], None]] = {
            "/click": self.click,
            "/box": self.box,
            "/objects": self.list_objects,
            "/forget": self.forget,
            "/save": self.save,
            "/help": lambda _: output.line(HELP),
        }

    def run(self) -> None:
        """Read lines until the end; a mistake is told and nothing is lost by it."""
        clip = self.session.clip
        self.output.line(f"{clip.source}: {clip.num_frames} frames of {clip.width}x{clip.height}; /help tells more.")
        while True:
            try:
                line = input("> ").strip()
            except EOFError:
                self.output.line()
                return
            if line in ("/quit", "/exit"):
                return
            try:
                self.obey(line)
            except SamaError as error:
                self.output.line(f"error: {error}")

    def obey(self, line: str) -> None:
        """Do what one line says."""
        if not line:
            return
        if not line.startswith("/"):
            print_turn(self.session, Ask(line, tuple(self.pointed)), self.output, echo=False)
            self.pointed.clear()
            return
        try:
            name, *words = shlex.split(line)
        except ValueError as error:
            self.output.line(f"error: {line!r} cannot be read ({error}); /help lists the commands.")
            return
        if name not in self.commands:
            self.output.line(f"error: no command {name}; /help lists them.")
            return
        self.commands[name](words)

    def click(self, words: list[str]) -> None:
        """Queue points for the next question's `<region>`."""
        labels, numbers, label = [], [], 1
        for word in words[1:]:
            if word == "not":
                label = 0
                continue
            numbers.append(word)
            if len(numbers) % 2 == 0:
                labels.append(label)
                label = 1
        values = self._numbers("/click FRAME X Y [X Y ...]", [*words[:1], *numbers])
        if values is None or len(values) < 3 or len(values) % 2 == 0:
            self.output.line("error: a click is /click FRAME X Y, with more pairs if you like.")
            return
        pairs = list(zip(values[1::2], values[2::2], strict=True))
        self._point(Points(frame=int(values[0]), xy=pairs, labels=labels))

    def box(self, words: list[str]) -> None:
        """Queue a box for the next question's `<region>`."""
        values = self._numbers("/box FRAME X0 Y0 X1 Y1", words)
        if values is None or len(values) != 5:
            self.output.line("error: a box is /box FRAME X0 Y0 X1 Y1.")
            return
        self._point(Box(frame=int(values[0]), xyxy=(values[1], values[2], values[3], values[4])))

    def list_objects(self, _words: list[str]) -> None:
        """Print every known object."""
        for name, known in self.session.objects.items():
            frames = sorted(known.sightings)
            self.output.line(f"  {name}  {known.name or ''}  seen on frames {', '.join(map(str, frames))}")
        for region in self.pointed:
            self.output.line(f"  next <region>: {region_to_json(region)}")
        if not self.session.objects and not self.pointed:
            self.output.line("  none yet")

    def forget(self, words: list[str]) -> None:
        """Drop objects."""
        for name in words:
            self.session.forget(name)
            self.output.line(f"forgot {name}")

    def save(self, words: list[str]) -> None:
        """Save the session and its overlays."""
        folder = Path(words[0]) if words else self.folder or Path("sama-session")
        save(self.session, make_folder(folder), self.output)

    def _point(self, region: Region) -> None:
        from sama_video.regions.shapes import check_region

        clip = self.session.clip
        check_region(region, num_frames=clip.num_frames, height=clip.height, width=clip.width)
        self.pointed.append(region)
        self.output.line(f"  next <region>: {region_to_json(region)}")

    def _numbers(self, form: str, words: list[str]) -> list[float] | None:
        try:
            return [float(word) for word in words]
        except ValueError:
            self.output.line(f"error: {' '.join(words)} are not all numbers; write {form}.")
            return None


def run_prompt(session: ChatSession, output: Output, folder: Path | None) -> None:
    """Talk until the person ends it, with line editing and history where the terminal has them."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
    Prompt(session, output, folder).run()
