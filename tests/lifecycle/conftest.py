"""What tests of the life cycle leave out."""

import pytest

from tasks_app.workers import watchdog


@pytest.fixture(autouse=True)
def rounds_of_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out of a watchdog's round what concerns neither tasks nor plans nor the queue."""
    monkeypatch.setattr(watchdog.exports, "recover", lambda: None)
    monkeypatch.setattr(watchdog.sealed_days, "sweep", lambda _seconds: None)
    monkeypatch.setattr(watchdog.judgement, "judge", lambda: None)
