"""Fields of a parsed data file, checked as they are taken."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any

from sama_video.data.findings import Place


def need(value: object, key: str, kind: type | UnionType, place: Place) -> Any:
    """A field that must be there, of the given type.

    Raises:
        FaultError: `schema_error` or `missing_key`.
    """
    if not isinstance(value, Mapping):
        raise place.fault("schema_error", f"a {type(value).__name__} stands where an object should")
    if key not in value:
        raise place.fault("missing_key", f"there is no {key!r}")
    found = value[key]
    if not isinstance(found, kind) or isinstance(found, bool):
        raise place.fault("schema_error", f"{key!r} is a {type(found).__name__}, which it cannot be")
    return found


def need_id(value: object, key: str, place: Place) -> str:
    """A number or text that names something, as text.

    Raises:
        FaultError: `schema_error` or `missing_key`.
    """
    return str(need(value, key, int | str, place))


def need_size(value: object, place: Place) -> tuple[int, int]:
    """Height and width.

    Raises:
        FaultError: `schema_error` or `missing_key`.
    """
    height, width = need(value, "height", int, place), need(value, "width", int, place)
    if height < 1 or width < 1:
        raise place.fault("schema_error", f"the size is {height}x{width}")
    return height, width


def rows_of(value: object, key: str, place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Objects of a list in an object, each with its place, such as `annotations 3`.

    Raises:
        FaultError: There is no such list, or it holds something else.
    """
    return numbered(need(value, key, list, place), key, place)


def numbered(rows: object, name: str, place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Objects of a list, each with its place.

    Raises:
        FaultError: It is no list, or holds something else.
    """
    if not isinstance(rows, list):
        raise place.fault("schema_error", f"a {type(rows).__name__} stands where a list should")
    for number, row in enumerate(rows):
        here = place.part(f"{name} {number}")
        if not isinstance(row, Mapping):
            raise here.fault("schema_error", f"it is a {type(row).__name__}, not an object")
        yield here, row
