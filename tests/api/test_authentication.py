"""A token is looked up with one query, and holds until it expires."""

from datetime import timedelta

import pytest
from django.test import Client
from knox.models import AuthToken

from tests.factories import make_user

pytestmark = pytest.mark.django_db
CURRENT = "/api/data-collection/current-task"


def ask(token: str) -> int:
    return Client().get(CURRENT, headers={"authorization": f"Token {token}"}).status_code


def test_a_request_costs_one_query_for_its_token_and_one_for_its_answer(django_assert_num_queries):
    user = make_user("ann", "view_collectiontask")
    *_, (_, token) = [AuthToken.objects.create(user) for _ in range(3)]
    with django_assert_num_queries(2):
        assert ask(token) == 200


def test_an_expired_token_is_refused_and_costs_its_user_no_other():
    user = make_user("ann", "view_collectiontask")
    _, expired = AuthToken.objects.create(user, expiry=timedelta(seconds=-1))
    _, endless = AuthToken.objects.create(user, expiry=None)
    _, lasting = AuthToken.objects.create(user, expiry=timedelta(hours=1))
    assert [ask(token) for token in (expired, endless, lasting)] == [401, 200, 200]
