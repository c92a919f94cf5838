"""What opens and ends incidents: tasks, plans, sources, queue, disks, calendars, lost workers."""

from collections import namedtuple
from dataclasses import replace
from datetime import date, timedelta
from unittest.mock import patch

import pytest
from django.utils import timezone, translation
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.lifecycle.events import WORKER, Actor
from tasks_app.market import calendars
from tasks_app.market.calendars import Calendar, PublishedSessions
from tasks_app.models import (
    CollectionPlan,
    CollectionTask,
    Incident,
    NoticeDelivery,
    NoticePing,
    QueuedOrder,
    SourceGate,
    WorkerMachine,
)
from tasks_app.models.events import Channel
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tasks_app.notices import Cause, addresses, lost_workers, open_incident, pings, retention, texts
from tasks_app.orders import order
from tasks_app.queue import dispatch
from tasks_app.sources.base import unreachable
from tasks_app.workers import notice_checks, plan_scheduler
from tests.factories import (
    ACTOR,
    TODAY,
    finish,
    make_continued,
    make_ended,
    make_lane,
    make_order,
    make_outcome,
    make_plan,
    make_queued_order,
    make_task,
    make_user,
    make_yielded,
    start_next,
)
from tests.notices.conftest import deliver
from tools.in_process import work

pytestmark = pytest.mark.django_db


def opened():
    return dict(Incident.objects.filter(closed_at__isnull=True).values_list("event", "key"))


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        ("with_failures", "task_with_failures"),
        ("no_bars", "task_without_bars"),
        ("complete", None),
        ("nothing_new", None),
    ],
)
def test_outcome_of_a_task_opens_its_incident(outcome, event):
    task = make_outcome(outcome)
    assert opened() == ({event: f"task:{task.pk}"} if event else {})


def test_failed_task_is_over_when_its_retry_completes():
    task = make_ended("failed")
    assert opened() == {"task_failed": f"task:{task.pk}"}
    again = lifecycle.retry(task.pk, ACTOR)
    finish(again, ItemState.FAILED)
    assert Incident.objects.get().times == 2
    finish(lifecycle.retry(again.pk, ACTOR), collected=1)
    assert opened() == {}
    assert Incident.objects.get().params["code"] == "all_failed"


def test_task_that_yields_is_no_incident_and_its_chain_is_one_cause():
    first = make_task(priority=Priority.LOW)
    lane = make_lane(first)
    lifecycle.record(lifecycle.claim(lane, 1)[0], Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.close(lane)
    make_plan()
    plan_scheduler.start_due()
    assert opened() == {}
    finish(CollectionTask.objects.get(status="running"), collected=1)
    rest = start_next()
    finish(rest, collected=1)
    assert opened() == {"task_with_failures": f"task:{first.pk}"}
    params = Incident.objects.get().params
    assert (params["task"], params["total"], params["failed"]) == (str(rest.pk), 3, 1)
    finish(lifecycle.retry(rest.pk, ACTOR), collected=1)
    assert opened() == {}


def test_refused_rest_of_a_task_is_an_incident():
    first = make_yielded()
    finish(CollectionTask.objects.get(status="running"), collected=1)
    refusal = errors.UnknownSource(source="simulated", known="csv")
    with patch.object(order, "find_source", side_effect=refusal):
        start_next()
    assert opened() == {"task_failed": f"task:{first.pk}"}
    params = Incident.objects.get().params
    assert (params["task"], params["code"]) == (str(first.pk), "unknown_source")
    finish(lifecycle.retry(first.pk, ACTOR), collected=1)
    assert opened() == {}


def test_last_part_without_bars_is_no_incident_if_others_had_some():
    _first, rest = make_continued()
    finish(rest)
    rest.refresh_from_db()
    assert (rest.outcome, opened()) == ("no_bars", {})


def test_plan_of_a_task_is_its_cause():
    plan = make_plan()
    for state, expected in (
        (ItemState.FAILED, {"task_failed": f"plan:{plan.pk}"}),
        (ItemState.SUCCEEDED, {}),
    ):
        task = make_task()
        CollectionPlan.objects.update(last_task=task)
        finish(task, state, **({"collected": 1} if state == ItemState.SUCCEEDED else {}))
        assert opened() == expected
    assert texts.headline(Incident.objects.get()) == "task failed · SIM · nightly"


def test_cancelled_task_is_no_incident():
    make_ended("cancelled")
    assert opened() == {}


def refuse_order(actor, **fields):
    """Queues an order whose source is gone when its turn comes."""
    row = make_queued_order(actor, **fields)
    QueuedOrder.objects.filter(pk=row.pk).update(order={**row.order, "source": "gone"})
    assert start_next().state == "refused"
    return row


def test_refused_queued_order_is_told_with_who_queued_it_and_what_to_do(hook, make_channel, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, base_url="https://quotes.example.org")
    make_channel(rule={})
    row = refuse_order(Actor(Channel.API, make_user()))
    assert opened() == {"order_refused": f"order:{row.pk}"}
    deliver()
    (message,) = hook.received
    assert message["title"] == "[warning] queued order was refused · SIM · simulated"
    for words in (
        f"The queue refused the order #{row.pk} of SIM from simulated (unknown_source), which ann had",
        "remove the cause, then order it again",
        "gone",
        f"https://quotes.example.org/admin/tasks_app/queuedorder/{row.pk}/change/",
    ):
        assert words in message["message"]


def test_refused_order_of_the_terminal_names_its_channel():
    refuse_order(ACTOR)
    incident = Incident.objects.get()
    assert "queued by command" in texts.sentence(incident)
    with translation.override("zh-hans"):
        assert "命令行" in texts.sentence(incident)


def test_refusal_is_over_when_its_user_orders_that_market_again():
    ann, ben = (Actor(Channel.API, make_user(name)) for name in ("ann", "ben"))
    earlier = make_queued_order(ann, priority=Priority.LOW)
    row = refuse_order(ann)
    assert start_next().pk == QueuedOrder.objects.get(pk=earlier.pk).task_id
    for other in (ben, WORKER, ACTOR, Actor(Channel.SCHEDULE, ann.user)):
        lifecycle.cancel(CollectionTask.objects.get(status="running").pk, ACTOR)
        lifecycle.start(make_order(), other, today=TODAY)
    assert opened() == {"order_refused": f"order:{row.pk}"}
    lifecycle.cancel(CollectionTask.objects.get(status="running").pk, ACTOR)
    make_queued_order(ann)
    assert opened() == {"order_refused": f"order:{row.pk}"}
    start_next()
    assert opened() == {}


# ---------------------------------------------------------------- what the watchdog observes


def test_plan_that_does_not_start_is_late():
    plan = make_plan(next_at=timezone.now() - timedelta(minutes=11))
    notice_checks.check_plans()
    incident = Incident.objects.get()
    assert (incident.event, incident.severity, incident.market) == ("plan_late", Severity.CRITICAL, "CN")
    assert "does not start" in texts.sentence(incident)
    CollectionPlan.objects.update(next_at=timezone.now() + timedelta(hours=1))
    notice_checks.check_plans()
    assert opened() == {}
    assert plan.name in texts.headline(incident)


@pytest.mark.parametrize(("hours", "is_late"), [(3, False), (5, True)])
def test_plan_that_waits_for_hours_names_the_task(hours, is_late):
    since = timezone.now() - timedelta(hours=hours)
    make_plan(next_at=since, waiting_since=since)
    task = make_task()
    notice_checks.check_plans()
    assert opened() == ({"plan_late": f"plan:{CollectionPlan.objects.get().pk}"} if is_late else {})
    if is_late:
        assert Incident.objects.get().params["task"] == str(task.pk)


def test_refused_plan_is_an_incident_until_it_starts():
    make_plan(next_at=timezone.now() + timedelta(1), error_code="source_unknown", error_message="No source.")
    notice_checks.check_plans()
    assert "No source." in texts.sentence(Incident.objects.get(event="plan_refused"))
    CollectionPlan.objects.update(error_code="")
    notice_checks.check_plans()
    assert opened() == {}


def test_paused_source_is_an_incident_until_it_answers():
    until = timezone.now() + timedelta(hours=2)
    SourceGate.objects.create(source="akshare", open_until=until, refusals=5, reason="HTTP 429")
    for _ in range(2):
        notice_checks.check_sources()
    assert opened() == {"source_paused": "akshare"}
    SourceGate.objects.update(open_until=None, refusals=0)
    notice_checks.check_sources()
    assert opened() == {}


def test_paused_source_that_is_out_of_reach_has_refused_nothing():
    until, reason = timezone.now() + timedelta(hours=2), str(unreachable("Eastmoney", "ProxyError"))
    SourceGate.objects.create(source="akshare", open_until=until, refusals=5, reason=reason)
    notice_checks.check_sources()
    incident = Incident.objects.get(event="source_paused")
    sentence = texts.sentence(incident)
    assert "it can't be reached. Eastmoney can't be reached (ProxyError): check the network" in sentence
    assert "refuse" not in sentence
    with translation.override("zh-hans"):
        sentence = texts.sentence(incident)
        assert "无法连接 Eastmoney（ProxyError）：请检查网络、代理和防火墙，或改用其他数据源。" in sentence
        assert "拒绝" not in sentence
        shown = notice_checks.status.status_of("akshare").reason
        assert shown.startswith("无法连接 Eastmoney（ProxyError）")


def test_used_quota_of_the_day_is_an_incident(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, daily_caps=(("akshare", 10),))
    SourceGate.objects.create(source="akshare", day=timezone.localdate(), requests_today=10)
    SourceGate.objects.update(day=notice_checks.status.quota_day(timezone.now(), _limits(settings)))
    notice_checks.check_sources()
    assert opened() == {"quota_used": "akshare"}


def _limits(settings):
    return notice_checks.registry.limits("akshare", settings.COLLECTOR)


@pytest.mark.parametrize(("seconds", "is_stuck"), [(60, False), (400, True)])
def test_job_that_nobody_takes_is_an_incident(monkeypatch, seconds, is_stuck):
    monkeypatch.setattr(dispatch, "queue_status", lambda: dispatch.QueueStatus(1, 0, seconds))
    notice_checks.check_queue()
    assert opened() == ({"no_worker": "queue"} if is_stuck else {})


def test_full_disk_is_an_incident_until_there_is_clearly_more_room(monkeypatch):
    usage = namedtuple("usage", "free")
    for free, is_open in ((900_000_000, True), (1_050_000_000, True), (1_200_000_000, False)):
        monkeypatch.setattr(notice_checks.shutil, "disk_usage", lambda _, free=free: usage(free))
        notice_checks.check_disks()
        assert bool(opened()) is is_open
    assert "1000 MB" in texts.sentence(Incident.objects.get()), "the last figure while it was open"


@pytest.mark.parametrize(("days", "is_ending"), [(10, True), (60, False)])
def test_calendar_that_ends_soon_is_an_incident(monkeypatch, days, is_ending):
    make_plan()
    end = timezone.localdate() + timedelta(days)
    monkeypatch.setattr(Calendar, "published", PublishedSessions(end, (date(2024, 1, 2), end)))
    assert calendars.load_calendar("CN").published.end == end
    notice_checks.check_calendars()
    assert opened() == ({"calendar_ends": "CN"} if is_ending else {})


def test_check_looks_every_fifteen_seconds(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(notice_checks, "_next_check", 0.0)
    monkeypatch.setattr(notice_checks, "_next_daily", float("inf"))
    notice_checks.check()
    with django_assert_num_queries(0):
        notice_checks.check()


# ---------------------------------------------------------------- no worker machine, pings, retention


@pytest.fixture
def sent_at_once(monkeypatch):
    """What would be sent in a thread is sent here."""
    monkeypatch.setattr(lost_workers, "_next_look", 0.0)
    monkeypatch.setattr(lost_workers.routing, "HOLDS", {})
    monkeypatch.setattr(lost_workers, "send_in_thread", lost_workers.sending.send_due)


@pytest.mark.usefixtures("sent_at_once")
def test_web_server_tells_that_no_worker_machine_is_alive(hook, make_channel):
    make_channel(grouping=0)
    seen = timezone.now() - timedelta(minutes=5)
    WorkerMachine.objects.create(host="a", pid=1, workers=2, clock_offset=0, seen_at=seen)
    lost_workers.report()
    assert hook.received[0]["title"] == "[critical] no worker"
    assert OrmQ.objects.count() == 0
    notice_checks.check_queue()
    deliver()
    assert hook.received[1]["title"] == "[over] no worker"


@pytest.mark.usefixtures("sent_at_once")
@pytest.mark.parametrize("seconds", [None, 30])
def test_web_server_is_silent_where_workers_report_or_never_ran(seconds):
    if seconds:
        seen = timezone.now() - timedelta(seconds=seconds)
        WorkerMachine.objects.create(host="a", pid=1, workers=2, clock_offset=0, seen_at=seen)
    lost_workers.report()
    assert opened() == {}


def make_ping(hook, **fields):
    url = addresses.encrypt(f"http://127.0.0.1:{hook.port}/ping/a-secret-of-ours")
    return NoticePing.objects.create(name="watcher", url=url, **fields)


def test_ping_is_sent_while_all_is_well(hook):
    make_ping(hook)
    pings.supply()
    pings.supply()
    assert OrmQ.objects.count() == 1, "the next one is due later"
    work()
    assert hook.paths == ["/ping/a-secret-of-ours"]
    ping = NoticePing.objects.get()
    assert ping.last_at and not ping.error and not ping.withheld


def test_ping_is_withheld_while_something_is_wrong(hook):
    make_ping(hook)
    open_incident(NoticeEvent.TASK_FAILED, Cause("task:1"))
    assert pings.problem_now() == ""
    open_incident(NoticeEvent.DATA_BEHIND, Cause("target:1"))
    pings.supply()
    assert OrmQ.objects.count() == 0
    assert NoticePing.objects.get().withheld == "data_behind"


def test_late_job_of_a_ping_sends_nothing(hook):
    ping = make_ping(hook)
    pings.supply()
    NoticePing.objects.update(next_at=timezone.now() + timedelta(hours=1))
    work()
    assert hook.paths == []
    assert pings.send(ping.pk, 0) is False


def test_failing_ping_shows_why_without_its_address(hook):
    make_ping(hook)
    hook.status = 503
    pings.supply()
    work()
    assert NoticePing.objects.get().error == "HTTP 503"


def test_old_notices_are_pruned_and_forgotten_tasks_closed(make_channel):
    channel = make_channel()
    long_ago = timezone.now() - timedelta(days=91)
    open_incident(NoticeEvent.DATA_BEHIND, Cause("CN"))
    Incident.objects.update(closed_at=long_ago)
    open_incident(NoticeEvent.TASK_FAILED, Cause("task:1"))
    open_incident(NoticeEvent.ORDER_REFUSED, Cause("order:1"))
    Incident.objects.filter(key__in=["task:1", "order:1"]).update(changed_at=long_ago)
    NoticeDelivery.objects.create(channel=channel, kind="test", state="sent", ended_at=long_ago)
    assert retention.prune() == 2
    assert Incident.objects.count() == 2
    for incident in Incident.objects.all():
        assert incident.closed_at and incident.routed == incident.revision, "nobody is told that it is over"
    assert not NoticeDelivery.objects.exists()
