"""Where users are signed in: shown to themselves and to administrators, and ended by them."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from tasks_app.admin.access.browser_names import browser_name
from tasks_app.lifecycle import user_sessions
from tasks_app.models import AuditEvent, UserSession
from tests.admin.helpers import messages_of, staff_client, text_of, url
from tests.factories import make_user, sign_in

pytestmark = pytest.mark.django_db
PASSWORD = "pass-word-1"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
EDGE = f"{CHROME} Edg/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604"
WECHAT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile MicroMessenger/8.0"


def signed_in(user="mei", browser=FIREFOX) -> Client:
    client = Client(headers={"User-Agent": browser})
    client.post("/admin/login/", {"username": user, "password": PASSWORD})
    return client


def is_signed_in(client: Client) -> bool:
    return client.get(url("my_sessions")).status_code == 200


def row_of(client: Client) -> UserSession:
    return UserSession.objects.get(session_id=client.session.session_key)


def listed(client: Client) -> str:
    """Returns the text of the table of sessions on the user's own page."""
    return text_of(client.get(url("my_sessions"))).split("Your last sign-ins")[0]


@pytest.fixture
def mei():
    return make_user("mei", is_staff=True)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (FIREFOX, "Firefox, Windows"),
        (CHROME, "Chrome, Linux"),
        (EDGE, "Edge, Linux"),
        (SAFARI, "Safari, iPhone"),
        (WECHAT, "WeChat, Android"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_browser_is_named(text, name):
    assert browser_name(text) == name


def test_page_lists_own_sessions_only(mei):
    make_user("bob", is_staff=True)
    here, _other = signed_in(), signed_in(browser=CHROME)
    signed_in("bob", browser=EDGE)
    table = listed(here)
    assert "Firefox, Windows 127.0.0.1" in table
    assert "Chrome, Linux 127.0.0.1" in table
    assert "Edge" not in table
    assert table.count("this session") == 1


def test_session_of_another_origin_is_listed(mei):
    client = Client()
    sign_in(client, mei)
    assert listed(client).count("this session") == 1


def test_page_holds_no_key(mei):
    here, other = signed_in(), signed_in(browser=CHROME)
    page = here.get(url("my_sessions")).content.decode()
    assert here.session.session_key not in page
    assert other.session.session_key not in page


def test_own_session_is_ended_after_a_question(mei):
    here, other = signed_in(), signed_in(browser=CHROME)
    end = url("my_sessions_end", row_of(other).pk)
    assert "Chrome, Linux" in text_of(here.get(end))
    assert is_signed_in(other)
    assert "1 session was ended" in messages_of(here.post(end))
    assert not is_signed_in(other)
    assert is_signed_in(here)
    event = AuditEvent.objects.get(verb="ended")
    assert (event.user_name, event.object_name, event.address) == ("mei", "mei", "127.0.0.1")


def test_all_others_are_ended_at_once(mei):
    here, others = signed_in(), [signed_in(browser=CHROME), signed_in(browser=SAFARI)]
    assert "2 sessions were ended" in messages_of(here.post(url("my_sessions_end_others")))
    assert is_signed_in(here)
    assert not any(map(is_signed_in, others))
    assert AuditEvent.objects.filter(verb="ended").count() == 2


def test_sessions_of_others_do_not_exist_for_a_user(mei):
    make_user("bob", is_staff=True)
    here, other = signed_in(), signed_in("bob")
    assert here.post(url("my_sessions_end", row_of(other).pk)).status_code == 404
    here.post(url("my_sessions_end_others"))
    assert is_signed_in(other)


def test_administrator_ends_the_sessions_of_a_user(mei):
    administrator = staff_client("view_user", "change_user")
    one, two = signed_in(), signed_in(browser=CHROME)
    assert "Chrome, Linux" in text_of(administrator.get(url("auth_user_change", mei.pk)))
    administrator.post(url("auth_user_end_session", mei.pk, row_of(one).pk))
    assert (is_signed_in(one), is_signed_in(two)) == (False, True)
    administrator.post(url("auth_user_end_sessions", mei.pk))
    assert not is_signed_in(two)
    events = AuditEvent.objects.filter(verb="ended")
    assert {(event.user_name, event.object_name) for event in events} == {("staff", "mei")}


def test_question_says_whose_sessions_end_and_how_many(mei):
    administrator, session = staff_client("view_user", "change_user"), row_of(signed_in())
    here = signed_in(browser=CHROME)
    own = text_of(here.get(url("my_sessions_end", session.pk)))
    one = text_of(administrator.get(url("auth_user_end_session", mei.pk, session.pk)))
    both = text_of(administrator.get(url("auth_user_end_sessions", mei.pk)))
    assert "Sign out of this session?" in own
    assert "Sign mei out of this session?" in one and "Whoever uses it has" in one
    assert "Sign mei out of these 2 sessions?" in both and "Whoever uses them has" in both
    for page in (own, one, both):
        assert "Back" in page and "Keep it running" not in page


def test_session_belongs_to_the_user_of_its_page(mei):
    bob, other = make_user("bob", is_staff=True), signed_in()
    administrator = staff_client("view_user", "change_user")
    end = url("auth_user_end_session", bob.pk, row_of(other).pk)
    assert administrator.post(end).status_code == 404
    assert is_signed_in(other)


@pytest.mark.parametrize("permissions", [(), ("view_user",)])
def test_ending_needs_the_right_to_change_the_user(mei, permissions):
    other, client = signed_in(), staff_client(*permissions)
    assert client.post(url("auth_user_end_sessions", mei.pk)).status_code == 403
    assert "is signed in" not in text_of(client.get(url("auth_user_change", mei.pk)))
    assert is_signed_in(other)


def test_superusers_are_signed_out_by_superusers_only():
    boss = make_user("boss", is_staff=True, is_superuser=True)
    other = signed_in("boss")
    assert staff_client("change_user").post(url("auth_user_end_sessions", boss.pk)).status_code == 403
    assert is_signed_in(other)


def test_new_password_leaves_one_session(mei):
    here, other = signed_in(), signed_in(browser=CHROME)
    data = {"old_password": PASSWORD, "new_password1": "another-1-pass", "new_password2": "another-1-pass"}
    here.post(url("password_change"), data)
    assert "Firefox, Windows" in listed(here)
    assert "Chrome, Linux" not in listed(here)
    assert not is_signed_in(other)


def test_last_use_is_stored_once_a_minute(mei, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(user_sessions.time, "monotonic", lambda: clock[0])
    client = signed_in()
    earlier = timezone.now() - timedelta(hours=1)
    for seconds, is_stored in ((59, False), (2, True)):
        UserSession.objects.update(seen_at=earlier)
        clock[0] += seconds
        client.get(url("my_sessions"))
        assert (row_of(client).seen_at != earlier) == is_stored


def test_expired_sessions_are_not_listed(mei):
    here, other = signed_in(), signed_in(browser=CHROME)
    Session.objects.filter(pk=other.session.session_key).update(expire_date=timezone.now())
    assert "Chrome, Linux" not in listed(here)


def test_signing_out_removes_the_row(mei):
    client = signed_in()
    client.post(url("logout"))
    assert not UserSession.objects.exists()
