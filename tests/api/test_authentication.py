"""Tokens: one query per request, valid until they expire."""

from datetime import timedelta

import pytest
from django.test import Client
from knox.models import AuthToken

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
