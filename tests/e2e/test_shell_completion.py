"""Completion in a real bash, on a real terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from support.installation import COMMAND, until
from support.tmux import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def test_bash_completes_names(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    here.config["accounts"]["acme"] = {"source": "stripe", "api_key": {"env": "NOT_THERE"}}
    here.config["imports"] = {name: {"account": "acme", "sink": "sink"} for name in ("shop", "shelves")}
    here.write()
    (here.folder / "backup.db").touch()
    path = Path(COMMAND).parent
    with Terminal(here.folder, here.environment) as terminal:
        terminal.enter("exec bash --norc --noprofile")
        terminal.enter(f'PS1="> "; PATH={path}:$PATH; eval "$(_CRAWLERD_COMPLETE=source_bash crawlerd)"; clear')
        until(lambda: terminal.screen.strip() == ">")
        for typed, shown in [
            ("crawlerd import sho", "> crawlerd import shop"),
            ("crawlerd accounts show ", "> crawlerd accounts show acme"),
            ("crawlerd stat", "> crawlerd status"),
            ("crawlerd frontier restore back", "> crawlerd frontier restore backup.db"),
        ]:
            terminal.type("-l", typed)
            terminal.type("Tab")
            assert len(terminal.shows(shown).strip().splitlines()) == 1
            terminal.type("C-u")
        terminal.type("-l", "crawlerd -c nothing.toml import sho")
        terminal.type("Tab", "Tab")
        terminal.type("-l", "!")
        assert terminal.shows("!").strip() == "> crawlerd -c nothing.toml import sho!"
