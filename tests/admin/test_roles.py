"""The three roles: what a new site gives them, what a later migrate leaves alone, who may do what."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client

from tasks_app import roles
from tests.admin.helpers import TASKS, text_of, url
from tests.factories import make_ended, make_task, make_user

pytestmark = pytest.mark.django_db
NOBODY = "nobody"
LOOKING, WORKING, RULING = (
    {roles.VIEWER, roles.OPERATOR, roles.ADMINISTRATOR},
    {roles.OPERATOR, roles.ADMINISTRATOR},
    {roles.ADMINISTRATOR},
)


def browser_of(role):
    """A browser of a staff user in the role's group."""
    user = make_user(role, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    client = Client()
    client.force_login(user)
    return client


def rights_of(role):
    return set(Group.objects.get(name=role).permissions.values_list("codename", flat=True))


def migrate_again():
    """What a migrate that has nothing to do sends."""
    config = apps.get_app_config("tasks_app")
    roles.record_existing_permissions(sender=config)
    roles.create_groups(sender=config)


def test_a_new_site_has_the_three_roles_each_with_more_than_the_one_before():
    viewer, operator, administrator = map(rights_of, (roles.VIEWER, roles.OPERATOR, roles.ADMINISTRATOR))
    assert viewer < operator < administrator
    assert all(right.startswith("view_") for right in viewer)
    assert {"view_collectiontask", "view_stock", "view_dailybar", "view_series"} <= viewer
    assert {"start_task", "cancel_task", "retry_task"} <= operator
    assert not {right for right in operator if right.endswith(("_user", "_group", "_authtoken"))}
    assert {"add_user", "change_group", "add_authtoken", "delete_authtoken"} <= administrator


def test_migrating_again_neither_adds_nor_removes_anything():
    before = {name: rights_of(name) for name in roles.PERMISSIONS}
    migrate_again()
    assert {name: rights_of(name) for name in roles.PERMISSIONS} == before
    assert Group.objects.count() == 3


def test_what_was_added_by_hand_stays_and_what_was_taken_away_does_not_come_back():
    operator = Group.objects.get(name=roles.OPERATOR)
    operator.permissions.add(Permission.objects.get(codename="view_user"))
    operator.permissions.remove(Permission.objects.get(codename="cancel_task"))
    migrate_again()
    assert "view_user" in rights_of(roles.OPERATOR)
    assert "cancel_task" not in rights_of(roles.OPERATOR)


def test_a_right_that_a_migrate_brings_is_granted_to_the_roles_that_are_there():
    config = apps.get_app_config("tasks_app")
    roles.record_existing_permissions(sender=config)
    kind = Permission.objects.get(codename="view_stock").content_type
    Permission.objects.create(codename="view_something_new", name="new", content_type=kind)
    roles.create_groups(sender=config)
    assert "view_something_new" in rights_of(roles.VIEWER)


def test_a_group_that_was_removed_comes_back_whole():
    Group.objects.get(name=roles.VIEWER).delete()
    migrate_again()
    assert "view_stock" in rights_of(roles.VIEWER)


@pytest.mark.django_db(transaction=True)
def test_the_command_migrate_makes_them():
    Group.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert set(Group.objects.values_list("name", flat=True)) == set(roles.PERMISSIONS)


# ---------------------------------------------------------------- each page and verb, for each role

PAGES = [
    ("index", LOOKING | {NOBODY}),
    (f"{TASKS}_changelist", LOOKING),
    (f"{TASKS}_change", LOOKING),
    ("tasks_app_stock_changelist", LOOKING),
    ("dashboard_live", LOOKING),
    ("dashboard_overview", LOOKING),
    ("start", WORKING),
    ("start_stocks", WORKING),
    ("auth_user_changelist", RULING),
    ("auth_group_changelist", RULING),
    ("knox_authtoken_changelist", RULING),
]
VERBS = [
    ("start", {}, WORKING),
    ("start_estimate", {}, WORKING),
    ("start_file", {}, WORKING),
    (f"{TASKS}_cancel", {}, WORKING),
    (f"{TASKS}_retry", {}, WORKING),
    ("auth_user_add", {}, RULING),
    ("knox_authtoken_add", {}, RULING),
]
ROLES = [NOBODY, roles.VIEWER, roles.OPERATOR, roles.ADMINISTRATOR]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("page", "may"), PAGES, ids=[page for page, _ in PAGES])
def test_a_page_opens_for_those_who_may_see_it(page, may, role):
    args = [make_task().pk] if page.endswith("_change") else []
    answer = browser_of(role).get(url(page, *args))
    assert answer.status_code == (200 if role in may else 403)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("verb", "data", "may"), VERBS, ids=[verb for verb, *_ in VERBS])
def test_a_verb_is_done_for_those_who_may_and_refused_to_others(verb, data, may, role):
    args = [make_ended("failed").pk] if verb.startswith(TASKS) else []
    answer = browser_of(role).post(url(verb, *args), data)
    assert (answer.status_code != 403) == (role in may)


@pytest.mark.parametrize("role", ROLES)
def test_buttons_are_there_only_for_those_who_may(role):
    running = make_task()
    body = browser_of(role).get(url("index")).content.decode()
    assert (url("start") in body) == (role in WORKING)
    assert (url(f"{TASKS}_cancel", running.pk) in body) == (role in WORKING)
    assert (url(f"{TASKS}_change", running.pk) in body) == (role in LOOKING)
    assert (url("auth_user_changelist") in body) == (role in RULING)


@pytest.mark.parametrize(
    ("page", "right"),
    [
        ("start", "Can start a collection"),
        (f"{TASKS}_cancel", "Can cancel a collection"),
        (f"{TASKS}_retry", "Can retry a collection"),
        ("auth_user_changelist", "Can view: users"),
        ("knox_authtoken_add", "Can add: auth tokens"),
    ],
)
def test_a_refusal_says_which_right_is_missing(page, right):
    args = [make_task().pk] if page.startswith(TASKS) else []
    answer = browser_of(roles.VIEWER).post(url(page, *args))
    assert answer.status_code == 403
    assert right in text_of(answer)
    assert "in: viewer" in text_of(answer)


def test_a_refused_list_action_says_which_right_is_missing():
    data = {"action": "cancel_selected", "_selected_action": [make_task().pk]}
    answer = browser_of(roles.VIEWER).post(url(f"{TASKS}_changelist"), data)
    assert answer.status_code == 403
    assert "Can cancel a collection" in text_of(answer)


def test_a_page_that_nobody_may_use_names_no_right():
    answer = browser_of(roles.ADMINISTRATOR).post(url(f"{TASKS}_add"))
    assert answer.status_code == 403
    assert "not done by hand here" in text_of(answer)


# ---------------------------------------------------------------- an administrator is no superuser


def test_an_administrator_makes_nobody_a_superuser():
    ann, client = make_user("ann"), browser_of(roles.ADMINISTRATOR)
    data = {
        "username": "anna",
        "date_joined_0": "2024-01-01",
        "date_joined_1": "00:00:00",
        "is_superuser": "on",
    }
    client.post(url("auth_user_change", ann.pk), data)
    ann.refresh_from_db()
    assert (ann.username, ann.is_superuser) == ("anna", False)


@pytest.mark.parametrize("page", ["auth_user_change", "auth_user_delete", "auth_user_password_change"])
def test_a_superuser_s_account_is_no_administrator_s_to_change(page):
    root, client = make_user("root", is_superuser=True), browser_of(roles.ADMINISTRATOR)
    data = {"username": "mine", "password1": "a-long-pass-1", "password2": "a-long-pass-1", "post": "yes"}
    assert client.post(url(page, root.pk), data).status_code == 403
    root.refresh_from_db()
    assert root.username == "root"
    assert root.check_password("pass-word-1")


def test_a_superuser_changes_superusers():
    root = make_user("root", is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(root)
    assert b'name="is_superuser"' in client.get(url("auth_user_change", root.pk)).content
