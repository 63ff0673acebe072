"""Texts of APIs meet our regular expressions: none may take longer than in proportion to the text."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import crawlerd
from crawlerd.source import Response
from crawlerd.sources.rest.paginators import Answer, link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

ROOT = Path(crawlerd.__file__).parent
LENGTHS = (4 << 10, 16 << 10, 64 << 10)  # characters
MOST = 6  # times the CPU for 4 times the text
NOTHING = 0.02  # seconds, below which a clock tells nothing
USES: dict[str, Callable[[re.Pattern[str], str], object]] = {
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "search": lambda pattern, text: pattern.search(text),
    "sub": lambda pattern, text: pattern.sub("", text),
    "split": lambda pattern, text: pattern.split(text),
    "findall": lambda pattern, text: pattern.findall(text),
    "finditer": lambda pattern, text: pattern.findall(text),
}


def patterns() -> Iterator[tuple[str, str, str]]:
    """Every pattern that stands in our code: where, what, and how it is used."""
    files = {path.relative_to(ROOT): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
    used = {each for text in files.values() for each in re.findall(r"\b(\w+)\.([a-z]+)\(", text)}
    for path, code in files.items():
        for node in ast.walk(ast.parse(code)) if "import re\n" in code else ():
            match node:
                case ast.Assign([ast.Name(name)], ast.Call(ast.Attribute(_, "compile"), [ast.Constant(str(text)), *_])):
                    for use in sorted(use for use in USES if (name, use) in used):
                        yield f"{path}:{node.lineno} {use}", text, use
                case ast.Call(ast.Attribute(ast.Name("re"), use), [ast.Constant(str(text)), *_]) if use in USES:
                    yield f"{path}:{node.lineno} {use}", text, use


ALL = {where: (text, use) for where, text, use in patterns()}


def hostile(pattern: str) -> list[str]:
    """Short texts whose repetition a pattern like this may be slow at: its own characters, and classes of others."""
    literal = re.sub(r"\\[a-zA-Z]|[\\^$*+?{}()\[\]|]", "", pattern)
    units = {*literal, literal, *"a1 .-_<\"'/{;,\\", "a ", "1.", " ;", "/a", "{a", "<>", '\\"', "a=", "; a=", '; a="'}
    return sorted(each for each in units if each)


def cpu(function: Callable[[str], object], text: str, before: float) -> float:
    """Seconds; measured again if they are many, since others use the machine as well."""
    times: list[float] = []
    while len(times) < 3 and (not times or min(times) > max(NOTHING, MOST * before)):
        began = time.thread_time()
        function(text)
        times.append(time.thread_time() - began)
    return min(times)


def slow(function: Callable[[str], object], unit: str) -> str | None:
    for tail in ("", "\0"):
        before = NOTHING
        for length in LENGTHS:
            took = cpu(function, (unit * (length // len(unit) + 1))[:length] + tail, before)
            if took > max(NOTHING, MOST * before):
                return f"{unit!r} … {tail!r}: {took:.3f} s for {length} characters, {before:.3f} s for a fourth of them"
            before = max(took, NOTHING / MOST)
    return None


def test_the_patterns_are_found() -> None:
    assert len(ALL) > 40


@pytest.mark.parametrize("where", ALL)
def test_a_pattern_takes_time_in_proportion_to_the_text(where: str) -> None:
    text, use = ALL[where]
    pattern = re.compile(text, re.DOTALL)
    for unit in hostile(text):
        assert slow(lambda each: USES[use](pattern, each), unit) is None


@pytest.mark.parametrize(
    "unit", ["<", "<>", "<a>", "<a>;", '<a>; rel="', "<a>; rel=x,", '"', " ", "; a=", "\\", "<a>; a='"]
)
def test_so_does_a_link_header(unit: str) -> None:
    def follow(header: str) -> object:
        return link(
            Answer(None, 0, [], Response(200, {"link": header}, b"[]", "https://api.example.com/items")), "next"
        )

    assert slow(follow, unit) is None
