"""A webhook, a channel to it, and what brings its messages there at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django_q.conf import Conf

from tasks_app.models import NoticeChannel, NoticeDelivery, NoticeRule
from tasks_app.models.notices import Severity
from tasks_app.notices import addresses, routing, sending
from tools import notice_receivers as receivers
from tools.in_process import work
from tools.notice_receivers import Webhook


@pytest.fixture(autouse=True)
def lasting_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of these tests run in this process, which they must not have replaced."""
    monkeypatch.setattr(Conf, "MAX_RSS", Conf.MAX_RSS)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with receivers.webhook() as hook:
        yield hook


@pytest.fixture
def make_channel(hook: Webhook) -> Callable[..., NoticeChannel]:
    def make(name: str = "team", *, url: str = "", rule: dict[str, Any] | None = None, **fields: Any) -> Any:
        channel = NoticeChannel.objects.create(
            name=name, url=addresses.encrypt(url or hook.url), **{"time_zone": "Asia/Shanghai", **fields}
        )
        NoticeRule.objects.create(channel=channel, **(rule or {"severity": Severity.INFO}))
        return channel

    return make


def let_time_pass() -> None:
    """Makes every delivery due, and every lease end."""
    NoticeDelivery.objects.filter(state="pending").update(next_at=F("created_at"))
    NoticeChannel.objects.filter(lease_until__gt=Now()).update(lease_until=F("changed_at"))


def deliver() -> None:
    """Routes what is new, and lets workers send it, without the waits for others."""
    routing.route()
    let_time_pass()
    sending.supply()
    work()
