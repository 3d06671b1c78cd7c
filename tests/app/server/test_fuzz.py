"""The OpenAPI document taken at its word: hundreds of requests made from it, well formed and not, and not one 5xx."""

import contextlib
import io
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from nano_model import nano_model

from sama_video.app.server.settings import Limits

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed; make env installs it")

pytestmark = [
    pytest.mark.slow,
    # Its own code and that of the libraries it generates with.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

EXAMPLES = 40
"""For each operation and each way of generating; there are fifteen operations."""

MIN_REQUESTS = 300
MAX_SECONDS = 20.0


def cases_of(schema: Any, mode: Any, examples: int) -> Any:
    """Every operation with cases of it."""
    for result in schema.get_all_operations():
        operation = result.ok()
        yield operation, drawn_from(operation.as_strategy(generation_mode=mode), examples)


def drawn_from(strategy: Any, examples: int) -> list[Any]:
    """Examples of a strategy; none where it has none, as an operation without parameters has no wrong ones."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    drawn: list[Any] = []

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=strategy)
    def draw(case: Any) -> None:
        drawn.append(case)

    with contextlib.suppress(Unsatisfiable):
        draw()
    return drawn


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_document_is_true_and_nothing_falls_over(make_live: Any, video: bytes, mode: str) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        negative_data_rejection,
        response_schema_conformance,
        status_code_conformance,
    )

    live = make_live(model=nano_model(), limits=Limits(answer_tokens=16))
    clip_id = live.store.put(io.BytesIO(video)).id
    schema = schemathesis.openapi.from_url(f"{live.url}/openapi.json")
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    if mode == "negative":
        checks.append(negative_data_rejection)
    told: Counter[int] = Counter()
    problems: list[str] = []
    draw = np.random.default_rng(0)
    for operation, cases in cases_of(schema, GenerationMode(mode), EXAMPLES):
        for case in cases:
            if mode == "positive":
                name_known_clip(case, clip_id, draw)
            began = time.monotonic()
            try:
                told[case.call_and_validate(checks=checks, timeout=60).status_code] += 1
            except Exception as error:
                problems.append(f"{operation.method} {operation.path}: {str(error)[:900]}")
            assert time.monotonic() - began < MAX_SECONDS
    assert not problems, f"{len(problems)} problems: " + "\n".join(problems[:6])
    assert sum(told.values()) >= MIN_REQUESTS, told
    assert max(told) < 500
    assert threading.active_count() < 80


def name_known_clip(case: Any, clip_id: str, draw: Any) -> None:
    """In most cases the file is one that is there, so that requests get further than 404."""
    if draw.random() < 0.3:
        return
    if isinstance(case.path_parameters, dict) and "file_id" in case.path_parameters and case.method != "DELETE":
        case.path_parameters["file_id"] = clip_id
    body = case.body
    if isinstance(body, dict):
        if "file" in body and isinstance(body["file"], str):
            body["file"] = clip_id
        for message in body.get("messages", ()) if isinstance(body.get("messages"), list) else ():
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, list) and message.get("role") == "user":
                content.insert(0, {"type": "video_url", "video_url": {"url": clip_id}})
