"""The site's responses to one GET of every path, which several modules of tests read."""

from functools import cache
from typing import NamedTuple
from unittest.mock import patch

from django.db import transaction
from django.http import HttpResponse, HttpResponseForbidden
from django.test import Client

from collector_site import urls
from tests.api.factories import make_bars, make_stock
from tests.factories import make_ended, sign_in
from tests.security.url_paths import OTHER, admin_paths, path_of
from tests.security.users import make_user_of_kind

FILES = ["/static/tasks_app/admin.css", "/static/tasks_app/icon.svg", "/static/no"]


class Responses(NamedTuple):
    """One user's responses, and the path of each of the admin's routes by its name."""

    by_path: dict[str, HttpResponse]
    admin_paths: dict[str, str]


@cache
def responses(kind: str) -> Responses:
    """Returns the responses to this kind of user, for every path except those that log out.

    They are made once for all tests of the xdist_group "responses", which only read them. No row is kept.
    Of the pages that refuse, the last has its text: the others differ in the permission that they name.
    """
    with transaction.atomic():
        admin, client = admin_paths(), html_client(kind)
        make_ended("cancelled")
        with patch.object(urls, "handler403", lambda *_args, **_kwargs: HttpResponseForbidden()):
            by_path = {path: client.get(path) for path in all_paths(admin)}
        refused = [path for path in admin.values() if path in by_path and by_path[path].status_code == 403]
        by_path |= {path: client.get(path) for path in refused[-1:]}
        transaction.set_rollback(True)
    return Responses(by_path, admin)


def all_paths(admin: dict[str, str]) -> list[str]:
    paths = [*admin.values(), *(path_of(route) for _, route in OTHER), *FILES]
    make_bars(make_stock("US", "X"), 60)  # more than a page
    paths += ["/api/data-collection/quotes/US/X?format=csv", "/api/docs?script=", "/nowhere"]
    return [path for path in paths if "logout" not in path]


def html_client(kind: str) -> Client:
    client, user = Client(headers={"Accept": "text/html"}), make_user_of_kind(kind)
    if user:
        sign_in(client, user)
    return client
