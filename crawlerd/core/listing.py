"""The objects of a list as an API sent them: the text of each, and only those fields that a handler reads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import msgspec
from msgspec import UNSET

from crawlerd.core.jsontext import DEEPEST, bounded_list, compact, elements, is_spaced, members, nesting, usable
from crawlerd.core.lenient_json import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST_NAMES = 300  # most field names of a kind of object that are remembered: some APIs have any number of names
MOST_KINDS = 1000  # most kinds of objects that are remembered

OPEN = ord("{")

_known: dict[str, tuple[str, ...]] = {}  # the field names that were met so far, by kind of object


class JsonObject(dict[str, Any]):
    """The fields of an object, together with its JSON text. `text` is imported; it is compact and valid."""

    __slots__ = ("text",)
    text: bytes


class Objects(Sequence[bytes]):
    """The texts of a list's objects, compact, in their order.

    An element that cannot be imported is among them unchanged, and `problems` says why, by its index.

    kind: objects of the same kind mostly have the same fields. It only makes reading faster.
    """

    def __init__(
        self,
        texts: list[bytes],
        kind: str = "",
        wanted: tuple[str, ...] = (),
        problems: Mapping[int, str] | None = None,
        within: tuple[bytes, str] | None = None,
    ) -> None:
        """within: (body, name) of a body that has exactly these objects in its list of that name; with the name "", the
        body is the list."""
        self.texts, self._kind, self._wanted = texts, kind, wanted
        self._within = within
        self.problems: Mapping[int, str] = problems or {}
        self._names: tuple[str, ...] = ()
        self._shapes: list[Any] | None = None  # the objects as instances of a type with `_names` and `_wanted`; or …
        self._views: list[dict[str, Any]] | None = None  # … their fields, if they can be read

    @classmethod
    def of(cls, texts: Iterable[bytes], kind: str = "", wanted: tuple[str, ...] = ()) -> Objects:
        """Makes it from texts that were not checked."""
        kept, problems = [], {}
        for place, text in enumerate(texts):
            try:
                kept.append(usable(text))
            except ValueError as error:
                kept.append(text)
                problems[place] = str(error)
        return cls(kept, kind, wanted, problems)

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Objects: ...
    def __getitem__(self, place: int | slice) -> bytes | Objects:
        return self.texts[place] if isinstance(place, int) else self.select(range(len(self))[place])

    def select(self, places: Sequence[int]) -> Objects:
        """The objects with these indexes."""
        problems = {new: self.problems[old] for new, old in enumerate(places) if old in self.problems}
        part = Objects([self.texts[each] for each in places], self._kind, self._wanted, problems)
        part._names = self._names
        part._shapes = None if self._shapes is None else [self._shapes[each] for each in places]
        part._views = None if self._views is None else [self._views[each] for each in places]
        return part

    def column(self, name: str) -> list[Any]:
        """The value of a top-level field of each object, None if it is missing or null. name: one of `wanted`."""
        self._read()
        if self._shapes is None:
            return [each.get(name) for each in self._views or ()]
        field = f"w{self._wanted.index(name)}"
        values = list(map(attrgetter(field), self._shapes))
        return [None if each is UNSET else each for each in values] if UNSET in values else values

    def raw(self, name: str) -> list[bytes | None]:
        """The JSON text of a top-level field of each object, None if it is missing. name: not one of `wanted`."""
        self._read()
        if self._shapes is not None and self._names:
            if name not in self._names:
                return [None] * len(self)
            values = map(attrgetter(f"f{self._names.index(name)}"), self._shapes)
            return [None if each is UNSET else bytes(each) for each in values]
        return [_raw_member(text, name) for text in self.texts]

    def fields(self) -> set[str]:
        """The names of the top-level fields of all objects that can be imported."""
        self._read()
        if self._shapes is None:
            return {name for place, each in enumerate(self._views or ()) if place not in self.problems for name in each}
        found: set[str] = set()
        for prefix, names in (("w", self._wanted), ("f", self._names)):
            for field, name in zip(_attributes(prefix, names), names, strict=True):
                if self._shapes and (
                    getattr(self._shapes[0], field) is not UNSET
                    or any(value is not UNSET for value in map(attrgetter(field), self._shapes))
                ):
                    found.add(name)
        return found

    def _read(self) -> None:
        if self._shapes is None and self._views is None:
            if not self.problems:
                self._shapes = self._together()
            if self._shapes is None:
                self._views = [_view(text) for text in self.texts]

    def _together(self) -> list[Any] | None:
        """Reads all objects at once, and again when a new field is met. None when that is not possible."""
        body, at = self._within or (b"[" + b",".join(self.texts) + b"]", "")
        for _ in range(2):
            self._names = _others(_known.get(self._kind, ()), self._wanted)
            try:
                found = _reader(self._names, self._wanted, at)(body)
            except msgspec.ValidationError:
                if not self._learn():
                    return None
            else:
                return found.list if at else found  # type: ignore[no-any-return]  # the type is made at run time
        return None

    def _learn(self) -> bool:
        """Remembers the names of all fields. Returns False when there are too many, or some cannot be an attribute."""
        met = dict.fromkeys(_known.get(self._kind, ()))
        for text in self.texts:
            met.update(dict.fromkeys(_members(text)))
        if len(met) > MOST_NAMES or not all(map(_can_be_named, met)):
            return False
        if len(_known) >= MOST_KINDS:
            _known.clear()
        _known[self._kind] = tuple(met)
        return True


def _raw_member(text: bytes, name: str) -> bytes | None:
    """The JSON text of a member of an object, whatever else the object contains. text: without extra whitespace."""
    found = None
    for key, value in members(text) or ():
        with suppress(ValueError):
            if parsed(key) == name:
                found = value
    return found


def _view(text: bytes) -> dict[str, Any]:
    try:
        view = parsed(text)
    except (ValueError, RecursionError):
        return {}
    return view if isinstance(view, dict) else {}


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _can_be_named(name: str) -> bool:
    return not any(each in '"\\' or each < " " for each in name)


@lru_cache(maxsize=1000)
def _others(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in wanted)


@lru_cache(maxsize=1000)
def _attributes(prefix: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in range(len(names)))


@lru_cache(maxsize=500)
def _reader(names: tuple[str, ...], wanted: tuple[str, ...], at: str) -> Callable[[bytes], Any]:
    """A function that reads objects with no other fields than these; it raises ValidationError when one has another. So
    msgspec itself finds new fields, in a fraction of the time of looking at all names."""
    fields = dict(zip(_attributes("f", names), names, strict=True))
    fields |= zip(_attributes("w", wanted), wanted, strict=True)
    types = [(field, Any if field.startswith("w") else msgspec.Raw, UNSET) for field in fields]
    shape = msgspec.defstruct("Shape", types, rename=fields, forbid_unknown_fields=True, gc=False)
    return _list_reader(at, (), shape)


class Listing(NamedTuple):
    """A list in a response, and other members of the object that contains it."""

    objects: Objects
    also: dict[str, Any]


def listing(
    body: bytes, at: str | None, *, kind: str = "", wanted: Sequence[str] = (), also: Sequence[str] = ()
) -> Listing | None:
    """Finds the objects of a list in a JSON text. Returns None when there is no such list; raises ValueError when the
    text is not JSON.

    body: the text, in UTF-8.
    at: the member of an object that has the list; "" when the body is the list; None when it is one object.
    kind: see `Objects`.
    wanted: the fields that will be read by `Objects.column`.
    also: names of other members of the object, returned as Python values, None if they are missing.
    """
    wanted, also = tuple(wanted), tuple(also)
    if at is None:
        one = listing(b"[" + body + b"]", "", kind=kind, wanted=wanted)
        return one if one is not None and len(one.objects) == 1 and body.lstrip()[:1] == b"{" else None
    try:
        if is_spaced(body):
            body = compact(body)
        found: Any = _list_reader(at, also)(body)
        bounded_list(len(found.list if at else found))
        texts = list(map(bytes, found.list if at else found))
        if not all(map(bytes.isascii, texts)):
            for text in texts:
                text.decode()
    except (ValueError, RecursionError):
        return _odd_listing(body, at, kind, wanted, also)
    others = {name: getattr(found, each, None) for each, name in zip(_attributes("a", also), also, strict=True)}
    if {text[0] for text in texts} - {OPEN} or (
        max(map(len, texts), default=0) > 2 * DEEPEST and any(nesting(text) > DEEPEST for text in texts)
    ):
        return Listing(Objects.of(texts, kind, wanted), others)
    return Listing(Objects(texts, kind, wanted, within=(body, at)), others)


@lru_cache(maxsize=500)
def _list_reader(at: str, also: tuple[str, ...], element: type = msgspec.Raw) -> Callable[[bytes], Any]:
    if not at:
        return msgspec.json.Decoder(list[element]).decode  # type: ignore[valid-type]  # made at run time
    names = {"list": at, **dict(zip(_attributes("a", also), also, strict=True))}
    types: list[Any] = [("list", list[element]), *((each, Any, None) for each in _attributes("a", also))]  # type: ignore[valid-type]  # made at run time
    return msgspec.json.Decoder(msgspec.defstruct("Body", types, rename=names)).decode


def _odd_listing(body: bytes, at: str, kind: str, wanted: tuple[str, ...], also: tuple[str, ...]) -> Listing | None:
    """Like `listing`, for a body with invalid values, or without such a list."""
    around = {parsed(name): value for name, value in members(body) or ()} if at else {}
    texts = elements(around.get(at, b"") if at else body)
    if texts is None:
        parsed(body)
        return None
    bounded_list(len(texts))
    return Listing(Objects.of(texts, kind, wanted), {name: parsed(around.get(name, b"null")) for name in also})
