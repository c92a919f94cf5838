"""The fast path for polls returns exactly what the views return."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from tasks_app import lifecycle
from tasks_app.api import status_fast_path
from tasks_app.lifecycle import Outcome
from tasks_app.models.states import ItemState
from tests.factories import make_lane, make_task

pytestmark = pytest.mark.django_db
VIEW = {"HTTP_ACCEPT": "text/plain, application/json"}  # a list of types is left to the view
FAILURE = Outcome(ItemState.FAILED, error_code="timeout", error_message="No response.")
NOT_FOUND = {
    "status/{}".format("0" * 36),
    "status/417ace0f-e54c-4028-808b-a31ca5afde97",
    "status/",
    "status/x",
}


@pytest.fixture
def token():
    user = get_user_model().objects.create_user("poller")
    return AuthToken.objects.create(user)


@pytest.fixture
def poll(token):
    def poll(path: str, **headers: str):
        headers.setdefault("HTTP_AUTHORIZATION", f"Token {token[1]}")
        return Client().get(f"{status_fast_path.API}{path}", **headers)

    return poll


@pytest.fixture
def paths():
    task = make_task(stock_codes=("000001", "000002"))
    return ["current-task", f"status/{task.pk}", f"status/{str(task.pk).upper()}"]


def is_fast(response) -> bool:
    return "ETag" in response.headers


def test_fast_path_equals_view_with_headers(poll, paths):
    for path in paths:
        fast, slow = poll(path), poll(path, **VIEW)
        assert (is_fast(fast), is_fast(slow)) == (True, False)
        assert fast.status_code == slow.status_code == 200
        assert fast.json() == slow.json()
        assert fast.headers["X-Request-ID"] != slow.headers["X-Request-ID"]
        different = {"ETag", "Cache-Control", "Content-Language", "X-Request-ID"}
        for name in (set(slow.headers) | set(fast.headers)) - different:
            assert fast.headers[name] == slow.headers[name], name


def test_no_running_task_equals_view(poll):
    assert poll("current-task").json() == poll("current-task", **VIEW).json() == {"current_task": None}


def test_unchanged_state_is_304(poll, paths):
    for path in paths:
        tag = poll(path).headers["ETag"]
        again = poll(path, HTTP_IF_NONE_MATCH=tag)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert poll(path, HTTP_IF_NONE_MATCH='W/"another"').status_code == 200


def test_unchanged_task_with_failures_costs_no_more(poll, django_assert_num_queries):
    task = make_task(stock_codes=("000001", "000002", "000003"))
    first, second, third = lifecycle.claim(make_lane(task), 3)
    lifecycle.record(first, FAILURE)
    path = f"status/{task.pk}"
    tag = poll(path).headers["ETag"]
    with django_assert_num_queries(2):
        assert poll(path, HTTP_IF_NONE_MATCH=tag).status_code == 304
    for claim, outcome in ((second, FAILURE), (third, Outcome(ItemState.SUCCEEDED))):
        lifecycle.record(claim, outcome)
        response = poll(path, HTTP_IF_NONE_MATCH=tag)
        assert (response.status_code, response.json()) == (200, poll(path, **VIEW).json())
        tag = response.headers["ETag"]


def test_bearer_prefix_takes_fast_path(poll, token, paths):
    assert is_fast(poll(paths[0], HTTP_AUTHORIZATION=f"bearer  {token[1]}"))


@pytest.mark.any_database  # refused by one look-up, which the others do
@pytest.mark.parametrize("header", ["", "Token", "Token a b", "Token \x00", "Basic eDp5", "Token nope"])
def test_invalid_token_is_unauthorized(poll, paths, header):
    for path in paths:
        assert poll(path, HTTP_AUTHORIZATION=header).status_code == 401


def test_token_ends_with_expiry_user_or_deletion(poll, token, paths):
    (path, *_), (row, _) = paths, token
    AuthToken.objects.update(expiry=timezone.now() + timedelta(hours=1))
    assert is_fast(poll(path))
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert poll(path).status_code == 401
    AuthToken.objects.update(expiry=None)
    get_user_model().objects.update(is_active=False)
    assert poll(path).status_code == 401
    get_user_model().objects.update(is_active=True)
    assert is_fast(poll(path))
    row.delete()
    assert poll(path).status_code == 401


@pytest.mark.any_database  # refused before any query
@pytest.mark.parametrize("form", ["{{{}}}", "urn:uuid:{}", "-{}-"])
def test_id_in_other_uuid_form_is_not_found(poll, form):
    path = f"status/{form.format(make_task().pk)}"
    for response in (poll(path), poll(path, **VIEW)):
        assert (response.status_code, response.json()["code"]) == (404, "task_not_found")


@pytest.mark.parametrize("path", sorted(NOT_FOUND))
def test_unknown_task_gets_404_from_view(poll, path):
    response = poll(path)
    assert (response.status_code, is_fast(response)) == (404, False)
    assert response.json()["detail"]


@pytest.mark.any_database  # left to the view before any query
def test_browser_head_and_query_go_to_view(poll, paths, token):
    for path in paths:
        assert "text/html" in poll(path, HTTP_ACCEPT="text/html,*/*")["Content-Type"]
        head = Client().head(f"{status_fast_path.API}{path}", HTTP_AUTHORIZATION=f"Token {token[1]}")
        assert (head.status_code, is_fast(head)) == (200, False)
    assert not is_fast(poll("current-task?format=json"))


@pytest.mark.any_database  # refused before any query
def test_foreign_host_is_rejected(poll, paths, settings):
    settings.ALLOWED_HOSTS = ["ours.example"]
    for path in paths:
        assert poll(path, HTTP_HOST="theirs.example").status_code == 400


def test_poll_costs_two_queries(poll, paths, django_assert_num_queries):
    for path in paths:
        with django_assert_num_queries(2):
            assert is_fast(poll(path))
