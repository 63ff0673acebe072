"""Arguments of tasks without the credentials that they repeat, and with them again. Pure.

A credential may be a mere word of an argument: part of a record's key, say, or of a cursor. So what comes back is the
same text, byte for byte, or nothing does: each field says by a hash which credential it stands for, and how that was
spelled. Only where the whole credential was the value of a parameter in a URL is another one as good.
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

SHORTEST_HIDDEN = 8  # characters of one that is taken out of arguments: a shorter one may mean something else
SHORTEST_RENEWED = 20  # of one that cannot be an id or a word, where it is the value of a parameter
ROUNDS, TAG_BYTES = 10_000, 5  # a tag takes milliseconds: who reads the frontier shall not guess passwords by it

# A payload that has had credentials taken out begins with a space, which JSON ignores and our encoder never writes; so
# nothing that an API says can make us put one in.
_HIDDEN = " "
_FIELD_BEGINS = "{crawlerd:"
_FIELD = re.compile(r"\{crawlerd:([^{}]*)\}")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?')  # in JSON; with an end, which a pattern need not look for
_PARAMETER = re.compile(r"[?&][^=&?#\s]{1,100}=")
_BEFORE = 102  # characters that may be such a parameter


class CredentialsChanged(Permanent):
    """Arguments repeated a credential that is not at hand."""

    def __init__(self) -> None:
        super().__init__(
            "the arguments of this task repeated credentials of the account, which have changed since, and were kept "
            "without them: import again, then drop this dead letter"
        )


class Credential(NamedTuple):
    """
    packed: it is base64.
    place: among the whole credentials; -1 for what was made of one.
    """

    text: str
    packed: bool = False
    place: int = -1


class Hiding:
    """The credentials of an account, to be taken out of arguments and put back."""

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
        """Whether one that would be taken out is in it."""
        return self._any is not None and bool(self._any.search(text))

    def hidden(self, payload: str) -> str:
        """JSON of arguments that may be kept: in its texts, a field in the place of each credential."""
        if not any(self.found(msgspec.json.decode(each, type=str)) for each in _STRING.findall(payload)):
            return payload
        return _HIDDEN + _STRING.sub(lambda each: self._without(each[0]), payload)

    def restored(self, payload: str) -> str:
        """What `hidden` was given, or that with other credentials as values of a URL's parameters. CredentialsChanged
        when it cannot be known."""
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
        """The place of a whole credential that is the value of a parameter, among how many; "" otherwise."""
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
    """Whether credentials were taken out of it."""
    return payload.startswith(_HIDDEN)


def with_field(payload: str, name: str, value: object) -> str:
    """A task's arguments with one more, or another; hidden ones stay hidden."""
    arguments = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    text = msgspec.json.encode(value).decode()
    if is_hidden(payload):
        text = text.replace(_FIELD_BEGINS, f"{_FIELD_BEGINS}=}}")
    arguments[name] = msgspec.Raw(text.encode())
    return (_HIDDEN if is_hidden(payload) else "") + msgspec.json.encode(arguments).decode()
