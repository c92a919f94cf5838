"""Every path × everybody: who gets in, and who changes nothing."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.test import Client
from knox.models import AuthToken

from tests.api.factories import client_of
from tests.factories import make_user
from tests.security.paths import ADMIN, REST
from tests.security.people import PEOPLE, make_person, make_world

pytestmark = pytest.mark.django_db

# ---------------------------------------------------------------- the admin

SIGN_IN = "/admin/login/"
OPEN = {"login"}
HOME = {"index", "search", "logout", "password_change", "password_change_done", "jsi18n", "app_list", ""}
MODELS = ("collectiontask", "collectionitem", "stock", "dailybar", "finding", "correction")
READ_ONLY = {f"tasks_app_{model}" for model in MODELS}
ACCESS = {"auth_user", "auth_group", "knox_authtoken", "tasks_app_collectionplan"}
LOOK = {f"{model}_{page}" for model in READ_ONLY for page in ("changelist", "change", "history")}
NOBODY = {f"{model}_{page}" for model in READ_ONLY for page in ("add", "delete")}
VERBS = {"tasks_app_collectiontask_cancel", "tasks_app_collectiontask_retry"}
LOOK |= {"dashboard_live", "dashboard_overview"}
LOOK |= {"tasks_app_collectiontask_live", "tasks_app_collectiontask_stocks"}
LOOK |= {f"tasks_app_stock_{page}" for page in ("of", "data", "csv")}
START = {"start", "start_estimate", "start_stocks", "start_file"}
RIGHTS = {f"{m}_{page}" for m in ACCESS for page in ("changelist", "add", "change", "delete", "history")}
RIGHTS |= {"auth_user_password_change"}
INSIDE = {"autocomplete", "view_on_site"}  # they ask for permissions of what they are asked for
MAY = {
    "reader": HOME | LOOK,
    "operator": HOME | LOOK | VERBS | START,
    "superuser": HOME | LOOK | VERBS | START | RIGHTS,
}


def addresses() -> dict[str, str]:
    """One address for each of the admin's paths, of rows that are there; by name, or route if it has none."""
    rows = {**make_world(), "user": make_user("victim"), "group": Group.objects.create(name="all")}
    token = AuthToken.objects.create(rows["user"])[0]
    rows["authtoken"] = token
    return {name.removeprefix("admin:") or route: f"/{fill(route, rows)}" for name, route in ADMIN}


def fill(route: str, rows: dict[str, Any]) -> str:
    key = next((model for model in rows if f"/{model}/" in route), "")
    pk = rows[key].token_key if key == "authtoken" and "delete" in route else getattr(rows.get(key), "pk", 1)
    route = route.replace("^(?P<app_label>tasks_app|knox|auth)/$", "tasks_app/").replace("(?P<url>.*)$", "no")
    return re.sub(r"<[^>]+>", str(pk), route)


def contents() -> dict[str, int]:
    """How many rows each table has."""
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


def signed_in(kind: str) -> Client:
    client, user = Client(), make_person(kind)
    if user:
        client.force_login(user)
    return client


def group_of(name: str) -> str:
    return "" if name.startswith("admin/") else name


def test_no_path_of_the_admin_is_forgotten_here():
    known = OPEN | HOME | LOOK | NOBODY | VERBS | START | RIGHTS | INSIDE
    assert {group_of(name.removeprefix("admin:")) for name, _ in ADMIN} == known


@pytest.mark.parametrize("kind", ["anonymous", "plain"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_the_admin_asks_everybody_but_staff_to_sign_in_whatever_the_path(kind, method):
    paths, client = addresses(), signed_in(kind)
    before, wrong = contents(), {}
    for name, path in paths.items():
        if name in OPEN | {"logout"}:
            continue
        answer = getattr(client, method)(path)
        if (answer.status_code, answer.headers.get("Location", "").split("?")[0]) != (302, SIGN_IN):
            wrong[path] = answer.status_code
    assert not wrong
    assert contents() == before


@pytest.mark.parametrize("kind", ["reader", "operator", "superuser"])
def test_staff_open_the_pages_that_their_permissions_name_and_no_other(kind):
    paths, client, wrong = addresses(), signed_in(kind), {}
    for name, path in paths.items():
        if name in OPEN | INSIDE | {"logout"}:
            continue
        status = client.get(path).status_code
        allowed = group_of(name) in MAY[kind]
        # 302: a page that leads elsewhere; 404: the admin's last resort for unknown paths; 405: POST only.
        if status not in ({200, 302, 404, 405} if allowed else {403}):
            wrong[path] = status
    assert not wrong


@pytest.mark.parametrize("kind", ["reader", "operator"])
def test_staff_without_rights_change_nothing_by_posting_anywhere(kind):
    paths, client = addresses(), signed_in(kind)
    before, wrong = contents(), {}
    for name, path in paths.items():
        if name in VERBS | OPEN | {"logout"}:
            continue
        data = {"post": "yes", "name": "x", "action": "delete_selected", "_selected_action": ["1"]}
        status = client.post(path, data).status_code
        if status not in {200, 302, 403, 404, 405}:
            wrong[path] = status
    assert not wrong
    assert contents() == before


@pytest.mark.parametrize("page", sorted(NOBODY))
def test_not_even_a_superuser_adds_or_deletes_what_the_engine_writes(page):
    path = addresses()[page]
    client, before = signed_in("superuser"), contents()
    assert [client.get(path).status_code, client.post(path, {"post": "yes"}).status_code] == [403, 403]
    assert contents() | {"sessions.Session": 0} == before | {"sessions.Session": 0}


@pytest.mark.parametrize("kind", ["reader", "operator"])
def test_helpers_of_the_admin_tell_nothing_of_tables_one_may_not_see(kind):
    make_world()
    client = signed_in(kind)
    field = {"app_label": "auth", "model_name": "user", "field_name": "groups", "term": ""}
    assert client.get("/admin/autocomplete/", field).status_code == 403
    assert client.get("/admin/r/1/1/").status_code in {403, 404}
    assert b"/admin/auth/" not in client.get("/admin/search/", {"s": "user"}).content


# ---------------------------------------------------------------- the rest

DATA, ID = "api/data-collection/", "00000000-0000-4000-8000-000000000000"
ANYBODY, LOGIN, OPERATOR = 0, 1, 2
RULES: dict[str, dict[str, int]] = {
    "": {"get": ANYBODY, "post": ANYBODY},  # leads to the admin
    "i18n/setlang/": {"get": ANYBODY, "post": ANYBODY},
    "healthz": {"get": ANYBODY},
    "readyz": {"get": ANYBODY},
    f"{DATA}historical": {"post": OPERATOR},
    f"{DATA}status/<str:task_id>": {"get": LOGIN},
    f"{DATA}tasks": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>": {"delete": OPERATOR},
    f"{DATA}tasks/<str:task_id>/items": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>/errors": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>/retry": {"post": OPERATOR},
    f"{DATA}current-task": {"get": LOGIN},
    f"{DATA}stock-list": {"get": LOGIN},
    f"{DATA}quotes/<str:market>/<str:code>": {"get": LOGIN},
    "api/schema": {"get": ANYBODY},
    "api/docs": {"get": ANYBODY},
    "api/auth/login/": {"get": ANYBODY, "post": ANYBODY, "put": ANYBODY},
    "api/auth/logout/": {"post": ANYBODY},
    r"^api(?:/[\s\S]*)?$": {},
}
RANK = {"anonymous": ANYBODY, "plain": LOGIN, "reader": LOGIN, "operator": OPERATOR, "superuser": OPERATOR}


def address(route: str) -> str:
    route = route.replace(r"^api(?:/[\s\S]*)?$", "api/nothing")
    return "/" + re.sub(r"<[^>]*task_id>", ID, route).replace("<str:market>", "US").replace("<str:code>", "X")


def test_no_path_outside_the_admin_is_forgotten_here():
    assert {route for _, route in REST} == set(RULES)


@pytest.mark.parametrize("kind", PEOPLE)
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_each_path_and_method_is_open_to_those_it_is_meant_for(kind, method):
    user, wrong = make_person(kind), {}
    for route, rules in RULES.items():
        client = client_of(user)  # a new one for each: logging out is among them
        status = getattr(client, method)(address(route)).status_code
        if status not in expected(rules, method, kind):
            wrong[route] = status
    assert not wrong


def expected(rules: dict[str, int], method: str, kind: str) -> set[int]:
    if method not in rules:
        return {301, 302, 401, 403, 404, 405} if rules.get("post") == ANYBODY else {401, 403, 404, 405}
    if RANK[kind] >= rules[method]:
        return {200, 204, 302, 400, 404, 503}
    return {401} if kind == "anonymous" else {403}
