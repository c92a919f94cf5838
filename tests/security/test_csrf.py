"""A session alone writes nothing: each write needs the token that only our own pages know."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from tests.factories import make_task
from tests.security.test_access import ID, REST, RULES, address, addresses, contents

pytestmark = pytest.mark.django_db


def strict() -> Client:
    """A superuser's browser that has no token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_no_path_of_the_admin_takes_a_post_without_the_token():
    paths, client = addresses(), strict()
    before = contents()
    refused = {path: client.post(path, {"post": "yes"}).status_code for path in paths.values()}
    assert set(refused.values()) == {403}, refused
    assert contents() == before


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_other_path_takes_a_write_without_the_token(method):
    client = strict()
    answers = {
        route: getattr(client, method)(address(route)).status_code
        for _, route in REST
        if method in RULES[route] and route  # the root writes nothing: it leads to the admin
    }
    assert set(answers.values()) <= {403}, answers


def test_a_foreign_page_can_not_start_cancel_or_retry_with_the_users_session():
    client, task = APIClient(enforce_csrf_checks=True), make_task()
    client.force_login(User.objects.create_superuser("root"))
    base = "/api/data-collection"
    answers = [
        client.post(f"{base}/historical", {"start_date": "2024-01-01", "end_date": "2024-01-02"}),
        client.delete(f"{base}/tasks/{task.pk}"),
        client.post(f"{base}/tasks/{ID}/retry"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (403, "permission_denied")
    ] * 3
    task.refresh_from_db()
    assert task.status == "running"


def test_the_token_of_our_own_page_lets_the_write_through():
    client, task = APIClient(enforce_csrf_checks=True), make_task()
    client.force_login(User.objects.create_superuser("root"))
    client.get("/admin/")
    token = client.cookies["csrftoken"].value
    answer = client.delete(f"/api/data-collection/tasks/{task.pk}", headers={"X-CSRFToken": token})
    assert answer.status_code == 200
