"""What the checks of a configuration ask: of the environment, of the sources, and of the document around a value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from crawlerd.config.problems import instead
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from crawlerd.config.problems import Location
    from crawlerd.config.secrets import Place

MANY = 1000  # names
LOOKED_UP = 20  # words, for as many problems of a file are shown


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks need to know of a source."""

    streams: Collection[str] = ()
    base_url: str | None = None
    needs_key: bool = True  # its requests carry credentials
    buckets: Collection[str] | None = None  # the names that `bucket_limits` may use; None when they depend on the data
    options: type | None = None  # see `Source`
    family: bool = False  # an account's options say which source of a family; until then, only `options` is known
    import_options: type | None = None  # see `Source`
    needs: Mapping[str, Mapping[str, str]] = {}  # see `Source`
    comes_of: Mapping[str, list[str]] = {}  # the streams that extensions add, with those that they are made of


class Environment(Protocol):
    """What the checks ask of the environment; a ValueError says in plain words what is wrong."""

    def source(self, name: str) -> SourceFacts: ...

    def described(self, name: str, options: Any) -> SourceFacts:
        """Of the family's source that an account's options describe. Raises ConfigurationError with problems that are
        in other files."""
        ...

    def secret(self, place: Place, name: str) -> str:
        """The secret itself."""
        ...

    def command(self, command: tuple[str, ...]) -> str:
        """The secret that a command prints."""
        ...


class Context:
    """The validation context: what a check looks at besides its own value."""

    def __init__(self, document: Mapping[str, Any], environment: Environment) -> None:
        self.document = document
        self.environment = environment
        self.current: SourceFacts | None = None  # of the account that is being checked
        self.elsewhere: dict[str, None] = {}  # problems in other files, in order, none twice
        self._looked_up = 0  # words among many names

    def instead(self, word: str, names: Collection[str]) -> str:
        """See `crawlerd.config.problems.instead`. Of 100,000 names it takes a quarter of a second, so not for all of
        100,000 words."""
        if len(names) > MANY:
            self._looked_up += 1
            if self._looked_up > LOOKED_UP:
                return f"known: {len(names)} others"
        return instead(word, names)

    def import_facts(self, table: object) -> SourceFacts | None:
        """Of the source of an import table's account."""
        name = table.get("account") if isinstance(table, dict) else None
        return self.facts(self.table("accounts").get(name)) if isinstance(name, str) else None

    def entry(self, account: object) -> SourceFacts | None:
        """Of an account table's entry point; None when that is wrong, which is reported where it stands."""
        name = account.get("source") if isinstance(account, dict) else None
        try:
            return self.environment.source(name) if isinstance(name, str) else None
        except ValueError:
            return None

    def facts(self, account: object) -> SourceFacts | None:
        """Of an account table's source; None when that is wrong."""
        facts = self.entry(account)
        if facts is None or not facts.family or facts.options is None or not isinstance(account, dict):
            return facts
        try:
            name, (options, _) = account["source"], split_options(account, facts.options)
            return self.described(name, decoded_options(options, facts.options, name))
        except (ValueError, ConfigurationError):
            return None

    def described(self, name: str, options: Any) -> SourceFacts:
        try:
            return self.environment.described(name, options)
        except ValueError as error:
            raise ValueError(f"an option of the source {name} is wrong: {error}") from None

    def own_keys(self, location: Location) -> list[str]:
        """The keys that a table may have in addition to the usual ones."""
        match location:
            case "accounts", str(name), *_:
                facts = self.entry(self.table("accounts").get(name))
                return option_names(facts.options) if facts else []
            case "imports", str(name), *_:
                facts = self.import_facts(self.table("imports").get(name))
                return option_names(facts.import_options) if facts else []
        return []

    def table(self, kind: str) -> Mapping[str, Any]:
        """The tables of a kind by name, valid or not: accounts, sinks or imports."""
        tables = self.document.get(kind)
        return tables if isinstance(tables, Mapping) else {}


@cache  # thousands of accounts may be of one source
def option_names(options: type | None) -> list[str]:
    if options is None:
        return []
    shape = msgspec.inspect.type_info(options)
    if not isinstance(shape, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
        raise TypeError(f"a source's options must be a msgspec.Struct or a dataclass, not {options}")
    return [field.encode_name for field in shape.fields]


def split_options(table: Mapping[str, Any], options: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """A table's keys that the source declares, and the others."""
    keys = option_names(options)
    return {key: table[key] for key in keys if key in table}, {k: v for k, v in table.items() if k not in keys}


def decoded_options(given: Mapping[str, Any], options: type, source: str) -> Any:
    try:
        return msgspec.convert(given, options)
    except msgspec.ValidationError as error:
        problem = f"an option of the source {source} is wrong: {error}"
        raise ValueError(problem.replace("`", '"').replace("$.", "")) from None
