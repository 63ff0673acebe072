"""A large TOML file is parsed piece by piece, and says what the whole says."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from crawlerd.config import toml_batches
from crawlerd.config.compact_tables import CompactTables, Packer, unpacked

HEADERS = (
    *(f"[{kind}.{name}]" for kind in ("accounts", "imports") for name in ("a", "b", "c", "d", '"e.f"')),
    "[accounts.a.bucket_limits]",
    "[accounts.a.more.more]",
    "[accounts . b] # so",
    '  ["accounts"."b"]',
    "['imports'.'x]y']",
    '["acc\\u006funts".b]',
    "[accounts]",
    "[imports]",
    "[daemon]",
    "[sinks.w]",
    "[[accounts_csv]]",
    "[[accounts.c]]",
    "[accounts.]",
)
VALID = (
    *('source = "stripe"', "weight = 1", "wait = 1.0", "smooth = true", 'api_key = { env = "A" }', "limits.x = 1"),
    *('list = ["a", "b"]', "# [daemon]", "", "  ", 'other = "other" # so', "a.b = 1", "a.c = 2", "empty = []"),
    *("none = {}", "at = 2026-01-31T09:30:00Z", "time = 09:30:00", "deep = " + "[" * 30 + "]" * 30, "tab\t=\t1"),
    *(
        'many = [\n["a"],\n"b"\n]',
        'last = [\n["a"]\n]',
        'note = """\n[daemon]\nx = 1\n"""',
        "text = '''\n[imports.a]\n'''",
    ),
)
WRONG = (
    "many = [",
    '"a",',
    "]",
    '["a"]',
    'note = """',
    '"""',
    "text = '''",
    "source",
    "accounts.z.q = 1",
    "imports = 3",
)
WRONG += ("x = 'a\vb'", "weight = 2", "accounts.b = {}")
TABLES = st.tuples(st.sampled_from(HEADERS), st.lists(st.sampled_from(VALID), max_size=3, unique=True)).map(
    lambda table: [table[0], *table[1]]
)
ODD = st.sampled_from(WRONG).map(lambda line: [line])
PIECES = st.lists(st.one_of(*[TABLES] * 8, ODD), max_size=8, unique_by=lambda each: each[0]).map(
    lambda pieces: [line for piece in pieces for line in piece]
)


def said(parse: Any, text: str) -> Any:
    """A document with the order of its tables and the types of its values, or the message of what is wrong."""
    try:
        document = parse(text)
    except ValueError as error:
        return str(error)
    tables = {key: dict(value) if isinstance(value, CompactTables) else value for key, value in document.items()}
    return repr(sorted(tables.items(), key=lambda item: item[0]))


def in_pieces(text: str) -> Any:
    return toml_batches.loads(text, Packer(), large=0)


@given(PIECES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([0, 2, 10_000]))
@example(["[accounts.a]", 'note = """', "[daemon]", '"""', "[accounts.b]"], "\n", 10)
@example(["[accounts.a]", "weight = 1", "[daemon]", "[accounts.a]"], "\n", 10)
@example(["[accounts.a]", "weight = 1", "[daemon]", "[accounts.a.bucket_limits]", "x = 1"], "\n", 10)
@example(["[accounts.a]", '["accounts"."b"]', "weight = 1", "[daemon]", "[accounts.b]"], "\n", 10)
@example(["accounts.a.x = 1", "[accounts.b]"], "\n", 10)
@example(["[accounts.a]", "limits = [", '["a"]', "]", "[accounts.b]"], "\n", 10)
@example(["[accounts.a]", "weight = 1", "[accounts.a.more]", "x = 1"], "\n", 10)
@example(["[accounts.a]", "weight = 1", "weight = 2"], "\n", 10)
@example(["[accounts.a]", "weight = 1", '["da\\u0065mon"]', "x = 1"], "\n", 10)
@example(["many = [", "[accounts.a]", '["a"]', "]"], "\n", 10)
def test_pieces_say_what_the_whole_says(lines: list[str], end: str, most: int) -> None:
    """most: lines that are remembered."""
    text = "\n".join(lines).replace("\n", end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toml_batches, "REMEMBERED", most)
        assert said(in_pieces, text) == said(tomli.loads, text)


@given(PIECES)
@example(["[accounts.a]", 'note = """', "[daemon]", 'state_dir = "other"', '"""', "[accounts.b]"])
@example(["[accounts.a]", "[daemon]", "x = 1"])
@example(["[accounts.a]", 'note = """', "[daemon]", 'state_dir = "other"', "[accounts.b]", '"""'])
@example(["[accounts.a]", "note = '''", "[daemon]", 'state_dir = "other"', "[accounts.b]", "'''"])
def test_the_daemon_alone_is_that_of_the_whole(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        whole = tomli.loads(text)
    except ValueError:
        return  # the rest of a file is not looked at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toml_batches, "LARGE", 0)
        assert toml_batches.daemon_table(text) == whole.get("daemon")


def test_accounts_of_a_large_file_are_compact() -> None:
    rows = "".join(f'[accounts.a{number}]\nsource = "s"\nweight = {number}\n' for number in range(3))
    document = toml_batches.loads(f"[daemon]\n{rows}[imports.i]\naccount = 'a1'\n", Packer(), large=0)
    assert isinstance(document["accounts"], CompactTables)
    assert isinstance(document["imports"], CompactTables)
    assert document["accounts"]["a2"] == {"source": "s", "weight": 2}


VALUES = st.recursive(
    st.sampled_from([1, True, 1.0, 0, False, -0.0, "a", "", "1", "None"]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)),
)


@given(st.lists(VALUES, max_size=6))
def test_what_is_packed_comes_back_as_it_was(values: list[Any]) -> None:
    packer = Packer()
    packed = [packer.pack(value) for value in values]
    assert repr([unpacked(each) for each in packed]) == repr(values)
