"""Each folder in examples/ does what it says; two that extend sources are in test_extensions.py, and the call from
Python is in test_run_import.py."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from support.installation import COMMAND, QUICK, Running
from support.packages import pip_install
from support.rest_api import Answer, Request, RestApi

from crawlerd.config.load import load
from crawlerd.sources import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from support.installation import Installation

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ELSEWHERE = {"thread_pool", "administrator_tags", "new_order_calls", "call_from_python"}
CUSTOMERS, ORDERS = 60, 120


def test_each_example_has_a_test() -> None:
    here = set(re.findall(r'EXAMPLES / "(\w+)"', Path(__file__).read_text()))
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == here | ELSEWHERE


def test_the_thread_pool_fails_where_its_port_imports_everything(thread_pool: tuple[Path, str]) -> None:
    folder, url = thread_pool
    before = Running([sys.executable, "before.py", url], folder, {}, 1)
    assert before.process.wait(60) == 1
    assert re.search("HTTPError: (429|503)", before.stderr)  # 503 where this machine is slower than the limit
    assert rows(folder / "before.db", "SELECT count(*) FROM orders") == [(0,)]  # all is lost

    done = Running([COMMAND, "import", "acme"], folder, {"PATH": "/usr/bin"}, 2).finish()
    assert (done.code, " 0 throttled, 0 dead, complete" in done.stdout) == (0, True)
    warehouse = folder / "warehouse.db"
    assert rows(warehouse, "SELECT count(*) FROM shop_customers") == [(CUSTOMERS,)]
    assert rows(warehouse, "SELECT count(*), count(DISTINCT id) FROM shop_orders") == [(ORDERS, ORDERS)]


def rows(path: Path, statement: str) -> list[tuple[int, ...]]:
    database = sqlite3.connect(path)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


def test_the_source_installs_passes_its_test_and_reads_what_has_changed(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    package = Path(shutil.copytree(EXAMPLES / "own_source", here.folder / "own_source"))
    pip_install(package, here.folder / "site")
    here.environment |= {"PYTHONPATH": str(here.folder / "site"), "TICKETS_KEY": "secret"}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=package, env=here.environment, capture_output=True, check=True)

    tickets = [{"id": f"t{number}", "changed_at": 100 + number} for number in range(30)]

    def answer(request: Request) -> Answer:
        if request.path.endswith("/comments"):
            return Answer({"comments": [{"id": f"of-{request.path.split('/')[-2]}"}]})
        found = [each for each in tickets if int(str(each["changed_at"])) >= int(request.query["changed_since"])]
        begin = [each["id"] for each in found].index(request.query["after"]) + 1 if "after" in request.query else 0
        return Answer({"tickets": found[begin : begin + 20], "more": begin + 20 < len(found)})

    with RestApi(answer) as api:
        key = {"api_key": {"env": "TICKETS_KEY"}}
        here.config["accounts"]["acme"] = {"source": "tickets", "base_url": api.url, **key, **QUICK}
        here.config["imports"]["acme"] = {"account": "acme", "sink": "sink", "streams": ["*"]}
        assert here.run("import", "acme").code == 0
        assert len(here.imported("acme", "comments", "tickets")) == len(tickets)
        tickets[3] = {"id": "t3", "changed_at": 500}
        tickets.append(tickets.pop(3))
        asked = len(api.requests)
        assert here.run("import", "acme").code == 0
        assert len(api.requests) - asked == 3  # a page with it and the newest before, and the comments of both
    assert here.imported("acme", "tickets", "tickets") == {each["id"]: each for each in tickets}


def test_the_systemd_files_fit_the_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = EXAMPLES / "systemd"
    readme = (example / "README.md").read_text()
    files = {str(path.relative_to(example)) for path in example.rglob("*") if path.is_file()} - {"README.md"}
    keys = re.findall(r"/dev/stdin /etc/crawlerd/keys/(\S+)", readme)
    assert files | {f"etc/crawlerd/keys/{key}" for key in keys} == set(re.findall(r"`(etc/[^`]+)`", readme))
    installed = re.findall(r"^install (?:-D )?-m \d+ (?:-t \S+ )?(etc/\S+)", readme, re.MULTILINE)
    assert set(installed) == files

    for key in keys:  # as systemd hands them to the unit, which has LoadCredential=keys:/etc/crawlerd/keys
        (tmp_path / f"keys_{key}").write_text("https://hooks.example.com/x" if "webhook" in key else "sk_test_1-us1")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = partial(load, registry=registry)(example / "etc/crawlerd/crawlerd.toml")
    assert set(settings.imports) == {"acme", "globex"}
    assert settings.warnings == ()
    unit = (ROOT / "systemd/crawlerd.service").read_text()
    assert settings.daemon.state_dir == Path("/var/lib/crawlerd")
    assert f"ReadWritePaths=-{Path(str(settings.sinks['warehouse'].path)).parent}\n" in unit
    for path in ("EnvironmentFile=-/etc/default/crawlerd", "LoadCredential=keys:/etc/crawlerd/keys"):
        assert path in unit
