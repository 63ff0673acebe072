"""What shells offer: names of the configuration; never an error, whatever there is to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crawlerd.cli.main import run_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Complete = Callable[[str], set[str]]

CONFIG = """
[daemon]
state_dir = "state"
[sinks.warehouse]
type = "sqlite"
path = "w.db"
[accounts.acme]
source = "stripe"
api_key = { env = "NOT_THERE" }
[accounts.news]
source = "mailchimp"
api_key = { command = ["touch", "asked"] }
[imports.shop]
account = "acme"
sink = "warehouse"
streams = ["charges", "customers"]
[imports.shelves]
account = "news"
sink = "warehouse"
streams = ["members"]
"""


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Complete:
    """What bash gets for a line, which stands before the cursor. Nothing may be said on the terminal."""
    (tmp_path / "crawlerd.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)

    def completing(line: str) -> set[str]:
        monkeypatch.setenv("_CRAWLERD_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        assert run_command([]) == 0
        printed = capfd.readouterr()
        assert printed.err == ""
        return set(printed.out.split())

    return completing


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("crawlerd import ", {"shop", "shelves"}),
        ("crawlerd import shop ", {"shelves"}),
        ("crawlerd import sho", {"shop"}),
        ("crawlerd import shop --stream ", {"charges", "customers"}),
        ("crawlerd accounts show a", {"acme"}),
        ("crawlerd accounts limit ", {"acme", "news"}),
        ("crawlerd pause ", {"import", "account", "bucket", "source"}),
        ("crawlerd pause source ", {"stripe", "mailchimp"}),
        ("crawlerd pause import sh", {"shop", "shelves"}),
        ("crawlerd pause bucket acme", {"acme/"}),
        ("crawlerd why s", {"shop", "shelves"}),
        ("crawlerd why account ", {"acme", "news"}),
        ("crawlerd dead list --import ", {"shop", "shelves"}),
        ("crawlerd dead list --account n", {"news"}),
        ("crawlerd dead show ", set()),
        ("crawlerd run show ", set()),
        ("crawlerd schedule she", {"shelves"}),
        ("crawlerd syncpoint copy shop ", {"shop", "shelves"}),
        ("crawlerd sink check ", {"warehouse"}),
        ("crawlerd config show imports.", {"imports.shop", "imports.shelves"}),
        ("crawlerd streams st", {"stripe"}),
        ("crawlerd init --source mail", {"mailchimp"}),
        ("crawlerd runs --state fa", {"failed"}),
        ("crawlerd frontier restore ", set()),
        ("crawlerd submit --import shelves mailchimp.un", {"mailchimp.unread"}),
        ("crawlerd submit stripe.charges.ag", {"stripe.charges.again"}),
        ("crawlerd sta", {"status"}),
        ("crawlerd -c crawlerd.toml import she", {"shelves"}),
        ("crawlerd -c nothing.toml import ", set()),
        ("crawlerd nothing ", set()),
    ],
)
def test_names_are_offered(complete: Complete, tmp_path: Path, line: str, words: set[str]) -> None:
    assert {word for word in complete(line) if not word.startswith("-")} >= words
    if words or line.endswith("show "):
        assert complete(line) == words
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("text", ["", "[imports", "\x00\xff", "imports = 3\nsinks = [1]", "[imports]\nshop = 3", None])
def test_what_cannot_be_read_offers_nothing(complete: Complete, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "crawlerd.toml"
    if text is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_text(text)
    for line in ("import ", "accounts show ", "dead show ", "why ", "sink check ", "config show s", "import --stream "):
        assert not complete(f"crawlerd {line}") - {"run", "task", "account", "import", "shop", "sinks"}


def test_a_state_directory_that_cannot_be_read_offers_nothing(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/frontier.db").write_text("not a database at all" * 100)
    for line in ("dead show ", "run show ", "dead list --group ", "operations cancel ", "imports rename "):
        assert complete(f"crawlerd {line}") == set()


def test_a_shell_gets_its_script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_CRAWLERD_COMPLETE", "source_bash")
    with pytest.raises(SystemExit, match="0"):
        run_command([])
    assert "complete -o" in capfd.readouterr().out
