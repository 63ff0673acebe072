"""REST sources that a TOML file describes: `source = "rest"`, `description = "sources/github.toml"`.

description, values, schema: every key of the file; its values; a JSON schema for editors.
endpoints: from the file to a Source.
account_question: one request that shows whether an account works.
expressions, texts: JMESPath and templates; texts with variables.
authentication, sending: how the key is sent; what each request of an account is sent with.
asking: what a page is asked with.
pages: one page: request, records, what follows.
answers: what a response holds; its errors.
records, exact: the records in it, their keys and times; their text as the API wrote it.
paginators: how lists are paged: cursor, link, page number, offset.
reading: what follows a page.
numbered_pages: what follows it where pages or records are counted, while the list changes.
counting_urls: URLs of next pages that count.
page_overlap: how a page is joined to those before it; a list that has moved.
twice: pages that cannot overlap are read twice.
incremental, times: how far a stream has come; times as APIs write them.
comparing: what a run has not found: gone, or only missed.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.config.problems import instead
from crawlerd.core.errors import ConfigurationError
from crawlerd.files.bounded_reading import read_whole
from crawlerd.files.owners import reading_failure
from crawlerd.source import Source, SourceFamily

if TYPE_CHECKING:
    from pathlib import Path


class Options(msgspec.Struct, frozen=True):
    """
    description: path of the TOML file.
    variables: what its fields {variables.NAME} stand for.
    """

    description: str
    variables: dict[str, str] = {}


def describe(options: Options, folder: Path) -> dict[str, Any]:
    """The document that an account's options name. ConfigurationError with all that is wrong in it; ValueError with
    what is wrong in the account's variables."""
    path = folder / options.description
    try:
        facts = path.stat()
        document = _read(path, facts.st_mtime_ns, facts.st_size)
    except OSError as error:
        raise ValueError(f"description: {path} {reading_failure(path, error)}") from None
    except ValueError as error:  # a null byte
        raise ValueError(f"description: {error}") from None
    declared = document.get("variables", [])
    for name in declared:
        if not options.variables.get(name):
            raise ValueError(f'variables: {options.description} wants variables = {{ {name} = "…" }}')
    for name in options.variables:
        if name not in declared:
            raise ValueError(f'variables: "{name}" is not one of {options.description}; {instead(name, declared)}')
    return document


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int) -> dict[str, Any]:
    """Many accounts share a description."""
    from crawlerd.sources.rest.description import read

    try:
        document = tomllib.loads(read_whole(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: is not UTF-8 text (byte {error.start})"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError([f"{path}: is not valid TOML: {error}"]) from None
    read(document, str(path))
    return document


def make(document: dict[str, Any]) -> Source:
    """The source that a document describes which `describe` has checked."""
    from crawlerd.sources.rest.endpoints import make

    return make(document)


rest = SourceFamily(options=Options, read=describe, make=make)
