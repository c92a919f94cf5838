"""HTTP requests of vendors' clients: when each takes a permit of the source's limits."""

import pytest

from tasks_app.sources import permits
from tasks_app.sources.http_calls import call_scope
from tasks_app.sources.permits import granting_permits, take_permit


@pytest.mark.parametrize(("fresh_seconds", "count"), [(60.0, 2), (-1.0, 3)], ids=["in time", "late"])
def test_first_request_takes_a_permit_only_when_it_is_late(monkeypatch, fresh_seconds, count):
    """A client that had to be imported first sends it after its permitted time."""
    monkeypatch.setattr(permits, "FRESH_SECONDS", fresh_seconds)
    taken = []
    with granting_permits(taken.append), call_scope(60.0) as scope:
        for _ in range(3):
            scope.begin_request(None)
    assert len(taken) == count


def test_permit_that_a_source_takes_is_used_once():
    taken = []
    with granting_permits(taken.append):
        with call_scope(60.0) as scope:
            scope.begin_request(None)
        take_permit()
        for _ in range(2):
            with call_scope(60.0) as scope:
                scope.begin_request(None)
    assert len(taken) == 2, "one by the source, one by the last request"


def test_request_outside_the_engine_takes_no_permit(monkeypatch):
    monkeypatch.setattr(permits, "FRESH_SECONDS", -1.0)
    with call_scope(60.0) as scope:
        assert scope.begin_request(5.0) == 5.0
