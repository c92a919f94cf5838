"""CSRF: with a session alone nothing is written; every write needs the token of our own pages."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from tests.factories import make_task
from tests.security.test_access import RULES, row_counts
from tests.security.url_paths import ID, OTHER, admin_paths, path_of

pytestmark = pytest.mark.django_db


def strict_client() -> Client:
    """Returns a superuser's client without a CSRF token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_admin_post_needs_csrf_token():
    paths, client = admin_paths(), strict_client()
    before = row_counts()
    statuses = {path: client.post(path, {"post": "yes"}).status_code for path in paths.values()}
    assert set(statuses.values()) == {403}, statuses
    assert row_counts() == before


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_every_write_needs_csrf_token(method):
    client = strict_client()
    responses = {
        route: getattr(client, method)(path_of(route)).status_code
        for _, route in OTHER
        if method in RULES[route] and route  # the root only redirects to the admin
    }
    assert set(responses.values()) <= {403}, responses


def test_foreign_page_can_not_use_the_session():
    client, task = APIClient(enforce_csrf_checks=True), make_task()
    client.force_login(User.objects.create_superuser("root"))
    base = "/api/data-collection"
    responses = [
        client.post(f"{base}/historical", {"start_date": "2024-01-01", "end_date": "2024-01-02"}),
        client.delete(f"{base}/tasks/{task.pk}"),
        client.post(f"{base}/tasks/{ID}/retry"),
    ]
    assert [(response.status_code, response.json()["code"]) for response in responses] == [
        (403, "permission_denied")
    ] * 3
    task.refresh_from_db()
    assert task.status == "running"


def test_csrf_token_of_own_page_is_accepted():
    client, task = APIClient(enforce_csrf_checks=True), make_task()
    client.force_login(User.objects.create_superuser("root"))
    client.get("/admin/")
    token = client.cookies["csrftoken"].value
    response = client.delete(f"/api/data-collection/tasks/{task.pk}", headers={"X-CSRFToken": token})
    assert response.status_code == 200
