"""The scan that finds a JSON file's items without parsing them, against the parser that does."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.data.findings import FaultError, Findings
from sama_video.data.json_items import iterate_list, iterate_object, read_document, scan_items

TRICKY = st.text(st.sampled_from('ab"\\/{}[],:\n\t é\u2028𝄞\ud800\x00'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.text(st.sampled_from(" \t\r\n"), max_size=3)


@st.composite
def written(draw: Any, document: Any) -> bytes:
    """A document as some program might have written it: odd blanks between items, with or without escapes."""

    def text(value: object) -> str:
        spelt = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 0, 2])))
        return draw(BLANKS) + spelt + draw(BLANKS)

    if isinstance(document, dict):
        inside = ",".join(f"{text(key)}:{text(value)}" for key, value in document.items())
        whole = "{" + (inside or draw(BLANKS)) + "}"
    else:
        whole = "[" + (",".join(text(value) for value in document) or draw(BLANKS)) + "]"
    spelt = draw(BLANKS) + whole + draw(BLANKS)
    # Half a surrogate pair has no UTF-8; JSON can only escape it.
    return "".join(json.dumps(c)[1:-1] if "\ud800" <= c <= "\udfff" else c for c in spelt).encode("utf-8")


def parsed(content: bytes, block_bytes: int) -> Any:
    items = scan_items(io.BytesIO(content), "x", block_bytes)
    values = [json.loads(content[span.start :][: span.length]) for span in map(items.span, range(len(items)))]
    return dict(zip(items.keys, values, strict=True)) if items.is_object else values


@given(st.data(), st.dictionaries(TRICKY, VALUES, max_size=4) | st.lists(VALUES, max_size=4), st.integers(1, 40))
@settings(max_examples=50)
def test_items_are_those_of_the_parser(data: Any, document: Any, block_bytes: int) -> None:
    content = data.draw(written(document))
    assert parsed(content, block_bytes) == document == json.loads(content)


def test_byte_order_mark_is_seen_and_passed_over() -> None:
    content = b'\xef\xbb\xbf {"a": [1]}'
    items = scan_items(io.BytesIO(content), "x", 2**10)
    assert items.has_bom
    assert content[items.span(0).start :][: items.span(0).length] == b" [1]"


DAMAGED = [
    *('{"a":1,}', "[1,]", "[,]", "[1,,2]", '{"a"}', '{"a":}', '{"a":1,"b"}', "{a:1}", "{1:2}", '{"a":1 "b":2}', "[1}"),
    *("{} x", "{}{}", "[1]]", "x[]", "[", '{"a":[1}', '{"a":"', '{"a":{"b":1}', '["a', "", " ", "]", '{"a":1]', "{,}"),
]


@pytest.mark.parametrize("block_bytes", [1, 3, 1000])
@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_text_is_refused_with_its_place(text: str, block_bytes: int) -> None:
    with pytest.raises(FaultError, match=r"no JSON at byte \d+|begins no list") as caught:
        scan_items(io.BytesIO(text.encode()), "x.json", block_bytes)
    assert caught.value.reason == "json_error"
    assert caught.value.finding.file == "x.json"


@pytest.mark.parametrize("block_bytes", [1, 1000])
@pytest.mark.parametrize("text", ["3", '"text"', "null", "  true"])
def test_lone_value_is_of_another_form(text: str, block_bytes: int) -> None:
    with pytest.raises(FaultError) as caught:
        scan_items(io.BytesIO(text.encode()), "x", block_bytes)
    assert caught.value.reason == "schema_error"


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("content", "place"), [(b'{"a":"\xe9"}', 6), (b'["\xc3\xa9\xc3"]', 4), (b'["a",\xc3', 5), (b"\xff\xfe[\0", 0)]
)
def test_other_encodings_are_told_with_the_byte(content: bytes, place: int, block_bytes: int) -> None:
    with pytest.raises(FaultError, match=rf"byte {place} is not UTF-8") as caught:
        scan_items(io.BytesIO(content), "x", block_bytes)
    assert caught.value.reason == "encoding_error"


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 4, 5, 100])
def test_backslashes_before_quotes_across_blocks(block_bytes: int) -> None:
    document = {'a\\"b': 'c\\\\"]', "\\": ["\\\\\\", '"', '\\"'], '"': "}"}
    assert parsed(json.dumps(document).encode(), block_bytes) == document


def test_entries_are_parsed_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_text('[{"a": 1}, nonsense, 3]')
    entries = iterate_list(path, Findings())
    assert next(entries) == (0, {"a": 1})
    with pytest.raises(FaultError, match=r"record 1: no JSON at byte 11"):
        next(entries)


def test_members_come_in_file_order(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"b": 1, "a": [2]}')
    assert list(iterate_object(path, Findings())) == [("b", 1), ("a", [2])]
    with pytest.raises(FaultError) as caught:
        list(iterate_list(path, Findings()))
    assert caught.value.reason == "schema_error"


def test_document_is_read_whole(tmp_path: Path) -> None:
    path, findings = tmp_path / "x.json", Findings()
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_document(path, findings) == [1]
    assert findings.notes == {"byte_order_mark": 1}
    path.write_bytes(b"\xef\xbb\xbf[1")
    with pytest.raises(FaultError, match="byte 5"):
        read_document(path, findings)
    path.write_text("[" * 100_000)
    with pytest.raises(FaultError) as caught:
        read_document(path, findings)
    assert caught.value.reason == "json_error"
    with pytest.raises(FaultError) as caught:
        read_document(tmp_path / "gone.json", findings)
    assert caught.value.reason == "missing_file"
