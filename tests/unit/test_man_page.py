"""The man page says what the commands say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from crawlerd.cli.exits import ExitCode
from crawlerd.cli.main import command as root

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/man/crawlerd.1"


def test_it_is_current() -> None:
    made = subprocess.run(
        [sys.executable, PAGE.with_name("generate.py")],
        check=True,
        capture_output=True,
        text=True,
        env={"COLUMNS": "80"},
    )
    assert made.stdout == PAGE.read_text(), "python docs/man/generate.py > docs/man/crawlerd.1"


def test_it_has_every_command_option_and_exit_code() -> None:
    text = PAGE.read_text().replace("\\-", "-")
    for name, command in root().commands.items():
        assert re.search(rf"^\.SS {name}\b", text, re.MULTILINE), name
        for each in getattr(command, "commands", {}):
            assert f"\n.SS {name} {each}\n" in text
        for param in command.params:
            if param.param_type_name == "option" and "--help" not in param.opts:
                assert f"{param.opts[0]}" in text, (name, param.opts)
    for code in ExitCode:
        assert f"\n.B {code.value}\n" in text


def test_a_reader_of_man_pages_finds_nothing_wrong_with_it() -> None:
    for device in ("ascii", "utf8"):
        command = ["groff", "-man", f"-T{device}", "-ww", "-P-c", str(PAGE)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        assert shown.stderr == ""
        plain = re.sub(r".\x08", "", shown.stdout)
        assert "crawlerd notify test" in plain
        assert "\\" not in plain
