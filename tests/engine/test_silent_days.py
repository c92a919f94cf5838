"""Kind of case cli-05: a day of which nobody has quotes costs five requests, not one per stock."""

from datetime import date, timedelta

import pytest

from tasks_app.engine import day_fetches
from tasks_app.engine.source_router import SourceState
from tasks_app.market import calendars, silent_days
from tasks_app.models import DailyBar, Series, SilentAnswer
from tasks_app.models.events import EventKind
from tests.engine.helpers import run_all_attempts, store
from tests.factories import make_task
from tests.fakes.scripted_sources import DAY, STOCKS, ByDay, First, Second, make_bar

pytestmark = pytest.mark.django_db
# The second one fetches in another way, and reads and writes the same rows.
either_source = pytest.mark.parametrize("source", ["first", "by_day"])
FRIDAY, MONDAY, TUESDAY = DAY, DAY + timedelta(days=3), DAY + timedelta(days=4)


@pytest.fixture
def vendor(configure, monkeypatch):
    """Returns a function that sets the days of which the sources have quotes, and which day is over."""
    day_fetches._caches.clear()
    monkeypatch.setattr(First, "calendar", True)
    monkeypatch.setattr(silent_days, "WITNESSES", 2)  # few, since each costs a request
    days_with_quotes: set[date] = set()

    def fetch(request):
        return [make_bar(day=day) for day in sorted(days_with_quotes) if request.start <= day <= request.end]

    def fetch_day(day):
        return (
            {f"{n:06d}": make_bar(day=day) for n in range(1, STOCKS + 1)} if day in days_with_quotes else {}
        )

    configure(first=fetch, by_day=fetch, by_day_from=STOCKS)
    monkeypatch.setattr(ByDay, "days", staticmethod(fetch_day))

    def set_days(*days, closed):
        days_with_quotes.clear()
        days_with_quotes.update(days)
        monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: closed)
        day_fetches._caches.clear()
        First.calls.clear()
        ByDay.calls.clear()

    return set_days


def store_friday(source="first"):
    """Stores the bars of Friday of the whole market, as a task before has left them."""
    store(source, {f"{n:06d}": [make_bar(day=FRIDAY)] for n in range(1, STOCKS + 1)})


def collect(source, first, last=None, **fields):
    """Collects the whole market; returns the ended task and what was requested."""
    task = make_task(source=source, stock_codes=None, start_date=first, end_date=last or first, **fields)
    run_all_attempts(task, rounds=5)
    calls = {"first": First, "by_day": ByDay}[source].calls
    return task, [call for call in calls if call != "list"]


@either_source
def test_kind_of_unknown_holiday_costs_a_few_requests_and_a_late_day_is_collected(vendor, source):
    store_friday(source)
    vendor(FRIDAY, closed=MONDAY)  # nobody has quotes of Monday, which the calendar calls a session
    task, requests = collect(source, MONDAY)
    assert len([call for call in requests if "-" not in call]) == silent_days.WITNESSES
    days = [call for call in requests if "-" in call]  # Monday, and the stored Friday to compare it
    assert days == ([] if source == "first" else [FRIDAY.isoformat(), MONDAY.isoformat()])
    assert (task.status, task.success_count, task.collected_count) == ("completed", STOCKS, 0)
    skipped = task.items.filter(state="skipped")
    assert skipped.count() == STOCKS - silent_days.WITNESSES
    assert {item.note for item in skipped} == {
        f"not requested for 2024-03-04: {source} had no quotes of that day for any stock"
    }
    warning = task.events.get(kind=EventKind.WARNED)
    assert warning.params == {"code": "no_quotes", "source": source, "days": "2024-03-04"}
    vendor(FRIDAY, MONDAY, closed=MONDAY)  # the source was only late: the next order collects the day
    task, _ = collect(source, MONDAY)
    assert task.collected_count == STOCKS
    assert not SilentAnswer.objects.exists()


@pytest.mark.parametrize("source", ["first", pytest.param("by_day", marks=pytest.mark.soak)])
def test_holiday_is_settled_once_later_bars_came(vendor, source):
    store_friday(source)
    vendor(FRIDAY, TUESDAY, closed=TUESDAY)
    task, _ = collect(source, MONDAY, TUESDAY)
    assert task.collected_count == STOCKS
    First.calls.clear()
    ByDay.calls.clear()
    day_fetches._caches.clear()
    again, requests = collect(source, MONDAY, TUESDAY)
    assert (requests, again.items.filter(state="skipped").count()) == ([], STOCKS)


def test_days_beyond_the_calendar_are_settled_in_the_same_way(vendor, monkeypatch):
    calendar = calendars.load_calendar("CN").published
    days = tuple(day for day in calendar.days if day <= FRIDAY)
    monkeypatch.setattr(calendars, "_load_published", lambda *_: calendars.PublishedSessions(FRIDAY, days))
    store_friday()
    vendor(FRIDAY, closed=MONDAY)
    task, requests = collect("first", MONDAY)
    assert len(requests) == silent_days.WITNESSES
    codes = set(task.events.filter(kind=EventKind.WARNED).values_list("params__code", flat=True))
    assert codes == {"calendar_ends", "no_quotes"}


def test_forced_order_settles_the_day_anew(vendor):
    store_friday()
    vendor(FRIDAY, closed=MONDAY)
    for _ in range(2):
        First.calls.clear()
        _, requests = collect("first", MONDAY, force_update=True)
        assert len(requests) == silent_days.WITNESSES


def test_suspended_stocks_are_no_witnesses(vendor):
    store_friday()
    old = FRIDAY - timedelta(days=30)
    silent = [f"{n:06d}" for n in range(1, 4)]
    DailyBar.objects.filter(symbol__in=silent).update(day=old)
    Series.objects.filter(symbol__in=silent).update(first_day=old, last_day=old)
    vendor(FRIDAY, closed=MONDAY)
    _, requests = collect("first", MONDAY)
    assert len(requests) == silent_days.WITNESSES + len(silent)


def test_requests_in_flight_are_held_back_until_the_day_is_settled(vendor, monkeypatch):
    monkeypatch.setattr(First, "in_flight", 16)
    monkeypatch.setattr(First, "rate", 1000.0)
    store_friday()
    vendor(FRIDAY, closed=MONDAY)
    _, requests = collect("first", MONDAY)
    assert len(requests) == silent_days.WITNESSES


@pytest.mark.parametrize("has_quotes", [True, False])
def test_day_is_settled_by_the_fallbacks_too_before_it_is_skipped(vendor, configure, has_quotes):
    chain = (("CN", ("first", "second")),)
    configure(fallbacks=chain)
    store_friday()
    configure(fallbacks=chain, second=lambda request: [make_bar(day=MONDAY)] if has_quotes else [])
    vendor(FRIDAY, closed=MONDAY)
    task, requests = collect("first", MONDAY)
    rest = STOCKS - silent_days.WITNESSES
    assert (task.status, len(requests)) == ("completed", silent_days.WITNESSES)
    skipped = task.items.filter(state="skipped")
    if has_quotes:
        assert (task.collected_count, skipped.count()) == (rest, 0)
        assert DailyBar.objects.filter(day=MONDAY, source="second").count() == rest
        return
    assert (len(Second.calls), task.collected_count) == (silent_days.WITNESSES, 0)
    assert skipped.count() == rest - silent_days.WITNESSES
    assert {item.note for item in skipped} == {
        "not requested for 2024-03-04: first, second had no quotes of that day for any stock"
    }


def test_blocked_fallback_does_not_keep_a_day_open(vendor, configure, monkeypatch):
    configure(fallbacks=(("CN", ("first", "second")),))
    store_friday()
    vendor(FRIDAY, closed=MONDAY)
    monkeypatch.setattr(SourceState, "is_blocked_for_long", lambda source: source.name == "second")
    task, requests = collect("first", MONDAY)
    assert (len(requests), len(Second.calls)) == (silent_days.WITNESSES, 0)
    assert task.items.filter(state="skipped").count() == STOCKS - silent_days.WITNESSES


def test_one_bar_of_the_day_has_all_stocks_requested(vendor, configure):
    store_friday()
    vendor(FRIDAY, closed=MONDAY)
    configure(first=lambda request: [make_bar(day=MONDAY)] if request.code == "000002" else [])
    _, requests = collect("first", MONDAY)
    assert len(requests) == STOCKS
    assert not SilentAnswer.objects.exists()


def test_answers_of_other_tasks_settle_nothing_unless_proven(vendor):
    vendor(FRIDAY, closed=FRIDAY)
    task, _ = collect("first", FRIDAY)
    for n, proven in enumerate([False] * 3 + [True]):
        silent_days.add_answers(task, f"{n:06d}", [MONDAY], TUESDAY if proven else None)
    other = make_task(source="first", start_date=MONDAY, end_date=MONDAY)
    settled = silent_days.settled_days("CN", "first", other.pk, with_proven=True)
    assert settled == frozenset()
    silent_days.add_answers(task, "000000", [MONDAY], TUESDAY)
    assert silent_days.settled_days("CN", "first", other.pk, with_proven=True) == {MONDAY}
    assert silent_days.settled_days("CN", "first", other.pk, with_proven=False) == frozenset()


def test_small_task_notes_nothing(vendor, settings):
    store_friday()
    vendor(FRIDAY, closed=MONDAY)
    task = make_task(source="first", stock_codes=("000001",), start_date=MONDAY, end_date=MONDAY)
    run_all_attempts(task, rounds=3)
    assert not SilentAnswer.objects.exists()
