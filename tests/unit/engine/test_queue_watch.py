"""Whatever is wrong with a queue of other programs is its trouble, and nobody else's."""

from __future__ import annotations

import threading

import pytest

from crawlerd.core.errors import SinkError
from crawlerd.engine import queue_watch
from crawlerd.engine.queue_watch import QueueWatch


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (SinkError("locked by another program"), "locked by another program"),
        (PermissionError(13, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
        (ValueError("nobody has thought of this"), "ValueError: nobody has thought of this"),
    ],
)
def test_it_is_tried_again_until_it_can_be_used(
    problem: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue_watch, "TROUBLE_SECONDS", 0.001)
    troubles: list[str | None] = []
    enough = threading.Event()

    def look() -> float:
        troubles.append(watch.trouble)
        if len(troubles) <= 3:
            raise problem
        if len(troubles) > 5:
            enough.set()
        return 0.001

    watch = QueueWatch("inbox", look, "tasks wait")
    watch.start()
    assert enough.wait(10)
    watch.stop()
    assert troubles[:6] == [None, said, said, said, None, None]
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"], "said once"
    assert caplog.records[0].getMessage() == f"tasks wait: {said}; trying again"
    assert (caplog.records[0].exc_info is not None) == (not isinstance(problem, SinkError))
