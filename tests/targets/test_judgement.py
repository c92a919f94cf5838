"""Targets: each session is judged once, by the market's calendar and by when it was complete."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from tasks_app.market import calendars
from tasks_app.market.calendars import PublishedSessions
from tasks_app.models import CalendarDay, DataImport, MarketDay, Target, TargetSession
from tasks_app.targets import deadlines, judgement
from tasks_app.workers import watchdog
from tests.targets.factories import NEXT_SESSION, SESSION, at, make_target, seal, store, suspend

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def row(session=SESSION):
    return TargetSession.objects.get(session=session)


@pytest.mark.parametrize(
    ("sealed", "state"),
    [
        ("30 16:05", "met"),
        ("30 17:30", "met"),
        ("30 17:31", "late"),
        ("05-06 17:29", "late"),
        ("05-06 17:30", "missed"),
        (None, "missed"),
    ],
)
def test_session_is_judged_by_when_it_was_sealed_not_by_when_it_was_looked_at(sealed, state):
    make_target()
    if sealed:
        seal(at(sealed))
    judgement.judge(at("05-06 17:45"))
    judged = row()
    assert (judged.state, judged.complete_at) == (state, at(sealed) if sealed else None)
    assert judged.deadline == at("30 17:30")
    assert judged.judged_at is not None


def test_session_is_judged_over_the_holidays_once():
    make_target()
    for moment, state in [("30 10:00", "pending"), ("30 17:30", "pending"), ("05-05 12:00", "pending")]:
        judgement.judge(at(moment))
        assert row().state == state
    judgement.judge(at("05-06 17:30"))
    assert row().state == "missed"
    assert row(NEXT_SESSION).state == "pending"
    seal(at("05-07 08:00"))
    judgement.judge(at("05-07 08:01"))
    assert (row().state, row().complete_at) == ("missed", at("05-07 08:00"))
    seal(at("05-07 09:00"))
    judgement.judge(at("05-07 09:01"))
    assert row().complete_at == at("05-07 08:00"), "sealed again, after a correction"


def test_judgement_cannot_be_changed_by_any_program():
    make_target()
    seal(at("30 16:05"))
    judgement.judge(at("30 16:06"))
    for change in ({"state": "late", "complete_at": at("30 18:00")}, {"deadline": at("30 18:00")}):
        with pytest.raises(IntegrityError), transaction.atomic():
            TargetSession.objects.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        TargetSession.objects.create(target=Target.objects.get(), session=SESSION, deadline=at("30 17:30"))
    with pytest.raises(IntegrityError), transaction.atomic():  # late before its deadline
        TargetSession.objects.create(
            target=Target.objects.get(),
            session=NEXT_SESSION,
            deadline=at("05-06 17:30"),
            minimum=100,
            state="late",
            complete_at=at("05-06 17:00"),
            judged_at=at("05-06 17:00"),
        )


def test_host_that_is_second_changes_nothing():
    make_target()
    judgement.judge(at("30 16:00"))
    stale = row()
    seal(at("30 16:05"))
    judgement.judge(at("30 16:06"))
    found = {"bars": 9, "reasons": 9, "missing": 9}
    judgement._record(stale, at("30 18:00"), at("05-06 17:30"), at("30 18:00"), found)
    assert (row().state, row().bars) == ("met", 3)


def test_share_of_stocks_is_complete_when_the_last_that_it_needs_was_stored():
    make_target(minimum=Decimal(75))
    for code, clock in [("600000", "30 16:10"), ("600001", "30 17:20"), ("600002", "30 17:40")]:
        store(code, at(clock))
    store("600003", None)
    judgement.judge(at("30 18:00"))
    judged = row()
    assert (judged.state, judged.complete_at) == ("late", at("30 17:40"))
    assert (judged.bars, judged.reasons, judged.missing) == (3, 0, 1)


def test_suspended_stocks_are_left_out_of_the_share():
    make_target(minimum=Decimal("66.67"))
    store("600000", at("30 16:10"))
    store("600001", at("30 16:20"))
    store("600002", None)
    suspend("600003", at("30 16:30"))
    judgement.judge(at("30 18:00"))
    assert (row().state, row().bars, row().reasons, row().missing) == ("pending", 2, 1, 1)
    Target.objects.update(minimum=Decimal("66.66"))
    TargetSession.objects.all().delete()
    judgement.judge(at("30 18:00"))
    assert (row().state, row().complete_at) == ("met", at("30 16:30")), "when its reason was known"


def test_target_of_a_source_counts_its_bars_and_reasons_only():
    make_target(source="recording")
    store("600000", at("30 16:10"))
    store("600001", at("30 16:20"), source="sample")
    suspend("600002", at("30 16:30"), source="sample")
    suspend("600003", at("30 16:30"))
    judgement.judge(at("30 17:00"))
    assert (row().state, row().bars, row().reasons, row().missing) == ("pending", 1, 1, 2)


def test_target_of_an_adjustment_counts_its_bars_only():
    make_target(adjust="qfq")
    store("600000", at("30 16:10"))
    judgement.judge(at("30 17:00"))
    assert (row().bars, row().missing) == (0, 1)
    store("600000", at("30 17:10"), adjust="qfq")
    judgement.judge(at("30 17:11"))
    assert (row().state, row().complete_at) == ("met", at("30 17:10"))


def test_whole_target_agrees_with_the_sealed_day():
    make_target()
    make_target(name="nearly all", minimum=Decimal(99))
    store("600000", at("30 16:10"))
    judgement.judge(at("30 17:00"))
    whole, share = TargetSession.objects.order_by("target__minimum", "pk")[::-1]
    assert (whole.state, whole.bars, whole.missing) == ("pending", 1, 0), "it is not sealed"
    assert (share.state, share.bars, share.missing) == ("met", 1, 0)
    seal(at("30 17:05"), bars=1, reasons=0)
    judgement.judge(at("30 17:06"))
    whole.refresh_from_db()
    assert (whole.state, whole.complete_at) == ("met", at("30 17:05"))
    assert MarketDay.objects.get().bars == whole.bars


def test_session_without_bars_is_never_complete():
    make_target(minimum=Decimal(50))
    suspend("600003", at("30 16:30"))
    judgement.judge(at("30 17:00"))
    assert row().state == "pending"


def test_beyond_the_published_calendar_nothing_is_judged(monkeypatch):
    published = PublishedSessions(SESSION, (SESSION - DAY, SESSION))
    monkeypatch.setattr(calendars, "_load_published", lambda market, edition: published)
    make_target()
    for moment in ("30 18:00", "05-06 18:00", "05-20 18:00"):
        judgement.judge(at(moment))
    assert [one.session for one in TargetSession.objects.all()] == [SESSION]
    assert row().state == "pending", "the next deadline is not known"
    CalendarDay.objects.create(market="CN", day=NEXT_SESSION, is_session=True)
    judgement.judge(at("05-20 18:00"))
    assert row().state == "missed"
    assert row(NEXT_SESSION).state == "pending"


def test_day_that_turns_out_to_be_a_holiday_is_not_judged():
    make_target()
    judgement.judge(at("30 12:00"))
    CalendarDay.objects.create(market="CN", day=SESSION, is_session=False)
    judgement.judge(at("30 18:00"))
    assert not TargetSession.objects.exists()


def test_only_sessions_whose_deadline_was_ahead_are_judged():
    make_target(since=at("30 17:30"))
    judgement.judge(at("05-06 10:00"))
    assert [one.session for one in TargetSession.objects.all()] == [NEXT_SESSION]
    make_target(name="old", since=at("01-02 09:00"))
    judgement.judge(at("05-06 10:00"))
    assert TargetSession.objects.filter(target__name="old").count() == deadlines.SHOWN_SESSIONS


def test_target_that_is_switched_off_judges_nothing():
    target = make_target()
    judgement.judge(at("30 12:00"))
    Target.objects.update(enabled=False)
    judgement.judge(at("30 18:00"))
    assert not target.sessions.exists()


def test_changed_deadline_counts_while_it_is_ahead():
    make_target()
    judgement.judge(at("30 12:00"))
    Target.objects.update(at=time(16, 30))
    judgement.judge(at("30 16:00"))
    assert row().deadline == at("30 16:30")
    Target.objects.update(at=time(18))
    judgement.judge(at("30 16:31"))
    assert row().deadline == at("30 16:30"), "it has passed"


def test_deadline_is_in_the_market_s_zone_and_may_be_days_later():
    target = Target(market="US", at=time(8), days_after=1)
    assert deadlines.deadline_of(target, date(2024, 3, 8)) == datetime(2024, 3, 9, 13, tzinfo=UTC)
    assert deadlines.deadline_of(target, date(2024, 3, 11)) == datetime(2024, 3, 12, 12, tzinfo=UTC)
    assert deadlines.final_at(target, date(2024, 3, 11)) == datetime(2024, 3, 11, 20, 30, tzinfo=UTC)


def test_session_is_looked_at_only_when_something_may_have_changed():
    make_target()
    store("600000", at("30 15:40"))
    looks = []
    for moment in ("30 15:29", "30 15:45", "30 15:50", "30 15:56", "30 17:29", "30 17:30"):
        judgement.judge(at(moment))
        looks.append(row().looked_at)
    assert looks == [
        None,
        *[at("30 15:45")] * 2,
        at("30 15:56"),
        *[at("30 17:29"), at("30 17:30")],
    ]


def test_nothing_is_judged_while_an_import_is_unfinished():
    make_target()
    seal(at("30 16:05"))
    DataImport.objects.create(folder="x")
    judgement.judge(at("30 18:00"))
    assert row().state == "pending"


def test_watchdog_judges_by_the_database_s_time():
    target = make_target(at=time(0, 0), since=datetime(2024, 1, 1, tzinfo=UTC))
    watchdog.tick()
    assert target.sessions.count() == deadlines.SHOWN_SESSIONS
