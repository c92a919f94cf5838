"""Every path of the site, from its URL configuration: a new path can't be forgotten."""

import re
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver, get_resolver
from knox.models import AuthToken

from tests.factories import make_user
from tests.security.users import make_rows

ID = "00000000-0000-4000-8000-000000000000"


def iterate_paths(
    patterns: list[URLPattern | URLResolver], start: str = "", namespaces: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yields (name with its namespaces, route)."""
    for pattern in patterns:
        route = start + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            within = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from iterate_paths(pattern.url_patterns, route, within)
        else:
            yield ":".join([*namespaces, pattern.name or ""]), route


ALL = list(iterate_paths(get_resolver().url_patterns))
ADMIN = [(name, route) for name, route in ALL if route.startswith("admin/")]
OTHER = [(name, route) for name, route in ALL if not route.startswith("admin/")]


def admin_paths() -> dict[str, str]:
    """Returns an existing address for each route of the admin, by name (by route where it has none)."""
    rows = {**make_rows(), "user": make_user("victim"), "group": Group.objects.create(name="all")}
    token = AuthToken.objects.create(rows["user"])[0]
    rows["authtoken"] = token
    return {name.removeprefix("admin:") or route: f"/{fill_route(route, rows)}" for name, route in ADMIN}


def fill_route(route: str, rows: dict[str, Any]) -> str:
    key = next((model for model in rows if f"/{model}/" in route), "")
    pk = rows[key].token_key if key == "authtoken" and "delete" in route else getattr(rows.get(key), "pk", 1)
    route = route.replace("^(?P<app_label>tasks_app|knox|auth)/$", "tasks_app/").replace("(?P<url>.*)$", "no")
    return re.sub(r"<[^>]+>", str(pk), route)


def path_of(route: str) -> str:
    route = route.replace(r"^api(?:/[\s\S]*)?$", "api/nothing")
    route = re.sub(r"<[^>]*task_id>", ID, route)
    route = re.sub(r"<str:(plan|export|target|order)_id>", "7", route)
    return "/" + route.replace("<market:market>", "US").replace("<str:code>", "X")
