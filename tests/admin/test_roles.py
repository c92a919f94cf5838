"""The three roles: their permissions on a new site, after a later migrate, and on each page and action."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client

from tasks_app import roles
from tests.admin.helpers import TASKS, insert_ended, text_of, url
from tests.factories import make_task, make_user, sign_in

pytestmark = pytest.mark.django_db
NO_ROLE = "nobody"
ROLES = [NO_ROLE, roles.VIEWER, roles.OPERATOR, roles.ADMINISTRATOR]
VIEWERS, OPERATORS, ADMINISTRATORS = (
    {roles.VIEWER, roles.OPERATOR, roles.ADMINISTRATOR},
    {roles.OPERATOR, roles.ADMINISTRATOR},
    {roles.ADMINISTRATOR},
)


def client_of(role):
    """Returns a client signed in as a staff user in the role's group."""
    user = make_user(role, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    client = Client()
    sign_in(client, user)
    return client


def permissions_of(role):
    return set(Group.objects.get(name=role).permissions.values_list("codename", flat=True))


def migrate_again():
    """Sends the signals of a migrate that has nothing to do."""
    config = apps.get_app_config("tasks_app")
    roles.record_existing_permissions(sender=config)
    roles.create_groups(sender=config)


def test_new_site_has_three_nested_roles():
    viewer, operator, administrator = map(permissions_of, (roles.VIEWER, roles.OPERATOR, roles.ADMINISTRATOR))
    assert viewer < operator < administrator
    assert all(name.startswith("view_") for name in viewer - {"bulk_read"})
    assert {"view_collectiontask", "view_stock", "view_dailybar", "view_series"} <= viewer
    assert {"start_task", "cancel_task", "retry_task"} <= operator
    assert not {name for name in operator if name.endswith(("_user", "_group", "_authtoken"))}
    assert {"add_user", "change_group", "add_authtoken", "delete_authtoken"} <= administrator


def test_second_migrate_changes_nothing():
    before = {name: permissions_of(name) for name in roles.PERMISSIONS}
    migrate_again()
    assert {name: permissions_of(name) for name in roles.PERMISSIONS} == before
    assert Group.objects.count() == 3


def test_manual_changes_of_a_role_survive_migrate():
    operator = Group.objects.get(name=roles.OPERATOR)
    operator.permissions.add(Permission.objects.get(codename="view_user"))
    operator.permissions.remove(Permission.objects.get(codename="cancel_task"))
    migrate_again()
    assert "view_user" in permissions_of(roles.OPERATOR)
    assert "cancel_task" not in permissions_of(roles.OPERATOR)


def test_new_permission_is_granted_to_existing_roles():
    config = apps.get_app_config("tasks_app")
    roles.record_existing_permissions(sender=config)
    kind = Permission.objects.get(codename="view_stock").content_type
    Permission.objects.create(codename="view_something_new", name="new", content_type=kind)
    roles.create_groups(sender=config)
    assert "view_something_new" in permissions_of(roles.VIEWER)


def test_removed_group_is_restored_by_migrate():
    Group.objects.get(name=roles.VIEWER).delete()
    migrate_again()
    assert "view_stock" in permissions_of(roles.VIEWER)


@pytest.mark.django_db(transaction=True)
def test_migrate_command_creates_the_roles():
    Group.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert set(Group.objects.values_list("name", flat=True)) == set(roles.PERMISSIONS)


# ---------------------------------------------------------------- each page and action, for each role

PAGES = [
    ("index", {*ROLES}),
    (f"{TASKS}_changelist", VIEWERS),
    (f"{TASKS}_change", VIEWERS),
    ("tasks_app_stock_changelist", VIEWERS),
    ("dashboard_live", VIEWERS),
    ("dashboard_overview", VIEWERS),
    ("start", OPERATORS),
    ("start_stocks", OPERATORS),
    ("auth_user_changelist", ADMINISTRATORS),
    ("auth_group_changelist", ADMINISTRATORS),
    ("knox_authtoken_changelist", ADMINISTRATORS),
]
ACTIONS = [
    ("start", OPERATORS),
    ("start_estimate", OPERATORS),
    ("plan_forecast", OPERATORS),
    ("start_file", OPERATORS),
    (f"{TASKS}_cancel", OPERATORS),
    (f"{TASKS}_retry", OPERATORS),
    ("auth_user_add", ADMINISTRATORS),
    ("knox_authtoken_add", ADMINISTRATORS),
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("without_html")
def test_page_opens_only_for_permitted_roles(role):
    task, client = make_task(), client_of(role)
    for page, allowed in PAGES:
        response = client.get(url(page, *([task.pk] if page.endswith("_change") else [])))
        assert response.status_code == (200 if role in allowed else 403), page


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("without_html")
def test_action_is_done_only_for_permitted_roles(role):
    task, client = insert_ended("failed"), client_of(role)
    for action, allowed in ACTIONS:
        response = client.post(url(action, *([task.pk] if action.startswith(TASKS) else [])))
        assert (response.status_code != 403) == (role in allowed), action


@pytest.mark.parametrize("role", [pytest.param(NO_ROLE, marks=pytest.mark.soak), *ROLES[1:]])
def test_buttons_appear_only_for_permitted_roles(role):
    running = make_task()
    body = client_of(role).get(url("index")).content.decode()
    assert (url("start") in body) == (role in OPERATORS)
    assert (url(f"{TASKS}_cancel", running.pk) in body) == (role in OPERATORS)
    assert (url(f"{TASKS}_change", running.pk) in body) == (role in VIEWERS)
    assert (url("auth_user_changelist") in body) == (role in ADMINISTRATORS)


@pytest.mark.parametrize(
    ("page", "permission"),
    [
        pytest.param("start", "Can start a collection", marks=pytest.mark.soak),
        (f"{TASKS}_cancel", "Can cancel a collection"),
        pytest.param(f"{TASKS}_retry", "Can retry a collection", marks=pytest.mark.soak),
        ("auth_user_changelist", "Can view: users"),
        pytest.param("knox_authtoken_add", "Can add: auth tokens", marks=pytest.mark.soak),
    ],
)
def test_forbidden_page_names_the_permission(page, permission):
    args = [make_task().pk] if page.startswith(TASKS) else []
    response = client_of(roles.VIEWER).post(url(page, *args))
    assert response.status_code == 403
    assert permission in text_of(response)
    assert "Your groups: viewer." in text_of(response)


def test_forbidden_list_action_names_the_permission():
    data = {"action": "cancel_selected", "_selected_action": [make_task().pk]}
    response = client_of(roles.VIEWER).post(url(f"{TASKS}_changelist"), data)
    assert response.status_code == 403
    assert "Can cancel a collection" in text_of(response)


def test_page_closed_to_all_names_no_permission():
    response = client_of(roles.ADMINISTRATOR).post(url(f"{TASKS}_add"))
    assert response.status_code == 403
    assert "Nobody can do this by hand" in text_of(response)


# ---------------------------------------------------------------- an administrator is no superuser


def test_administrator_cannot_create_a_superuser():
    ann, client = make_user("ann"), client_of(roles.ADMINISTRATOR)
    data = {
        "username": "anna",
        "date_joined_0": "2024-01-01",
        "date_joined_1": "00:00:00",
        "is_superuser": "on",
    }
    client.post(url("auth_user_change", ann.pk), data)
    ann.refresh_from_db()
    assert (ann.username, ann.is_superuser) == ("anna", False)


@pytest.mark.parametrize(
    "page",
    [
        "auth_user_change",
        pytest.param("auth_user_delete", marks=pytest.mark.soak),
        "auth_user_password_change",
    ],
)
def test_administrator_cannot_change_a_superuser(page):
    root, client = make_user("root", is_superuser=True), client_of(roles.ADMINISTRATOR)
    data = {"username": "mine", "password1": "a-long-pass-1", "password2": "a-long-pass-1", "post": "yes"}
    assert client.post(url(page, root.pk), data).status_code == 403
    root.refresh_from_db()
    assert root.username == "root"
    assert root.check_password("pass-word-1")


def test_administrator_reads_in_words_who_may_do_everything():
    root, ann, client = make_user("root", is_superuser=True), make_user("ann"), client_of(roles.ADMINISTRATOR)
    text = text_of(client.get(url("auth_user_change", ann.pk)))
    assert "May do everything block No Only a superuser can change this." in text
    assert "shield_person Yes Only a superuser" in text_of(client.get(url("auth_user_change", root.pk)))
    assert "root shield_person superuser" in text_of(client.get(url("auth_user_changelist")))


def test_superuser_can_change_superusers():
    root = make_user("root", is_superuser=True, is_staff=True)
    client = Client()
    sign_in(client, root)
    assert b'name="is_superuser"' in client.get(url("auth_user_change", root.pk)).content
