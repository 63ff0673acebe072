"""Checks the tables of accounts and imports. Most tables differ from others in only a few values, and share one
model."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from pydantic import SecretStr, TypeAdapter

from crawlerd.config.compact_tables import unpacked
from crawlerd.config.facts import SourceFacts, decoded_options, option_names
from crawlerd.config.file import AccountTable, ImportTable, Name
from crawlerd.config.problems import Table
from crawlerd.config.references import secret
from crawlerd.core import notation
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crawlerd.config.facts import Context

REMEMBERED = 10_000  # how many values of a column, and models, are remembered
NO_OPTIONS: dict[str, Any] = {}
NO_KEY = SecretStr("")
T = TypeVar("T", bound=Table)


class Account(NamedTuple):
    """A checked account.

    usual: its settings, except for those below.
    options: the keys that its source declares.
    facts: those of its source; None if its description is wrong, which is reported elsewhere.
    """

    usual: AccountTable
    base_url: str
    api_key: SecretStr
    options: dict[str, Any]
    facts: SourceFacts | None


class Import(NamedTuple):
    """A checked import.

    usual: its settings, except for those below.
    options: the keys that the source declares as its `import_options`; None if it declares none.
    """

    usual: ImportTable
    account: str
    options: Any


class Unusual(Exception):
    """The table must be checked by a model of its own, which reports what is wrong, if anything is."""


class Remembered(dict[Any, Any]):
    """A dictionary of limited size: it is emptied when it is full, and frequent entries soon return."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) > REMEMBERED:
            self.clear()
        super().__setitem__(key, value)


@cache
def _adapter(model: type[Table]) -> TypeAdapter[Any]:
    return TypeAdapter(dict[Name, model])  # type: ignore[valid-type] # a class that is known at run time


class Models(Generic[T]):
    """Models of tables that were valid.

    A group is the source's rules and the keys of the table. Whether a value is valid depends only on the rules and on
    the value, not on other values. So a table is valid if another one of its group was valid, and each of its values
    was valid in some table. Values that differ in most tables are no part of a model, see `own`.
    """

    def __init__(self, model: type[T], own: Mapping[str, Any], options: Any) -> None:
        """own: the values that a model has in place of those that differ in most tables.
        options: what a model has in place of the options of a source.
        """
        self._adapter = _adapter(model)
        self._own = dict(own)
        self._options = options
        self._first: dict[Any, T] = {}  # by group
        self._models = Remembered()  # by group and values
        self._values = Remembered()  # by rules, column and value

    def alone(self, name: str, table: Any, context: Context) -> T:
        """The model of a single table. Raises ValidationError."""
        model: T = self._adapter.validate_python({name: table}, context=context)[name]
        return model

    def get(self, group: tuple[Any, ...], columns: tuple[str, ...], values: tuple[Any, ...]) -> T:
        """The model of a table. Raises Unusual if one of the values is new."""
        model: T | None = self._models.get((group, values))
        if model is None:
            first, known = self._first.get(group), self._values
            if first is None:
                raise Unusual
            try:
                update = {column: known[group[0], column, value] for column, value in zip(columns, values, strict=True)}
            except KeyError:
                raise Unusual from None
            model = self._models[group, values] = first.model_copy(update=update)
        return model

    def usual(self, model: T) -> T:
        """A model without the values that belong only to its table."""
        usual = model.model_copy(update=self._own)
        usual._options = self._options  # type: ignore[attr-defined] # both models have it
        return usual

    def learn(self, group: tuple[Any, ...], columns: tuple[str, ...], values: tuple[Any, ...], usual: T) -> None:
        self._first.setdefault(group, usual)
        self._models[group, values] = usual
        for column, value in zip(columns, values, strict=True):
            self._values[group[0], column, value] = getattr(usual, column)


class Plan(NamedTuple):
    """Where a packed table with certain keys has its values.

    columns, at: the keys that are part of its model, and the positions of their values.
    own: positions of the values that differ in most tables.
    options: positions of the keys that the source declares.
    """

    columns: tuple[str, ...]
    at: tuple[int, ...]
    own: dict[str, int]
    options: dict[str, int]

    def values(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values that determine its model."""
        return tuple([each if type(each := row[at]) is str else (repr(each),) for at in self.at])

    def chosen(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values that determine its options."""
        return tuple([_exact(row[at]) for at in self.options.values()])

    def given(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """The options as the table has them."""
        return {key: unpacked(row[at]) for key, at in self.options.items()}


def _plan(keys: tuple[str, ...], own: Collection[str], options: type | None) -> Plan:
    declared = option_names(options)
    at = {key: number for number, key in enumerate(keys, 2)}
    columns = tuple(key for key in keys if key not in own and key not in declared)
    return Plan(
        columns,
        tuple(at[key] for key in columns),
        own={key: at[key] for key in own if key in at and key not in declared},
        options={key: at[key] for key in declared if key in at},
    )


def _exact(value: object) -> object:
    """A key that is equal only for values that are written alike, although 1 == 1.0 == True."""
    return value if type(value) is str else (repr(value),)


def _keys(row: Any) -> tuple[str, ...]:
    """The keys of a packed table. Raises Unusual for anything else."""
    if type(row) is not tuple or not row or row[0] is not None or row[1] is None:
        raise Unusual
    keys: tuple[str, ...] = row[1]
    return keys


class AccountChecks:
    """Checks accounts, one after another."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._models = Models(AccountTable, {"base_url": "", "api_key": NO_KEY}, NO_OPTIONS)
        self._plans: dict[tuple[tuple[str, ...], str], tuple[SourceFacts, Plan]] = {}
        self._facts: dict[int, SourceFacts] = {}  # by the id of the facts, which stays theirs while they are kept here
        self._options = Remembered()  # by options, with the facts of the source that they describe
        self._secrets = Remembered()  # by reference
        self._urls = Remembered()

    def check(self, name: str, row: Any) -> Account:
        """The checked account. Raises ValidationError with everything that is wrong."""
        with suppress(ValueError, ConfigurationError, Unusual):
            return self._quick(name, row)
        table = unpacked(row)
        model = self._models.alone(name, table, self._context)
        usual, keys = self._models.usual(model), _keys(row)
        facts = self._context.facts(table)
        if facts is not None:
            self._facts[id(facts)] = facts
            _, plan = self._planned(keys, table["source"])
            self._models.learn((id(facts), keys), plan.columns, plan.values(row), usual)
        return Account(usual, model.base_url, model.api_key, model.options, facts)

    def _quick(self, name: str, row: Any) -> Account:
        """The checked account, if all its values were seen before. Otherwise, and if anything is wrong, raises
        ValueError, ConfigurationError or Unusual."""
        notation.name(name)
        keys = _keys(row)
        source = row[2 + keys.index("source")]
        facts, plan = self._planned(keys, source)
        options = NO_OPTIONS
        if facts.options is not None:
            options, facts = self._described(row, source, facts, plan)
        usual = self._models.get((id(facts), keys), plan.columns, plan.values(row))
        own = plan.own  # a table of its group was valid, so no required key is missing
        return Account(usual, self._url(row, own, facts), self._secret(row, own), options, facts)

    def _planned(self, keys: tuple[str, ...], source: str) -> tuple[SourceFacts, Plan]:
        """The facts of the entry point, and where a table has its values."""
        found = self._plans.get((keys, source))
        if found is None:
            facts = self._context.environment.source(source)
            plan = _plan(keys, ("base_url", "api_key", "token"), facts.options)
            found = self._plans[keys, source] = facts, plan
        return found

    def _described(
        self, row: tuple[Any, ...], source: str, entry: SourceFacts, plan: Plan
    ) -> tuple[dict[str, Any], SourceFacts]:
        key = (source, *plan.options, plan.chosen(row))
        found: tuple[dict[str, Any], SourceFacts] | None = self._options.get(key)
        if found is None:
            given = plan.given(row)
            assert entry.options is not None  # noqa: S101 - asked before
            decoded = decoded_options(given, entry.options, source)
            facts = self._context.described(source, decoded) if entry.family else entry
            found = self._options[key] = given, facts
        return found

    def _url(self, row: tuple[Any, ...], own: Mapping[str, int], facts: SourceFacts) -> str:
        if "base_url" not in own:
            return facts.base_url or ""
        given = row[own["base_url"]]
        if type(given) is not str:
            raise Unusual
        found: str | None = self._urls.get(given)
        if found is None:
            found = self._urls[given] = notation.base_url(given)
        return found

    def _secret(self, row: tuple[Any, ...], own: Mapping[str, int]) -> SecretStr:
        at = own.get("api_key") or own.get("token")
        if at is None:
            return NO_KEY
        key = _exact(row[at])
        found: SecretStr | None = self._secrets.get(key)
        if found is None:
            found = self._secrets[key] = secret(unpacked(row[at]), self._context.environment)
        return found


class ImportChecks:
    """Checks imports, one after another."""

    def __init__(self, context: Context, accounts: Mapping[str, Account]) -> None:
        """accounts: the valid ones."""
        self._context = context
        self._accounts = accounts
        self._models = Models(ImportTable, {"account": ""}, None)
        self._plans: dict[tuple[tuple[str, ...], int], Plan] = {}
        self._options = Remembered()
        self._names = context.table("accounts")

    def check(self, name: str, row: Any) -> Import:
        """The checked import. Raises ValidationError with everything that is wrong."""
        with suppress(ValueError, ConfigurationError, Unusual, KeyError):
            return self._quick(name, row)
        model = self._models.alone(name, unpacked(row), self._context)
        usual = self._models.usual(model)
        account = self._accounts.get(model.account)
        if account is not None and (facts := account.facts) is not None:
            keys = _keys(row)
            plan = self._planned(keys, facts)
            group = (id(facts), keys, _needs_sink(model.options))
            self._models.learn(group, plan.columns, plan.values(row), usual)
        return Import(usual, model.account, model.options)

    def _quick(self, name: str, row: Any) -> Import:
        """The checked import, if all its values were seen before. Otherwise, and if anything is wrong, raises
        ValueError, ConfigurationError, KeyError or Unusual."""
        notation.name(name)
        keys = _keys(row)
        account = row[2 + keys.index("account")]
        _, _, _, _, facts = self._accounts[account]
        if facts is None:
            raise Unusual
        plan = self._planned(keys, facts)
        options = None
        if facts.import_options is not None:
            options = self._decoded(row, account, facts, plan)
        group = (id(facts), keys, _needs_sink(options))
        return Import(self._models.get(group, plan.columns, plan.values(row)), account, options)

    def _planned(self, keys: tuple[str, ...], facts: SourceFacts) -> Plan:
        found = self._plans.get((keys, id(facts)))
        if found is None:
            found = self._plans[keys, id(facts)] = _plan(keys, ("account",), facts.import_options)
        return found

    def _decoded(self, row: tuple[Any, ...], account: str, facts: SourceFacts, plan: Plan) -> Any:
        key = (id(facts), *plan.options, plan.chosen(row))
        options = self._options.get(key)
        if options is None:
            assert facts.import_options is not None  # noqa: S101 - asked before
            options = decoded_options(plan.given(row), facts.import_options, self._accounts[account].usual.source)
            if hasattr(options, "accounts") and not all(each in self._names for each in options.accounts()):
                raise Unusual
            self._options[key] = options
        return options


def _needs_sink(options: Any) -> bool:
    return not hasattr(options, "needs_sink") or bool(options.needs_sink())
