"""Pickles of downloaded data: containers, numbers and text, and nothing that a pickle could run.

A pickle is a program; plain unpickling of a downloaded file lets it call anything. Here it can name one global,
`_codecs.encode`, by which old protocols spell bytes, and gets a function that encodes as Latin-1 and does nothing else.
"""

import pickle
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NoReturn

from sama_video.data.findings import FaultError
from sama_video.data.json_items import missing_file


class _UnsafeError(Exception):
    """The pickle names something that it may not have."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[[str, str], bytes]:
        if (module, name) == ("_codecs", "encode"):
            return _latin_1
        raise _UnsafeError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _UnsafeError("an object outside the file")


def load_pickle(path: Path) -> object:
    """Read a whole pickle of plain values. Text of Python 2 is read as Latin-1.

    Raises:
        FaultError: `unsafe_pickle` if it would make anything but plain values, `schema_error` if it is damaged,
            `missing_file`.
    """
    try:
        with path.open("rb") as stream:
            return _load(stream, str(path))
    except OSError as error:
        raise missing_file(path, error) from None


def _load(stream: BufferedIOBase, name: str) -> object:
    try:
        return _PlainUnpickler(stream, encoding="latin-1").load()
    except _UnsafeError as error:
        raise FaultError("unsafe_pickle", name, None, f"the pickle wants {error}, which data has no need of") from None
    except MemoryError:
        raise FaultError("unsafe_pickle", name, None, "the pickle claims more memory than there is") from None
    except OSError:
        raise
    except Exception as error:
        # A damaged pickle is a program gone wrong: it may raise whatever a list, a dict or the stack machine raises.
        what = f"{type(error).__name__}: {error}"
        raise FaultError("schema_error", name, None, f"the pickle is damaged ({what})") from None


def _latin_1(text: str, encoding: str = "latin-1") -> bytes:
    if encoding.lower().replace("-", "").replace("_", "") != "latin1":
        raise _UnsafeError(f"text encoded as {encoding!r}")
    return text.encode("latin-1")
