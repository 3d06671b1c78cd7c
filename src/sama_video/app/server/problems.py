"""What goes wrong, as OpenAI's clients expect to read it: one line, a type, and a code that programs can act on."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.responses import Response

from sama_video.errors import DeviceError, MissingExtraError, SamaError

Document = dict[str, dict[str, str | None]]

TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    415: "invalid_request_error",
    416: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "overloaded_error",
}
OURS = "the server failed at this request; its log says where, and nothing of your conversation is lost."


class ApiError(SamaError):
    """A request that gets an answer other than 200.

    Args:
        status: Of HTTP.
        param: Which part of the request is at fault.
        code: For programs.
        headers: Such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """As a value that another process can make again."""
        again = partial(ApiError, self.status, str(self), code=self.code, param=self.param, headers=self.headers)
        return again, ()


class GoneError(Exception):
    """Nobody waits for this answer any more; raised inside a job to undo its turn. It never reaches a client."""


def as_api_error(error: BaseException) -> ApiError:
    """What a client is told of an error: a caller's mistake in its own line, our failures without any detail."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, (DeviceError, MissingExtraError)):
        return ApiError(503, str(error), code="not_available")
    if isinstance(error, SamaError):
        return ApiError(400, str(error), code="invalid_value")
    return ApiError(500, OURS, code="internal")


def document(error: ApiError) -> Document:
    """The JSON of an error."""
    return {
        "error": {
            "message": " ".join(str(error).split()),
            "type": TYPES.get(error.status, "invalid_request_error"),
            "param": error.param,
            "code": error.code,
        }
    }


def as_response(error: ApiError) -> Response:
    """An error as an answer. ASCII only, for the message may quote text that is no valid Unicode."""
    return Response(json.dumps(document(error)), error.status, headers=error.headers, media_type="application/json")
