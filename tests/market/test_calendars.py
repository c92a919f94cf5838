"""The trading calendar: published sessions, manual corrections, and the days beyond the published ones."""

import json
import subprocess
from datetime import date

import pytest
from django.core.cache.backends.dummy import DummyCache
from django.core.management import CommandError, call_command

from tasks_app.market import calendars, exchange_sessions, silent_days
from tasks_app.models import CalendarDay
from tests.factories import make_task

pytestmark = pytest.mark.django_db
GOLDEN_WEEK = date(2024, 9, 30), date(2024, 10, 8)


def test_holidays_are_not_sessions():
    sessions = calendars.load_calendar("CN").sessions(*GOLDEN_WEEK)
    assert (sessions.days, sessions.beyond) == ((date(2024, 9, 30), date(2024, 10, 8)), False)
    assert len(calendars.load_calendar("HK").sessions(*GOLDEN_WEEK).days) == 6
    assert len(calendars.load_calendar("US").sessions(*GOLDEN_WEEK).days) == 7


def test_calendar_begins_with_the_exchange():
    assert calendars.load_calendar("CN").sessions(date(1990, 1, 1), date(1990, 12, 20)).days[0] == date(
        1990, 12, 19
    )


def test_sample_bars_match_the_exchange_sessions():
    from tasks_app.sources.sample import bars_by_code

    days = [bar.day for bar in bars_by_code()["IBM"]]
    assert set(days) == set(calendars.load_calendar("US").sessions(days[0], days[-1]).days)


def test_weekdays_count_beyond_the_calendar():
    end = calendars.load_calendar("CN").published.end
    sessions = calendars.load_calendar("CN").sessions(date(end.year + 2, 1, 4), date(end.year + 2, 1, 10))
    assert sessions.beyond
    assert sessions.days == tuple(calendars.weekdays(date(end.year + 2, 1, 4), date(end.year + 2, 1, 10)))
    assert calendars.load_calendar("CN").is_session(date(end.year + 2, 1, 4)) is None


def test_unreadable_calendar_closes_no_day(monkeypatch):
    def broken(market):
        raise subprocess.SubprocessError("no such library")

    monkeypatch.setattr(exchange_sessions, "load_sessions", broken)
    monkeypatch.setattr(calendars, "_load_published", calendars._load_published.__wrapped__)
    monkeypatch.setattr(calendars, "caches", {"exchange_sessions": DummyCache("none", {})})
    sessions = calendars.load_calendar("CN").sessions(*GOLDEN_WEEK)
    assert (len(sessions.days), sessions.beyond) == (7, True)


def test_corrections_win_in_both_directions():
    CalendarDay.objects.create(market="CN", day=date(2024, 9, 30), is_session=False)
    CalendarDay.objects.create(market="CN", day=date(2024, 10, 5), is_session=True)
    CalendarDay.objects.create(market="HK", day=date(2024, 10, 8), is_session=False)
    assert calendars.load_calendar("CN").sessions(*GOLDEN_WEEK).days == (date(2024, 10, 5), date(2024, 10, 8))
    calendar = calendars.load_calendar("CN")
    assert (calendar.is_session(date(2024, 9, 30)), calendar.is_session(date(2024, 10, 5))) == (False, True)


# The command.


def run_calendar(capsys, *arguments):
    call_command("calendar", *arguments)
    return capsys.readouterr().out


def write_csv(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "calendar.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_command_shows_a_year(capsys):
    out = run_calendar(capsys, "show", "--market", "CN", "--year", "2024")
    assert "CN 2024: 242 trading days" in out
    assert "2024-10" in out and "01 02 03 04 07" in out


def test_command_says_where_the_calendar_ends(capsys):
    end = calendars.load_calendar("CN").published.end
    out = run_calendar(capsys, "show", "--market", "CN", "--year", str(end.year + 1))
    assert f"known up to {end}" in out and "every weekday" in out


def test_command_prints_json(capsys):
    CalendarDay.objects.create(market="CN", day=date(2024, 9, 30), is_session=False, note="a typhoon")
    payload = json.loads(run_calendar(capsys, "show", "--market", "CN", "--year", "2024", "--json"))
    assert len(payload["sessions"]) == 241
    assert payload["corrected"] == [{"day": "2024-09-30", "is_session": False, "note": "a typhoon"}]


def test_command_corrects_and_withdraws_a_day(capsys):
    day = ("--market", "cn", "--day", "2024-09-30")
    assert "Days corrected: 1." in run_calendar(capsys, "correct", *day, "--closed", "--note", "a typhoon")
    row = CalendarDay.objects.get()
    assert (row.is_session, row.note, row.changed_by) == (False, "a typhoon", "manage.py")
    run_calendar(capsys, "correct", *day, "--as-published")
    assert not CalendarDay.objects.exists()


def test_command_shows_days_without_quotes(capsys):
    task = make_task(source="sample", stock_codes=("AAPL",))
    for n in range(5):
        silent_days.add_answers(task, f"C{n}", [date(2024, 10, 8)], None)
    shown = run_calendar(capsys, "show", "--market", "US", "--year", "2024")
    assert "no quotes: 2024-10-08 sample had no quotes of 5 stocks" in shown
    payload = json.loads(run_calendar(capsys, "show", "--market", "US", "--year", "2024", "--json"))
    assert [(one["day"], one["stocks"]) for one in payload["without_quotes"]] == [("2024-10-08", 5)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gbk"])
def test_imported_corrections_replace_older_ones(tmp_path, capsys, encoding):
    text = "market,day,status,note\nCN,2027-01-01,closed,元旦\ncn,20270104,OPEN,\n"
    for _ in range(2):
        run_calendar(capsys, "import", write_csv(tmp_path, text, encoding))
    rows = set(CalendarDay.objects.values_list("market", "day", "is_session", "note"))
    assert rows == {("CN", date(2027, 1, 1), False, "元旦"), ("CN", date(2027, 1, 4), True, "")}
    run_calendar(capsys, "import", write_csv(tmp_path, text.replace("closed", "open"), encoding))
    assert CalendarDay.objects.get(day=date(2027, 1, 1)).is_session


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_kind_of_sheet_with_other_delimiters(tmp_path, capsys, delimiter):
    text = "market,day,status,note\nCN,2027-02-05,closed,Spring Festival\n".replace(",", delimiter)
    run_calendar(capsys, "import", write_csv(tmp_path, text))
    assert CalendarDay.objects.get().note == "Spring Festival"


def test_missing_column_is_named_as_in_the_help(tmp_path, capsys):
    with pytest.raises(CommandError, match="no column for market, day, status; there are: a, b"):
        run_calendar(capsys, "import", write_csv(tmp_path, "a,b\n"))


def test_import_reports_lines_and_stores_nothing(tmp_path, capsys):
    lines = ["market,day,status", "CN,2027-01-01,closed", "XX,2027-01-01,closed", "CN,2027-02-30,open"]
    text = "\n".join([*lines, "CN,2027-03-01,ajar"])
    with pytest.raises(CommandError) as refused:
        run_calendar(capsys, "import", write_csv(tmp_path, text))
    for sentence in ("line 3: “XX”", "line 4: “2027-02-30”", "line 5: “ajar”"):
        assert sentence in str(refused.value)
    assert not CalendarDay.objects.exists()


def test_synthetic_market_trades_on_every_weekday(monkeypatch):
    monkeypatch.setattr(calendars.exchange_sessions, "load_sessions", pytest.fail)
    calendar = calendars.load_calendar("SIM")
    golden_week = calendar.sessions(date(2024, 9, 28), date(2024, 10, 8))
    assert (len(golden_week.days), golden_week.beyond) == (7, False)
    assert (calendar.is_session(date(2024, 10, 1)), calendar.is_session(date(2024, 10, 5))) == (True, False)
    CalendarDay.objects.create(market="SIM", day=date(2024, 10, 1), is_session=False)
    assert not calendars.load_calendar("SIM").is_session(date(2024, 10, 1))
