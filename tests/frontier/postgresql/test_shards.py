"""Ownership by shard: a node that lost one of its shards writes nothing more, whoever took it."""

from __future__ import annotations

from contextlib import closing

import pytest
from support.postgres_server import shared

from crawlerd.core.errors import FrontierError, FrontierLocked
from crawlerd.core.task import NewTask
from crawlerd.frontier.postgresql import holder
from crawlerd.frontier.postgresql.frontier import PostgresFrontier
from crawlerd.frontier.postgresql.session import Place

NOW = 1_000_000.0
OTHER = "INSERT INTO {0}.node(id, epoch, pid, began) VALUES (2, 1, 1, now())"


@pytest.fixture
def place() -> Place:
    return Place(shared().url(), shared().schema())


def start(it: PostgresFrontier, name: str) -> None:
    it.start_run(name, it.account(name, "shop"), [NewTask("s.page", "pages", 5, "{}")], full=True, now=NOW)


def lose_one(place: Place) -> None:
    """The shard of one account becomes another node's."""
    shared().query(OTHER.format(place.schema))
    taking = "UPDATE {0}.shard SET owner = 2 WHERE id = (SELECT min(shard) FROM {0}.account)"
    shared().query(taking.format(place.schema))


def owners(place: Place) -> list[tuple[object, ...]]:
    return shared().query(f"SELECT owner, count(*) FROM {place.schema}.shard GROUP BY owner ORDER BY owner")


def runs(place: Place) -> int:
    return int(str(shared().query(f"SELECT count(*) FROM {place.schema}.run")[0][0]))


def test_accounts_are_spread_and_their_parts_stay_together(place: Place) -> None:
    with closing(PostgresFrontier(place, now=NOW)) as it:
        for number in range(400):
            it.account(f"acme-{number}", "shop")
            it.account(f"acme-{number}/part", "shop")
    found = shared().query(f"SELECT split_part(name, '/', 1), shard FROM {place.schema}.account")
    assert len(found) == 800
    assert len(set(found)) == 400
    used = {shard for _, shard in found}
    assert min(map(int, map(str, used))) >= 0
    assert max(map(int, map(str, used))) <= 255
    assert len(used) > 170  # 202 of 256 are expected


def test_all_shards_are_the_node_s_while_it_runs_and_nobody_s_after_it(place: Place) -> None:
    for _ in range(2):
        with closing(PostgresFrontier(place, now=NOW)):
            assert owners(place) == [(holder.NODE, 256)]
        assert owners(place) == [(None, 256)]
    freed = shared().query(f"SELECT count(*) FROM {place.schema}.shard WHERE now() - freed_at < interval '1 minute'")
    assert freed == [(256,)]


@pytest.mark.parametrize("reconnect", [False, True], ids=["on its connection", "on its next connection"])
def test_a_node_that_lost_a_shard_commits_nothing_more(place: Place, reconnect: bool) -> None:
    with closing(PostgresFrontier(place, now=NOW)) as it:
        start(it, "acme")
        lose_one(place)
        if reconnect:
            pid, _ = it.shared.backend()
            shared().query(f"SELECT pg_terminate_backend({pid}, 5000)")
        for _ in range(2):
            with pytest.raises(FrontierError, match="another crawlerd has taken it over"):
                start(it, "globex")
    assert runs(place) == 1
    assert owners(place) == [(1, 255), (2, 1)]  # what it had is still its own: nobody can have freed it in its name


def test_a_start_is_refused_while_another_node_has_a_shard(place: Place) -> None:
    with closing(PostgresFrontier(place, now=NOW)) as it:
        start(it, "acme")
    lose_one(place)
    before = shared().query(f"SELECT * FROM {place.schema}.node")
    with pytest.raises(FrontierLocked, match="node 2 serves 1 of its shards"):
        PostgresFrontier(place, now=NOW)
    assert shared().query(f"SELECT * FROM {place.schema}.node") == before
    shared().query(f"UPDATE {place.schema}.shard SET owner = NULL WHERE owner = 2")
    with closing(PostgresFrontier(place, now=NOW)) as it:
        start(it, "globex")
    assert runs(place) == 2
