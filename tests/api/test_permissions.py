"""What anonymous clients, users, and users with a permission may do."""

import uuid

import pytest
from knox.models import AuthToken
from rest_framework.test import APIClient

from tests.api.factories import BASE, client_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db
ID = uuid.UUID(int=1)
READS = [
    "current-task",
    "stock-list",
    "coverage",
    "findings",
    "corrections",
    "events",
    "calendar?market=CN",
    "plans",
    "plans/7",
    f"tasks/{ID}/items",
    f"tasks/{ID}/errors",
    "quotes/US/AAPL",
]
VERBS = [
    ("post", "historical", "start_task"),
    ("delete", f"tasks/{ID}", "cancel_task"),
    ("post", f"tasks/{ID}/pause", "pause_task"),
    ("post", f"tasks/{ID}/resume", "pause_task"),
    ("post", f"tasks/{ID}/retry", "retry_task"),
]
PERMISSIONS = [permission for *_, permission in VERBS]


# security/test_access.py asks for each path with and without a login.
@pytest.mark.parametrize(
    "path",
    [
        path if path in ("tasks", f"status/{ID}") else pytest.param(path, marks=pytest.mark.soak)
        for path in READS
    ],
)
def test_reading_needs_only_a_login(path):
    response = client_of().get(f"{BASE}/{path}")
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Token")
    assert response.json() == {
        "detail": "Authentication credentials were not provided.",
        "code": "not_authenticated",
    }
    assert client_of(make_user()).get(f"{BASE}/{path}").status_code in {200, 404}


@pytest.mark.parametrize(("method", "path", "permission"), VERBS)
def test_each_action_needs_its_own_permission(method, path, permission):
    def response(client):
        return getattr(client, method)(f"{BASE}/{path}")

    others = [name for name in PERMISSIONS if name != permission]
    assert response(client_of()).status_code == 401
    refused = response(client_of(make_user("plain", *others)))
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert "permission" in refused.json()["detail"]
    assert response(client_of(make_user("operator", permission))).status_code in {400, 404}
    assert response(client_of(make_user("root", is_superuser=True))).status_code in {400, 404}


@pytest.mark.parametrize("prefix", ["Token", "token", "Bearer", "BEARER"])
def test_token_prefix_is_token_or_bearer(prefix):
    _, token = AuthToken.objects.create(make_user())
    client = APIClient(headers={"Authorization": f"{prefix} {token}"})
    assert client.get(f"{BASE}/tasks").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token wrong",
        "Token a b",
        "Bearer \x00",
        "Bearer a\x00b",
        "Token ÿþ",
        "Token \ud83d",
        f"Token {'a' * 64}",
        f"Token {'a' * 5000}",
        "Basic YTpi",
        "nonsense",
        " ",
    ],
)
def test_unknown_or_malformed_token_is_unauthorized(header):
    AuthToken.objects.create(make_user())
    raw = header.encode("utf-8", "surrogatepass").decode("latin-1")
    response = APIClient().get(f"{BASE}/tasks", HTTP_AUTHORIZATION=raw)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Token")
    assert response.json()["detail"]


def test_token_of_inactive_user_is_unauthorized():
    user = make_user()
    _, token = AuthToken.objects.create(user)
    user.is_active = False
    user.save()
    client = APIClient(headers={"Authorization": f"Token {token}"})
    assert client.get(f"{BASE}/tasks").status_code == 401


def test_session_needs_csrf_token_and_token_does_not():
    user = make_user("root", is_superuser=True)
    strict = APIClient(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post(f"{BASE}/historical").status_code == 403
    _, token = AuthToken.objects.create(user)
    client = APIClient(enforce_csrf_checks=True, headers={"Authorization": f"Token {token}"})
    assert client.post(f"{BASE}/historical").status_code == 400


def test_session_cookie_with_nul_is_no_login():
    client = client_of()
    client.cookies["sessionid"] = "abcdefgh\x00"
    assert client.get(f"{BASE}/tasks").status_code == 401
