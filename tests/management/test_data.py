"""`manage.py data delete`: counts, and deletes only with --yes."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tasks_app.models import DailyBar, DataDeletion
from tests.factories import make_task
from tools.in_process import work

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("data", "delete", *words, stdout=out, no_color=True)
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture
def stored() -> int:
    """Collects two made-up stocks; returns the number of their bars."""
    make_task(stock_codes=("000001", "000002"))
    work()
    return DailyBar.objects.count()


def test_without_yes_it_only_counts(stored: int) -> None:
    text = run("--source", "simulated")
    assert f"SIM: bars {stored}, series 2, 2024-01-17 to 2024-12-31" in text
    assert "Nothing was deleted. To delete it, add --yes." in text
    assert DailyBar.objects.count() == stored
    assert not DataDeletion.objects.exists()


def test_with_yes_it_deletes_and_says_so(stored: int) -> None:
    text = run("--source", "simulated", "--market", "sim", "--yes")
    assert f"Deleted: bars {stored} in 2 series" in text
    assert not DailyBar.objects.exists()
    record = DataDeletion.objects.get()
    assert (record.bars, record.channel, record.user) == (stored, "command", None)


def test_json_has_what_was_found_and_deleted(stored: int) -> None:
    days = ("--start-date", "2024-06-03", "--end-date", "2024-06-07")
    found = run_json("--source", "simulated", *days)
    assert found["found"]["markets"] == [
        {"market": "SIM", "bars": 10, "series": 2, "first": "2024-06-03", "last": "2024-06-07"}
    ]
    assert found["deleted"] is None
    deleted = run_json("--source", "simulated", *days, "--yes")["deleted"]
    assert (deleted["bars"], deleted["series"]) == (10, 2)
    assert DailyBar.objects.count() == stored - 10


def test_unknown_source_has_stored_nothing(stored: int) -> None:
    assert run("--source", "gone", "--yes") == "The source has stored nothing of this.\n"
    assert DailyBar.objects.count() == stored
    assert not DataDeletion.objects.exists()


def test_running_task_is_named(stored: int) -> None:
    task = make_task()
    with pytest.raises(CommandError, match=f"already running: {task.pk}"):
        run("--source", "simulated", "--yes")
    assert DailyBar.objects.count() == stored


def test_reversed_days_are_an_error() -> None:
    with pytest.raises(CommandError, match="is before"):
        run("--source", "csv", "--start-date", "2024-02-01", "--end-date", "2024-01-01")
