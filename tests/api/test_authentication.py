"""Tokens: one query per request, valid until they expire."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from tasks_app.lifecycle import tokens
from tasks_app.models import ApiToken
from tasks_app.models.access import TokenScope
from tests.api.factories import make_bars, make_stock
from tests.factories import make_user

pytestmark = pytest.mark.django_db
CURRENT = "/api/data-collection/current-task"


def status_code_for(token: str) -> int:
    return Client().get(CURRENT, headers={"authorization": f"Token {token}"}).status_code


def test_token_costs_one_query(django_assert_num_queries):
    user = make_user("ann", "view_collectiontask")
    *_, (_, token) = [AuthToken.objects.create(user) for _ in range(3)]
    with django_assert_num_queries(2):
        assert status_code_for(token) == 200


def test_expired_token_leaves_other_tokens_valid():
    user = make_user("ann", "view_collectiontask")
    _, expired = AuthToken.objects.create(user, expiry=timedelta(seconds=-1))
    _, endless = AuthToken.objects.create(user, expiry=None)
    _, lasting = AuthToken.objects.create(user, expiry=timedelta(hours=1))
    assert [status_code_for(token) for token in (expired, endless, lasting)] == [401, 200, 200]


# ---------------------------------------------------------------- scope

DATA = "/api/data-collection/"
WRITES = [
    ("post", "historical"),
    ("post", "historical/estimate"),
    ("delete", "tasks/00000000-0000-4000-8000-000000000000"),
    ("post", "tasks/00000000-0000-4000-8000-000000000000/retry"),
    ("post", "plans"),
    ("patch", "plans/1"),
    ("delete", "plans/1"),
    ("post", "plans/1/run"),
    ("post", "exports"),
    ("delete", "exports/1"),
    ("put", "tasks"),
    ("post", "current-task"),
]


def client_of_scope(scope: TokenScope) -> Client:
    root = make_user("root", is_superuser=True)
    return Client(headers={"authorization": f"Token {tokens.issue(root, 'test', scope, None)[1]}"})


def test_token_to_read_may_write_nothing():
    client = client_of_scope(TokenScope.READ)
    for method, path in WRITES:
        response = getattr(client, method)(f"{DATA}{path}", content_type="application/json")
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied"), path
        assert response.json()["detail"] == "This token may only read. Use one with the scope “operate”."


def test_token_to_read_reads_also_by_post():
    client = client_of_scope(TokenScope.READ)
    assert client.get(CURRENT).status_code == 200
    assert client.options(f"{DATA}historical").status_code == 200
    make_bars(make_stock("US", "AAPL"), 1)
    query = {"market": "US", "codes": ["AAPL"]}
    response = client.post(f"{DATA}bars", query, content_type="application/json")
    assert response.getvalue()
    assert response.status_code == 200


def test_token_to_operate_may_what_its_user_may():
    client = client_of_scope(TokenScope.OPERATE)
    statuses = [getattr(client, method)(f"{DATA}{path}").status_code for method, path in WRITES]
    assert 403 not in statuses


def test_token_without_details_may_operate():
    token, _ = AuthToken.objects.create(make_user())
    assert tokens.scope_of(AuthToken.objects.select_related("details").get(pk=token.pk)) == "operate"


# ---------------------------------------------------------------- last use


def uses(client: Client, path: str, **headers: Any) -> bool:
    """Whether the request stored that the token is used."""
    before = ApiToken.objects.get().last_used_at
    assert client.get(path, **headers).status_code == 200
    return ApiToken.objects.get().last_used_at != before


@pytest.mark.parametrize("path", ["current-task", "tasks"])  # the fast path, and a view
def test_last_use_is_stored_once_a_minute(path):
    client = client_of_scope(TokenScope.READ)
    assert uses(client, f"{DATA}{path}")
    assert not uses(client, f"{DATA}{path}")
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=70))
    assert uses(client, f"{DATA}{path}")
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=30))
    assert not uses(client, f"{DATA}{path}")


def test_last_use_that_can_not_be_stored_refuses_no_request(monkeypatch, caplog):
    def refuse(*args: Any, **values: Any) -> None:
        raise DatabaseError("disk full")

    client = client_of_scope(TokenScope.READ)
    monkeypatch.setattr("django.db.models.query.QuerySet.update", refuse)
    assert client.get(f"{DATA}tasks").status_code == 200
    assert "was not recorded: disk full" in caplog.text


def test_refused_token_is_not_used():
    client = client_of_scope(TokenScope.OPERATE)
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert client.get(CURRENT).status_code == 401
    assert ApiToken.objects.get().last_used_at is None
