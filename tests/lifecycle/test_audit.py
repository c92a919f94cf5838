"""The record of who did what: it can't be changed, and is read as one with those of tasks and plans."""

import io
from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY, signals
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.db import triggers
from tasks_app.db.keyset import Position
from tasks_app.lifecycle import audit, audit_log, plan_actions
from tasks_app.lifecycle.audit_log import Filters
from tasks_app.lifecycle.events import Actor
from tasks_app.models import AuditEvent, DataDeletion, TaskEvent
from tasks_app.models.audit import AuditVerb
from tasks_app.models.events import Channel
from tests.factories import ACTOR, make_plan, make_task, make_user

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # it is decided in Python what is recorded


def age(event: AuditEvent, days: float) -> None:
    """Makes the event older, as only time can."""
    with connection.cursor() as cursor:
        on = f" ON {triggers.AUDIT}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER {triggers.AUDIT}_stays{on}")
    AuditEvent.objects.filter(pk=event.pk).update(at=timezone.now() - timedelta(days=days))
    triggers.install()


def make_event(verb: AuditVerb = AuditVerb.CHANGED, user: User | None = None) -> AuditEvent:
    audit.record(verb, "user", Actor(Channel.ADMIN, user), object_id=7, name="bob", address="10.0.0.1")
    return AuditEvent.objects.latest("pk")


# ---------------------------------------------------------------- what the database refuses


@pytest.mark.parametrize("change", [{"verb": "deleted"}, {"user_name": "x"}, {"detail": "x"}])
def test_event_does_not_change(change):
    event = make_event(user=make_user())
    with pytest.raises(DatabaseError, match="do not change"), transaction.atomic():
        AuditEvent.objects.filter(pk=event.pk).update(**change)


@any_database
def test_event_is_given_to_nobody_else():
    event, other = make_event(user=make_user()), make_user("other")
    with pytest.raises(DatabaseError, match="do not change"), transaction.atomic():
        AuditEvent.objects.filter(pk=event.pk).update(user=other)


@any_database
def test_young_event_is_not_deleted():
    event = make_event()
    age(event, 29)
    with pytest.raises(DatabaseError, match="not deleted"), transaction.atomic():
        event.delete()


@any_database
def test_deleted_user_leaves_the_name():
    ann = make_user()
    event = make_event(user=ann)
    ann.delete()
    event.refresh_from_db()
    assert (event.user, event.user_name) == (None, "ann")


def test_prune_deletes_old_events_in_batches():
    events = [make_event() for _ in range(4)]
    for event in events[:3]:
        age(event, 41)
    assert [audit.prune(40, batch=2) for _ in range(3)] == [2, 1, 0]
    assert AuditEvent.objects.get() == events[3]


# ---------------------------------------------------------------- sign-ins


def sign(signal, user=None, name="", path="/admin/login/", address="203.0.113.9"):
    request = RequestFactory().post(path, REMOTE_ADDR=address)
    request.session = SessionStore()
    if user:
        request.session[SESSION_KEY] = str(user.pk)
    if signal is signals.user_login_failed:
        audit.record_failed_sign_in(None, {"username": name}, request)
    else:
        signal.send(User, request=request, user=user)


def told():
    rows = AuditEvent.objects.order_by("pk")
    return list(rows.values_list("verb", "user_name", "channel", "address"))


@any_database
def test_sign_ins_are_recorded_with_address_and_channel():
    ann = make_user()
    sign(signals.user_logged_in, ann)
    sign(signals.user_logged_out, ann, path="/api/auth/logout/")
    sign(signals.user_login_failed, name="ann")
    assert told() == [
        ("signed_in", "ann", "admin", "203.0.113.9"),
        ("signed_out", "ann", "api", "203.0.113.9"),
        ("sign_in_failed", "ann", "admin", "203.0.113.9"),
    ]


@any_database
def test_unknown_name_is_not_stored_and_counts_once_a_minute():
    for name in ("my-secret-password", "another", "with\0nul"):
        sign(signals.user_login_failed, name=name)
    sign(signals.user_login_failed, name="x", address="203.0.113.10")
    assert told() == [("sign_in_failed", "", "admin", address) for address in ("203.0.113.9", "203.0.113.10")]


@any_database
def test_forwarded_address_counts_only_behind_a_proxy(settings):
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="1.2.3.4, 203.0.113.9")
    assert audit.address_of(request) == "10.0.0.1"
    settings.PROXIES = 1
    assert audit.address_of(request) == "203.0.113.9"


@any_database
def test_lock_is_recorded_and_what_follows_is_not(client, settings):
    settings.AXES_FAILURE_LIMIT = 2
    make_user()
    for _ in range(4):
        client.post("/admin/login/", {"username": "ann", "password": "no"})
    assert [verb for verb, *_ in told()] == ["sign_in_failed", "locked_out"]


# ---------------------------------------------------------------- reading all records as one


def page(position=None, size=50, **filters):
    return audit_log.page(Filters(**filters), position or Position(), size)


def make_everything():
    ann = make_user()
    actor = Actor(Channel.API, ann)
    task = make_task()
    lifecycle.cancel(task.pk, actor)
    plan_actions.run(make_plan(name="first").pk, actor)
    plan_actions.delete([make_plan(name="second")], actor)
    make_event(user=ann)
    DataDeletion.objects.create(source="sample", user_name="ann", channel="command", bars=5)
    return task


def test_all_records_are_one_list():
    task = make_everything()
    found = {(entry.subject, entry.verb, entry.user_name) for entry in page().rows}
    assert {
        ("task", "cancelled", "ann"),
        ("task", "started", ""),
        ("plan", "run", "ann"),
        ("plan", "deleted", "ann"),
        ("user", "changed", "ann"),
        ("datadeletion", "deleted", "ann"),
    } <= found
    assert str(task.pk) in {entry.object_id for entry in page(subject="task").rows}


@pytest.mark.parametrize(
    ("size", "moment"),
    [
        (3, None),
        (2, "2026-01-02 10:00:00.123"),
        *(pytest.param(size, None, marks=pytest.mark.soak) for size in (1, 2)),
        *(pytest.param(size, "2026-01-02 10:00:00.123", marks=pytest.mark.soak) for size in (1, 3)),
    ],
)
def test_pages_forward_and_backward_are_the_list(size, moment):
    make_everything()
    if moment:  # all of one moment: the order of the records decides
        TaskEvent.objects.update(at=moment + "+00:00")
        DataDeletion.objects.update(at=moment + "+00:00")
    whole = page().rows
    forward, position = [], Position()
    while position is not None:
        part = page(position, size)
        forward += part.rows
        position = audit_log.parse_position(part.after, None) if part.after else None
    assert forward == whole
    backward, position = [], audit_log.parse_position(None, "end")
    while position is not None:
        part = page(position, size)
        backward = part.rows + backward if part.before or size == 1 else backward
        position = audit_log.parse_position(None, part.before) if part.before else None
    assert backward[-size:] == whole[-size:]
    assert list(audit_log.entries(Filters())) == whole


def test_filters_restrict_every_record():
    make_everything()
    assert {entry.user_name for entry in page(user_name="ann").rows} == {"ann"}
    assert {entry.verb for entry in page(verb="deleted").rows} == {"deleted"}
    assert {entry.subject for entry in page(verb="deleted").rows} == {"plan", "datadeletion"}
    assert [entry.name for entry in page(subject="user", object_id="7").rows] == ["bob"]
    assert page(object_id="x" * 300).rows == []
    today = timezone.localdate()
    assert page(first=today, last=today).rows == page().rows
    assert page(first=today + timedelta(days=1)).rows == page(last=today - timedelta(days=1)).rows == []


def test_page_costs_a_query_for_each_record(django_assert_num_queries):
    make_everything()
    with django_assert_num_queries(len(audit_log.RECORDS)):
        page()


@any_database
def test_actor_of_a_command_is_nobody():
    lifecycle.cancel(make_task().pk, ACTOR)
    assert {entry.channel for entry in page(verb="cancelled").rows} == {"command"}


@any_database
def test_command_that_makes_a_user_is_recorded(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-long-pass-1")
    call_command("createsuperuser", "--no-input", "--username=root", "--email=root@example.com")
    event = AuditEvent.objects.get()
    assert (event.verb, event.subject, event.object_name) == ("created", "user", "root")
    assert event.channel == "command"


@any_database
def test_command_that_changes_a_password_is_recorded(monkeypatch):
    make_user("mei")
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "another-1-pass")
    call_command("changepassword", "mei", stdout=io.StringIO())
    event = AuditEvent.objects.get()
    assert (event.verb, event.object_name, event.channel) == ("changed", "mei", "command")
    assert audit.translated(event.detail) == "Password changed"


@any_database
def test_other_changes_of_a_user_outside_of_requests_are_not_recorded():
    user = make_user("mei")
    user.first_name = "Mei"
    user.save()
    user.save(update_fields=["last_login"])
    assert not AuditEvent.objects.exists()
