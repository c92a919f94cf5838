"""The polled answers have a short way of their own: it must say what the ordinary way says."""

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
ORDINARY = {"HTTP_ACCEPT": "text/plain, application/json"}  # the short way leaves lists to the other one
FAILURE = Outcome(ItemState.FAILED, error_code="timeout", error_message="No answer.")
ERRING = {"status/{}".format("0" * 36), "status/417ace0f-e54c-4028-808b-a31ca5afde97", "status/", "status/x"}


@pytest.fixture
def token():
    user = get_user_model().objects.create_user("poller")
    return AuthToken.objects.create(user)


@pytest.fixture
def ask(token):
    def ask(path: str, **headers: str):
        headers.setdefault("HTTP_AUTHORIZATION", f"Token {token[1]}")
        return Client().get(f"{status_fast_path.API}{path}", **headers)

    return ask


@pytest.fixture
def paths():
    task = make_task(stock_codes=("000001", "000002"))
    return ["current-task", f"status/{task.pk}", f"status/{str(task.pk).upper()}"]


def is_lean(answer) -> bool:
    return "ETag" in answer.headers


def test_both_ways_say_the_same_with_the_same_headers(ask, paths):
    for path in paths:
        short, long = ask(path), ask(path, **ORDINARY)
        assert (is_lean(short), is_lean(long)) == (True, False)
        assert short.status_code == long.status_code == 200
        assert short.json() == long.json()
        for name in (set(long.headers) | set(short.headers)) - {"ETag", "Cache-Control", "Content-Language"}:
            assert short.headers[name] == long.headers[name], name


def test_nothing_that_runs_is_told_alike(ask):
    assert ask("current-task").json() == ask("current-task", **ORDINARY).json() == {"current_task": None}


def test_an_unchanged_state_is_answered_with_304(ask, paths):
    for path in paths:
        tag = ask(path).headers["ETag"]
        again = ask(path, HTTP_IF_NONE_MATCH=tag)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert ask(path, HTTP_IF_NONE_MATCH='W/"another"').status_code == 200


def test_an_unchanged_task_with_failures_is_not_read_again(ask, django_assert_num_queries):
    task = make_task(stock_codes=("000001", "000002", "000003"))
    first, second, third = lifecycle.claim(make_lane(task), 3)
    lifecycle.record(first, FAILURE)
    path = f"status/{task.pk}"
    tag = ask(path).headers["ETag"]
    with django_assert_num_queries(2):
        assert ask(path, HTTP_IF_NONE_MATCH=tag).status_code == 304
    for claim, outcome in ((second, FAILURE), (third, Outcome(ItemState.SUCCEEDED))):
        lifecycle.record(claim, outcome)
        answer = ask(path, HTTP_IF_NONE_MATCH=tag)
        assert (answer.status_code, answer.json()) == (200, ask(path, **ORDINARY).json())
        tag = answer.headers["ETag"]


def test_bearer_is_as_good_as_token(ask, token, paths):
    assert is_lean(ask(paths[0], HTTP_AUTHORIZATION=f"bearer  {token[1]}"))


@pytest.mark.parametrize("header", ["", "Token", "Token a b", "Token \x00", "Basic eDp5", "Token nope"])
def test_whoever_has_no_good_token_is_refused(ask, paths, header):
    for path in paths:
        assert ask(path, HTTP_AUTHORIZATION=header).status_code == 401


def test_a_token_ends_with_its_expiry_its_user_and_its_deletion(ask, token, paths):
    (path, *_), (row, _) = paths, token
    AuthToken.objects.update(expiry=timezone.now() + timedelta(hours=1))
    assert is_lean(ask(path))
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert ask(path).status_code == 401
    AuthToken.objects.update(expiry=None)
    get_user_model().objects.update(is_active=False)
    assert ask(path).status_code == 401
    get_user_model().objects.update(is_active=True)
    assert is_lean(ask(path))
    row.delete()
    assert ask(path).status_code == 401


@pytest.mark.parametrize("form", ["{{{}}}", "urn:uuid:{}", "-{}-"])
def test_an_id_in_another_form_than_ours_is_not_found_either_way(ask, form):
    path = f"status/{form.format(make_task().pk)}"
    for answer in (ask(path), ask(path, **ORDINARY)):
        assert (answer.status_code, answer.json()["code"]) == (404, "task_not_found")


@pytest.mark.parametrize("path", sorted(ERRING))
def test_what_does_not_exist_gets_its_sentence_from_the_ordinary_way(ask, path):
    answer = ask(path)
    assert (answer.status_code, is_lean(answer)) == (404, False)
    assert answer.json()["detail"]


def test_browsers_and_other_methods_go_the_ordinary_way(ask, paths, token):
    for path in paths:
        assert "text/html" in ask(path, HTTP_ACCEPT="text/html,*/*")["Content-Type"]
        head = Client().head(f"{status_fast_path.API}{path}", HTTP_AUTHORIZATION=f"Token {token[1]}")
        assert (head.status_code, is_lean(head)) == (200, False)
    assert not is_lean(ask("current-task?format=json"))


def test_a_foreign_host_is_refused(ask, paths, settings):
    settings.ALLOWED_HOSTS = ["ours.example"]
    for path in paths:
        assert ask(path, HTTP_HOST="theirs.example").status_code == 400


def test_it_costs_two_queries(ask, paths, django_assert_num_queries):
    for path in paths:
        with django_assert_num_queries(2):
            assert is_lean(ask(path))
