"""What the checks of a configuration need to know: from the environment, the sources, and the rest of the document."""

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
LOOKED_UP = 20  # words that are compared with many names; no more problems of a file are shown


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks need to know about a source."""

    streams: Collection[str] = ()
    base_url: str | None = None
    needs_key: bool = True  # its requests carry credentials
    buckets: Collection[str] | None = None  # the names that `bucket_limits` may use; None if they depend on the data
    options: type | None = None  # see `Source`
    # an account's options decide which source of a family it is; until that is known, only `options` is
    family: bool = False
    import_options: type | None = None  # see `Source`
    needs: Mapping[str, Mapping[str, str]] = {}  # see `Source`
    # the streams that extensions add, each with the streams that it is made from
    comes_of: Mapping[str, list[str]] = {}


class Environment(Protocol):
    """What the checks ask the environment. A ValueError says what is wrong."""

    def source(self, name: str) -> SourceFacts: ...

    def described(self, name: str, options: Any) -> SourceFacts:
        """The facts of the source that an account's options describe, within a family. Raises ConfigurationError for
        problems in other files."""
        ...

    def secret(self, place: Place, name: str) -> str:
        """The secret itself."""
        ...

    def command(self, command: tuple[str, ...]) -> str:
        """The secret that a command prints."""
        ...


class Context:
    """The validation context: what a check needs besides the value."""

    def __init__(self, document: Mapping[str, Any], environment: Environment) -> None:
        self.document = document
        self.environment = environment
        self.current: SourceFacts | None = None  # of the account that is being checked
        self.elsewhere: dict[str, None] = {}  # problems in other files, in order, without duplicates
        self._looked_up = 0  # how many words were compared with many names

    def instead(self, word: str, names: Collection[str]) -> str:
        """See `crawlerd.config.problems.instead`. With 100,000 names it takes a quarter of a second, so it is limited
        to some words."""
        if len(names) > MANY:
            self._looked_up += 1
            if self._looked_up > LOOKED_UP:
                return f"known: {len(names)} others"
        return instead(word, names)

    def import_facts(self, table: object) -> SourceFacts | None:
        """The facts of the source of an import's account."""
        name = table.get("account") if isinstance(table, dict) else None
        return self.facts(self.table("accounts").get(name)) if isinstance(name, str) else None

    def entry(self, account: object) -> SourceFacts | None:
        """The facts of an account's entry point; None if that is wrong, which is reported elsewhere."""
        name = account.get("source") if isinstance(account, dict) else None
        try:
            return self.environment.source(name) if isinstance(name, str) else None
        except ValueError:
            return None

    def facts(self, account: object) -> SourceFacts | None:
        """The facts of an account's source; None if it is wrong."""
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
        """The additional keys that a table may have."""
        match location:
            case "accounts", str(name), *_:
                facts = self.entry(self.table("accounts").get(name))
                return option_names(facts.options) if facts else []
            case "imports", str(name), *_:
                facts = self.import_facts(self.table("imports").get(name))
                return option_names(facts.import_options) if facts else []
        return []

    def table(self, kind: str) -> Mapping[str, Any]:
        """The tables of a kind (accounts, sinks or imports) by name, whether valid or not."""
        tables = self.document.get(kind)
        return tables if isinstance(tables, Mapping) else {}


@cache  # thousands of accounts may have the same source
def option_names(options: type | None) -> list[str]:
    if options is None:
        return []
    shape = msgspec.inspect.type_info(options)
    if not isinstance(shape, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
        raise TypeError(f"a source's options must be a msgspec.Struct or a dataclass, not {options}")
    return [field.encode_name for field in shape.fields]


def split_options(table: Mapping[str, Any], options: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a table into the keys that the source declares, and the others."""
    keys = option_names(options)
    return {key: table[key] for key in keys if key in table}, {k: v for k, v in table.items() if k not in keys}


def decoded_options(given: Mapping[str, Any], options: type, source: str) -> Any:
    try:
        return msgspec.convert(given, options)
    except msgspec.ValidationError as error:
        problem = f"an option of the source {source} is wrong: {error}"
        raise ValueError(problem.replace("`", '"').replace("$.", "")) from None
