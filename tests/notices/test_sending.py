"""Messages on their way: one per cause, to a webhook and a mail server; retries, quiet hours, lost
workers.
"""

from datetime import UTC, datetime, time
from email.header import decode_header, make_header

import pytest
from django_q.models import OrmQ

from tasks_app.models import Incident, NoticeChannel, NoticeDelivery
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.notices import Cause, close_incident, open_incident, routing, sending
from tests.factories import run_on_hosts
from tests.notices.conftest import deliver, let_time_pass
from tools.in_process import work
from tools.notice_receivers import mail_server

pytestmark = pytest.mark.django_db
PAUSED = NoticeEvent.SOURCE_PAUSED


def pause(source="akshare", severity=Severity.WARNING):
    facts = {"source": source, "until_at": "2026-11-29T10:00:00+00:00", "reason": "HTTP 429"}
    open_incident(PAUSED, Cause(source, severity, params=facts))


def titles(hook):
    return [body["title"] for body in hook.received]


def states():
    return list(NoticeDelivery.objects.order_by("pk").values_list("kind", "state"))


def test_cause_is_told_once_and_so_is_its_end(hook, make_channel, settings):
    make_channel()
    for _ in range(3):
        pause()
        deliver()
    close_incident(PAUSED, "akshare")
    deliver()
    deliver()
    assert titles(hook) == ["[warning] source is paused · akshare", "[over] source is paused · akshare"]
    first, last = hook.received
    assert (first["type"], last["type"]) == ("warning", "success")
    assert "until 2026-11-29 18:00 Beijing time: it refuses requests. HTTP 429" in first["message"], (
        "in the channel's zone"
    )
    assert "It is over." in last["message"]


def test_message_is_in_the_language_of_its_channel(hook, make_channel):
    make_channel(language="zh-hans")
    pause()
    deliver()
    assert titles(hook) == ["[警告] 数据源已暂停 · akshare"]
    assert "拒绝请求" in hook.received[0]["message"]


def test_causes_of_one_time_are_one_message(hook, make_channel):
    make_channel()
    pause("akshare")
    pause("baostock")
    deliver()
    assert titles(hook) == ["Stock collector: 2 notices"]
    assert "akshare" in hook.received[0]["message"] and "baostock" in hook.received[0]["message"]


def test_cause_that_was_over_before_anybody_was_told_is_not_told(hook, make_channel):
    make_channel()
    pause()
    routing.route()
    close_incident(PAUSED, "akshare")
    deliver()
    assert hook.received == []
    assert states() == [("opened", "skipped"), ("closed", "skipped")]


def test_brief_pause_of_a_source_waits_for_minutes(make_channel):
    channel = make_channel()
    pause()
    routing.route()
    sending.supply()
    assert OrmQ.objects.count() == 0
    delivery = NoticeDelivery.objects.get()
    assert 250 < (delivery.next_at - delivery.created_at).total_seconds() <= 301 > channel.grouping


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        ({"severity": Severity.WARNING}, True),
        ({"severity": Severity.CRITICAL}, False),
        ({"event": PAUSED}, True),
        ({"event": NoticeEvent.DISK_LOW}, False),
        ({"market": "CN"}, False),
    ],
)
def test_rule_decides_who_is_told(make_channel, rule, is_told):
    make_channel(rule=rule)
    pause()
    routing.route()
    assert NoticeDelivery.objects.exists() is is_told


def test_channel_that_is_off_is_not_told(make_channel):
    make_channel(enabled=False)
    pause()
    routing.route()
    assert not NoticeDelivery.objects.exists()


def test_failing_channel_is_tried_again_and_shows_why(hook, make_channel):
    channel = make_channel()
    hook.status = 500
    pause()
    deliver()
    channel.refresh_from_db()
    delivery = NoticeDelivery.objects.get()
    assert (channel.failures, delivery.attempts, delivery.state) == (1, 1, "pending")
    assert channel.failing_since and channel.error == delivery.error != ""
    assert "a-secret-token" not in channel.error
    sending.supply()
    assert OrmQ.objects.count() == 0, "the next attempt is not due yet"
    hook.status = 200
    deliver()
    channel.refresh_from_db()
    assert (channel.failures, channel.failing_since, channel.error) == (0, None, "")
    assert states() == [("opened", "sent")]
    assert len(hook.received) == 2


def test_back_off_grows_to_an_hour():
    pauses = [sending._pause(attempt) for attempt in range(1, sending.MAX_ATTEMPTS)]
    assert 15 <= pauses[0] <= 18 and 3600 <= pauses[-1] <= 4320
    assert sum(pauses) > 8 * 3600


def test_delivery_is_given_up_in_the_end(hook, make_channel):
    make_channel()
    hook.status = 500
    pause()
    routing.route()
    NoticeDelivery.objects.update(attempts=sending.MAX_ATTEMPTS - 1)
    deliver()
    assert states() == [("opened", "failed")]


def test_address_of_another_key_is_an_error_of_the_channel(make_channel, settings):
    channel = make_channel()
    settings.SECRET_KEY = "another key, as after a copied database"
    pause()
    deliver()
    channel.refresh_from_db()
    assert "DJANGO_SECRET_KEY" in channel.error


def test_copy_of_a_job_sends_nothing(hook, make_channel):
    channel = make_channel()
    pause()
    deliver()
    generation = NoticeChannel.objects.get().generation
    assert sending.send_due(channel.pk, generation) is False
    assert len(hook.received) == 1


def test_worker_that_dies_before_it_sends_loses_nothing(hook, make_channel, monkeypatch):
    make_channel()
    pause()

    def die(*args):
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(sending.transport, "send", die)
        deliver()
    assert NoticeDelivery.objects.get().attempts == 1
    deliver()
    assert states() == [("opened", "sent")]
    assert len(hook.received) == 1


def test_watchdog_sends_what_no_worker_takes(hook, make_channel):
    make_channel()
    pause()
    routing.route()
    let_time_pass()
    assert sending.supply() == []
    OrmQ.objects.all().delete()
    let_time_pass()
    (untaken,) = sending.supply()
    assert sending.send_due(*untaken)
    assert len(hook.received) == 1


@pytest.mark.parametrize(
    ("begin", "until", "at", "end"),
    [
        (time(22), time(8), "2026-01-01 23:00", "2026-01-02 08:00"),
        (time(22), time(8), "2026-01-02 07:59", "2026-01-02 08:00"),
        (time(22), time(8), "2026-01-02 08:00", None),
        (time(1), time(2), "2026-01-02 01:30", "2026-01-02 02:00"),
        (time(1), time(2), "2026-01-02 12:00", None),
        (None, None, "2026-01-02 12:00", None),
    ],
)
def test_quiet_hours_are_of_the_time_zone(begin, until, at, end):
    channel = NoticeChannel(time_zone="Asia/Shanghai", quiet_from=begin, quiet_until=until)
    found = sending.end_of_quiet(channel, datetime.fromisoformat(f"{at}:00+08:00"))
    assert found == (datetime.fromisoformat(f"{end}:00+08:00").astimezone(UTC) if end else None)


def quiet_now(monkeypatch):
    monkeypatch.setattr(sending, "end_of_quiet", lambda channel, now: datetime(2100, 1, 1, tzinfo=UTC))


def test_quiet_hours_hold_messages_back_but_critical_ones(hook, make_channel, monkeypatch):
    make_channel()
    with monkeypatch.context() as night:
        quiet_now(night)
        pause("akshare")
        pause("baostock", Severity.CRITICAL)
        deliver()
        assert titles(hook) == ["[critical] source is paused · baostock"]
        deliver()
    deliver()
    assert titles(hook)[1:] == ["[warning] source is paused · akshare"]


def test_silenced_incident_is_told_no_more(hook, make_channel):
    make_channel()
    pause()
    deliver()
    Incident.objects.update(silenced_until=datetime(2100, 1, 1, tzinfo=UTC))
    pause(severity=Severity.CRITICAL)
    close_incident(PAUSED, "akshare")
    deliver()
    assert len(hook.received) == 1


def test_mail_reaches_its_server(make_channel):
    with mail_server() as (port, mails):
        make_channel(
            url=f"mailto://127.0.0.1:{port}?from=collector@example.com&to=ann@example.com&mode=insecure"
        )
        pause()
        deliver()
    (mail,) = mails
    assert "ann@example.com" in mail["To"]
    assert "source is paused" in str(make_header(decode_header(mail["Subject"])))
    assert "The source akshare is paused" in str(mail)


@pytest.mark.django_db(transaction=True)
def test_hosts_that_route_and_supply_at_once_send_one_message(hook, make_channel):
    make_channel()
    pause()
    assert not run_on_hosts(4, routing.route)
    let_time_pass()
    assert not run_on_hosts(4, sending.supply)
    assert OrmQ.objects.count() == 1
    channel = NoticeChannel.objects.get()
    assert not run_on_hosts(3, lambda: sending.send_due(channel.pk, channel.generation))
    work()
    assert len(hook.received) == 1
