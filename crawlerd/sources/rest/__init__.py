"""REST sources that a TOML file describes: `source = "rest"`, `description = "sources/github.toml"`.

description, values, schema: every key of the file; its values; a JSON schema for editors.
endpoints: makes a Source from the file.
account_question: a request that tests whether an account works.
expressions, texts: JMESPath and templates; texts with variables.
authentication, sending: how the key is sent; what each request of an account is sent with.
asking: the request for a page.
pages: one page: its request, its records, and what follows.
answers: the content of a response; its errors.
records, exact: the records in it, their keys and times; their text as the API wrote it.
paginators: how lists are paged: by cursor, link, page number or offset.
reading: what follows a page.
numbered_pages: the same if pages or records are counted, while the list changes.
counting_urls: URLs of next pages that contain a count.
page_overlap: how a page is joined to the ones before it; a list that has moved.
twice: reads pages twice that cannot overlap.
incremental, times: how far a stream has been read; times as APIs write them.
comparing: records that a run has not found: whether they are deleted, or were only missed.
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
    """The options of an account.

    description: path of the TOML file.
    variables: the values of its fields {variables.NAME}.
    """

    description: str
    variables: dict[str, str] = {}


def describe(options: Options, folder: Path) -> dict[str, Any]:
    """The document that an account's options name. Raises ConfigurationError with everything that is wrong in it, and
    ValueError for the account's variables."""
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
            raise ValueError(f'variables: {options.description} needs variables = {{ {name} = "…" }}')
    for name in options.variables:
        if name not in declared:
            raise ValueError(f'variables: {options.description} has no variable "{name}"; {instead(name, declared)}')
    return document


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int) -> dict[str, Any]:
    """Reads a document. Cached, since many accounts share a description."""
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
    """The source for a document that `describe` has checked."""
    from crawlerd.sources.rest.endpoints import make

    return make(document)


rest = SourceFamily(options=Options, read=describe, make=make)
