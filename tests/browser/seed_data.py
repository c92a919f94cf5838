"""Seeds the site of the browser tests: `python -m tests.browser.seed_data`, on a migrated database.

Creates a user of each role, the quotes of the sample source, and a task of each final status.
"""

import os
from dataclasses import replace
from datetime import date, timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402

from tasks_app import lifecycle  # noqa: E402
from tasks_app.lifecycle.events import Actor  # noqa: E402
from tasks_app.models import CollectionTask  # noqa: E402
from tasks_app.models.tasks import Channel  # noqa: E402
from tasks_app.orders import order as orders  # noqa: E402
from tasks_app.orders.order import Order  # noqa: E402
from tests.browser.roles import PASSWORD, ROLES  # noqa: E402
from tools.in_process import work  # noqa: E402

TODAY = orders.latest_today()
SAMPLE = Order(start_date=date(2000, 1, 1), end_date=date(2013, 12, 31), market="US", source="sample")
YEAR = Order(
    start_date=TODAY - timedelta(days=365), end_date=TODAY - timedelta(days=1), market="CN", source="drill"
)


def make_users() -> dict[str, User]:
    """Creates a staff user of each role, named after it. Administrators have every permission of staff."""
    users = {}
    for role in ROLES:
        user = users[role] = User.objects.create_user(role, password=PASSWORD, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
    return users


def start(order: Order, user: User) -> CollectionTask:
    return lifecycle.start(order, Actor(Channel.ADMIN, user), today=TODAY)


def main() -> None:
    users = make_users()
    start(SAMPLE, users["administrator"])
    work()
    with_failures = start(YEAR, users["operator"])
    work()
    lifecycle.retry(with_failures.pk, Actor(Channel.ADMIN, users["operator"]))
    work()
    start(replace(YEAR, stock_codes=("000007",)), users["operator"])
    work()
    cancelled = start(YEAR, users["operator"])
    lifecycle.cancel(cancelled.pk, Actor(Channel.ADMIN, users["administrator"]))


if __name__ == "__main__":
    main()
