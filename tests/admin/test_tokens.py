"""API tokens: issued once, shown once, revoked for good; the digest shows nowhere."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from tests.admin.helpers import (
    said,
    signed_in,
    superuser,
    text_of,
    url,
)
from tests.factories import make_user

pytestmark = pytest.mark.django_db
LIST, ADD = "knox_authtoken_changelist", "knox_authtoken_add"


def issue(client, user, days=""):
    answer = client.post(url(ADD), {"user": user.pk, "days": days})
    found = re.search(r"Authorization: Token (\w+)", text_of(answer))
    return answer, found and found[1]


def test_a_token_is_shown_once_and_works():
    client, ann = superuser(), make_user()
    answer, secret = issue(client, ann)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert TokenAuthentication().authenticate_credentials(secret.encode())[0] == ann
    token = AuthToken.objects.get()
    for page in (url(LIST), url(ADD)):
        body = client.get(page).content.decode()
        assert secret not in body
        assert token.digest not in body


def test_the_list_tells_whose_token_it_is_and_until_when():
    client, ann = superuser(), make_user()
    issue(client, ann, days=30)
    token = AuthToken.objects.get()
    text = text_of(client.get(url(LIST)))
    assert "ann" in text
    assert token.token_key[:8] in text
    assert f"{timezone.localtime(token.expiry):%Y-%m-%d}" in text


@pytest.mark.parametrize("days", ["0", "-1", "x", "99999"])
def test_a_senseless_lifetime_is_refused(days):
    client = superuser()
    assert issue(client, User.objects.get(), days)[1] is None
    assert not AuthToken.objects.exists()


def test_only_a_superuser_issues_tokens_for_others():
    client, ann = signed_in("add_authtoken", "view_authtoken"), make_user()
    assert issue(client, ann)[1] is None
    assert issue(client, User.objects.get(username="staff"))[1]


def test_a_token_is_revoked_after_a_question():
    client, ann = superuser(), make_user()
    secret = issue(client, ann)[1]
    page = url("knox_authtoken_delete", AuthToken.objects.get().token_key)
    question = client.get(page)
    assert "Revoke this token of ann?" in text_of(question)
    assert AuthToken.objects.get().digest not in question.content.decode()
    answer = client.post(page)
    assert "is revoked" in said(answer)
    with pytest.raises(AuthenticationFailed):
        TokenAuthentication().authenticate_credentials(secret.encode())


def test_issuing_and_revoking_are_recorded_without_the_digest():
    client = superuser()
    issue(client, User.objects.get())
    token = AuthToken.objects.get()
    client.post(url("knox_authtoken_delete", token.token_key))
    entries = list(LogEntry.objects.order_by("pk"))
    assert [entry.action_flag for entry in entries] == [1, 3]
    assert not any(token.digest in entry.object_id + entry.object_repr for entry in entries)


def test_tokens_are_refused_to_those_without_the_permission():
    issue(superuser(), make_user())
    token = AuthToken.objects.get()
    looker = signed_in("view_authtoken")
    remove = url("knox_authtoken_delete", token.token_key)
    assert remove not in looker.get(url(LIST)).content.decode()
    for page in (url(ADD), remove):
        assert (looker.get(page).status_code, looker.post(page).status_code) == (403, 403)
    assert AuthToken.objects.exists()


def test_a_token_has_no_page_of_its_own():
    issue(superuser(), make_user())
    looker = signed_in("view_authtoken", "change_authtoken")
    assert looker.get(url("knox_authtoken_change", AuthToken.objects.get().digest)).url == url(LIST)


def test_deleting_a_user_takes_the_tokens_along():
    client, ann = superuser(), make_user()
    issue(client, ann)
    client.post(url("auth_user_delete", ann.pk), {"post": "yes"})
    assert not AuthToken.objects.exists()
