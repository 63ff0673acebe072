"""Finds imports that write the same table although only some of them drop or hash fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.config.problems import key_path
from crawlerd.core.private_fields import ANY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.core.configuration import AccountSpec, ImportSpec, SinkSpec

MOST = 20  # warnings
Rules = frozenset[str]  # paths that are dropped or hashed


def exposed(
    imports: Mapping[str, ImportSpec], accounts: Mapping[str, AccountSpec], sinks: Mapping[str, SinkSpec]
) -> Iterator[str]:
    """A warning for each import and stream that writes fields which another import leaves out of the same table; only
    the first ones."""
    if not any(spec.fields for spec in imports.values()):
        return
    strictest: dict[tuple[str, str, str], tuple[str, Rules]] = {}
    for spec in imports.values():
        for table, rules in _tables(spec, accounts, sinks) if spec.fields else ():
            known = strictest.get(table)
            if rules and (known is None or rules - known[1]):
                strictest[table] = spec.name, rules
    told = 0
    for spec in imports.values():
        for table, rules in _tables(spec, accounts, sinks):
            if (found := strictest.get(table)) and (missing := found[1] - rules):
                stream, paths = table[2], ", ".join(sorted(missing))
                yield (
                    f"{key_path(('imports', spec.name))}: writes {stream} to the same table as "
                    f"{key_path(('imports', found[0]))}, and does not drop or hash {paths} as that one does: give it "
                    "the same `fields`, or a sink of its own"
                )
                told += 1
                if told == MOST:
                    return


def _tables(
    spec: ImportSpec, accounts: Mapping[str, AccountSpec], sinks: Mapping[str, SinkSpec]
) -> Iterator[tuple[tuple[str, str, str], Rules]]:
    """What an import writes: database, source and stream, with its rules for that."""
    if spec.sink is None or spec.sink not in sinks:
        return
    database, source = str(sinks[spec.sink].database), accounts[spec.account].source
    for stream in spec.streams:
        rules = [each for name in (ANY, stream) if (each := spec.fields.get(name))]
        yield (database, source, stream), frozenset(path for each in rules for path in (*each.drop, *each.hash))
