"""What pages link to is there, and the commands in them can be given."""

from __future__ import annotations

import re
import runpy
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from crawlerd.cli.main import command as root
from crawlerd.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), ROOT / "bench/RESULTS.md"]
)
USAGE_ERROR = typer.BadParameter.__mro__[1]
NOT_SEARCHED = {"CHANGELOG.md", "commands.md"}  # may name what is not there any more; is made of the commands


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(path: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", each).lower() for each in headings]
    return {re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def commands(text: str) -> Iterator[str]:
    """Those in code, in a line of a block or within a sentence."""
    for block in re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield from re.findall(r"^ *(?:runuser -u \w+ -- |timeout [^c]+ )?crawlerd (?!:)(.+)$", line)
    yield from re.findall(r"`crawlerd (?!is )([a-z-][^`\n]*)`", without_code(text))


def wrong(line: str) -> str | None:
    """Why such a command would be refused, if so."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        return str(error)
    words = [word for word in words[: next((n for n, word in enumerate(words) if word in "|>&&"), None)] if word != "…"]
    command, context = root(), typer.Context(root())
    try:
        while children := getattr(command, "commands", None):
            _, rest, _ = command.make_parser(context).parse_args(list(words))
            if not rest:
                return None
            if rest[0] not in children:
                return f"no command {rest[0]}"
            command, words = children[rest[0]], rest[1:]
            context = typer.Context(command)
        command.make_parser(context).parse_args(list(words))
    except USAGE_ERROR as error:
        return str(error)
    return None


@pytest.mark.parametrize("page", [each for each in PAGES if each.name not in NOT_SEARCHED], ids=lambda each: each.name)
def test_commands_can_be_given(page: Path) -> None:
    refused = {line: why for line in commands(page.read_text()) if (why := wrong(line))}
    assert refused == {}


def test_a_wrong_command_is_found() -> None:
    assert "--import" in (wrong("runs --import acme") or "")
    assert wrong("rnus") == "no command rnus"
    assert wrong("-c crawlerd.toml import acme --full | tail") is None
    assert list(commands("```sh\ncrawlerd a b\n```\n`crawlerd c`")) == ["a b", "c"]


def test_the_pages_that_are_made_of_the_code_are_current() -> None:
    made = runpy.run_path(str(ROOT / "docs/generate.py"))["pages"]()
    assert {name for name, text in made.items() if (ROOT / "docs" / name).read_text() != text} == set(), "make docs"


def test_each_measured_claim_has_its_command_machine_date_and_table() -> None:
    claims = re.split(r"^## ", (ROOT / "bench/RESULTS.md").read_text(), flags=re.MULTILINE)[1:]
    assert len(claims) > 10
    form = re.compile(
        r"`python -m bench\.[a-z_.]+.*?^Machine [ABC], 20\d\d-\d\d-\d\d.*?^\| ?-", re.MULTILINE | re.DOTALL
    )
    assert [claim.partition("\n")[0] for claim in claims if not form.search(claim)] == []


def test_the_picture_shows_what_a_terminal_does() -> None:
    script = runpy.run_path(str(ROOT / "docs/pictures/terminal.py"))
    assert script["screen"]("a\r\nb\r\nc\r\n\x1b[2A\x1b[2Kd\r\n\x1b[1me\x1b[0m") == "a\nd\nc\x1b[1me\x1b[0m"
    shown = script["PICTURE"].read_text().replace("&#160;", " ")
    assert f"$ {script['COMMAND']}" in shown
    assert "0 missing, 0 too many" in shown


def test_the_page_about_the_status_quotes_it() -> None:
    """Each of its first column stands in the code that prints the status."""
    page = (ROOT / "docs/how-to/status.md").read_text()
    said = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(said) > 15
    places = [*(ROOT / "crawlerd/operations").glob("*.py"), *(ROOT / "crawlerd/cli").glob("status*.py")]
    code = "".join(path.read_text() for path in [*places, ROOT / "crawlerd/core/pauses.py"])
    reasons = {f"{reason}: …" for reason in Reason}
    assert [each for each in said if each not in reasons and each.rstrip(" …") not in code] == []
