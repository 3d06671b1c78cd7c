"""What a request that does not fit its form is told."""

import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("more", "param", "told"),
    [
        ({"n": 2}, "n", "n is 2, but may be 1 only; give that, or leave it out"),
        ({"temperature": -1}, "temperature", "temperature is -1, but has to be at least 0; give another"),
        ({"top_p": 0}, "top_p", "top_p is 0, but has to be more than 0"),
        ({"seed": 2**70}, "seed", "seed is 1180591620717411303424"),
        (
            {"max_tokens": "many"},
            "max_tokens",
            'max_tokens is "many", which will not do: input should be a valid integer',
        ),
        ({"foo": 1}, "foo", "foo is not known here; leave it out"),
        ({"tools": [{"type": "function"}]}, "tools", "tools is not supported here; leave it out"),
        ({"stop": ["a"]}, "stop", "stop is not supported here; leave it out"),
        ({"messages": []}, "messages", "messages has 0 entries, but has to have at least 1; give more"),
        ({"messages": None}, "messages", "messages is null, which will not do: input should be a valid list"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages.0",
            "messages.0 has the role 'tool', but this takes 'user', 'assistant'; give one of those",
        ),
        ({"user": "x" * 300 + "\ud800"}, "user", 'user is "xxx'),
    ],
)
def test_what_was_given_and_what_to_do(server: Any, more: dict[str, Any], param: str, told: str) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], **more}
    headers = {"Content-Type": "application/json"}
    reply = server.client.post("/v1/chat/completions", content=json.dumps(body), headers=headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"].startswith(told)
    assert error["message"].endswith("; see /openapi.json for the form.")
    assert len(error["message"]) < 200


def test_a_missing_body_is_told(server: Any) -> None:
    reply = server.client.post("/v1/chat/completions", headers={"Content-Type": "application/json"})
    assert reply.json()["error"]["message"] == "the request is missing; add it; see /openapi.json for the form."


def test_the_openapi_document_says_how_it_is_used(server: Any) -> None:
    assert "POST /v1/files" in server.client.get("/openapi.json").json()["info"]["description"]
