"""Takes credentials out of the arguments of tasks, so that they are not stored, and puts them back. Pure.

A credential may be a part of an argument, such as a record's key or a cursor. So the same text must come back, byte for
byte, or the task fails. Each credential is replaced by a field with a hash that identifies it, and with its spelling.
Only if the whole credential was the value of a parameter in a URL may it be replaced by the account's new one.
"""

from __future__ import annotations

import re
from hashlib import pbkdf2_hmac
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import msgspec

from crawlerd.core.errors import Permanent
from crawlerd.core.spellings import forms_of, pattern, spelled

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST_HIDDEN = 8  # characters; a shorter credential is not taken out, since the text may mean something else
SHORTEST_RENEWED = 20  # characters from which the value of a parameter cannot be an id or a word
ROUNDS, TAG_BYTES = 10_000, 5  # a hash takes milliseconds, so that readers of the frontier cannot guess passwords

# A payload from which credentials were taken out begins with a space, which JSON ignores and our encoder never writes.
# So no text of an API can make us put a credential into it.
_HIDDEN = " "
_FIELD_BEGINS = "{crawlerd:"
_FIELD = re.compile(r"\{crawlerd:([^{}]*)\}")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?')  # a string in JSON; optional end, so that it never backtracks
_PARAMETER = re.compile(r"[?&][^=&?#\s]{1,100}=")
_BEFORE = 102  # characters before a credential that may be the name of a parameter


class CredentialsChanged(Permanent):
    """The arguments of a task repeated a credential that is not known any more."""

    def __init__(self) -> None:
        super().__init__(
            "the arguments of this task repeated credentials of the account, which have changed since, and were kept "
            "without them: import again, then drop this dead letter"
        )


class Credential(NamedTuple):
    """A credential to take out.

    packed: it is base64.
    place: its index among the whole credentials; -1 for a part or an encoding of one.
    """

    text: str
    packed: bool = False
    place: int = -1


class Hiding:
    """Takes the credentials of an account out of arguments, and puts them back."""

    def __init__(self, wholes: Sequence[str], parts: Sequence[str], packed: Sequence[str]) -> None:
        self._wholes = wholes
        found = [Credential(text, place=place) for place, text in enumerate(wholes)]
        found += [Credential(text) for text in parts]
        found += [Credential(text.rstrip("="), packed=True) for text in packed]
        found = [each for each in found if len(each.text) >= SHORTEST_HIDDEN]
        self._credentials = sorted(found, key=lambda each: len(each.text), reverse=True)
        patterns = [pattern(each.text, packed=each.packed) for each in self._credentials]
        self._any = re.compile("|".join(patterns)) if patterns else None
        self._taken_out = re.compile("|".join([*patterns, re.escape(_FIELD_BEGINS)]))
        self._tags: dict[str, str] = {}

    def found(self, text: str) -> bool:
        """Whether the text contains a credential that would be taken out."""
        return self._any is not None and bool(self._any.search(text))

    def hidden(self, payload: str) -> str:
        """The arguments, as JSON, with a field in place of each credential, so that they may be stored."""
        if not any(self.found(msgspec.json.decode(each, type=str)) for each in _STRING.findall(payload)):
            return payload
        return _HIDDEN + _STRING.sub(lambda each: self._without(each[0]), payload)

    def restored(self, payload: str) -> str:
        """The arguments that `hidden` was given; values of URL parameters may be the account's new credentials. Raises
        CredentialsChanged when a credential is not known any more."""
        return _STRING.sub(lambda each: self._with(each[0]), payload[len(_HIDDEN) :])

    def _without(self, string: str) -> str:
        text = msgspec.json.decode(string, type=str)
        changed = self._taken_out.sub(self._field, text)
        return string if changed == text else msgspec.json.encode(changed).decode()

    def _field(self, found: re.Match[str]) -> str:
        for each in self._credentials:
            forms = forms_of(each.text, found[0], packed=each.packed)
            if forms is not None:
                return f"{_FIELD_BEGINS}{self._tag(each.text)};{self._role(each, found)};{forms}}}"
        return f"{_FIELD_BEGINS}=}}"

    def _role(self, credential: Credential, found: re.Match[str]) -> str:
        """For a whole credential that is the value of a parameter: its index, and how many there are. Otherwise ""."""
        before, after = (
            found.string[max(0, found.start() - _BEFORE) : found.start()],
            found.string[found.end() : found.end() + 1],
        )
        at = max(before.rfind("?"), before.rfind("&"))
        whole = at >= 0 and _PARAMETER.fullmatch(before, at) and after in ("", "&", "#")
        if not whole or credential.place < 0 or len(credential.text) < SHORTEST_RENEWED:
            return ""
        return f"{credential.place}/{len(self._wholes)}"

    def _with(self, string: str) -> str:
        if _FIELD_BEGINS not in string:
            return string
        return msgspec.json.encode(_FIELD.sub(self._text, msgspec.json.decode(string, type=str))).decode()

    def _text(self, field: re.Match[str]) -> str:
        if field[1] == "=":
            return _FIELD_BEGINS
        tag, _, rest = field[1].partition(";")
        role, _, forms = rest.partition(";")
        for each in self._credentials:
            if self._tag(each.text) == tag:
                return spelled(each.text, forms)
        place, _, count = role.partition("/")
        if role and int(count) == len(self._wholes):
            return quote(self._wholes[int(place)], safe="")
        raise CredentialsChanged

    def _tag(self, text: str) -> str:
        tag = self._tags.get(text)
        if tag is None:
            tag = self._tags[text] = pbkdf2_hmac("sha256", text.encode(), b"crawlerd", ROUNDS, TAG_BYTES).hex()
        return tag


def is_hidden(payload: str) -> bool:
    """Whether credentials were taken out of the payload."""
    return payload.startswith(_HIDDEN)


def with_field(payload: str, name: str, value: object) -> str:
    """A task's arguments with one argument added or replaced. Credentials that were taken out stay out."""
    arguments = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    text = msgspec.json.encode(value).decode()
    if is_hidden(payload):
        text = text.replace(_FIELD_BEGINS, f"{_FIELD_BEGINS}=}}")
    arguments[name] = msgspec.Raw(text.encode())
    return (_HIDDEN if is_hidden(payload) else "") + msgspec.json.encode(arguments).decode()
