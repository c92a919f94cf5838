"""The recording source, and settings of the property tests."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import settings as hypothesis

from tasks_app.market import calendars
from tests.fakes.recording_source import with_recording_source

hypothesis.register_profile("no_deadline", deadline=None)  # a busy machine may be slow
hypothesis.load_profile("no_deadline")


@pytest.fixture
def recording_source(settings, monkeypatch):
    settings.COLLECTOR = replace(with_recording_source(settings.COLLECTOR), max_attempts=2)
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: date(2024, 6, 28))
