"""Helpers of the tests of several sources."""

import math
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tasks_app.conf import Simulated
from tasks_app.sources.base import Bar, Request
from tasks_app.sources.simulated.source import SimulatedSource

TODAY = date(2024, 6, 14)  # a Friday


def make_simulated(*, sleep: Callable[[float], object] | None = None, **settings: Any) -> SimulatedSource:
    """Returns a simulated source on TODAY, with process id 7, that fails the test if it really sleeps."""
    settings = {"stocks": 12, "bars": 40, **settings}
    fake_sleep = sleep or (lambda seconds: pytest.fail(f"slept {seconds} s"))
    return SimulatedSource(
        Simulated(**settings), today=lambda market: TODAY, sleep=fake_sleep, clock=lambda: 5.25, pid=lambda: 7
    )


def make_request(code: str = "000001", market: str = "SIM", **changes: Any) -> Request:
    return Request(**{"market": market, "code": code, "start": date(2024, 1, 1), "end": TODAY, **changes})


def assert_valid(bar: Bar) -> None:
    assert type(bar) is Bar
    assert all(math.isfinite(value) for value in bar[1:] if value is not None)
    assert 0 < bar.low <= min(bar.open, bar.close)
    assert max(bar.open, bar.close) <= bar.high
    assert type(bar.volume) is int
    assert bar.volume >= 0
    if bar.amount is not None and bar.volume:
        assert bar.low <= bar.amount / bar.volume <= bar.high
