"""Imports into a real PostgreSQL server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.installation import until
from support.postgres_server import PASSWORD, postgres_server, shared
from support.rest_api import RestApi
from support.shops import serve, shop, with_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation
    from support.postgres_server import PostgresServer


MANY = 40


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def into(server: PostgresServer, here: Installation, schema: str, **options: object) -> Installation:
    here.environment["WAREHOUSE_URL"] = server.url()
    here.config["sinks"] = {
        "sink": {"type": "postgresql", "url": {"env": "WAREHOUSE_URL"}, "schema_name": schema, **options}
    }
    return here


def test_an_import_brings_each_record_once_and_commands_work(
    install: Callable[..., Installation], api: RestApi
) -> None:
    server, schema = shared(), shared().schema()
    serve(api, 30)
    here = into(server, shop(install, api, {"orders": ["orders"]}), schema, columns={"id": "bigint"})
    for run, (new, unchanged) in enumerate(((30, 0), (0, 30)), start=1):
        done = here.run("import", "orders")
        assert done.code == 0, done.stderr
        rows = server.query(f"SELECT new, unchanged FROM {schema}._crawlerd_tally WHERE run = {run}")
        assert rows == [(new, unchanged)]
    rows = server.query(f"SELECT id, id_, run, change FROM {schema}.shop_orders_view ORDER BY id_")
    assert [row[1:] for row in rows] == [(number, 2, "unchanged") for number in range(30)]
    checked = here.run("sink", "check")
    assert checked.code == 0, checked.stderr
    assert f"schema {schema} is sound" in checked.stdout
    left_out = here.run("--json", "backup", str(here.folder / "copy"))
    assert f"pg_dump --schema={schema}" in json.dumps(left_out.json)
    forgotten = here.run("sink", "forget", "--account", "acme", "--yes")
    assert forgotten.code == 0, forgotten.stderr
    assert server.query(f"SELECT count(*) FROM {schema}.shop_orders") == [(0,)]
    texts = [done.stderr, checked.stdout, left_out.stdout, forgotten.stderr]
    assert PASSWORD not in "".join(texts)


def test_a_server_that_goes_away_holds_up_its_imports_and_the_daemon_completes_them(
    install: Callable[..., Installation], api: RestApi
) -> None:
    with postgres_server() as server:
        schema = server.schema()
        api.script = with_lines(MANY)
        here = into(server, shop(install, api, {"lines": ["orders", "lines"]}, limits=["20/second"]), schema)
        run = here.start("import", "lines")
        until(lambda: server.query("SELECT to_regclass(%(t)s)", t=f"{schema}.shop_lines") != [(None,)])
        server.stop()
        run.says("sinks.sink: .*; nothing is lost, trying again every second")
        server.start()
        run.says("recovered: sinks.sink")
        done = run.finish()
        assert done.code == 0, done.stderr
        assert PASSWORD not in done.stderr
        for table, prefix in (("shop_orders", ""), ("shop_lines", "l")):
            rows = server.query(f"SELECT data::json ->> 'id' FROM {schema}.{table}")
            assert sorted(key for (key,) in rows) == sorted(f"{prefix}{number}" for number in range(MANY))
        assert server.query(f"SELECT sum(new) FROM {schema}._crawlerd_tally") == [(2 * MANY,)]
