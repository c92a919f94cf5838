"""The main pages by name, and their paths on a seeded site."""

from functools import cache

import pytest

from tests.browser.live_site import Site

TASKS = "/admin/tasks_app/collectiontask/"


def task_page(task_id: str) -> str:
    return f"{TASKS}{task_id}/change/"


@cache
def main_pages(site: Site) -> dict[str, str]:
    """Returns the path of each page by its name. All but the first need a login."""
    failed = site.failed_task()
    return {
        "sign-in": "/admin/login/",
        "dashboard": "/admin/",
        "start": "/admin/start/",
        "tasks": TASKS,
        "queue": "/admin/tasks_app/queuedorder/?state__exact=waiting",
        "task": task_page(failed),
        "chain": task_page(site.yielded_task()),
        "confirm": f"{TASKS}{failed}/retry/",
        "items": f"/admin/tasks_app/collectionitem/?task__id__exact={failed}",
        "stocks": "/admin/tasks_app/stock/",
        "stock": f"/admin/tasks_app/stock/{site.stock('US', 'AAPL')}/change/",
        "bars": "/admin/tasks_app/dailybar/?q=AAPL",
        "raw answer": "/admin/tasks_app/recordedcall/1/change/",
        "uploads": "/admin/uploads/",
        "delete data": "/admin/delete-data/",
        "sources": "/admin/sources/",
        "system": "/admin/system/",
        "source": "/admin/sources/akshare/",
        "agreement": "/admin/agreement/",
        "calendar": "/admin/calendar/?market=CN&year=2024",
        "exports": "/admin/exports/",
        "incidents": "/admin/tasks_app/incident/",
        "incident": "/admin/tasks_app/incident/1/change/",
        "notice channels": "/admin/tasks_app/noticechannel/",
        "notice channel": "/admin/tasks_app/noticechannel/add/",
        "dead man's switch": "/admin/tasks_app/noticeping/add/",
        "targets": "/admin/tasks_app/target/",
        "new target": "/admin/tasks_app/target/add/",
        "plan": "/admin/tasks_app/collectionplan/1/change/",
        "new plan": "/admin/tasks_app/collectionplan/add/",
        "users": "/admin/auth/user/",
        "new user": "/admin/auth/user/add/",
        "user": "/admin/auth/user/2/change/",
        "password of a user": "/admin/auth/user/2/password/",
        "new group": "/admin/auth/group/add/",
        "history of a user": "/admin/audit/?subject=user&object=2",
        "my tokens": "/admin/my-tokens/",
        "my sessions": "/admin/my-sessions/",
        "audit": "/admin/audit/",
        "preferences": "/admin/preferences/",
        "codes": "/admin/codes/?market=US",
        "coverage": "/admin/coverage/?market=US&since=2012-01&until=2013-03",
    }


# Of those that are made alike, like lists and forms of a model, the suite has one.
PAGE_NAMES = (
    *("sign-in", "dashboard", "start", "tasks", "task", "confirm", "stock", "uploads", "calendar"),
    *("new plan", "coverage"),
)
FURTHER_NAMES = (
    *("items", "stocks", "bars", "raw answer", "queue", "delete data", "sources", "system", "agreement"),
    *("codes", "exports", "incidents", "incident", "notice channels", "notice channel", "dead man's switch"),
    *("targets", "new target", "chain", "plan", "new user", "user", "my tokens", "audit", "source"),
)
EACH_NAME = (*PAGE_NAMES, *(pytest.param(name, marks=pytest.mark.soak) for name in FURTHER_NAMES))
