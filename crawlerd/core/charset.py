"""The character set of a response: whatever it is, what is read of it is UTF-8."""

from __future__ import annotations

import codecs
import re

BOMS = (  # the longest first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NO_CHARSETS = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "undefined", "mbcs", "oem")
AS_UTF_8 = ("utf-8", "ascii", "utf-8-sig")  # what says ASCII and is not is UTF-8

_DECLARED = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
_INVALID = "\udfff"  # no UTF-8 has it, so that whatever holds it is found and set aside


def utf8(body: bytes, content_type: str = "") -> bytes:
    """A JSON text in UTF-8, without a byte-order mark.

    A byte-order mark counts most, then the zero bytes that only UTF-16 and UTF-32 have, then the declared charset.
    What is not valid in it becomes bytes that are no UTF-8; a body in UTF-8 stays as it is, valid or not.
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
    """JSON begins with an ASCII character (RFC 4627, 3)."""
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
    """Python's name of a charset; UTF-8 for one that it does not know."""
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
