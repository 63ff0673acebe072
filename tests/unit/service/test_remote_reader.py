"""A frontier, read through a daemon's socket."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from crawlerd.core.erasure import ErasureScope
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.reader_contract import FrontierReader
from crawlerd.operations.problem import Unknown
from crawlerd.service import remote_reader
from crawlerd.service.control import Asked

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES: dict[str, Any] = {
    "ErasureScope": ErasureScope(accounts=("a",)),
    "float": 7.5,
    "int": 7,
    "int | None": 7,
    "str": "a",
    "str | None": "a",
    "tuple[int, str] | None": (3, "ab"),
    "bool": True,
    "LetterFilter": LetterFilter(account="a"),
    "Pausable": "account",
    "Iterable[str]": ["a", "b"],
    "Sequence[str]": ["a", "b"],
    "Collection[str]": ["a", "b"],
    "Iterable[int]": [1, 2],
    "Sequence[int]": [1, 2],
    "Mapping[str, float]": {"a": 1.5},
    "Iterable[Told]": [],
    "Mapping[int, str]": {1: "sink"},
}


class _Noting:
    """A reader that notes what it is asked, and knows nothing."""

    def __init__(self, reader: FrontierReader) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        def ask(**arguments: Any) -> Any:
            self.asked.append((name, arguments))
            return getattr(self._reader, name)(**arguments)

        return ask


@pytest.mark.parametrize("name", sorted(remote_reader.METHODS))
def test_every_method_goes_over_the_socket(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same arguments, and the same answer as the files give."""
    with StateLock(tmp_path):
        frontier = open_frontier(tmp_path, now=0.0)
        reader = open_reader(tmp_path)
        assert reader is not None
        noting = _Noting(reader)

        def served(daemon: Asked, method: str, path: str, answer: Any, body: Any, **_: Any) -> Any:
            sent = msgspec.json.encode(body)
            found = remote_reader.read(noting, path.partition("/")[2], sent)  # type: ignore[arg-type]
            return msgspec.json.decode(msgspec.json.encode(found), type=answer)

        monkeypatch.setattr(remote_reader, "must_ask", served)
        parameters = list(inspect.signature(getattr(FrontierReader, name)).parameters.values())[1:]
        arguments = {each.name: EXAMPLES[each.annotation] for each in parameters}
        try:
            expected = getattr(reader, name)(**arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
            with pytest.raises(type(error)):
                getattr(remote_reader.remote_reader(Asked(tmp_path)), name)(**arguments)
        else:
            assert getattr(remote_reader.remote_reader(Asked(tmp_path)), name)(**arguments) == expected
        assert noting.asked == [(name, arguments)]
        reader.close()
        frontier.close()


def test_nothing_else_can_be_called(tmp_path: Path) -> None:
    for name in ("close", "_db", "__class__", "nothing"):
        with pytest.raises(Unknown, match="has no method"):
            remote_reader.read(None, name, b"{}")  # type: ignore[arg-type]
