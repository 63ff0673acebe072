"""JSON Lines and CSV come out whole and in order, however small the pieces are that they are read in."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlerd.sources.s3_batch.csv_rows import read_rows
from crawlerd.sources.s3_batch.forms import Read, named
from crawlerd.sources.s3_batch.lines import read_lines

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text('",\r\n \té;', max_size=6)


def whole(data: bytes, form: str, size: int = 1 << 20) -> tuple[list[Any], dict[int, str], str]:
    """All records, by pieces of `size` bytes, more where nothing whole is in one; what is wrong with some, and with
    all."""
    at, phase, more = 0, "head", 0
    names: tuple[str, ...] = ()
    found: list[Any] = []
    faults: dict[int, str] = {}
    while True:
        piece = data[at : at + size + more]
        final = at + len(piece) == len(data)
        part = read_lines(piece, phase, final=final) if form == "lines" else read_rows(piece, phase, names, final=final)
        faults |= {len(found) + number: fault for number, fault in part.faults.items()}
        found += part.records
        assert sorted(part.ends) == part.ends
        if part.problem or part.phase == "done":
            return found, faults, part.problem
        more = 0 if part.used else more + size
        at, phase, names = at + part.used, part.phase, part.names


@settings(max_examples=60)
@given(
    st.lists(st.dictionaries(texts, texts, max_size=2), max_size=6),
    st.lists(st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"]), min_size=6, max_size=6),
    st.booleans(),
    st.booleans(),
    st.integers(1, 40),
)
def test_every_line_once_in_order(records: list[Any], ends: list[str], last: bool, ascii: bool, size: int) -> None:
    lines = [json.dumps(each, ensure_ascii=ascii) for each in records]
    data = "".join(line + end for line, end in zip(lines, ends, strict=False))
    if not last:
        data = data.rstrip()
    found, faults, problem = whole(data.encode(), "lines", size)
    assert problem == ("" if data else "the object is empty")
    assert [json.loads(each) for each in found] == records
    assert not faults


@settings(max_examples=60)
@given(
    st.lists(texts, min_size=1, max_size=3, unique=True).filter(any),
    st.lists(st.tuples(texts, texts, texts), max_size=6),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.integers(1, 40),
)
def test_every_row_once_in_order(
    names: list[str], rows: list[tuple[str, ...]], end: str, quoting: Any, last: bool, size: int
) -> None:
    file = io.StringIO()
    minimal = quoting == csv.QUOTE_MINIMAL and end == "\r\n"  # else the writer leaves some of a line's ends unquoted
    writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_MINIMAL if minimal else csv.QUOTE_ALL)
    rows = [row[: len(names)] for row in rows]
    writer.writerow(names)
    writer.writerows(rows)
    data = file.getvalue() if last else file.getvalue().removesuffix(end)
    found, faults, problem = whole(b"\xef\xbb\xbf" + data.encode(), "csv", size)
    assert not problem
    assert not faults
    assert [json.loads(each) for each in found] == [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b"\n\n", "no header"),
        (b"a,b,a\n1,2,3\n", "the name 'a' twice"),
        (b'"a\nb', "header is not CSV"),
        (b"caf\xe9,b\n1,2\n", "not UTF-8"),
        (b"\xff\xfea\0,\0b\0", "UTF-16"),
        (b"\x1f\x8b\x08\0", "gzip within gzip"),
        (b"PK\x03\x04", "ZIP"),
        (b"x" * 70_000 + b",b\n1,2\n", "longer than 64 KiB"),
    ],
)
def test_a_header_that_cannot_be_one(text: bytes, reason: str) -> None:
    found, _, problem = whole(text, "csv")
    assert reason in problem
    assert not found


def test_rows_that_are_none_are_set_aside_alone() -> None:
    data = b'a,b\n1,2\n1\n1,2,3\ncaf\xe9,2\n"x"y,2\n\n5" disk,2\n"open,2\n3,4\n'
    found, faults, problem = whole(data, "csv", 5)
    assert not problem
    assert {number: fault[:8] for number, fault in faults.items()} == {
        1: "1 fields",
        2: "3 fields",
        3: "the text",
        4: "not CSV:",
        6: "not CSV:",
    }
    assert [json.loads(found[number]) for number in (0, 5)] == [{"a": "1", "b": "2"}, {"a": '5" disk', "b": "2"}]
    assert found[6] == b'"open,2\n3,4\n'
    assert len(found) == 7


def test_wide_names_do_not_make_records_without_bound() -> None:
    data = b",".join(b"%d" % number + b"n" * 1000 for number in range(60)) + b"\n" + (b"," * 59 + b"\n") * 1000
    part: Read = read_rows(data, "head", (), final=True)
    assert part.phase == "next"
    assert sum(map(len, part.records)) < 5 << 20
    assert len(whole(data, "csv")[0]) == 1000


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a.json", ("a", "json")),
        ("a.b.JSON.GZ", ("a.b", "json")),
        ("a.jsonl", ("a", "lines")),
        ("a.ndjson.gz", ("a", "lines")),
        ("a.CSV", ("a", "csv")),
        ("a b.csv.gz", ("a b", "csv")),
        (".json", None),
        (".csv.gz", None),
        ("a.gz", None),
        ("a.json.zip", None),
        ("json", None),
        ("a.tsv", None),
    ],
)
def test_names_say_what_objects_are(name: str, known: tuple[str, str] | None) -> None:
    assert named(name) == known
