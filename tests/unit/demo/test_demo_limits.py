"""What a server's limit admits: the local API and the simulations of limits stand on it."""

from __future__ import annotations

import random

import pytest

from crawlerd.demo.limits import AtOnce, AtRandom, FixedWindow, Limit, MovingWindow, TokenBucket


def admitted(limit: Limit, *times: float) -> list[float]:
    return [at for at in times if limit.admit(at)]


def test_a_bucket_fills_at_its_rate_up_to_its_burst() -> None:
    bucket = TokenBucket(2, burst=2)
    assert admitted(bucket, 0.0, 0.1, 0.2, 0.5, 0.6, 9.0, 9.0, 9.0) == [0.0, 0.1, 0.5, 9.0, 9.0]


def test_a_bucket_takes_what_a_request_costs_and_changes_its_rate_from_now_on() -> None:
    bucket = TokenBucket(1, burst=4, cost=2)
    assert admitted(bucket, 0.0, 0.0, 1.0) == [0.0, 0.0]
    bucket.change(1.0, 10)
    assert admitted(bucket, 1.05, 1.1) == [1.1]


def test_a_moving_window_frees_a_place_exactly_one_span_later() -> None:
    window = MovingWindow(2, seconds=10)
    assert admitted(window, 0.0, 5.0, 9.9, 10.0, 14.9, 15.0) == [0.0, 5.0, 10.0, 15.0]
    assert window.most == 2


def test_a_moving_window_without_a_limit_only_counts() -> None:
    window = MovingWindow()
    assert admitted(window, 0.0, 0.1, 0.2, 1.15) == [0.0, 0.1, 0.2, 1.15]
    assert window.most == 3


def test_a_fixed_window_begins_anywhere_and_admits_twice_its_limit_around_its_edge() -> None:
    window = FixedWindow(2, phase=0.25)
    assert admitted(window, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.75) == [0.5, 0.6, 0.75, 0.8, 1.75]


def test_requests_at_once_are_those_not_released() -> None:
    limit = AtOnce(1)
    assert admitted(limit, 0.0, 0.1) == [0.0]
    limit.release()
    assert admitted(limit, 0.2) == [0.2]


def test_what_is_refused_at_random_takes_no_place_of_the_limit_behind() -> None:
    limit = AtRandom(lambda now: float(now < 1), random.Random(1), AtOnce(1))
    assert admitted(limit, 0.0, 0.5, 1.0, 1.5) == [1.0]
    limit.release()
    assert admitted(limit, 2.0) == [2.0]
    assert admitted(AtRandom(lambda _: 0.0, random.Random(1)), 0.0, 0.0) == [0.0, 0.0]


def test_only_a_rate_changes() -> None:
    with pytest.raises(TypeError, match="AtOnce"):
        AtRandom(lambda _: 0.0, random.Random(1), AtOnce(1)).change(0.0, 5)
