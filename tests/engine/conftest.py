"""Scripted sources for the tests of slices."""

import pytest
from django_q.conf import Conf as QConf

from tests.fakes.scripted_sources import with_scripted_sources


@pytest.fixture(autouse=True)
def controlled_clock(clock):
    """No test of the engine waits for real time."""


@pytest.fixture
def configure(settings, monkeypatch):
    """Returns a function that sets the scripts of the scripted sources and values of the settings.

    One worker at a time collects, unless the test says otherwise: a further one finds nothing left to do.
    """
    # A slice that has abandoned a call lowers it, so that its worker process is replaced.
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)

    def set_scripts_and_settings(**values):
        values = {"slice_seconds": 5.0, "fan_out": 1, **values}
        settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch, **values)

    return set_scripts_and_settings


@pytest.fixture
def configure_short_slices(configure):
    """Returns `configure` with slices of 0.3 s at most and 20 heartbeats a second."""
    return lambda **values: configure(**{"slice_seconds": 0.3, "heartbeat": 0.05, **values})
