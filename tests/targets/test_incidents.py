"""A target that is not kept is one incident, from its deadline until its session is complete."""

import pytest

from tasks_app.models import Incident, Target
from tasks_app.models.notices import Severity
from tasks_app.notices import texts
from tasks_app.targets import incidents, judgement
from tests.admin.helpers import url
from tests.targets.factories import NEXT_SESSION, SESSION, at, make_target, seal, store

pytestmark = pytest.mark.django_db


def test_incident_lasts_from_the_deadline_until_the_session_is_complete():
    target = make_target()
    store("600000", None)
    judgement.judge(at("30 17:29"))
    assert not Incident.objects.exists()
    judgement.judge(at("30 17:30"))
    judgement.judge(at("30 17:31"))
    incident = Incident.objects.get()
    assert (incident.event, incident.market, incident.severity) == ("data_behind", "CN", Severity.WARNING)
    assert (incident.closed_at, incident.revision) == (None, 1)
    assert incident.params["page"] == url("target", target.pk)
    assert texts.headline(incident) == "data are behind · CN · A-shares"
    assert texts.sentence(incident) == (
        "The target “A-shares” is not kept: the session of 2024-04-30 was to be complete by "
        "2024-04-30 09:30 UTC. Stocks missing: 1."
    )
    seal(at("30 18:00"))
    judgement.judge(at("30 18:01"))
    assert Incident.objects.get().closed_at is not None


def test_second_session_in_a_row_makes_it_critical_and_told_of_again():
    make_target()
    judgement.judge(at("30 18:00"))
    judgement.judge(at("05-06 17:30"))
    incident = Incident.objects.get()
    assert (incident.severity, incident.revision) == (Severity.CRITICAL, 2)
    assert incident.params["session"] == "2024-05-06"


@pytest.mark.parametrize("change", ["disabled", "deleted"])
def test_incident_ends_with_its_target(change):
    make_target()
    judgement.judge(at("30 18:00"))
    assert Incident.objects.filter(closed_at=None).exists()
    targets = Target.objects.all()
    targets.update(enabled=False) if change == "disabled" else targets.delete()
    judgement.judge(at("30 18:01"))
    assert Incident.objects.get().closed_at is not None


def test_session_that_was_met_is_no_incident():
    make_target()
    seal(at("30 16:05"), day=SESSION)
    judgement.judge(at("30 18:00"))
    incidents.report(at("30 18:00"))
    assert not Incident.objects.exists()


# ---------------------------------------------------------------- while no watchdog ran


def past():
    """Returns the recorded incidents: session, beginning, end, severity and what is to be told."""
    rows = Incident.objects.order_by("opened_at")
    return [
        (
            row.params["session"],
            row.opened_at,
            row.closed_at,
            Severity(row.severity),
            row.revision - row.routed,
        )
        for row in rows
    ]


def test_session_that_was_late_meanwhile_is_recorded_and_nobody_is_told():
    make_target()
    seal(at("30 18:00"))
    judgement.judge(at("30 19:00"))
    judgement.judge(at("30 19:01"))
    assert past() == [("2024-04-30", at("30 17:30"), at("30 18:00"), Severity.WARNING, 0)]
    assert texts.over(Incident.objects.get()).startswith("It is over. It lasted from 2024-04-30 09:30")


def test_session_that_is_still_behind_opens_an_incident_at_once():
    make_target()
    judgement.judge(at("05-06 17:45"))
    incident = Incident.objects.get()
    assert (incident.closed_at, incident.severity) == (None, Severity.CRITICAL)
    assert (incident.params["session"], incident.routed) == ("2024-05-06", 0)


@pytest.mark.parametrize(
    ("sealed", "recorded"),
    [
        ("05-06 17:00", ("2024-04-30", "30 17:30", "05-06 17:30", Severity.WARNING)),
        ("05-06 18:00", ("2024-05-06", "30 17:30", "05-06 18:00", Severity.CRITICAL)),
    ],
)
def test_session_that_was_missed_meanwhile_is_recorded_with_the_one_after_it(sealed, recorded):
    make_target()
    seal(at(sealed), day=NEXT_SESSION)
    judgement.judge(at("05-06 19:00"))
    session, begin, end, severity = recorded
    assert past() == [(session, at(begin), at(end), severity, 0)]


def test_missed_sessions_in_a_row_are_one_incident():
    make_target(since=at("26 09:00"))
    seal(at("05-06 17:00"), day=NEXT_SESSION)
    judgement.judge(at("05-06 19:00"))
    assert past() == [("2024-04-30", at("26 17:30"), at("05-06 17:30"), Severity.CRITICAL, 0)]


def test_session_that_was_late_while_an_earlier_incident_was_open_is_a_part_of_that():
    target = make_target(since=at("29 09:00"))
    judgement.judge(at("29 17:31"))
    Incident.objects.update(opened_at=at("29 17:31"))
    seal(at("30 18:00"))
    judgement.judge(at("30 19:00"))
    assert target.sessions.get(session=SESSION).state == "late"
    assert Incident.objects.get().closed_at is not None
