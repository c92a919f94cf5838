"""Incidents: one per cause, whoever observes it, until it is over."""

import pytest
from django.db import IntegrityError, transaction

from tasks_app.models import Incident
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.notices import Cause, close_incident, open_incident, reconcile
from tasks_app.notices.incidents import close_by_id
from tests.factories import run_on_hosts

pytestmark = pytest.mark.django_db
EVENT = NoticeEvent.DATA_BEHIND


def behind(market="CN", severity=Severity.WARNING, **params):
    return Cause(market, severity, market, params)


def rows():
    return list(Incident.objects.order_by("pk").values_list("key", "revision", "times"))


def test_incident_is_opened_once_and_told_once():
    for _ in range(3):
        open_incident(EVENT, behind(stocks=5))
    assert rows() == [("CN", 1, 1)]


def test_incident_keeps_the_newest_figures_without_a_new_message():
    open_incident(EVENT, behind(stocks=5))
    open_incident(EVENT, behind(stocks=9))
    assert rows() == [("CN", 1, 1)]
    assert Incident.objects.get().params == {"stocks": 9}


def test_incident_that_gets_worse_is_told_again():
    open_incident(EVENT, behind())
    open_incident(EVENT, behind(severity=Severity.CRITICAL))
    open_incident(EVENT, behind(severity=Severity.INFO))
    assert rows() == [("CN", 2, 1)]
    assert Incident.objects.get().severity == Severity.INFO


def test_incident_that_happens_again_counts_and_is_told():
    open_incident(NoticeEvent.TASK_FAILED, Cause("plan 1"))
    open_incident(NoticeEvent.TASK_FAILED, Cause("plan 1"), again=True)
    assert rows() == [("plan 1", 2, 2)]


def test_closed_incident_is_told_and_another_one_begins_anew():
    open_incident(EVENT, behind())
    assert close_incident(EVENT, "CN")
    assert not close_incident(EVENT, "CN")
    open_incident(EVENT, behind())
    assert rows() == [("CN", 2, 1), ("CN", 1, 1)]
    first = Incident.objects.order_by("pk")[0]
    assert first.closed_at and not first.closed_by


def test_incident_closed_by_a_user_names_them():
    open_incident(EVENT, behind())
    incident = Incident.objects.get()
    assert close_by_id(incident.pk, "ann")
    assert not close_by_id(incident.pk, "ben")
    incident.refresh_from_db()
    assert incident.closed_by == "ann"


def test_reconcile_opens_what_is_and_closes_what_is_over(django_assert_num_queries):
    reconcile(EVENT, [behind("CN"), behind("HK")])
    open_incident(NoticeEvent.SOURCE_PAUSED, Cause("akshare"))
    with django_assert_num_queries(1):
        reconcile(EVENT, [behind("CN"), behind("HK")])
    reconcile(EVENT, [behind("HK"), behind("US")])
    opened = Incident.objects.filter(closed_at__isnull=True).order_by("key")
    assert list(opened.values_list("key", flat=True)) == ["HK", "US", "akshare"]


def test_reconcile_leaves_what_others_observe():
    reconcile(NoticeEvent.DISK_LOW, [Cause("host-a")], among=["host-a"])
    reconcile(NoticeEvent.DISK_LOW, [], among=["host-b"])
    assert Incident.objects.get().closed_at is None
    reconcile(NoticeEvent.DISK_LOW, [], among=["host-a"])
    assert Incident.objects.get().closed_at


def test_second_open_incident_of_a_cause_is_refused_by_the_database():
    open_incident(EVENT, behind())
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.create(event=EVENT, key="CN", severity=1)


@pytest.mark.django_db(transaction=True)
def test_hosts_that_observe_a_cause_at_once_open_one_incident():
    assert not run_on_hosts(4, lambda: reconcile(EVENT, [behind("CN"), behind("HK")]))
    assert sorted(rows()) == [("CN", 1, 1), ("HK", 1, 1)]
    assert not run_on_hosts(4, lambda: reconcile(EVENT, [behind("HK")]))
    assert sorted(rows()) == [("CN", 2, 1), ("HK", 1, 1)]
