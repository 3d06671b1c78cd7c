"""XML written as it comes, with the characters that XML has and no others."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final
from xml.sax.saxutils import escape, quoteattr

from sama_video.errors import DataError

_FORBIDDEN: Final = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")


class XmlWriter:
    """Writes elements as they come, indented by two blanks a level."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._depth = 0
        out.write('<?xml version="1.0" encoding="utf-8"?>\n')

    @contextmanager
    def element(self, name: str, /, **given: str) -> Iterator[None]:
        """An element with others inside."""
        self._out.write(f"{self._indent}<{name}{_spelt(given)}>\n")
        self._depth += 1
        yield
        self._depth -= 1
        self._out.write(f"{self._indent}</{name}>\n")

    def text(self, name: str, text: str, /, **given: str) -> None:
        """An element with text."""
        self._out.write(f"{self._indent}<{name}{_spelt(given)}>{escape(_allowed(text))}</{name}>\n")

    @property
    def _indent(self) -> str:
        return "  " * self._depth


def _spelt(given: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(_allowed(value))}" for name, value in given.items())


def _allowed(text: str) -> str:
    """The text, if XML can hold it.

    Raises:
        DataError: It cannot.
    """
    if _FORBIDDEN.search(text):
        raise DataError(f"{text[:40]!r} holds characters that XML cannot; take them out.")
    return text
