"""Checks a whole configuration that was parsed from TOML and CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from pydantic import ValidationError

from crawlerd.config.checked_rows import Account, AccountChecks, Import, ImportChecks
from crawlerd.config.compact_tables import CompactTables, Packer
from crawlerd.config.facts import Context, Environment
from crawlerd.config.file import AccountTable, Config, DeadLettersTable, InboxTable, SinkTable
from crawlerd.config.problems import key_path, one_line, problem
from crawlerd.config.receivers import ReceiverTable, contradictions, wrong_deliveries, wrong_pairs
from crawlerd.config.references import PLACES
from crawlerd.config.warehouses import WarehouseTable, lacking
from crawlerd.core import notation
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.config.daemon_table import DaemonTable
    from crawlerd.config.notify_table import NotifyTable

KINDS = ("accounts", "imports")
ORDER: Mapping[int | str, int] = {key: number for number, key in enumerate(Config.model_fields)}
T = TypeVar("T", covariant=True)
# The keys that only sinks of one type have.
OF_TYPES = {
    "jsonl": {"rotate_mb", "rotate_every", "gzip", "retain_files"},
    "http": set(ReceiverTable.model_fields),
    "postgresql": set(WarehouseTable.model_fields),
}


class Checked(NamedTuple):
    """A valid configuration. Everything but the daemon and `notify` is by name."""

    daemon: DaemonTable
    accounts: dict[str, Account]
    sinks: dict[str, SinkTable]
    imports: dict[str, Import]
    dead_letters: DeadLettersTable
    inbox: InboxTable
    notify: NotifyTable | None = None


class _Checks(Protocol[T]):
    def check(self, name: str, row: Any) -> T:
        """Checks a packed table. Raises ValidationError."""
        ...


def parse(document: Mapping[str, Any], file: str, environment: Environment) -> Checked:
    """The configuration in a parsed TOML document, with every secret looked up.

    Raises ConfigurationError with all problems at once, each as `file: key: what is wrong and what to write`. No
    problem quotes a value that could be a secret.
    """
    rows = {kind: _packed(found) for kind in KINDS if isinstance(found := document.get(kind, {}), Mapping)}
    context = Context({**document, **rows}, environment)
    found = Problems(context)
    try:
        config = Config.model_validate({k: v for k, v in document.items() if k not in rows}, context=context)
    except ValidationError as error:
        found.add((), error)
    accounts = _each(AccountChecks(context), "accounts", rows, found)
    imports = _each(ImportChecks(context, accounts), "imports", rows, found)
    problems = found.texts()
    if not problems:
        checked = Checked(
            config.daemon, accounts, config.sinks, imports, config.dead_letters, config.inbox, config.notify
        )
        problems = list(_contradictions(checked))
    problems = [*(one_line(f"{file}: {each}") for each in problems), *context.elsewhere]
    if problems:
        raise ConfigurationError(problems)
    return checked


class Problems:
    """Problems as texts: for 100,000 tables, pydantic's errors would take 600 MiB."""

    def __init__(self, context: Context) -> None:
        self._own_keys = context.own_keys
        self._found: dict[int, list[str]] = {}

    def add(self, where: tuple[str, ...], error: ValidationError) -> None:
        """Adds the problems of a table.

        where: the keys of the table.
        """
        for each in error.errors(include_url=False):
            location = (*where, *each["loc"])
            text = problem({**each, "loc": location}, Config, self._own_keys)
            self._found.setdefault(ORDER.get(location[0], len(ORDER)), []).append(text)

    def texts(self) -> list[str]:
        """The problems, in the order of the tables in `Config`."""
        return [text for _, texts in sorted(self._found.items()) for text in texts]


def _packed(tables: Mapping[str, Any]) -> CompactTables:
    return tables if isinstance(tables, CompactTables) else CompactTables(Packer(), tables)


def _each(checks: _Checks[T], kind: str, rows: Mapping[str, CompactTables], problems: Problems) -> dict[str, T]:
    """The valid tables, by name.

    problems: gets what is wrong with the others.
    """
    valid: dict[str, T] = {}
    for name, row in rows[kind].packed.items() if kind in rows else ():
        try:
            valid[name] = checks.check(name, row)
        except ValidationError as error:
            problems.add((kind,), error)
    return valid


def _contradictions(config: Checked) -> Iterator[str]:
    """Problems that no single value shows."""
    daemon = config.daemon
    tokens = {"admin_token", "read_token"} & daemon.model_fields_set
    remote = daemon.listen[1] != notation.UNIX and not notation.is_loopback(daemon.listen[0])
    if remote and not daemon.allow_remote and not tokens:
        yield (
            f'daemon.listen: "{daemon.listen[0]}" can be reached from other machines: write an admin_token '
            "(`crawlerd token new` makes one); or set allow_remote = true to permit it, for metrics only"
        )
    if daemon.trusted_proxies and not tokens:
        yield (
            "daemon.trusted_proxies: requests through a proxy may come from anywhere; write an admin_token or a "
            "read_token as well (`crawlerd token new` makes one)"
        )
    for name, sink in config.sinks.items():
        for kind, keys in OF_TYPES.items():
            for key in sorted(sink.model_fields_set & keys if sink.type != kind else ()):
                yield f'{key_path(("sinks", name, key))}: is for sinks of the type "{kind}"; this one is "{sink.type}"'
        for key, what in contradictions(sink.path, sink) if sink.type == "http" else ():
            yield f"{key_path(('sinks', name, key))}: {what}"
        for key, what in lacking(sink) if sink.type == "postgresql" else ():
            yield f"{key_path(('sinks', name, key))}: {what}"
    kinds = {name: sink.type for name, sink in config.sinks.items()}
    for name, what in wrong_pairs(kinds, ((name, each.usual.sink) for name, each in config.imports.items())):
        yield f"{key_path(('imports', name, 'sink'))}: {what}"
    for name, table in ((name, each.usual) for name, each in config.imports.items()):
        for key in ("time_zone", "jitter", "catch_up"):
            if table.schedule is None and getattr(table, key) != type(table).model_fields[key].default:
                yield f"{key_path(('imports', name, key))}: is only for imports with a schedule, and this one has none"
        for stream, fields in table.fields.items() if "hash_key" not in daemon.model_fields_set else ():
            if fields.hash:
                where = key_path(("imports", name, "fields", stream, "hash"))
                yield f"{where}: needs a key, so that nobody can guess the values; write [daemon] hash_key = {PLACES}"
    for name, what in wrong_deliveries(config):
        yield f"{key_path(('imports', name, 'deliver'))}: {what}"
    found: dict[int, list[tuple[str, str]]] = {}  # by settings, which many imports share
    for name, account in config.accounts.items():
        usual = account.usual
        if id(usual) not in found:
            found[id(usual)] = list(_account_contradictions(usual, config.daemon.visibility_timeout))
        for key, what in found[id(usual)]:
            yield f"{key_path(('accounts', name, key))}: {what}"


def _account_contradictions(account: AccountTable, visibility: float) -> Iterator[tuple[str, str]]:
    """Problems of an account that no single value shows.

    visibility: seconds.
    """
    if account.request_timeout >= visibility:
        why = "or a slow request is given to a second worker"
        yield "request_timeout", f"must be shorter than daemon.visibility_timeout, {why}"
    if account.retry_base > account.retry_cap:
        yield "retry_base", "must not be longer than retry_cap"
