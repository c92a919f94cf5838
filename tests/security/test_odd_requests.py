"""No request makes the server fail: odd methods, paths, parameters, headers and bodies on every path.

FUZZ_REQUESTS sets how many requests are made (`make soak`: 12,000), FUZZ_SEED which ones.
"""

import json
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.signals import got_request_exception
from django.db import transaction
from django.http import HttpRequest
from django.test import Client, RequestFactory
from drf_spectacular.generators import SchemaGenerator
from knox.models import AuthToken

from tasks_app.db import keyset
from tasks_app.models import CollectionItem, DailyBar
from tests.admin.helpers import superuser_client, url
from tests.api.factories import make_bars
from tests.factories import make_task, make_user, sign_in
from tests.security import odd_requests
from tests.security.odd_requests import OddRequest, Vocabulary
from tests.security.responses import responses
from tests.security.url_paths import fill_route
from tests.security.users import make_rows, make_user_of_kind

pytestmark = pytest.mark.django_db
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "12"))
UNREADY = "/readyz"  # answers 503 because the tests have no worker


class Rollback(Exception):
    """Undoes what a request has written, so that each one finds the same rows."""


@pytest.fixture
def superuser(db: None) -> Client:
    """Returns a client whose cookies are copied for each request: a response may end the session."""
    client = Client()
    sign_in(client, make_user_of_kind("superuser"))
    return client


@pytest.fixture
def words() -> Vocabulary:
    """The paths, names and keys of this site with a few rows in each table.

    Requested before `superuser`: the shared responses are those to a user of the same name.
    """
    pages = responses("superuser").by_path.values()
    rows = {**make_rows(), "user": make_user("other")}
    make_bars(rows["stock"], 60, adjust="hfq")  # more than a page
    make_task()
    rows["authtoken"] = AuthToken.objects.create(rows["user"])[0]
    paths = {route: "/" + fill_route(_fill(route, rows), rows) for route in odd_requests.routes()}
    fields, parameters = set(odd_requests.ORDER), odd_requests.parameters_in_source()
    for response in pages:
        page = "" if response.streaming else response.content.decode()
        found_fields, found_parameters = odd_requests.names_in_page(page)
        fields |= found_fields
        parameters |= found_parameters
    parameters |= odd_requests.parameters_in_schema(SchemaGenerator().get_schema(public=True))
    return Vocabulary(paths, sorted(parameters), sorted(fields), row_keys())


def row_keys() -> list[tuple[Any, ...]]:
    """Returns the keys of some rows in the orders of the lists of admin and API."""
    registered = [(model, each.get_ordering(HttpRequest())) for model, each in admin.site._registry.items()]
    keys: list[tuple[Any, ...]] = []
    for model, ordering in [*registered, (DailyBar, ["-day"]), (CollectionItem, ["position"])]:
        columns = keyset.order_columns(model, ordering) if ordering else []
        for row in model._default_manager.all()[:2] if columns else ():
            values = [getattr(row, column.name) for column in columns]
            keys.append(tuple(json.loads(json.dumps(values, default=str))))
    return keys


def _fill(route: str, rows: dict[str, Any]) -> str:
    """Fills the API's routes; those of the admin are filled by their model."""
    values = {
        "<str:task_id>": rows["collectiontask"].pk,
        "<market:market>": "US",
        "<str:market>": "US",
        "<str:code>": "AAPL",
    }
    for group, value in values.items():
        route = route.replace(group, str(value))
    return route.replace(r"^api(?:/[\s\S]*)?$", "api/nothing")


@contextmanager
def recorded_exceptions() -> Iterator[list[str]]:
    """Yields the list of the exceptions that views raise meanwhile."""
    raised: list[str] = []

    def record(**_: Any) -> None:
        raised.append("".join(traceback.format_exc().splitlines(keepends=True)[-4:]))

    got_request_exception.connect(record)
    try:
        yield raised
    finally:
        got_request_exception.disconnect(record)


def client_like(signed_in: Client | None) -> Client:
    """Returns a new client, signed in like the other one if there is one."""
    client = Client(raise_request_exception=False)
    if signed_in:
        client.cookies.load(signed_in.cookies.output(header="", sep=";"))
    return client


def send(client: Client, request: OddRequest) -> int:
    """Returns the status of the response, after reading all of it. Nothing is kept in the database."""
    extra = {"QUERY_STRING": request.query, **request.headers}
    response: Any = None
    try:
        with transaction.atomic():
            response = client.generic(
                request.method, request.path, request.body, request.content_type, **extra
            )
            if response.streaming:
                b"".join(response.streaming_content)
            raise Rollback
    except Rollback:
        return int(response.status_code)


@pytest.mark.xdist_group("responses")
def test_no_request_makes_the_server_fail(words: Vocabulary, superuser: Client) -> None:
    statuses, failed = Counter[int](), []
    with recorded_exceptions() as raised:
        for request in odd_requests.odd_requests(words, SEED, REQUESTS):
            raised.clear()
            status = send(client_like(None if request.anonymous else superuser), request)
            statuses[status] += 1
            if status >= 500 and not (status == 503 and request.path == UNREADY):
                failed.append(f"{status} {request}\n{''.join(raised)}")
    assert not failed, f"{len(failed)} of {REQUESTS}:\n" + "\n".join(failed[:40])
    assert statuses[200] > REQUESTS / 5, f"most requests were turned away at the door: {statuses}"


@pytest.mark.parametrize(
    "key",
    [
        str(2**63),
        "no-key",
        pytest.param("9" * 5000, marks=pytest.mark.soak),
        pytest.param("-" + "9" * 30, marks=pytest.mark.soak),
    ],
)
def test_kind_of_key_that_no_row_has_is_refused(key):
    """As a choice of a form, and as a row of a list's action: to look it up would be a 500."""
    client, user = superuser_client(), make_user("ann")
    group = Group.objects.create(name="quants")
    for path, field in (
        (url("auth_user_change", user.pk), "user_permissions"),
        (url("auth_user_change", user.pk), "groups"),
        (url("auth_group_change", group.pk), "permissions"),
    ):
        response = client.post(path, {"name": "quants", "username": "ann", field: key})
        assert (response.status_code, user.groups.count()) == (200, 0), path
    request, tried = RequestFactory().get("/"), set()
    request.user = User.objects.get(username="root")
    for model, registered in admin.site._registry.items():
        page = url(f"{model._meta.app_label}_{model._meta.model_name}_changelist")
        for action in registered.get_actions(request):
            tried.add(action)
            response = client.post(page, {"action": action, "_selected_action": key, "post": "yes"})
            assert response.status_code in {200, 302, 403}, (page, action)
    assert tried >= {"delete_selected", "cancel_selected", "retry_selected"}
