"""Converts a response in any character set to UTF-8."""

from __future__ import annotations

import codecs
import re

BOMS = (  # the longest first, since that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NO_CHARSETS = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "undefined", "mbcs", "oem")
AS_UTF_8 = ("utf-8", "ascii", "utf-8-sig")  # a body declared as ASCII with other characters is read as UTF-8

_DECLARED = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
_INVALID = "\udfff"  # never valid in UTF-8, so that a record that contains it is found and skipped


def utf8(body: bytes, content_type: str = "") -> bytes:
    """Converts a JSON text to UTF-8, without a byte-order mark.

    The charset is that of a byte-order mark, or else of the zero bytes that only UTF-16 and UTF-32 have, or else the
    declared one. Bytes that are invalid in it become bytes that are invalid in UTF-8. A body in UTF-8 is returned
    unchanged, valid or not.
    """
    for mark, name in BOMS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :], name)
    if 0 in body[:4]:
        return _decoded(body, _by_zeros(body))
    if "charset" not in content_type.lower():
        return body
    found = _DECLARED.search(content_type)
    return _decoded(body, _codec(found[1])) if found else body


def _by_zeros(body: bytes) -> str:
    """The charset by the zero bytes at the beginning, since JSON begins with an ASCII character (RFC 4627, 3)."""
    zeros = [each == 0 for each in body[:4]]
    match zeros:
        case [True, True, True, False]:
            return "utf-32-be"
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, False, *_]:
            return "utf-16-be"
        case [False, True, *_]:
            return "utf-16-le"
    return "utf-8"


def _codec(declared: str) -> str:
    """Python's name of a charset; UTF-8 for an unknown one."""
    try:
        found = codecs.lookup(declared)
    except (LookupError, ValueError):
        return "utf-8"
    return found.name if found._is_text_encoding and found.name not in NO_CHARSETS else "utf-8"


def _decoded(body: bytes, codec: str) -> bytes:
    if codec in AS_UTF_8:
        return body
    try:
        text = body.decode(codec)
    except UnicodeError:
        text = body.decode(codec, "crawlerd.invalid")
    return text.encode(errors="surrogatepass")


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - the handler is used for nothing else
    return _INVALID, error.end


codecs.register_error("crawlerd.invalid", _mark_invalid)
