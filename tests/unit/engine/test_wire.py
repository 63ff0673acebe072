"""Frames on a stream: whatever pieces the bytes arrive in, the same messages come out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import Complete, Crash, Defer, Result, Retry
from crawlerd.core.task import LeaseBatch, Task
from crawlerd.engine.wire import HEADER, Done, Frames, Ping, Pong, Setup, Work, frame, from_worker, to_worker

TASKS = st.builds(Task, *[st.integers(0, 2**60)] * 4, st.text(), st.just(3), st.text(), st.integers(0, 2))
MESSAGES = st.lists(
    st.one_of(
        st.just(Ping()),
        st.builds(Setup, st.dictionaries(st.text(), st.text()), st.integers(1, 99)),
        st.builds(
            Work,
            st.lists(st.builds(LeaseBatch, st.integers(0, 2**60), st.text(), st.lists(TASKS))),
            st.lists(st.builds(lambda name: AccountSpec(name=name, source="s"), st.text())),
        ),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(messages=MESSAGES, data=st.data())
def test_messages_survive_any_chunking(messages: list[Setup | Work | Ping], data: st.DataObject) -> None:
    stream = b"".join(frame(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    frames = Frames()
    bodies = [
        body
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for body in frames.feed(stream[start:end])
    ]
    assert [to_worker.decode(body) for body in bodies] == messages


@given(bodies=st.lists(st.binary(max_size=300), max_size=5))
def test_a_body_comes_out_with_its_last_byte_and_not_before(bodies: list[bytes]) -> None:
    frames = Frames()
    for body in bodies:  # an empty one too
        stream = HEADER.pack(len(body)) + body
        assert [frames.feed(stream[i : i + 1]) for i in range(len(stream))] == [[]] * (len(stream) - 1) + [[body]]


def test_results_reach_the_main_process_as_they_were() -> None:
    results = [
        Result(1, Complete(), 1.5, 2.5),
        Result(2, Retry(1.0, "reset")),
        Result(3, Defer("slow", 7.0, "account")),
    ]
    frames = Frames()
    first, second = frames.feed(frame(Done(results)) + frame(Pong()))
    assert from_worker.decode(first) == Done(results)
    assert from_worker.decode(second) == Pong()


def test_what_no_peer_sends_is_refused_and_not_guessed_at() -> None:
    for message in (Work([]), Ping()):
        with pytest.raises(msgspec.ValidationError):
            from_worker.decode(frame(message)[HEADER.size :])
    with pytest.raises(msgspec.ValidationError):
        to_worker.decode(frame(Done([Result(1, Crash("died"))]))[HEADER.size :])
