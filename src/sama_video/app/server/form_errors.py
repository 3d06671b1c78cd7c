"""What does not fit the form of a request, in a line: what was given, which rule it broke, what to do next."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sama_video.app.server.problems import ApiError

BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
SHOWN_CHARS: Final = 40


def validation_problem(errors: list[Any]) -> ApiError:
    """The first thing that does not fit, and where it is."""
    first = errors[0] if errors else {}
    place = [str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path", "header")]
    name = ".".join(place) or None
    if first.get("type") == "json_invalid":
        reason = str(first.get("ctx", {}).get("error", "")) or "it does not parse"
        return ApiError(400, f"the body is not JSON ({reason}); send one JSON object.", code="invalid_json")
    line = _line(name or "the request", first)
    return ApiError(400, f"{line}; see /openapi.json for the form.", code="invalid_value", param=name)


def _line(name: str, error: Mapping[str, Any]) -> str:
    """What one error of pydantic's means to somebody who does not know pydantic."""
    kind, ctx, given = error.get("type"), error.get("ctx", {}), _shown(error.get("input"))
    if kind == "missing":
        return f"{name} is missing; add it"
    if kind == "extra_forbidden":
        return f"{name} is not known here; leave it out"
    if kind == "none_required" or (kind == "too_long" and ctx["max_length"] == 0):
        return f"{name} is not supported here; leave it out"
    if kind == "literal_error":
        return f"{name} is {given}, but may be {ctx['expected']} only; give that, or leave it out"
    if kind in BOUNDS:
        key, words = BOUNDS[kind]
        return f"{name} is {given}, but has to be {words} {ctx[key]:g}; give another"
    if kind in ("too_short", "too_long"):
        short = kind == "too_short"
        rule = f"at least {ctx['min_length']}" if short else f"at most {ctx['max_length']}"
        return f"{name} has {ctx['actual_length']} entries, but has to have {rule}; give {'more' if short else 'fewer'}"
    if kind == "union_tag_invalid":
        what = ctx["discriminator"].strip("'")
        return f"{name} has the {what} '{ctx['tag']}', but this takes {ctx['expected_tags']}; give one of those"
    told = str(error.get("msg", "it does not fit")).removeprefix("Value error, ")
    return f"{name} is {given}, which will not do: {told[:1].lower()}{told[1:]}"


def _shown(value: object) -> str:
    """What was given, short enough for a line."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return "something else"
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
