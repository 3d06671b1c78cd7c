from dataclasses import replace

import pytest

from sama_video.remote.messages import AnswerForm, Message, Picture, Reply, Request, Sampling

PICTURE = Picture(b"\xff\xd8 a picture")
REQUEST = Request((Message("system", ("Be brief.",)), Message("user", ("What is this?", PICTURE))), "look-1")


def test_wire_form_is_that_of_the_chat_completions() -> None:
    assert REQUEST.to_wire("m") == {
        "model": "m",
        "max_tokens": 1024,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9ggYSBwaWN0dXJl"}},
                ],
            },
        ],
    }


def test_wire_form_names_only_what_is_said() -> None:
    request = replace(REQUEST, sampling=Sampling(temperature=None, max_tokens=5, seed=3, stop=("\n",), draw=2))
    body = request.to_wire("m", "max_completion_tokens")
    assert body["max_completion_tokens"] == 5
    assert (body["seed"], body["stop"]) == (3, ["\n"])
    assert body.keys().isdisjoint({"temperature", "top_p", "draw", "max_tokens", "response_format"})


def test_schema_becomes_a_response_format() -> None:
    schema = {"type": "object", "properties": {"score": {"type": "number"}}}
    body = replace(REQUEST, form=AnswerForm("score", schema)).to_wire("m")
    wanted = {"name": "score", "schema": schema, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": wanted}


OTHERS = {
    "words": replace(REQUEST, messages=(Message("user", ("What is that?", PICTURE)),)),
    "picture": replace(REQUEST, messages=(REQUEST.messages[0], Message("user", ("What is this?", Picture(b"other"))))),
    "role": replace(REQUEST, messages=(Message("user", ("Be brief.",)), REQUEST.messages[1])),
    "split": replace(REQUEST, messages=(REQUEST.messages[0], Message("user", ("What is", " this?", PICTURE)))),
    "temperature": replace(REQUEST, sampling=Sampling(temperature=0.5)),
    "draw": replace(REQUEST, sampling=Sampling(draw=1)),
    "version": replace(REQUEST, prompt_version="look-2"),
    "form": replace(REQUEST, form=AnswerForm("x", {})),
}


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_changes_the_reply_changes_the_key(what: str) -> None:
    assert OTHERS[what].key("m") != REQUEST.key("m")


def test_key_is_the_same_in_every_process_and_differs_by_model() -> None:
    assert REQUEST.key("m") != REQUEST.key("m2")
    plain = Request((Message("user", ("hello",)),), "v")
    # A stored reply is found by this hash; should it ever change, all that was paid for is lost.
    assert plain.key("m")[:16] == "cf53bd3278578a80"


def test_bounds_hold_for_any_tokenizer_over_bytes() -> None:
    request = Request((Message("user", ("żółw " * 50,)),), "v")
    assert request.most_prompt_tokens(0) >= len("żółw ".encode() * 50)
    assert request.likely_prompt_tokens(0) < request.most_prompt_tokens(0)
    assert REQUEST.most_prompt_tokens(1000) - REQUEST.most_prompt_tokens(0) == 1000


def test_reply_comes_back_from_json_as_recorded() -> None:
    reply = Reply("yes", "length", None, "m-1", 3, None)
    assert Reply.from_json(reply.to_json()) == replace(reply, recorded=True)


def test_pictures_do_not_show_in_a_repr() -> None:
    assert "picture" not in repr(PICTURE)
