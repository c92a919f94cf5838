"""Days without a bar, each with its true reason."""

from datetime import date

import pytest

from tasks_app import lifecycle
from tasks_app.market import calendars, silent_days
from tasks_app.models import CalendarDay, CodeChange, DailyBar, Finding, Series, Stock
from tasks_app.quotes.deletion import Selection
from tasks_app.quotes.gaps import GapKind, read_gaps
from tasks_app.quotes.trading_days import TradingDays
from tasks_app.sources.base import Answer
from tasks_app.sources.market_time import market_today
from tests.factories import ACTOR, make_task
from tests.fakes.recording_source import RecordingSource, make_bar, sessions, set_bars
from tests.quotes.helpers import DAY, FIRST, LAST, collect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("recording_source")]
DAYS = [date(2024, 3, day) for day in (4, 5, 6, 7, 8)]


@pytest.fixture(autouse=True)
def latest_session(monkeypatch):
    """March 2024 is the present: gaps end with it."""
    monkeypatch.setattr(calendars.Calendar, "latest_session", lambda self: LAST)


def reasons(code="600000", adjust=""):
    """Returns the days without a bar by kind, and the sentences."""
    found = read_gaps(Stock.objects.get(code=code), adjust, None, None)
    kinds = {}
    for gap in found[::-1]:
        kinds.setdefault(gap.reason.kind.value, []).extend(gap.days)
    kinds.pop("closed", None)
    return kinds, {gap.reason.describe("CN") for gap in found if gap.reason.kind != GapKind.CLOSED}


def today():
    return market_today("CN").isoformat()


@pytest.mark.any_database  # told in Python from the same rows
def test_kind_of_line_missing_from_a_file_is_not_suspended():
    set_bars("600000", [day for day in sessions(FIRST, LAST) if day != DAY])
    collect()
    assert reasons() == ({"empty": [DAY]}, {f"recording had no bar (requested on {today()}, Beijing time)"})


@pytest.mark.any_database  # told in Python from the same rows
def test_day_is_suspended_only_where_the_source_says_so(monkeypatch):
    bars = [make_bar(day) for day in sessions(FIRST, LAST) if day not in DAYS[:2]]
    monkeypatch.setattr(RecordingSource, "fetch", lambda self, request: Answer(bars, suspended=DAYS[:1]))
    collect()
    assert reasons() == (
        {"suspended": DAYS[:1], "empty": DAYS[1:2]},
        {
            f"suspended, according to recording (requested on {today()}, Beijing time)",
            f"recording had no bar (requested on {today()}, Beijing time)",
        },
    )


@pytest.mark.any_database  # told in Python from the same rows
def test_kind_of_days_requested_twice_are_not_not_requested(monkeypatch):
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: LAST)
    days = sessions(FIRST, LAST)
    set_bars("600000", days[:-3])
    for _ in range(2):
        collect()
        assert reasons()[0] in ({"after": days[-3:]}, {"empty": days[-3:]})
    assert Series.objects.get().covered[-1][1] < LAST.isoformat(), "they are requested again, all the same"


@pytest.mark.any_database  # told in Python from the same rows
def test_source_whose_bars_begin_and_end_says_so():
    set_bars("600000", sessions(FIRST, LAST)[3:10])
    collect()
    days = sessions(FIRST, LAST)
    assert reasons() == (
        {"before": days[:3], "after": days[10:]},
        {
            f"the bars of recording begin on 2024-03-06 (requested on {today()}, Beijing time)",
            f"the bars of recording end on 2024-03-14 (requested on {today()}, Beijing time)",
        },
    )


@pytest.mark.any_database  # told in Python from the same rows
def test_refused_bar_is_a_reason_of_its_own_even_after_twenty(monkeypatch):
    set_bars("600000", sessions(FIRST, LAST))
    RecordingSource.bars["600000", ""] = [
        bar if bar.day == DAY else bar._replace(high=1.0) for bar in RecordingSource.bars["600000", ""]
    ] + [make_bar(DAY)] * 30  # more refusals than are listed
    collect()
    assert reasons()[0] == {"refused": [day for day in sessions(FIRST, LAST) if day != DAY]}


def test_bar_that_comes_later_ends_the_gap():
    set_bars("600000", [day for day in sessions(FIRST, LAST) if day != DAY])
    collect()
    set_bars("600000", sessions(FIRST, LAST))
    collect(force_update=True)
    assert (reasons(), Series.objects.get().absences) == (({}, set()), [])


@pytest.mark.any_database  # told in Python from the same rows
def test_days_beside_the_request_are_not_requested_yet():
    days = sessions(FIRST, LAST)
    set_bars("600000", days)
    collect(first=days[0], last=days[4])
    assert reasons() == ({"not_asked": days[5:]}, {"not requested yet"})


@pytest.mark.any_database  # told in Python from the same rows
def test_older_answers_have_no_recorded_reason():
    days = sessions(FIRST, LAST)
    set_bars("600000", [day for day in days if day != DAY])
    collect()
    Series.objects.update(absences=[])
    assert reasons()[0] == {"not_recorded": [DAY]}


@pytest.mark.any_database  # told in Python from the same rows
def test_older_refusal_is_known_from_its_finding():
    days = sessions(FIRST, LAST)
    set_bars("600000", [day for day in days if day != DAY])
    collect()
    Series.objects.update(absences=[])
    Finding.objects.create(market="CN", symbol="600000", day=DAY, kind="refused", code="bad_volume")
    assert reasons() == (
        {"refused": [DAY]},
        {f"the source sent a bar that was refused (requested on {today()}, Beijing time)"},
    )


@pytest.mark.any_database  # told in Python from the same rows
def test_day_without_quotes_of_any_stock_names_the_source():
    days = sessions(FIRST, LAST)
    set_bars("600000", days)
    collect(last=days[-2])
    task = make_task(source="recording", market="CN", stock_codes=("600001",))
    for n in range(5):
        silent_days.add_answers(task, f"{n:06d}", [LAST], None)
    sentence = f"recording had no bar of any stock asked for: 5 (on {today()}, Beijing time)"
    assert reasons() == ({"no_quotes": [LAST]}, {sentence})


@pytest.mark.any_database  # told in Python from the same rows
def test_closed_weekdays_are_closed_by_the_calendar():
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    DailyBar.objects.filter(day=DAY).delete()
    CalendarDay.objects.create(market="CN", day=DAY, is_session=False, note="a typhoon")
    gap = read_gaps(Stock.objects.get(), "", None, None)[0]
    assert (gap.days, gap.reason.describe("CN")) == (
        (DAY,),
        "the market was closed, according to the calendar (a typhoon)",
    )


def test_deleted_days_are_not_requested_yet():
    days = sessions(FIRST, LAST)
    set_bars("600000", [day for day in days if day != DAY])
    collect()
    for _ in lifecycle.delete_source_data(Selection("recording", first=DAYS[0], last=LAST), ACTOR):
        pass
    assert reasons()[0] == {"not_asked": [day for day in days if day >= DAYS[0]]}


def test_rebased_series_keeps_its_reasons():
    days = [day for day in sessions(FIRST, LAST) if day != DAY]
    set_bars("600000", days[:-1], adjust="qfq")
    collect(adjust="qfq", last=days[-2])
    set_bars("600000", days, adjust="qfq", close=5.0)
    collect(adjust="qfq")
    assert reasons(adjust="qfq")[0] == {"empty": [DAY]}


@pytest.mark.any_database  # told in Python from the same rows
def test_read_is_limited_to_the_asked_days():
    set_bars("600000", sessions(FIRST, LAST)[:1])
    collect()
    stock = Stock.objects.get()
    found = read_gaps(stock, "", DAYS[0], DAYS[2])
    assert [gap.days for gap in found] == [tuple(DAYS[:3])]
    assert read_gaps(stock, "qfq", None, None) == []


@pytest.mark.any_database  # told in Python from the same rows
def test_days_without_quotes_are_not_missing_where_every_day_counts():
    days, march = TradingDays("CN"), [date(2024, 3, n) for n in range(1, 6)]
    window, silent = (march[0], march[4]), set(march[::2])
    assert days.missing_range(window, (), silent) == (march[1], march[3])
    assert days.missing_range(window, [(march[1], march[3])], silent) is None
    assert days.missing_range(window, [(march[0], march[2])], silent) == (march[3], march[3])


@pytest.mark.any_database  # told in Python from the same rows
def test_gaps_follow_a_change_of_code():
    """Each day's reason is that of the code which the security had on it."""
    days = sessions(FIRST, LAST)
    set_bars("838163", [day for day in days[:10] if day != days[4]])
    set_bars("920163", days[12:])
    collect("838163", last=days[9])
    collect("920163", first=days[12])
    CodeChange.objects.create(market="CN", old_code="838163", new_code="920163", changed_on=days[10])
    kinds, _ = reasons("920163")
    assert kinds == {"empty": [days[4]], "not_asked": days[10:12]}
    alone, _ = reasons("838163")
    assert alone == {"empty": [days[4]]}, "the earlier code has its own, and none since"
