"""API tokens: shown once when issued, revoked permanently, their digest never shown."""

import re

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from tasks_app.models import AuditEvent
from tests.admin.helpers import messages_of, staff_client, superuser_client, text_of, url
from tests.factories import make_user

pytestmark = pytest.mark.django_db
LIST, ADD = "knox_authtoken_changelist", "knox_authtoken_add"


def issue(client, user, days=""):
    response = client.post(url(ADD), {"user": user.pk, "days": days, "name": "robot", "scope": "operate"})
    found = re.search(r"Authorization: Token (\w+)", text_of(response))
    return response, found and found[1]


def test_token_is_shown_once_and_works():
    client, ann = superuser_client(), make_user()
    response, secret = issue(client, ann)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert TokenAuthentication().authenticate_credentials(secret.encode())[0] == ann
    token = AuthToken.objects.get()
    for page in (url(LIST), url(ADD)):
        body = client.get(page).content.decode()
        assert secret not in body
        assert token.digest not in body


def test_scope_of_a_token_is_what_it_may_do():
    client = superuser_client()
    issue(client, make_user())
    page = text_of(client.get(url(LIST), headers={"Accept-Language": "zh-CN"}))
    assert "权限范围" in page
    assert "采集范围" not in page


def test_list_shows_owner_and_expiry():
    client, ann = superuser_client(), make_user()
    issue(client, ann, days=30)
    token = AuthToken.objects.get()
    text = text_of(client.get(url(LIST)))
    assert "ann" in text
    assert token.token_key[:8] in text
    assert f"{timezone.localtime(token.expiry):%Y-%m-%d}" in text


@pytest.mark.parametrize("days", ["0", "-1", "x", "99999"])
def test_invalid_lifetime_is_rejected(days):
    client = superuser_client()
    assert issue(client, User.objects.get(), days)[1] is None
    assert not AuthToken.objects.exists()


def test_only_superusers_issue_tokens_for_others():
    client, ann = staff_client("add_authtoken", "view_authtoken"), make_user()
    assert issue(client, ann)[1] is None
    assert issue(client, User.objects.get(username="staff"))[1]


def test_token_is_revoked_after_confirmation():
    client, ann = superuser_client(), make_user()
    secret = issue(client, ann)[1]
    page = url("knox_authtoken_delete", AuthToken.objects.get().token_key)
    question = client.get(page)
    assert "Revoke this token of ann?" in text_of(question)
    assert AuthToken.objects.get().digest not in question.content.decode()
    response = client.post(page)
    assert "was revoked" in messages_of(response)
    with pytest.raises(AuthenticationFailed):
        TokenAuthentication().authenticate_credentials(secret.encode())


def test_log_of_tokens_lacks_the_digest():
    client = superuser_client()
    issue(client, User.objects.get())
    token = AuthToken.objects.get()
    client.post(url("knox_authtoken_delete", token.token_key))
    entries = list(AuditEvent.objects.filter(subject="authtoken").order_by("pk"))
    assert [entry.verb for entry in entries] == ["created", "deleted"]
    assert not any(token.digest in entry.object_id + entry.object_name + entry.detail for entry in entries)


def test_token_pages_need_their_permissions():
    issue(superuser_client(), make_user())
    token = AuthToken.objects.get()
    viewer = staff_client("view_authtoken")
    remove = url("knox_authtoken_delete", token.token_key)
    assert remove not in viewer.get(url(LIST)).content.decode()
    for page in (url(ADD), remove):
        assert (viewer.get(page).status_code, viewer.post(page).status_code) == (403, 403)
    assert AuthToken.objects.exists()


def test_token_has_no_page_of_its_own():
    issue(superuser_client(), make_user())
    viewer = staff_client("view_authtoken", "change_authtoken")
    assert viewer.get(url("knox_authtoken_change", AuthToken.objects.get().digest)).url == url(LIST)


def test_deleting_a_user_deletes_the_tokens():
    client, ann = superuser_client(), make_user()
    issue(client, ann)
    client.post(url("auth_user_delete", ann.pk), {"post": "yes"})
    assert not AuthToken.objects.exists()


# ---------------------------------------------------------------- one's own

MINE, REVOKE = "my_tokens", "my_tokens_revoke"


def issue_own(client, scope="read", **data):
    response = client.post(url(MINE), {"name": "notebook", "scope": scope, "days": "", **data})
    found = re.search(r"Authorization: Token (\w+)", text_of(response))
    return response, found and found[1]


def test_everyone_issues_tokens_of_their_own():
    client = staff_client()
    assert "You have no token yet." in text_of(client.get(url(MINE)))
    response, secret = issue_own(client, days="30")
    assert "no-store" in response["Cache-Control"]
    token = AuthToken.objects.get()
    assert (token.user.username, token.details.scope) == ("staff", "read")
    assert TokenAuthentication().authenticate_credentials(secret.encode())[0] == token.user
    page = client.get(url(MINE))
    assert re.search(r"notebook .* read .* not yet", text_of(page))
    assert secret not in page.content.decode()
    assert token.digest not in page.content.decode()


@pytest.mark.parametrize("data", [{"name": ""}, {"scope": "all"}, {"days": "0"}, {"name": "x" * 65}])
def test_own_token_with_an_invalid_value_is_not_issued(data):
    response, secret = issue_own(staff_client(), **data)
    assert (response.status_code, secret) == (200, None)
    assert not AuthToken.objects.exists()


def test_own_tokens_are_those_of_the_user():
    root = superuser_client()
    _, theirs = issue(root, make_user())
    client = staff_client()
    key = AuthToken.objects.get().token_key
    assert key[:8] not in text_of(client.get(url(MINE)))
    assert client.post(url(REVOKE, key)).status_code == 404
    assert TokenAuthentication().authenticate_credentials(theirs.encode())


def test_own_token_is_revoked_after_confirmation():
    client = staff_client()
    issue_own(client)
    page = url(REVOKE, AuthToken.objects.get().token_key)
    assert "Revoke this token of yours?" in text_of(client.get(page))
    assert AuthToken.objects.exists()
    assert "was revoked" in messages_of(client.post(page))
    assert not AuthToken.objects.exists()
