import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_endpoint import NO_KEY, REFUSAL, TOO_LONG, Behaviour, FakeEndpoint, serve, text_of
from PIL import Image
from tiny_model import moving_squares

from sama_video.bench.models import ModelChoice, ModelUnderTest
from sama_video.bench.models.endpoint import open_model
from sama_video.bench.models.spec_options import split_spec
from sama_video.bench.task import Sample, TaskOptions
from sama_video.errors import ConfigError, SamaError
from sama_video.remote.reply_store import BudgetError
from sama_video.remote.transport import AccessError

CLIP = moving_squares(4)
ANSWER = json.dumps(
    {"answer": "the red square", "objects": [{"phrase": "the red square", "frame": 0, "boxes": [[62, 125, 281, 417]]}]}
)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def samples(count: int = 1, **fields: Any) -> list[Sample]:
    given = {"ground": True} | fields
    return [Sample(f"q{n}", "v", "all", f"q{n}", lambda: CLIP, f"Where, {n}?", **given) for n in range(count)]


def spec_of(endpoint: FakeEndpoint, folder: Path, more: str = "") -> str:
    return f"openai:m-1?base_url={endpoint.url}&replies={folder / 'r.sqlite'}&frames=2&workers=2{more}"


def ask(model: ModelUnderTest, asked: list[Sample]) -> list[Any]:
    return list(model.answer(asked, TaskOptions(), {}))


def test_model_of_an_endpoint_answers_with_masks(tmp_path: Path) -> None:
    with serve(Behaviour(text=ANSWER)) as endpoint:
        model = ModelChoice(spec_of(endpoint, tmp_path)).open()
        (outcome,) = ask(model, samples())
        body = endpoint.requests[0]
    assert model.name == "openai:m-1"
    assert outcome.text == "<p> the red square </p> [SEG]"
    assert outcome.frames == (0, 3)
    assert len(outcome.tracks) == 1
    assert outcome.tracks[0][0] is not None  # the bundled tracker sees the square it was shown
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m-1", 0, 1024)
    parts = body["messages"][-1]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "text", "image_url", "text"]
    assert [part["text"] for part in parts[0:4:2]] == ["Frame 0:", "Frame 3:"]
    assert np.abs(decoded(parts[3]) - CLIP.frame(3).astype(int)).mean() < 8


def decoded(part: Mapping[str, Any]) -> np.ndarray:
    kind, _, content = part["image_url"]["url"].partition(";base64,")
    assert kind == "data:image/jpeg"
    return np.array(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)


def test_run_again_pays_nothing_and_a_replay_needs_no_endpoint(tmp_path: Path) -> None:
    with serve(Behaviour(text=ANSWER)) as endpoint:
        spec = spec_of(endpoint, tmp_path)
        first = ask(open_model(spec), samples(3))
        again = ask(open_model(spec), samples(3))
        assert len(endpoint.requests) == 3
    replayed = ask(open_model(spec + "&replay=yes"), samples(3))
    for other in (again, replayed):
        assert [(one.text, one.tracks) for one in other] == [(one.text, one.tracks) for one in first]
    (missing,) = ask(open_model(spec + "&replay=yes"), samples(1, frames=(1,)))
    assert "is recorded" in missing.error


def test_form_goes_with_the_request_where_it_is_wanted(tmp_path: Path) -> None:
    with serve(Behaviour(text=ANSWER)) as endpoint:
        model = open_model(spec_of(endpoint, tmp_path, "&structured=yes"), seed=7)
        ask(model, samples())
        ask(model, samples(ground=False))
        grounded, plain = endpoint.requests
    assert grounded["response_format"]["json_schema"]["name"] == "grounded_answer"
    assert grounded["seed"] == 7
    assert "response_format" not in plain


def test_refusal_is_an_answer_and_an_error_is_not(tmp_path: Path) -> None:
    def behave(_number: int, body: dict[str, Any]) -> Behaviour:
        return {"0": REFUSAL, "1": TOO_LONG}.get(text_of(body).split("Where, ")[1][0], Behaviour(text=ANSWER))

    with serve(behave) as endpoint:
        refused, broken, fine = ask(open_model(spec_of(endpoint, tmp_path)), samples(3))
    assert (refused.text, refused.tracks, refused.error) == ("I will not.", (), None)
    assert broken.text is None
    assert "refuses this request (400" in broken.error
    assert fine.error is None


@pytest.mark.parametrize(
    ("more", "behaviour", "kind", "sent"),
    [("", NO_KEY, AccessError, 2), ("&max_requests=1&workers=1", Behaviour(text=ANSWER), BudgetError, 1)],
    ids=["no key", "budget"],
)
def test_what_ends_everything_is_not_tried_again(
    tmp_path: Path, more: str, behaviour: Behaviour, kind: type[SamaError], sent: int
) -> None:
    with serve(behaviour) as endpoint:
        model = open_model(spec_of(endpoint, tmp_path).replace("&workers=2", "") + (more or "&workers=1"))
        for _ in range(3):
            with pytest.raises(kind):
                ask(model, samples(4))
        assert len(endpoint.requests) <= sent


def test_revision_follows_the_settings(tmp_path: Path) -> None:
    with serve(Behaviour()) as endpoint:
        spec = spec_of(endpoint, tmp_path)
        same = open_model(spec).revision
        assert (
            open_model(spec.replace("frames=2&", "").replace("workers=2", "workers=1"), max_frames=2).revision == same
        )
        assert len({same, *(open_model(spec + more).revision for more in ("&max_tokens=9", "&structured=yes"))}) == 3


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("openai:", "names no model"),
        ("openai:m?colour=red", "no option 'colour'; there are: base_url, "),
        ("openai:m?frames=many", "frames is 'many'"),
        ("openai:m?frames=1&frames=2", "frames is given twice"),
        ("openai:m?structured=maybe", "write yes or no"),
        ("openai:m?base_url=http://x&coords=percent", "coords is 'percent'"),
        ("openai:m?base_url=http://x&budget=3", "price_in and price_out"),
        ("openai:m", "needs a key"),
        ("openai:m?base_url=http://x&key_file=/absent", "/absent cannot be read"),
    ],
)
def test_mistake_in_a_spec_is_told_in_one_line(spec: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        open_model(spec + ("&" if "?" in spec else "?") * (spec != "openai:m" and spec != "openai:"))
    assert "\n" not in str(caught.value)


def test_option_without_meaning_is_refused() -> None:
    with pytest.raises(ConfigError, match="--cache-bytes has no meaning for --model openai:m"):
        open_model("openai:m?base_url=http://x", cache_bytes=5)


def test_name_may_hold_what_an_address_may_not() -> None:
    assert split_spec("openai:org/model:free?a=b%26c", "openai:", {"a": str}) == ("org/model:free", {"a": "b&c"})
