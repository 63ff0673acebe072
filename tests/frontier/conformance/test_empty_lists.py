"""Each question about many runs or accounts can be asked about none, whether or not there are any."""

from __future__ import annotations

import inspect
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from places import NOW

from crawlerd.core.task import NewTask
from crawlerd.frontier.reader_contract import FrontierReader

if TYPE_CHECKING:
    from places import Place

    from crawlerd.frontier.contract import Frontier

_EMPTY = {"Sequence": [], "Collection": [], "Iterable": [], "Mapping": {}}
_ELSE: dict[str, Any] = {"int": 1, "float": NOW, "str": "acme"}


def _about_nothing() -> dict[str, dict[str, Any]]:
    """The arguments of all methods that take several numbers or names, by method."""
    found = {}
    for name, method in inspect.getmembers(FrontierReader, inspect.isfunction):
        kinds = {key: str(each.annotation) for key, each in inspect.signature(method).parameters.items()}
        kinds.pop("self", None)
        if any(kind.split("[")[0] in _EMPTY for kind in kinds.values()):
            found[name] = {key: _EMPTY.get(kind.split("[")[0], _ELSE.get(kind)) for key, kind in kinds.items()}
    return found


@pytest.mark.parametrize("running", [False, True])
def test_questions_about_none(place: Place, frontier: Frontier, running: bool) -> None:
    if running:  # and no other run of its import has ended
        frontier.start_run("a", frontier.account("acme", "shop"), [NewTask("s", "b", 5, "{}")], full=True, now=NOW)
    asked = _about_nothing()
    assert len(asked) > 10
    with closing(place.reader()) as reader:
        for name, arguments in asked.items():
            getattr(reader, name)(**arguments)
        assert reader.status()
        assert reader.overview(10, NOW)
