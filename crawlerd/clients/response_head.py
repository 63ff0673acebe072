"""Parses the header lines of an HTTP response. Python uses its parser of e-mail, which took a twentieth of the CPU time
of a page."""

from __future__ import annotations

import email.parser
import http.client
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_USUAL = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)\r?\n")


class Reply(http.client.HTTPResponse):
    """A response of `http.client` that parses header lines faster."""

    def begin(self) -> None:
        me: Any = self  # typeshed does not declare the private attributes
        if me.headers is not None:
            return
        while True:
            version, status, reason = me._read_status()
            if status != http.client.CONTINUE:
                break
            http.client._read_headers(me.fp)  # type: ignore[attr-defined]  # private: there is no other way to the head
        if not version.startswith("HTTP/1.") and version != "HTTP/0.9":
            raise http.client.UnknownProtocol(version)
        me.version = 10 if version in ("HTTP/1.0", "HTTP/0.9") else 11
        me.code = me.status = status
        me.reason = reason.strip()
        me.headers = me.msg = header_lines(http.client._read_headers(me.fp))  # type: ignore[attr-defined]  # private: there is no other way to the head
        me.chunked = me.headers.get("transfer-encoding", "").lower() == "chunked"
        if me.chunked:
            me.chunk_left = None
        me.will_close = me._check_close()
        me.length = None if me.chunked else _length(me.headers.get("content-length", ""))
        if status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or status < 200 or me._method == "HEAD":
            me.length = 0
        if not me.chunked and me.length is None:
            me.will_close = True


def header_lines(lines: Sequence[bytes]) -> http.client.HTTPMessage:
    """Parses header lines; the last one is empty. Uses Python's parser of e-mail if a line has an unusual form."""
    found = [_USUAL.fullmatch(line) for line in lines[:-1]]
    if not all(found) or lines[-1] not in (b"\r\n", b"\n"):
        text = b"".join(lines).decode("latin-1")
        return email.parser.Parser(_class=http.client.HTTPMessage).parsestr(text)
    message = http.client.HTTPMessage()
    for each in found:
        if each:
            message.set_raw(each[1].decode(), each[2].decode("latin-1"))
    return message


def _length(text: str) -> int | None:
    try:
        length = int(text)
    except ValueError:
        return None
    return length if length >= 0 else None
