"""A user is made on one page and can sign in: by a password, or by a link; what is odd is warned about."""

import html
import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from tests.admin.helpers import messages_of, superuser_client, text_of, url

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-pass-1"


def add(client, role="viewer", **data):
    form = {"username": "mei", "first_name": "Mei", "email": "mei@example.com", "usable_password": "true"}
    form |= {"password1": PASSWORD, "password2": PASSWORD}
    form["role"] = Group.objects.get(name=role).pk if role else ""
    return client.post(url("auth_user_add"), form | data)


def signs_in(password=PASSWORD):
    client = Client()
    client.post("/admin/login/", {"username": "mei", "password": password})
    return client.get("/admin/").status_code == 200


def test_user_with_a_role_signs_in():
    response = add(superuser_client())
    user = User.objects.get(username="mei")
    assert (user.is_staff, user.first_name, user.email) == (True, "Mei", "mei@example.com")
    assert [group.name for group in user.groups.all()] == ["viewer"]
    assert "in no group" not in messages_of(response)
    assert signs_in()


def test_user_without_a_role_is_warned_about():
    assert "mei is in no group and can't sign in" in messages_of(add(superuser_client(), role=""))
    assert not signs_in()


def test_help_speaks_of_the_users_password_not_of_the_readers():
    client = superuser_client()
    pages = [url("auth_user_add"), url("auth_user_password_change", User.objects.get().pk)]
    for page in pages:
        text = html.unescape(text_of(client.get(page)))
        assert "The password can't be too similar to the user's name or e-mail address." in text
        assert "The password must contain at least" in text
        assert "Your password" not in text
        chinese = text_of(client.get(page, headers={"Accept-Language": "zh-hans"}))
        assert "密码不能与用户的姓名或邮箱过于相似。" in chinese
        assert "您的密码" not in chinese


def test_own_password_has_the_words_of_the_other_pages_and_a_way_back():
    client = superuser_client()
    text = html.unescape(text_of(client.get(url("password_change"))))
    assert "New password again" in text and "Cancel" in text
    assert "The password can't be a commonly used password." in text
    chinese = text_of(client.get(url("password_change"), headers={"Accept-Language": "zh-hans"}))
    assert chinese.count("再次输入新密码") == 1, "the help does not repeat the label"


def test_user_of_a_link_sets_the_password_once():
    response = add(superuser_client(), usable_password="false", password1="", password2="")
    assert "no-store" in response["Cache-Control"]
    link = re.search(r'value="(http://testserver/accounts/set-password/[^"]+)"', response.content.decode())[1]
    visitor = Client()
    page = visitor.get(link, follow=True)
    assert "User name: mei" in text_of(page)
    form_path = page.redirect_chain[-1][0]
    visitor.post(form_path, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert signs_in()
    assert "no longer valid" in text_of(Client().get(link, follow=True))


@pytest.mark.parametrize(
    ("data", "error"),
    [({"username": "root"}, "already exists"), ({"password2": "x"}, "match"), ({"email": "x"}, "email")],
)
def test_mistake_is_told_beside_its_field(data, error):
    response = add(superuser_client(), **data)
    assert response.status_code == 200
    assert list(response.context["errors"])
    assert error in text_of(response)
    assert not User.objects.filter(username="mei").exists()


def test_last_sign_ins_are_shown_to_those_who_may_see_them():
    client = superuser_client()
    add(client)
    assert signs_in()
    assert "signed in" in text_of(client.get(url("auth_user_change", User.objects.get(username="mei").pk)))
    own = Client()
    own.post("/admin/login/", {"username": "mei", "password": PASSWORD})
    assert re.search("Your last sign-ins .* signed in admin", text_of(own.get(url("my_sessions"))))
