"""An order's bars are compared with those of a second source, which are stored nowhere."""

from datetime import date, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum

from tasks_app.engine import day_fetches, source_check
from tasks_app.engine.request_queue import RequestQueue
from tasks_app.engine.second_source import is_sampled
from tasks_app.lifecycle import retention
from tasks_app.models import CollectionTask, DailyBar, Finding, SourceAgreement, TaskEvent
from tasks_app.quotes.findings import MAX_FINDINGS
from tasks_app.reasons import stored_reason
from tasks_app.sources.base import Transient
from tests.engine.helpers import CODES, cancel_if_running, make_first_task, run_all_attempts, run_one_slice
from tests.factories import make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import STOCKS, ByDay, Second, closes_at, make_bar
from tools.in_process import work

pytestmark = pytest.mark.django_db
FRIDAY, MONDAY = date(2024, 3, 1), date(2024, 3, 4)


def compare(**fields):
    """Runs a task of three stocks that is compared with `second`, and returns it."""
    task = make_first_task(**{"verify_with": "second", **fields})
    run_all_attempts(task, rounds=3)
    assert_sums(task)
    return task


def assert_sums(task):
    """Asserts that the counters are the sums over the items, the ledger and the findings."""
    items = task.items.all()
    sums = items.aggregate(Sum("rows_compared"), Sum("rows_differing"))
    assert task.compared_count == (sums["rows_compared__sum"] or 0)
    assert task.differing_count == (sums["rows_differing__sum"] or 0)
    assert task.uncompared_count == items.filter(not_compared__isnull=False).count()
    days = SourceAgreement.objects.filter(field="day").aggregate(Sum("compared"))
    assert task.compared_count == (days["compared__sum"] or 0)
    assert task.differing_count == Finding.objects.filter(kind="differs").count()


def counts(task):
    return task.status, task.compared_count, task.differing_count, task.uncompared_count


def reasons_of(task):
    return set(task.items.values_list("not_compared", flat=True))


def test_difference_is_counted_listed_and_not_stored(configure):
    configure(second=lambda request: closes_at(11.5 if request.code == CODES[1] else 11.0)(request))
    task = compare()
    assert counts(task) == ("completed", 3, 1, 0)
    assert set(DailyBar.objects.values_list("source", "close")) == {("first", 11.0)}
    finding = Finding.objects.get()
    assert (finding.kind, finding.code, finding.symbol) == ("differs", "value_differs", CODES[1])
    assert (finding.source, finding.values) == ("first", {"close": 11.0})
    assert (finding.other_source, finding.other_values) == ("second", {"close": 11.5})
    assert finding.item.task_id == task.pk
    close = SourceAgreement.objects.get(field="close")
    assert (close.source, close.other_source, close.month) == ("first", "second", date(2024, 3, 1))
    assert (close.compared, close.agreeing, close.differing) == (3, 2, 1)
    assert close.worst == pytest.approx(0.5 / 11.5)


def test_later_comparison_replaces_the_finding_and_adds_to_the_ledger(configure):
    configure(second=closes_at(11.5))
    compare()
    configure(second=closes_at(11.0))
    task = make_first_task(verify_with="second", force_update=True)
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", 3, 0, 0)
    assert not Finding.objects.exists()
    close = SourceAgreement.objects.get(field="close")
    assert (close.compared, close.differing) == (6, 3)


def test_days_of_one_source_only_are_counted_and_listed(configure):
    days = [FRIDAY, date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)]
    configure(
        first=lambda request: [make_bar(11.0, day) for day in days[:3]],
        second=lambda request: [make_bar(11.0, day) for day in (days[0], days[3])],
    )
    task = compare(start_date=days[0], end_date=days[-1])
    assert counts(task) == ("completed", 4 * 3, 3 * 3, 0)
    listed = (
        Finding.objects.filter(symbol=CODES[0], kind="differs").order_by("day").values_list("day", "code")
    )
    assert list(listed) == [
        (days[1], "missing_there"),
        (days[2], "missing_there"),
        (days[3], "missing_here"),
    ]
    assert not DailyBar.objects.filter(day=days[3]).exists()


def test_all_differences_are_counted_and_the_newest_listed(configure):
    days = [FRIDAY + timedelta(days=n) for n in range(31)]
    configure(
        first=lambda request: [make_bar(11.02, day) for day in days],
        second=lambda request: [make_bar(11.02 if day == FRIDAY else 11.52, day) for day in days[:-1]],
    )
    task = make_first_task(stock_codes=CODES[:1], verify_with="second", end_date=days[-1])
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", 31, 30, 0)
    item = task.items.get()
    assert (item.rows_compared, item.rows_differing) == (31, 30)
    listed = Finding.objects.filter(kind="differs").order_by("day").values_list("day", flat=True)
    assert list(listed) == days[-MAX_FINDINGS:]
    ledger = SourceAgreement.objects.filter(field="close").aggregate(Sum("compared"), Sum("differing"))
    assert ledger == {"compared__sum": 30, "differing__sum": 29}  # the last day's bar is missing there
    assert SourceAgreement.objects.filter(field="day").aggregate(Sum("differing")) == {"differing__sum": 1}


def test_refusal_of_the_second_source_fails_no_stock(configure):
    configure(second=scripted_sources.unknown_stock)
    task = compare()
    assert counts(task) == ("completed", 0, 0, 3)
    assert task.success_count == 3
    assert reasons_of(task) == {f"Unknown stock {code}." for code in CODES}


def test_second_source_is_asked_again_after_a_passing_failure(configure):
    failures = [Transient("Busy.", code="source_busy")]

    def fail_once(request):
        if failures:
            raise failures.pop()
        return closes_at(11.0)(request)

    configure(second=fail_once)
    assert counts(compare()) == ("completed", 3, 0, 0)


def test_paused_second_source_delays_no_stock(configure):
    configure(second=scripted_sources.banned)
    task = compare()
    assert counts(task) == ("completed", 0, 0, 3)
    assert Second.calls == [CODES[0]]


def test_silence_of_the_second_source_is_no_difference(configure):
    configure(second=lambda request: [])
    task = compare()
    assert counts(task) == ("completed", 0, 0, 3)
    assert reasons_of(task) == {"The second source sent no bar, which may be throttling."}


def test_second_source_that_is_missing_here_is_said(configure):
    configure()
    task = make_first_task(verify_with="second")
    CollectionTask.objects.update(verify_with="gone")
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", 0, 0, 3)
    assert reasons_of(task) == {stored_reason("second_not_here")}


def test_answer_of_the_second_source_itself_is_not_compared(configure):
    configure(first=scripted_sources.unknown_stock)
    task = compare(fallbacks=("second",))
    assert counts(task) == ("completed", 0, 0, 3)
    assert reasons_of(task) == {stored_reason("same_source")}


def test_failed_stock_is_not_compared(configure):
    configure(first=scripted_sources.unknown_stock)
    task = compare()
    assert counts(task) == ("failed", 0, 0, 0)
    assert Second.calls == []


def test_sample_is_the_same_for_a_task_and_a_share_of_the_stocks():
    task = SimpleNamespace(pk=UUID(int=7), verify_with="second", verify_sample=20)
    codes = [f"{n:06d}" for n in range(2000)]
    sampled = [code for code in codes if is_sampled(task, code)]
    assert sampled == [code for code in codes if is_sampled(task, code)]
    assert 340 < len(sampled) < 460
    task.pk = UUID(int=8)
    assert sampled != [code for code in codes if is_sampled(task, code)]


def test_only_the_sample_is_compared(configure):
    configure()
    task = make_first_task(verify_with="second", verify_sample=50)
    sampled = [code for code in CODES if is_sampled(task, code)]
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", len(sampled), 0, 0)
    assert sorted(Second.calls) == sampled


def test_cancelled_task_writes_nothing(configure, monkeypatch):
    configure(second=closes_at(11.5))
    task = make_first_task(verify_with="second")
    complete = RequestQueue._complete_comparison

    def cancel_first(*args):
        cancel_if_running(task)
        complete(*args)

    monkeypatch.setattr(RequestQueue, "_complete_comparison", cancel_first)
    work()
    task.refresh_from_db()
    assert counts(task) == ("cancelled", 0, 0, 0)
    assert not (DailyBar.objects.exists() or Finding.objects.exists() or SourceAgreement.objects.exists())


def test_stock_that_was_in_flight_is_counted_once(configure, monkeypatch):
    """Its worker is lost when the second source's answer has come: nothing is written, and both are asked."""
    configure(second=closes_at(11.5))
    task = make_first_task(verify_with="second", stock_codes=CODES[:1])
    with monkeypatch.context() as patch:
        patch.setattr("tasks_app.lifecycle.record_and_claim", _lose_connection)
        with pytest.raises(KeyError):
            run_one_slice()
    assert not (Finding.objects.exists() or SourceAgreement.objects.exists())
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", 1, 1, 0)
    assert_sums(task)


def _lose_connection(*args):
    raise KeyError("lost")


def test_short_slices_compare_every_stock(configure_short_slices):
    configure_short_slices(slice_seconds=0.1)
    assert counts(compare()) == ("completed", 3, 0, 0)


def test_market_is_compared_by_whole_days(configure, monkeypatch):
    day_fetches._caches.clear()

    def days(day):
        return scripted_sources.whole_market(day) if day == FRIDAY else {}

    monkeypatch.setattr(ByDay, "days", staticmethod(days))
    configure(by_day_from=STOCKS)
    dates = {"start_date": FRIDAY, "end_date": FRIDAY}
    task = make_task(source="first", stock_codes=None, verify_with="by_day", **dates)
    run_all_attempts(task, rounds=5)
    assert counts(task) == ("completed", STOCKS, 0, 0)
    assert ByDay.calls == ["2024-03-01"]
    assert_sums(task)


def test_day_that_fails_at_the_second_source_is_requested_by_stock(configure, monkeypatch):
    day_fetches._caches.clear()

    def days(day):
        raise Transient("Busy.", code="timeout")

    monkeypatch.setattr(ByDay, "days", staticmethod(days))
    configure(by_day_from=STOCKS)
    dates = {"start_date": FRIDAY, "end_date": FRIDAY}
    task = make_task(source="first", stock_codes=None, verify_with="by_day", **dates)
    run_all_attempts(task, rounds=5)
    assert counts(task) == ("completed", STOCKS, 0, 0)
    warning = TaskEvent.objects.get(kind="warned", params__source="by_day").params
    assert warning["code"] == "compared_by_stock"


def test_batches_go_to_the_second_source(configure):
    configure()
    task = make_task(source="by_day", stock_codes=CODES, verify_with="batcher")
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", 3, 0, 0)


def test_days_that_one_source_does_not_have_yet_are_not_compared(configure, monkeypatch):
    configure()
    monkeypatch.setattr(Second, "last_day", date(2024, 2, 1), raising=False)
    task = make_first_task(verify_with="second", start_date=FRIDAY, end_date=FRIDAY)
    run_all_attempts(task, rounds=3)
    assert counts(task) == ("completed", 0, 0, 3)
    assert reasons_of(task) == {stored_reason("not_final")}


def test_database_lists_a_difference_once_until_its_task_is_deleted(configure, monkeypatch):
    configure(second=closes_at(11.5))
    compare()
    finding = Finding.objects.first()
    finding.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        finding.save()
    monkeypatch.setattr(retention, "expired", lambda days: CollectionTask.objects.all())
    assert retention.prune(1).tasks == 1
    assert not Finding.objects.exists()
    assert SourceAgreement.objects.exists()


def test_session_of_a_second_source_is_in_use(configure, settings, monkeypatch):
    configure()
    monkeypatch.setattr(Second, "end_session", lambda self: None, raising=False)
    make_first_task(verify_with="second")
    (check,) = source_check.check_source("second", "CN", settings.COLLECTOR)
    assert check.error_code == "session_in_use"
