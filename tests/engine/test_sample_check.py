"""Files and another source: only gaps are requested of it, and a sample of the files' bars is verified."""

import json
import zipfile
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command

from tasks_app.models import DailyBar
from tasks_app.sources.base import Bar
from tests.factories import make_task
from tests.fakes.scripted_sources import First, banned, unknown_stock
from tests.sources.csv_files import AKSHARE
from tools.in_process import work

pytestmark = pytest.mark.django_db
DAYS = [date(2024, 1, 2) + timedelta(days=n) for n in (0, 1, 2, 3, 6, 7, 8)]  # sessions
CODES = ("000001", "000002")


def bar(day, close=10.5):
    return Bar(day, 10.0, 11.0, 9.5, close, 100_000, None, 1_020_000.0)


@pytest.fixture
def collected(configure, tmp_path):
    """Collects two stocks from a zip file; all of its days but the last two."""
    configure(csv_dir=str(tmp_path))
    rows = [f"{day},{{0}},10.0,10.5,11.0,9.5,1000,1020000.0,15.0,5.0,0.5,0.8" for day in DAYS[:5]]
    with zipfile.ZipFile(tmp_path / "market.zip", "w") as archive:
        for code in CODES:
            archive.writestr(f"{code}.csv", "\n".join([AKSHARE, *rows]).format(code))
    collect("csv")
    assert DailyBar.objects.filter(source="csv").count() == 10


def collect(source, **fields):
    defaults = {"stock_codes": None, "start_date": DAYS[0], "end_date": DAYS[-1], "source": source}
    task = make_task(**{**defaults, **fields})
    work()
    task.refresh_from_db()
    assert task.status == "completed", task.error_message
    return task


def verify(capsys, *arguments):
    """Returns the exit code and the checks by code."""
    code = 0
    try:
        call_command("csvfolder", "verify", "--source", "first", "--json", *arguments)
    except SystemExit as end:
        code = end.code
    return code, {row["code"]: row for row in json.loads(capsys.readouterr().out)["stocks"]}


def test_only_gaps_are_requested_of_another_source(configure, collected):
    asked = []
    configure(
        first=lambda request: asked.append((request.start, request.end)) or [bar(DAYS[5]), bar(DAYS[6])]
    )
    collect("first", stock_codes=CODES)
    assert asked == [(DAYS[5], DAYS[6])] * 2
    assert DailyBar.objects.filter(source="first").count() == 4


def test_sample_that_agrees(configure, collected, capsys):
    configure(first=lambda request: [bar(day) for day in DAYS[:5]])
    code, checks = verify(capsys)
    assert (code, sorted(checks)) == (0, list(CODES))
    assert (checks["000001"]["days"], checks["000001"]["is_equal"]) == (5, True)
    assert DailyBar.objects.count() == 10


def test_sample_that_differs(configure, collected, capsys):
    configure(first=lambda request: [bar(DAYS[2], 10.7), *map(bar, DAYS[3:5])])
    code, checks = verify(capsys, "--stocks", "1", "--days", "4")
    (check,) = checks.values()
    assert (code, check["days"], check["differing"]) == (1, 4, 1)
    assert check["differences"] == [["2024-01-04", {"close": [10.5, 10.7]}]]
    assert check["lacking"] == ["2024-01-03"]
    assert set(DailyBar.objects.values_list("close", flat=True)) == {10.5}


def test_sample_that_can_not_be_compared(configure, collected, capsys):
    configure(first=unknown_stock)
    code, checks = verify(capsys)
    assert (code, len(checks)) == (1, 2)
    assert checks["000001"]["error"] == "Unknown stock 000001."
    configure(first=banned)
    First.calls.clear()
    code, checks = verify(capsys)
    assert (code, len(checks), len(First.calls)) == (1, 1, 1)


def test_verify_names_what_is_wrong(collected, capsys):
    with pytest.raises(
        CommandError, match=r"No source “nobody” serves the market CN\. Available sources: .*first"
    ):
        call_command("csvfolder", "verify", "--source", "nobody")
    with pytest.raises(CommandError, match="at least 1"):
        call_command("csvfolder", "verify", "--source", "first", "--stocks", "0")
    with pytest.raises(SystemExit):
        call_command("csvfolder", "verify", "--source", "first", "--adjust", "hfq")
    assert "has stored no bars" in capsys.readouterr().out


def test_verify_prints_a_table(configure, collected, capsys):
    configure(first=lambda request: [bar(DAYS[2], 10.7), *map(bar, DAYS[3:5])])
    with pytest.raises(SystemExit):
        call_command("csvfolder", "verify", "--source", "first", "--days", "3")
    text = " ".join(capsys.readouterr().out.split())
    assert "days that differ: 1" in text
    assert "2024-01-04: close 10.5 ≠ 10.7" in text
    assert "0 of 2 stocks agree with the source first on all days." in text
