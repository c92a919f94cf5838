"""Seeds the site of the browser tests: `python -m tests.browser.seed_data`, on an empty database.

Creates a signed-in user of each role, the quotes of the sample source, and a task of each final status.
"""

import os
from dataclasses import replace
from datetime import date, timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.hashers import make_password  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.auth.signals import user_logged_in  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.utils import timezone  # noqa: E402

from tasks_app import lifecycle  # noqa: E402
from tasks_app.lifecycle.events import Actor  # noqa: E402
from tasks_app.models import (  # noqa: E402
    Change,
    ChangePosition,
    CollectionItem,
    CollectionPlan,
    CollectionTask,
    DailyBar,
    MarketDay,
    SourceAgreement,
)
from tasks_app.models.events import Channel  # noqa: E402
from tasks_app.models.quotes import InstrumentKind  # noqa: E402
from tasks_app.orders import order as orders  # noqa: E402
from tasks_app.orders.order import Order  # noqa: E402
from tasks_app.quotes import sealed_days  # noqa: E402
from tasks_app.quotes.findings import record_differences  # noqa: E402
from tasks_app.quotes.source_comparison import Difference  # noqa: E402
from tasks_app.quotes.upsert import Provenance  # noqa: E402
from tasks_app.sources.base import Request  # noqa: E402
from tests.browser.roles import PASSWORD, ROLES, session_of  # noqa: E402
from tests.factories import finish, make_continued, make_raw_answer, make_run  # noqa: E402
from tools.in_process import work  # noqa: E402

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0 Safari/537.36"
TODAY = orders.latest_today()
# More than the five years that a chart offers.
SAMPLE = Order(start_date=date(2007, 1, 1), end_date=date(2013, 12, 31), market="US", source="sample")
YEAR = Order(
    start_date=TODAY - timedelta(days=365), end_date=TODAY - timedelta(days=1), market="CN", source="drill"
)


def make_users() -> dict[str, User]:
    """Creates a staff user of each role, named after it. Administrators have every permission of staff."""
    users, password = {}, make_password(PASSWORD)  # once: it takes half a second
    for role in ROLES:
        user = users[role] = User.objects.create(username=role, password=password, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
    return users


def sign_in(user: User) -> None:
    """Creates the session of a user who is named after a role, and records it as a sign-in."""
    data = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    key = session_of(user.get_username())
    Session.objects.save(key, data, timezone.now() + timedelta(days=1))
    request = RequestFactory().post("/admin/login/", HTTP_USER_AGENT=BROWSER)
    request.session = SessionStore(key)
    user_logged_in.send(User, request=request, user=user)
    request.session.save()


def start(order: Order, user: User) -> CollectionTask:
    return lifecycle.start(order, Actor(Channel.ADMIN, user), today=TODAY)


def add_agreement() -> None:
    """Adds a month of comparisons of the drill's bars: of some fields, with the differences as findings."""
    bars = DailyBar.objects.filter(market="CN", source="drill", adjust="").order_by("-day", "symbol")
    month = bars[0].day.replace(day=1)
    bars = bars.filter(day__gte=month)
    row = {"source": "drill", "other_source": "csv", "market": "CN", "month": month}
    for field, differing, worst in (("day", 0, 0.0), ("close", 3, 0.0123), ("volume", 0, 0.0)):
        counts = {"compared": bars.count(), "differing": differing, "worst": worst}
        SourceAgreement.objects.create(**row, **counts, field=field)
    for bar, share in zip(bars[:3], (0.0123, 0.004, 0.002), strict=True):
        close = float(bar.close)
        difference = Difference(
            bar.day, "value_differs", {"close": close}, {"close": round(close * (1 + share), 2)}
        )
        request = Request(market="CN", code=bar.symbol, start=bar.day, end=bar.day, adjust="")
        item = CollectionItem.objects.filter(task__source="drill", code=bar.symbol, state="succeeded").first()
        record_differences(request, Provenance("drill", item.pk if item else 0), "csv", [difference])


def add_chain() -> None:
    """Adds a task that yielded to a plan, and the ended one that continued it; the plan runs no more."""
    rest = make_continued()[1]
    finish(rest, collected=3)
    CollectionPlan.objects.update(enabled=False, next_at=None)


def add_slow_task(user: User) -> None:
    """Adds a cancelled task of two minutes, whose chart has many intervals: those of the others have one."""
    slow = make_run(24, range(60, 110, 5), planned=120, failed=2)
    lifecycle.cancel(slow.pk, Actor(Channel.ADMIN, user))


def leave_one_day_to_seal() -> None:
    """Leaves the last day of the sample to the site's workers: all 2,000 days would take seconds."""
    number = Change.objects.order_by("number").values_list("number", flat=True).last()
    ChangePosition.objects.update_or_create(pk=sealed_days.POSITION, defaults={"number": number})
    last = DailyBar.objects.filter(market="US").latest("day").day
    MarketDay.objects.create(market="US", kind=InstrumentKind.STOCK, day=last)


def main() -> None:
    call_command("migrate", verbosity=0)
    users = make_users()
    for user in users.values():
        sign_in(user)
    add_slow_task(users["operator"])
    start(SAMPLE, users["administrator"])
    work()
    make_raw_answer(CollectionItem.objects.get(code="AAPL"), b'{"rows": [["2013-03-01", 430.47]]}\n' * 200)
    with_failures = start(YEAR, users["operator"])
    work()
    lifecycle.retry(with_failures.pk, Actor(Channel.ADMIN, users["operator"]))
    work()
    start(replace(YEAR, stock_codes=("000007",)), users["operator"])
    work()
    add_chain()
    cancelled = start(YEAR, users["operator"])
    lifecycle.cancel(cancelled.pk, Actor(Channel.ADMIN, users["administrator"]))
    add_agreement()
    leave_one_day_to_seal()


if __name__ == "__main__":
    main()
