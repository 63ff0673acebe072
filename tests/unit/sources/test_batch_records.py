"""Records of a batch come out whole and in order, however small the pieces are that it is read in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.sources.s3_batch.records import Phase, read

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def whole(data: bytes, size: int) -> tuple[list[bytes], str]:
    """All records, by pieces of `size` bytes, more where nothing complete is in one; and the problem, if any."""
    at, phase, found, more = 0, "head", [], 0
    while True:
        piece = data[at : at + size + more]
        part = read(piece, phase, final=at + len(piece) == len(data))  # type: ignore[arg-type]
        found += part.records
        if part.problem or part.phase == "done":
            return found, part.problem
        more = 0 if part.used else more + size
        at, phase = at + part.used, part.phase


@pytest.mark.slow
@given(
    st.lists(values, max_size=6),
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "records"), values, max_size=2),
    st.dictionaries(st.text(max_size=5), values, max_size=2),
    st.integers(1, 50),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_every_record_once_in_order(
    records: list[Any], before: dict[str, Any], after: dict[str, Any], size: int, indent: int | None, ascii: bool
) -> None:
    data = json.dumps({**before, "records": records, **{f"_{key}": after[key] for key in after}}, indent=indent)
    if not ascii:
        data = json.dumps(json.loads(data), indent=indent, ensure_ascii=False)
    found, problem = whole(data.encode(errors="replace"), size)
    assert not problem
    assert [json.dumps(json.loads(each), ensure_ascii=True) for each in found] == [
        json.dumps(json.loads(json.dumps(each, ensure_ascii=ascii).encode(errors="replace"))) for each in records
    ]


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", 0),
        ("[] 1", 0),
        ("[{}, ", 1),
        ("[{}", 0),
        ("[{} {}]", 0),
        ('{"records": [{}]} {}', 1),
        ("\xff\xfe{\x00", 0),
        ("{}", 0),
        ('{"records": {}}', 0),
        ('{"records": [{}', 0),
        ('{"records": [{"a": 1},]}', 1),
        ('{"records": [{"a": 1} {"b": 2}]}', 0),
        ('{"records": [{"a": 1}, {"a": tru}, {}]}', 1),
        ('{"records": [{"a": 1}]', 1),
        ('{"records": [{"a": 1}]}}', 1),
        ('{"records": [{"a": 1}], }', 1),
        ('{"records": [' + "[" * 200_000, 0),
        ("\x1f\x8b\x08 gzip", 0),
    ],
)
def test_what_is_malformed_says_so(text: str, complete: int) -> None:
    found, problem = whole(text.encode(), 1 << 20)
    assert problem
    assert len(found) == complete


def test_a_byte_order_mark_is_no_problem() -> None:
    assert whole(b'\xef\xbb\xbf{"records":[{"a":"\xc3\xa9"}]}', 100) == ([b'{"a":"\xc3\xa9"}'], "")


@pytest.mark.parametrize(("phase", "piece"), [("head", b'{"rec'), ("next", b'{"a": 12'), ("tail", b', "m')])
def test_a_piece_without_anything_complete_is_not_used(phase: Phase, piece: bytes) -> None:
    part = read(piece, phase, final=False)
    assert (part.records, part.used, part.problem, part.phase) == ([], 0, "", phase)
