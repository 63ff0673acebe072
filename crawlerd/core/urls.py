"""Handles URLs byte for byte, since a server's links may be signed, or distinguish `+` from `%20`. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_UNSENDABLE = re.compile(r'[^!-~]|["<>\\]')  # characters that are invalid in the first line of a request


def target(url: str) -> str:
    """The path and query of a full URL for a request. Encodes only characters that cannot be sent. Raises ValueError
    for half a surrogate pair."""
    rest = url[_authority_end(url) :].partition("#")[0]
    rest = _UNSENDABLE.sub(lambda found: quote(found[0], safe=""), rest)
    return rest if rest.startswith("/") else f"/{rest}"


def joined(page: str, link: str) -> str:
    """The full URL of a link in the response to `page`. The text of the link itself is not changed."""
    link = link.strip().partition("#")[0]
    base = page.partition("#")[0]
    if _SCHEME.match(link):
        return link
    if link.startswith("//"):
        return base.partition("//")[0] + link
    if link.startswith("/"):
        return base[: _authority_end(base)] + link
    before, _, _ = base.partition("?")
    if link.startswith("?") or not link:
        return before + link if link else base
    path, mark, query = link.partition("?")
    end = _authority_end(before)
    return before[:end] + _resolved(f"{before[end:].rpartition('/')[0]}/{path}") + mark + query


def on_host_of(page: str, link: str) -> str:
    """The link with the scheme, host and port of `page`; unchanged when it is not an HTTP URL."""
    if not re.match("https?://", link, re.IGNORECASE):
        return link
    return page[: _authority_end(page)] + target(link)


def without(parameter: str, url: str) -> str:
    """The URL without a parameter of its query, however its name is encoded; the others are unchanged."""
    before, mark, query = url.partition("?")
    query, hash, fragment = query.partition("#")
    pairs = query.split("&")
    kept = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]) != parameter]
    if len(kept) == len(pairs):
        return url
    return before + (mark + "&".join(kept) if kept else "") + hash + fragment


def of_header(link: str) -> str:
    """Encodes a link from a header, whose bytes were read as Latin-1: percent-encodes each byte that is not ASCII."""
    return re.sub("[^\x00-\x7f]", lambda found: quote(found[0].encode("latin-1", "replace")), link)


def origin(url: str) -> str:
    """The origin scheme://host:port of a URL, without the user and a default port; "" for other URLs than HTTP."""
    ports = {"http": 80, "https": 443}
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ports or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, ports[parts.scheme]) else "")


def _resolved(path: str) -> str:
    """The path without the segments "." and ".." (RFC 3986, 5.2.4)."""
    segments = path.split("/")
    if "." not in segments and ".." not in segments:
        return path
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _authority_end(url: str) -> int:
    found = _AUTHORITY.match(url)
    return found.end() if found else 0
