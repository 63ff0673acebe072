"""What the checks of a configuration need from outside: the installed sources, other files, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.config import secrets
from crawlerd.config.facts import SourceFacts
from crawlerd.config.problems import instead
from crawlerd.core import notation
from crawlerd.core.errors import ConfigurationError
from crawlerd.files.bounded_reading import read_whole
from crawlerd.source import Source, SourceFamily

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.config.checked_rows import Account
    from crawlerd.config.csv_tables import Kind
    from crawlerd.config.load import Registry


class LocalEnvironment:
    """The environment of this process, see `crawlerd.config.facts.Environment` and `crawlerd.config.csv_tables.Files`.

    folder: where relative paths start.
    registry: finds sources.
    with_secrets: if False, all secrets are empty.
    """

    def __init__(self, folder: Path, registry: Registry, *, with_secrets: bool) -> None:
        self.sources: dict[str, Source] = {}  # those requested so far, by name
        self.descriptions: dict[str, tuple[str, dict[str, Any]]] = {}  # see `Settings`
        self.warnings: dict[str, None] = {}  # in order, without duplicates
        self.variables: set[str] = set()  # the environment variables that the configuration names
        self._printed: dict[tuple[str, ...], str | ValueError] = {}
        self._entries: dict[str, Source | SourceFamily] = {}
        self._facts: dict[str, SourceFacts] = {}
        self._registry = registry
        self._installed = registry.source_names()
        self._folder = folder
        self._with_secrets = with_secrets

    def source(self, name: str) -> SourceFacts:
        if name in self._entries:  # a hundred thousand accounts may ask
            return self._facts[name]
        if name not in self._installed:
            raise ValueError(f'there is no source "{name}"; {instead(name, self._installed)}')
        try:
            entry = self._registry.load(name)
        except ConfigurationError as error:
            raise ValueError("; ".join(error.problems)) from None
        if isinstance(entry, SourceFamily):
            self._facts[name] = SourceFacts(options=entry.options, family=True)
        else:
            self.sources[name], self._facts[name] = entry, _facts_of(entry)
        self._entries[name] = entry
        return self._facts[name]

    def described(self, name: str, options: Any) -> SourceFacts:
        source = self._made(name, options)
        if source.name not in self._facts:
            self._facts[source.name] = _facts_of(source)
        return self._facts[source.name]

    def _made(self, name: str, options: Any) -> Source:
        family = self._entries[name]
        assert isinstance(family, SourceFamily)  # noqa: S101 - the checks ask for those that `source` calls so only
        description = family.read(options, self._folder)
        known = description["name"]
        if known in self._installed:
            raise ValueError(f'its description has the name "{known}", which is the name of an installed source')
        if self.descriptions.setdefault(known, (name, description)) != (name, description):
            raise ValueError(f'another description that accounts use has the name "{known}" too; rename one')
        if known not in self.sources:
            self.sources[known] = family.make(description)
        return self.sources[known]

    def source_of(self, account: Account) -> Source:
        """The source of a checked account."""
        name = account.usual.source
        entry = self._entries[name]
        if isinstance(entry, Source):
            return entry
        return self._made(name, msgspec.convert(account.options, entry.options))

    def text(self, file: str) -> str:
        try:
            return read_whole(self._folder / file).decode("utf-8-sig")
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"is not UTF-8 text (byte {error.start})") from None

    def options(self, kind: Kind, source: object) -> type | None:
        try:
            facts = self.source(source) if isinstance(source, str) else None
        except ValueError:
            facts = None
        if facts is None:
            return None
        return facts.options if kind == "accounts" else facts.import_options

    def secret(self, place: secrets.Place, name: str) -> str:
        if place == "env":
            self.variables.add(name)
        if not self._with_secrets:
            return ""
        if place != "file":
            return secrets.resolve(place, name, self._folder)
        found, warning = secrets.of_file(name, self._folder)
        if warning:
            self.warnings[warning] = None
        return found

    def command(self, command: tuple[str, ...]) -> str:
        if not self._with_secrets:
            return ""
        if command not in self._printed:  # thousands of accounts may have the same command
            try:
                self._printed[command] = secrets.printed(command, self._folder)
            except ValueError as error:
                self._printed[command] = error
        found = self._printed[command]
        if isinstance(found, ValueError):
            raise ValueError(*found.args)
        return found


def _facts_of(source: Source) -> SourceFacts:
    """The facts of a source. Raises ValueError if its own limits are invalid."""
    try:
        for texts in (source.limits.account, source.limits.bucket, *source.limits.by_bucket.values()):
            notation.limits(texts)
    except ValueError as error:
        raise ValueError(f'the limits of the source "{source.name}" cannot be used: {error}') from None
    buckets = [kind.bucket for kind in source.kinds.values()]
    comes_of: dict[str, list[str]] = {}
    for each in source.subscriptions:
        for stream in each.streams:
            comes_of.setdefault(stream, []).append(each.stream)
    fixed = {bucket for bucket in buckets if isinstance(bucket, str)}
    return SourceFacts(
        streams=(*source.streams, *source.optional),
        base_url=source.base_url,
        needs_key=source.auth is not None and not source.key_optional,
        buckets=fixed | source.limits.by_bucket.keys() if all(isinstance(bucket, str) for bucket in buckets) else None,
        options=source.options,
        import_options=source.import_options,
        needs=source.needs,
        comes_of=comes_of,
    )
