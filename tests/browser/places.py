"""The main pages by name, and where they are on a seeded site."""

from tests.browser.site import Site

TASKS = "/admin/tasks_app/collectiontask/"


def task_page(task_id: str) -> str:
    return f"{TASKS}{task_id}/change/"


def main_pages(site: Site) -> dict[str, str]:
    """Path by name. Their people are signed in, but for the first one's."""
    failed = site.failed_task()
    return {
        "sign-in": "/admin/login/",
        "dashboard": "/admin/",
        "start": "/admin/start/",
        "tasks": TASKS,
        "task": task_page(failed),
        "confirm": f"{TASKS}{failed}/retry/",
        "items": f"/admin/tasks_app/collectionitem/?task__id__exact={failed}",
        "stocks": "/admin/tasks_app/stock/",
        "stock": f"/admin/tasks_app/stock/{site.stock('US', 'AAPL')}/change/",
        "bars": "/admin/tasks_app/dailybar/?q=AAPL",
    }


NAMES = ("sign-in", "dashboard", "start", "tasks", "task", "confirm", "items", "stocks", "stock", "bars")
FIVE = ("dashboard", "start", "task", "stock", "tasks")
