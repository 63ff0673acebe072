"""When starts fit into a used quota: compared with the window that grants them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawlerd.ratelimit.quota import KEPT, DurableWindows
from crawlerd.ratelimit.quota_ahead import seconds_until

HOUR = 3600
NOW = 1_000_000.0


class Rows:
    """Charges in memory."""

    def __init__(self, charges: list[tuple[float, int]]) -> None:
        self.rows = sorted(charges)

    def charged(self, key: str, since: float) -> list[tuple[float, int]]:
        return [(at, count) for at, count in self.rows if at > since]

    def charge(self, key: str, at: float, count: int) -> None:
        self.rows = sorted([*self.rows, (at, count)])

    def forget(self, key: str, before: float) -> None:
        pass

    def keys(self, beginning: str) -> list[str]:
        return []


@given(
    st.lists(st.tuples(st.integers(0, int(HOUR * KEPT) - 1), st.integers(1, 4)), max_size=6),
    st.integers(1, 8),
    st.integers(1, 30),
)
def test_the_last_start_fits_when_the_window_grants_it(ages: list[tuple[int, int]], amount: int, starts: int) -> None:
    charges = sorted((NOW - age, count) for age, count in ages)
    windows = DurableWindows(Rows(charges))
    windows.now = NOW
    for _ in range(starts):
        windows.now = max(windows.now, windows.free_at("key", amount, HOUR, 1))
        while not windows.acquire_entry("key", amount, HOUR):
            windows.now += 1e-6  # a window ends after its last moment
    found = seconds_until(charges, amount, HOUR, starts, NOW)
    assert abs(found - (windows.now - NOW)) < 0.01


def test_without_starts_or_charges_nothing_is_waited_for() -> None:
    assert seconds_until([], 5, HOUR, 0, NOW) == 0
    assert seconds_until([], 5, HOUR, 5, NOW) == 0
    assert seconds_until([], 5, HOUR, 6, NOW) == HOUR * KEPT
