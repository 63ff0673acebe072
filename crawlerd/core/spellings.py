"""How URLs, JSON and HTML may write a credential: a pattern of all spellings, and a name for each. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_NAMED = {'"': "quot", "&": "amp", "'": "apos", "<": "lt", ">": "gt"}
_ALIKE = {"+": "[ +-]", "-": "[ +-]", "/": "[/_]", "_": "[/_]"}  # variants in base64, base64 for URLs, and forms
_ALIKE_CHARACTERS = " +-/_"
AS_IT_IS = "."


def pattern(secret: str, *, packed: bool = False) -> str:
    """A regular expression that matches all spellings of a credential. packed: it is base64, without "=" at its end."""
    return "".join(_one(char, packed=packed) for char in secret) + ("={0,2}" if packed else "")


def forms_of(secret: str, text: str, *, packed: bool = False) -> str | None:
    """A description of how `text` spells the credential, which does not reveal the credential; None when it is not a
    spelling of it. `spelled` makes the same text again, byte for byte."""
    found = _pieces(secret, packed).fullmatch(text)
    if found is None:
        return None
    special = (char for char in secret if not char.isalnum())
    *pieces, padding = found.groups()
    forms = [_form(char, piece) for char, piece in zip(special, pieces, strict=True)]
    forms += [f"={len(padding)}"] if padding else []
    return "" if all(each == AS_IT_IS for each in forms) else ",".join(forms)


def spelled(secret: str, forms: str) -> str:
    """Spells a credential as `forms_of` has described it. Raises ValueError when the description does not fit it."""
    if not forms:
        return secret
    padding = 0
    names = forms.split(",")
    if names[-1].startswith("="):
        padding = int(names.pop()[1:])
    if len(names) != sum(not char.isalnum() for char in secret):
        raise ValueError("it was another credential")
    each = iter(names)
    return "".join(char if char.isalnum() else _spelled(char, next(each)) for char in secret) + "=" * padding


@lru_cache(maxsize=1024)
def _pieces(secret: str, packed: bool) -> re.Pattern[str]:
    one = (char if char.isalnum() else f"({_one(char, packed=packed)})" for char in secret)
    return re.compile("".join(one) + ("(={0,2})" if packed else "()"))


def _one(char: str, *, packed: bool) -> str:
    """A pattern of a character as it is, and as URLs, JSON and HTML write it."""
    if char.isalnum():
        return char
    number = ord(char)
    forms = [  # the longer ones first
        f"%(?:25){{0,3}}(?i:{number:02x})",
        rf"\\{{1,8}}u00(?i:{number:02x})",
        rf"\\{{1,8}}{re.escape(char)}",
        f"&#(?:{number}|[xX](?i:{number:02x}));",
    ]
    if char in _NAMED:
        forms.append(f"&{_NAMED[char]};")
    forms.append(_ALIKE.get(char, re.escape(char)) if packed else re.escape(char))
    return f"(?:{'|'.join(forms)})"


def _form(char: str, piece: str) -> str:
    digits = f"{ord(char):02x}"
    written = piece[-len(digits) :]
    slashes = len(piece) - len(piece.lstrip("\\"))
    if piece == char:
        return AS_IT_IS
    if piece.startswith("%") and written.lower() == digits:
        return f"p{(len(piece) - len(digits) - 1) // 2}.{_capitals(written)}"
    if piece.startswith("&#") and piece[2] in "xX":
        return f"{piece[2]}{_capitals(piece[3:-1])}"
    if piece.startswith("&"):
        return "d" if piece[1] == "#" else "n"
    if piece.startswith("\\") and piece[slashes:].lower() == f"u00{digits}":
        return f"u{slashes}.{_capitals(written)}"
    if piece.startswith("\\"):
        return f"b{len(piece) - 1}"
    return f"a{_ALIKE_CHARACTERS.index(piece)}"


def _spelled(char: str, form: str) -> str:
    digits, kind = f"{ord(char):02x}", form[0]
    count, _, capitals = form[1:].partition(".")
    match kind:
        case ".":
            return char
        case "p":
            return "%" + "25" * int(count) + _capitalised(digits, capitals)
        case "u":
            return "\\" * int(count) + "u00" + _capitalised(digits, capitals)
        case "b":
            return "\\" * int(count) + char
        case "x" | "X":
            return f"&#{kind}{_capitalised(digits, count)};"
        case "d":
            return f"&#{ord(char)};"
        case "n" if char in _NAMED:
            return f"&{_NAMED[char]};"
        case "a":
            return _ALIKE_CHARACTERS[int(count)]
    raise ValueError(f"no form of a character: {form}")


def _capitals(digits: str) -> int:
    """A number whose bits say which hexadecimal digits are upper case."""
    return sum(each.isupper() << place for place, each in enumerate(digits))


def _capitalised(digits: str, capitals: str) -> str:
    which = int(capitals)
    return "".join(each.upper() if which >> place & 1 else each for place, each in enumerate(digits))
