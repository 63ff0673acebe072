"""The records of one stream that a task yields, serialized. A record that cannot be imported is skipped, without the
others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.jsontext import DEEPEST, is_spaced, nesting, usable
from crawlerd.core.lenient_json import encoded
from crawlerd.core.listing import JsonObject
from crawlerd.core.outcome import DEEP, Batch, Skipped
from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.core.listing import Objects
    from crawlerd.source import Record, Records

UNSERIALISABLE = "cannot be serialized"  # the reason why such a record is skipped begins with this
LARGEST = 16 << 20  # bytes of a record; the main process needs three times as much memory for it
MOST_FIELDS, LONGEST_FIELD = 2_000, 200  # most field names in a batch, and their length: a view has fewer columns
LONGEST_REASON = 300  # characters
LONGEST_KEY = 1000  # most characters that are kept of the key of a skipped record

DATA = (dict, Mapping, type(None), bytes, msgspec.Raw)  # dict first: its check is by far the fastest
USUAL: set[type] = {dict, JsonObject}

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode


class StreamRows:
    """The records of one stream, in the order in which they were yielded."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._data: list[bytes | None] = []
        self._fields: set[str] = set()
        self._checked = True  # whether all texts are known to be valid
        self._skipped: list[tuple[str, str]] = []
        self._parents: list[str] = []  # of every record, or empty when none has a parent

    @property
    def texts(self) -> Sequence[bytes | None]:
        """The JSON texts of the records that were added so far, not validated yet."""
        return self._data

    def add(self, record: Record) -> None:
        """Adds a record. It is serialized at once, since the handler may change the object; `batch` validates all texts
        together."""
        key, data = record.key, record.data
        kind: type = type(data)
        if type(key) is not str or kind not in USUAL:
            _check_types(key, data)
        try:
            if kind is dict:
                text: bytes | None = encoded(data)
                self._fields.update(data)  # type: ignore[arg-type] # a dict
                self._checked = False
            else:
                text = self._text(data)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            self._skipped.append((key, f"{UNSERIALISABLE}: {error}"))
            return
        self._keys.append(key)
        self._data.append(text)
        if record.parent or self._parents:
            self._lie_below(record.parent, 1)

    def _lie_below(self, parent: str, count: int) -> None:
        """Sets the parent of the last `count` records. Raises TypeError or ValueError when no sink could store it."""
        if not isinstance(parent, str):
            raise TypeError(f"a parent is text, not {type(parent).__name__}")
        parent.encode()
        self._parents += [""] * (len(self._keys) - len(self._parents) - count) + [parent] * count

    def _text(self, data: Mapping[str, Any] | msgspec.Raw | bytes | None) -> bytes | None:
        if data is None:
            return None
        if isinstance(data, JsonObject):
            self._fields.update(data)
            return data.text
        if isinstance(data, bytes | msgspec.Raw):
            text = usable(bytes(data))
            self._fields.update(_members(text))
            return text
        text = encoded(data)
        self._fields.update(data)
        self._checked = False
        return text

    def add_all(self, records: Records) -> None:
        keys, objects = records.keys, records.objects
        if len(keys) != len(objects):
            raise ValueError(f"Records with {len(keys)} keys for {len(objects)} objects")
        if objects.problems or not _are_keys(keys):
            keys, objects = self._set_aside(records)
        if objects:
            self._keys.extend(keys)  # type: ignore[arg-type] # records with other keys were skipped
            self._data.extend(objects.texts)
            self._fields |= objects.fields()
            if records.parent or self._parents:
                self._lie_below(records.parent, len(objects))

    def _set_aside(self, records: Records) -> tuple[Sequence[object], Objects]:
        """Skips the records that have no key or cannot be imported. Returns the keys and objects of the others."""
        odd = {place: f"{UNSERIALISABLE}: {problem}" for place, problem in records.objects.problems.items()}
        for place, key in enumerate(records.keys):
            if not _are_keys([key]):
                odd.setdefault(place, f"has no key but {_shown(key)}")
            if place in odd:
                name = key if isinstance(key, str) and key else f"{records.place} #{place}"
                self._skipped.append((name, odd[place]))
        left = [place for place in range(len(records.objects)) if place not in odd]
        return [records.keys[place] for place in left], records.objects.select(left)

    def batch(self, stream: str, skipped: list[Skipped]) -> Batch:
        """The records that can be imported. Appends the others to `skipped`."""
        texts = list(filter(None, self._data))
        sizes = list(map(len, texts))
        longest = max(sizes, default=0)
        if not self._are_good(texts, longest):
            self._keep_good()
            return self.batch(stream, skipped)
        skipped.extend(skip(stream, key, reason) for key, reason in self._skipped)
        deep: list[int] = []
        if longest > LARGEST:
            skipped.extend(self._set_large_aside(stream))
            texts = list(filter(None, self._data))
            sizes = list(map(len, texts))
        if longest > 2 * DEEP:
            deep = [place for place, text in enumerate(self._data) if text and nesting(text, DEEP) > DEEP]
        return Batch(stream, len(self._data), self._keys, self._data, self._names(), deep, sum(sizes), self._parents)

    def _set_large_aside(self, stream: str) -> Iterator[Skipped]:
        """Removes and yields the records that are too large for the main process."""
        large = {place for place, text in enumerate(self._data) if text and len(text) > LARGEST}
        for place in sorted(large):
            mb = len(self._data[place] or b"") / (1 << 20)
            yield skip(stream, self._keys[place], f"it has {mb:.1f} MB; at most {LARGEST >> 20} MB can be imported")
        self._keys = [key for place, key in enumerate(self._keys) if place not in large]
        self._parents = [parent for place, parent in enumerate(self._parents) if place not in large]
        self._data = [text for place, text in enumerate(self._data) if place not in large]

    def _names(self) -> list[str]:
        """The names of the fields, as many as a sink can use."""
        names = {*map(str, self._fields)}
        if len(names) > MOST_FIELDS:
            names = {name for name in names if len(name) <= LONGEST_FIELD}
        return sorted(names)[:MOST_FIELDS]

    def _are_good(self, texts: list[bytes], longest: int) -> bool:
        """Whether all texts are valid. A text that was serialized here may contain a msgspec.Raw, and so anything, and
        may be nested too deeply."""
        try:
            "".join(self._keys).encode()
            if self._checked:
                return True
            joined = b"[" + b",".join(texts) + b"]"
            joined.decode()
            good = len(_elements(joined)) == len(texts) and not is_spaced(joined)
        except (ValueError, RecursionError):
            return False
        return good and (longest <= 2 * DEEPEST or not any(nesting(text) > DEEPEST for text in texts))

    def _keep_good(self) -> None:
        """Validates each record by itself, and skips the invalid ones."""
        parents = self._parents or [""] * len(self._keys)
        records = list(zip(self._keys, self._data, parents, strict=True))
        below = bool(self._parents)
        self._keys, self._data, self._parents, self._fields, self._checked = [], [], [], set(), True
        for key, text, parent in records:
            try:
                key.encode()
                if text is not None:
                    text = usable(text)
                    self._fields.update(_members(text))
            except ValueError as error:
                self._skipped.append((key, f"{UNSERIALISABLE}: {error}"))
            else:
                self._keys.append(key)
                self._data.append(text)
                if below:
                    self._parents.append(parent)


def _check_types(key: object, data: object) -> None:
    """Raises TypeError when no sink could store this key or data: untyped handlers may yield anything."""
    if not isinstance(key, str) or not isinstance(data, DATA):
        kinds = type(key).__name__, type(data).__name__
        raise TypeError(f"a Record's key is text and its data a mapping, JSON as bytes, or None, not {kinds}")


def _are_keys(keys: Sequence[object]) -> bool:
    """Whether all keys are text, and none is empty."""
    try:
        return all(keys) and bool("".join(keys).encode())  # type: ignore[arg-type] # other types raise TypeError
    except (TypeError, UnicodeEncodeError):
        return not keys


def _shown(key: object) -> str:
    return "null" if key is None else cut(repr(key), 80)


def skip(stream: str, key: str, reason: str) -> Skipped:
    """A skipped record, with its key and reason shortened, and characters escaped that are not valid in UTF-8."""
    kept = str(key)[:LONGEST_KEY].encode(errors="backslashreplace").decode()[:LONGEST_KEY]
    return Skipped(stream, kept, shortened(reason))


def shortened(text: str) -> str:
    """A reason, shortened for a report."""
    return cut(text, LONGEST_REASON)
