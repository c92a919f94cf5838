"""A target that is not kept is one incident, from its deadline until its session is complete."""

import pytest

from tasks_app.models import Incident, Target
from tasks_app.models.notices import Severity
from tasks_app.notices import texts
from tasks_app.targets import incidents, judgement
from tests.admin.helpers import url
from tests.targets.factories import SESSION, at, make_target, seal, store

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
