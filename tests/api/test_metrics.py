"""/metrics: who may read it, and what it is written in."""

from dataclasses import replace

import pytest
from knox.models import AuthToken
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from tasks_app.metrics.collector import DatabaseCollector
from tests.api.factories import client_of
from tests.factories import make_outcome, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_cache")]
SECRET = "a-secret-of-the-scraper-0123"


@pytest.fixture
def scraper(settings):
    """Returns the headers of a scraper that has the token of the setting."""
    settings.COLLECTOR = replace(settings.COLLECTOR, metrics_token=SECRET)
    return {"Authorization": f"Bearer {SECRET}"}


def test_never_open_by_default(settings):
    assert settings.COLLECTOR.metrics_token == ""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}):
        response = client_of().get("/metrics", headers=headers)
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_text_holds_every_family(scraper):
    make_outcome("complete")
    response = client_of().get("/metrics", headers=scraper)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in response.headers["Cache-Control"]
    parsed = {family.name for family in text_string_to_metric_families(response.content.decode())}
    assert parsed == {family.name for family in DatabaseCollector().collect()}
    assert 'status="completed"} 1.0' in response.content.decode()


def test_openmetrics_where_accepted(scraper):
    accept = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"}
    response = client_of().get("/metrics", headers={**scraper, **accept})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = openmetrics_parser.text_string_to_metric_families(response.content.decode())
    assert len(list(families)) == len(list(DatabaseCollector().collect()))


@pytest.mark.parametrize(
    "wrong", ["Bearer wrong", f"Token {SECRET}", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}"]
)
def test_wrong_token_is_refused(scraper, wrong):
    response = client_of().get("/metrics", headers={"Authorization": wrong})
    assert response.status_code == 401
    assert SECRET not in response.content.decode()


def test_scraper_opens_nothing_else(scraper):
    for path in ("tasks", "coverage", "current-task"):
        response = client_of().get(f"/api/data-collection/{path}", headers=scraper)
        assert response.status_code == 401


@pytest.mark.parametrize(("permissions", "status"), [(["view_metrics"], 200), (["view_dailybar"], 403)])
def test_users_token_needs_the_permission(permissions, status):
    token = AuthToken.objects.create(make_user("ann", *permissions))[1]
    response = client_of().get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == status
