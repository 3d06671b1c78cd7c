"""CVAT's XML, track by track: parsed as it streams by, with neither document types nor entities."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from xml.parsers import expat

from sama_video.data.findings import Place
from sama_video.data.json_items import missing_file

_HEAD_BYTES: Final = 2**16
MAX_PIECES: Final = 1000
"""Of one element's text, which the parser gives in pieces of some kilobytes."""

MAX_DEPTH: Final = 32


@dataclass
class Shape:
    """One shape of a track, with its XML attributes as they are.

    Attributes:
        kind: The element's name.
        given: XML attributes, such as `frame`.
        attributes: CVAT's own attributes, by name.
    """

    kind: str
    given: dict[str, str]
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Track:
    """A track with its shapes, in file order."""

    given: dict[str, str]
    line: int
    shapes: list[Shape] = field(default_factory=list)


@dataclass
class Meta:
    """What a file says of its task: texts by their path below `meta`, such as `task/size`."""

    texts: dict[str, str] = field(default_factory=dict)

    def text(self, *names: str) -> str | None:
        """The first of several paths that is there."""
        return next((self.texts[name] for name in names if self.texts.get(name)), None)


def parse_tracks(path: Path, on_meta: Callable[[Meta], None], on_track: Callable[[Track], None]) -> None:
    """Go through a CVAT file: the meta element first, then each track as soon as it ends.

    Raises:
        FaultError: `missing_file`, `xml_error`, `unsafe_xml` for a document type or entities, `schema_error` for a
            file of another kind; or what the callbacks raise.
    """
    reader = _Reader(str(path), on_meta, on_track)
    try:
        with path.open("rb") as stream:
            reader.run(stream)
    except OSError as error:
        raise missing_file(path, error) from None


class _Reader:
    """Follows the elements; knows the path to the one at hand."""

    def __init__(self, name: str, on_meta: Callable[[Meta], None], on_track: Callable[[Track], None]) -> None:
        self._place = Place(name)
        self._on_meta = on_meta
        self._on_track = on_track
        # CVAT writes UTF-8; whatever else a file declares is not looked at, and other bytes are an error.
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text_of
        self._path: list[str] = []
        self._text: list[str] = []
        self._meta: Meta | None = None
        self._meta_done = False
        self._track: Track | None = None
        self._attribute: str | None = None

    def run(self, stream: IO[bytes]) -> None:
        """Parse the whole file."""
        try:
            self._parser.ParseFile(stream)
        except expat.ExpatError as error:
            detail = f"no XML at line {error.lineno}, column {error.offset}: {expat.ErrorString(error.code)}"
            raise self._place.fault("xml_error", detail) from None
        if not self._meta_done:
            raise self._place.fault("missing_key", "there is no <meta> before the tracks")

    def _refuse(self, *_: object) -> None:
        raise self._place.fault("unsafe_xml", "the file declares a document type or entities, which CVAT never does")

    def _start(self, name: str, given: dict[str, str]) -> None:
        self._path.append(name)
        self._text = []
        if len(self._path) > MAX_DEPTH:
            raise self._place.fault("schema_error", "elements lie too deep in each other for CVAT")
        if len(self._path) == 1 and name != "annotations":
            raise self._place.fault("schema_error", f"the file begins with <{name}>; CVAT's begin with <annotations>")
        if self._path == ["annotations", "image"]:
            raise self._place.fault("schema_error", "the file is of CVAT for images; export it as CVAT for video 1.1")
        if self._path == ["annotations", "track"]:
            self._track = Track(given, self._parser.CurrentLineNumber)
        elif self._track is not None and len(self._path) == 3:
            self._track.shapes.append(Shape(name, given))
        elif self._track is not None and name == "attribute" and len(self._path) == 4:
            self._attribute = given.get("name", "")

    def _text_of(self, text: str) -> None:
        self._text.append(text)
        if len(self._text) > MAX_PIECES:
            raise self._place.fault("schema_error", "a text is longer than CVAT writes any")

    def _end(self, name: str) -> None:
        text = "".join(self._text).strip()
        self._text = []
        if self._path[:2] == ["annotations", "meta"]:
            self._end_of_meta("/".join(self._path[2:]), text)
        elif self._track is not None and self._path == ["annotations", "track"]:
            self._end_of_track()
        elif self._track is not None and self._attribute is not None and name == "attribute":
            self._track.shapes[-1].attributes[self._attribute] = text
            self._attribute = None
        self._path.pop()

    def _end_of_meta(self, path: str, text: str) -> None:
        if self._meta_done:
            raise self._place.fault("schema_error", "there are two <meta>")
        if self._meta is None:
            self._meta = Meta()
        if path:
            self._meta.texts.setdefault(path, text)
        else:
            self._meta_done = True
            self._on_meta(self._meta)

    def _end_of_track(self) -> None:
        assert self._track is not None
        if not self._meta_done:
            raise self._place.fault("missing_key", "there is no <meta> before the tracks")
        self._on_track(self._track)
        self._track = None


def file_kind(path: Path) -> str | None:
    """The name of an XML file's first element; None for what is no XML."""
    found: list[str] = []
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda name, _: found.append(name)
    try:
        with path.open("rb") as stream:
            parser.Parse(stream.read(_HEAD_BYTES), False)
    except (OSError, expat.ExpatError):
        pass  # what came before the damage may still tell
    return found[0] if found else None
