"""Every path × every kind of user: what each may open, and that nobody else changes anything.

Who may more than another is tried on what the other must not do; on everything that both may, in `make soak`.
"""

import pytest
from django.apps import apps
from django.http import HttpResponseForbidden
from django.template.response import SimpleTemplateResponse
from django.test import Client

from collector_site import urls
from tests.api.factories import client_of
from tests.factories import sign_in
from tests.security.responses import responses
from tests.security.url_paths import ADMIN, OTHER, admin_paths, path_of
from tests.security.users import USER_KINDS, make_rows, make_user_of_kind

pytestmark = pytest.mark.django_db

# ---------------------------------------------------------------- the admin

LOGIN_PAGE = "/admin/login/"
OPEN = {"login"}
HOME = {"index", "search", "logout", "password_change", "password_change_done", "jsi18n", "app_list", ""}
OWN = {"my_tokens", "my_tokens_revoke", "preferences"}  # 404 for what belongs to others
OWN |= {"my_sessions", "my_sessions_end_others", "my_sessions_end"}
MODELS = ("collectiontask", "collectionitem", "stock", "dailybar", "finding", "correction", "recordedcall")
MODELS += ("queuedorder",)
READ_ONLY = {f"tasks_app_{model}" for model in MODELS}
ACCESS = {"auth_user", "auth_group", "knox_authtoken", "tasks_app_collectionplan"}
ACCESS |= {"tasks_app_noticechannel", "tasks_app_noticeping", "tasks_app_target"}
VIEW = {f"{model}_{page}" for model in READ_ONLY for page in ("changelist", "change", "history")}
EDIT = {f"{model}_{page}" for model in (*READ_ONLY, "tasks_app_incident") for page in ("add", "delete")}
ACTIONS = {f"tasks_app_collectiontask_{verb}" for verb in ("cancel", "pause", "resume", "retry")}
VIEW |= {"dashboard_live", "dashboard_overview", "codes", "coverage", "tasks_app_recordedcall_download"}
VIEW |= {"tasks_app_collectiontask_live", "tasks_app_collectiontask_stocks"}
VIEW |= {f"tasks_app_stock_{page}" for page in ("of", "data", "csv")}
START = {"start", "start_estimate", "start_stocks", "start_file", "plan_forecast"}
PLAN_VERBS = {f"tasks_app_collectionplan_{verb}" for verb in ("run", "switch")}
DELETE_DATA = {"delete_data"}
UPLOADS = {"uploads", "upload", "upload_check"}
CALENDAR = {"calendar"}
SOURCES = {"agreement", "sources", "source", "source_check"}
EXPORTS = {"exports", "exports_rows"}
INCIDENTS = {f"tasks_app_incident_{page}" for page in ("changelist", "change", "history")}
INCIDENT_VERBS = {"tasks_app_incident_silence", "tasks_app_incident_close"}
SIGNED = {"notice_action"}  # for whoever has the link's own permission; a forged one is redirected
TEST_CHANNEL = {"tasks_app_noticechannel_test"}
SYSTEM = {"system"}
MANAGE = {f"{m}_{page}" for m in ACCESS for page in ("changelist", "add", "change", "delete", "history")}
MANAGE |= {"auth_user_end_sessions", "auth_user_end_session"}
MANAGE |= {"auth_user_password_change", "audit", "audit_csv", "target"}
HELPERS = {"autocomplete", "view_on_site"}  # their permissions depend on their parameters
ALLOWED = {
    "reader": HOME | OWN | VIEW | CALENDAR | SOURCES | EXPORTS | INCIDENTS | SIGNED,
    "operator": HOME
    | OWN
    | VIEW
    | ACTIONS
    | START
    | CALENDAR
    | SOURCES
    | EXPORTS
    | INCIDENTS
    | INCIDENT_VERBS
    | SIGNED,
    "superuser": HOME
    | OWN
    | VIEW
    | ACTIONS
    | START
    | DELETE_DATA
    | UPLOADS
    | MANAGE
    | PLAN_VERBS
    | CALENDAR
    | SOURCES
    | EXPORTS
    | INCIDENTS
    | INCIDENT_VERBS
    | SIGNED
    | TEST_CHANNEL
    | SYSTEM,
}


@pytest.fixture
def bare_403(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers 403 without the page that names the permission: admin/test_roles.py tests it."""
    monkeypatch.setattr(urls, "handler403", lambda *_args, **_kwargs: HttpResponseForbidden())


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the texts of pages empty: the superuser reads them all."""
    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", "")


def row_counts() -> dict[str, int]:
    """Returns the number of rows of each table."""
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


def logged_in_client(kind: str) -> Client:
    client, user = Client(), make_user_of_kind(kind)
    if user:
        sign_in(client, user)
    return client


def page_name(name: str) -> str:
    return "" if name.startswith("admin/") else name


def test_every_admin_path_is_classified():
    classified = (
        OPEN
        | HOME
        | OWN
        | VIEW
        | EDIT
        | ACTIONS
        | START
        | DELETE_DATA
        | UPLOADS
        | MANAGE
        | PLAN_VERBS
        | HELPERS
        | CALENDAR
        | SOURCES
        | EXPORTS
        | INCIDENTS
        | INCIDENT_VERBS
        | SIGNED
        | TEST_CHANNEL
        | SYSTEM
    )
    assert {page_name(name.removeprefix("admin:")) for name, _ in ADMIN} == classified


@pytest.mark.any_database  # redirected before any query but the user's
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("anonymous", "get"),
        ("plain", "post"),
        pytest.param("anonymous", "post", marks=pytest.mark.soak),
        pytest.param("plain", "get", marks=pytest.mark.soak),
    ],
)
def test_admin_asks_non_staff_to_log_in(kind, method):
    paths, client = admin_paths(), logged_in_client(kind)
    before, wrong = row_counts(), {}
    for name, path in paths.items():
        if name in OPEN | {"logout"}:
            continue
        response = getattr(client, method)(path)
        if (response.status_code, response.headers.get("Location", "").split("?")[0]) != (302, LOGIN_PAGE):
            wrong[path] = response.status_code
    assert not wrong
    assert row_counts() == before


@pytest.mark.any_database  # the superuser opens the same pages there
@pytest.mark.usefixtures("bare_403", "unrendered")
@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("reader", set()),
        ("operator", ALLOWED["reader"]),
        pytest.param("operator", set(), marks=pytest.mark.soak),
    ],
    ids=["reader", "operator", "operator-everything"],
)
def test_staff_open_only_permitted_pages(kind, seen):
    paths, client = admin_paths(), logged_in_client(kind)
    statuses = {
        name: client.get(path).status_code
        for name, path in paths.items()
        if name not in OPEN | HELPERS | {"logout"} and page_name(name) not in seen
    }
    assert len(statuses) > 40
    assert not wrong_statuses(kind, statuses)


@pytest.mark.xdist_group("responses")
def test_superuser_opens_only_permitted_pages():
    pages = responses("superuser")
    statuses = {
        name: pages.by_path[path].status_code
        for name, path in pages.admin_paths.items()
        if name not in OPEN | HELPERS | {"logout"}
    }
    assert not wrong_statuses("superuser", statuses)


def wrong_statuses(kind: str, statuses: dict[str, int]) -> dict[str, int]:
    """Returns those of the statuses, by the name of the path, that this kind of user must not get."""
    # 302: a redirect; 404: the admin's catch-all; 405: POST only.
    permitted = {200, 302, 404, 405}
    return {
        name: status
        for name, status in statuses.items()
        if status not in (permitted if page_name(name) in ALLOWED[kind] else {403})
    }


EVERYTHING = {page_name(name.removeprefix("admin:")) for name, _ in ADMIN} - OPEN - {"logout"}


@pytest.mark.any_database  # refused before any query but the user's
@pytest.mark.usefixtures("bare_403", "unrendered")
@pytest.mark.parametrize(
    ("kind", "pages"),
    [
        ("reader", ALLOWED["operator"] - ALLOWED["reader"]),
        ("operator", EVERYTHING - ACTIONS),
        pytest.param("reader", EVERYTHING, marks=pytest.mark.soak),
    ],
    ids=["reader", "operator", "reader-everywhere"],
)
def test_staff_without_permission_change_nothing(kind, pages):
    paths, client = admin_paths(), logged_in_client(kind)
    before, wrong = row_counts(), {}
    for name, path in paths.items():
        if page_name(name) not in pages:
            continue
        data = {"post": "yes", "name": "x", "action": "delete_selected", "_selected_action": ["1"]}
        status = client.post(path, data).status_code
        if status not in {200, 302, 403, 404, 405}:
            wrong[path] = status
    assert not wrong
    assert row_counts() == before


@pytest.mark.any_database  # refused before any query but the user's
@pytest.mark.usefixtures("bare_403")
def test_superuser_can_not_add_or_delete_engine_rows():
    paths, client, before = admin_paths(), logged_in_client("superuser"), row_counts()
    statuses = {
        page: (client.get(paths[page]).status_code, client.post(paths[page], {"post": "yes"}).status_code)
        for page in EDIT
    }
    assert statuses == dict.fromkeys(EDIT, (403, 403))
    assert row_counts() | {"sessions.Session": 0} == before | {"sessions.Session": 0}


@pytest.mark.any_database  # refused, or one usual search
@pytest.mark.parametrize("kind", ["reader", "operator"])
def test_admin_search_hides_forbidden_tables(kind):
    make_rows()
    client = logged_in_client(kind)
    field = {"app_label": "auth", "model_name": "user", "field_name": "groups", "term": ""}
    assert client.get("/admin/autocomplete/", field).status_code == 403
    assert client.get("/admin/r/1/1/").status_code in {403, 404}
    assert b"/admin/auth/" not in client.get("/admin/search/", {"s": "user"}).content


# ---------------------------------------------------------------- the rest

LOGOUT = "api/auth/logout/"
DATA = "api/data-collection/"
ANYBODY, LOGIN, READER, OPERATOR, PLANNER = range(5)
RULES: dict[str, dict[str, int]] = {
    "": {"get": ANYBODY, "post": ANYBODY},  # redirects to the admin
    "accounts/set-password/<uidb64>/<token>/": {"get": ANYBODY, "post": ANYBODY},
    "i18n/setlang/": {"get": ANYBODY, "post": ANYBODY},
    "healthz": {"get": ANYBODY},
    "readyz": {"get": ANYBODY},
    "metrics": {"get": READER},
    "api/": {"get": ANYBODY},
    "api/data-collection": {"get": ANYBODY},
    f"{DATA}historical": {"post": OPERATOR},
    f"{DATA}historical/estimate": {"post": OPERATOR},
    f"{DATA}status/<str:task_id>": {"get": LOGIN},
    f"{DATA}tasks": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>": {"delete": OPERATOR},
    f"{DATA}tasks/<str:task_id>/items": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>/items/<str:code>/attempts": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>/errors": {"get": LOGIN},
    f"{DATA}tasks/<str:task_id>/pause": {"post": OPERATOR},
    f"{DATA}tasks/<str:task_id>/resume": {"post": OPERATOR},
    f"{DATA}tasks/<str:task_id>/retry": {"post": OPERATOR},
    f"{DATA}queue": {"get": LOGIN},
    f"{DATA}queue/<str:order_id>": {"get": LOGIN, "patch": OPERATOR, "delete": OPERATOR},
    f"{DATA}current-task": {"get": LOGIN},
    f"{DATA}stock-list": {"get": LOGIN},
    f"{DATA}coverage": {"get": LOGIN},
    f"{DATA}findings": {"get": LOGIN},
    f"{DATA}corrections": {"get": LOGIN},
    f"{DATA}events": {"get": LOGIN},
    f"{DATA}calendar": {"get": LOGIN},
    f"{DATA}changes": {"get": LOGIN},
    f"{DATA}bars": {"get": READER, "post": READER},
    f"{DATA}plans": {"get": LOGIN, "post": PLANNER},
    f"{DATA}plans/<str:plan_id>": {"get": LOGIN, "patch": PLANNER, "delete": PLANNER},
    f"{DATA}plans/<str:plan_id>/run": {"post": PLANNER},
    f"{DATA}targets": {"get": LOGIN},
    f"{DATA}targets/<str:target_id>/sessions": {"get": LOGIN},
    f"{DATA}plans/<str:plan_id>/runs": {"get": LOGIN},
    f"{DATA}plan-events": {"get": LOGIN},
    f"{DATA}exports": {"get": READER, "post": OPERATOR},
    f"{DATA}exports/<str:export_id>": {"get": READER, "delete": OPERATOR},
    f"{DATA}days/<market:market>": {"get": LOGIN},
    f"{DATA}days/<market:market>/<str:day>": {"get": LOGIN},
    f"{DATA}agreement": {"get": LOGIN},
    f"{DATA}quotes/<market:market>/<str:code>": {"get": LOGIN},
    f"{DATA}quotes/<market:market>/<str:code>/gaps": {"get": LOGIN},
    f"{DATA}quotes/<market:market>/<str:code>/factors": {"get": LOGIN},
    f"{DATA}quotes/<market:market>/<str:code>/actions": {"get": LOGIN},
    "api/schema": {"get": ANYBODY},
    "api/docs": {"get": ANYBODY},
    "api/auth/login/": {"get": ANYBODY, "post": ANYBODY, "put": ANYBODY},
    LOGOUT: {"post": ANYBODY},
    r"^api(?:/[\s\S]*)?$": {},
}
RANK = {"anonymous": ANYBODY, "plain": LOGIN, "reader": READER, "operator": OPERATOR, "superuser": PLANNER}


def test_every_other_path_is_classified():
    assert {route for _, route in OTHER} == set(RULES)


METHODS = ("get", "post", "put", "patch", "delete")


def next_to_the_border(kind: str, rules: dict[str, int], method: str) -> bool:
    """Tells whether this kind is the lowest that may use the method, or the highest that may not."""
    return method in rules and RANK[kind] in {rules[method], rules[method] - 1}


def wrong_operations(kind: str, operations: list[tuple[str, str]]) -> dict[str, int]:
    """Returns the statuses of the operations that are not as their path is classified."""
    user, wrong = make_user_of_kind(kind), {}
    client = client_of(user)
    for route, method in operations:
        status = getattr(client, method)(path_of(route)).status_code
        if route == LOGOUT:
            client = client_of(user)
        if status not in expected(RULES[route], method, kind):
            wrong[f"{method} {route}"] = status
    return wrong


ALL_OPERATIONS = [(route, method) for route in RULES for method in METHODS]


@pytest.mark.any_database  # its GETs are among the superuser's pages; the rest finds no row
def test_superuser_may_use_exactly_the_methods_of_each_path():
    """What has no rule is served to nobody: a superuser would be served."""
    assert not wrong_operations("superuser", ALL_OPERATIONS)


@pytest.mark.any_database  # refused before any query but the user's, or as for the superuser
@pytest.mark.parametrize("kind", USER_KINDS[:-1])
def test_operation_is_open_from_its_kind_of_user_on(kind):
    operations = [each for each in ALL_OPERATIONS if next_to_the_border(kind, RULES[each[0]], each[1])]
    assert len(operations) > 5
    assert not wrong_operations(kind, operations)


@pytest.mark.soak
@pytest.mark.parametrize("kind", USER_KINDS[:-1])
def test_path_and_method_are_open_as_classified(kind):
    assert not wrong_operations(kind, ALL_OPERATIONS)


def expected(rules: dict[str, int], method: str, kind: str) -> set[int]:
    if method not in rules:
        return {301, 302, 401, 403, 404, 405} if rules.get("post") == ANYBODY else {401, 403, 404, 405}
    if RANK[kind] >= rules[method]:
        return {200, 204, 302, 400, 404, 503}
    return {401} if kind == "anonymous" else {403}
