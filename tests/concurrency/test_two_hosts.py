"""Two worker machines, each with a name and a clock of its own, on one PostgreSQL and one Redis."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from tasks_app.queue import dispatch
from tests.concurrency.collection import Collections
from tests.concurrency.own_database import configured, on_postgresql
from tests.concurrency.tcp_proxy import Link, linked
from tools.worker_machine import PATIENCE, Machine, eventually

pytestmark = [
    pytest.mark.skipif(not on_postgresql(), reason="SQLite is for one host"),
    pytest.mark.xdist_group("two_hosts"),  # the tests share both hosts
]
TEN_MINUTES = 600.0
COUNTED = b'UPDATE "tasks_app_collectiontask" SET "processed_stocks"'  # a stock's last statement


class Host(Machine):
    """One of two worker machines, with one worker and its own log of requests."""

    def __init__(self, folder: Path, url: str, ahead: float) -> None:
        folder.mkdir()
        self.requests_file = folder / "requests"
        super().__init__(
            folder,
            url,
            DJANGO_SETTINGS_MODULE="tests.concurrency.other_host_settings",
            OTHER_HOST_NAME=folder.name,
            OTHER_HOST_CLOCK=str(ahead),
            COLLECTOR_SIMULATED_LOG=str(self.requests_file),
        )
        self.start(workers=1, wait=False)


class Pair(Collections):
    """Collections on two hosts: `near` is well, `far` is what may happen to a host, behind a link of its own.

    The clock of one is behind the database's, that of the other ahead.
    """

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        super().__init__(folder)
        self.link = stack.enter_context(linked(url))
        stack.enter_context(configured(**self.environment))
        self.near = Host(folder / "near", url, -TEN_MINUTES)
        stack.callback(self.near.close)
        self.far = Host(folder / "far", self.link.url, TEN_MINUTES)
        stack.callback(self.far.close)
        self.logs = [self.near.requests_file, self.far.requests_file]
        for host in (self.near, self.far):
            eventually(host.processes, what="the start of all processes")

    def codes(self, host: Host) -> list[str]:
        """Returns the codes that one host has requested for this task."""
        return [line.code for line in self.requests(host.requests_file)]

    def start_on_both(self) -> None:
        """Starts a task of which each host has requested a stock, and gets no answer yet."""
        self.start()
        eventually(lambda: self.codes(self.near) and self.codes(self.far), what="a request of each host")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis database of our own on the local server; an empty text without one."""
    try:
        import redis

        clients = {number: redis.Redis(db=number) for number in range(15, 0, -1)}
        number = next(number for number, client in clients.items() if not client.dbsize())
    except (ImportError, StopIteration, redis.RedisError):
        yield ""
        return
    yield f"redis://127.0.0.1:6379/{number}"
    clients[number].flushdb()


@pytest.fixture(scope="module")
def pair(module_database: str, redis_url: str, tmp_path_factory: Any) -> Iterator[Pair]:
    with ExitStack() as stack:
        stack.enter_context(configured(REDIS_URL=redis_url))
        yield Pair(tmp_path_factory.mktemp("pair"), module_database, stack)


def test_hosts_with_different_clocks_share_a_task(pair: Pair) -> None:
    pair.start_on_both()
    pair.finish()
    pair.assert_complete()
    assert pair.repeated() == []
    apart = pair.requests(pair.far.requests_file)[0].at - pair.requests(pair.near.requests_file)[0].at
    assert abs(apart - 2 * TEN_MINUTES) < PATIENCE, "the drill's clocks are not what it says"


def test_fast_clock_delays_no_slice(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now
    with monkeypatch.context() as patched:
        patched.setattr(timezone, "now", lambda: now() + timedelta(seconds=TEN_MINUTES))
        pair.start()  # as a web server does whose clock is fast
    pair.wait_for_requests(1)
    pair.finish()


def test_both_hosts_are_listed_in_redis(pair: Pair, redis_url: str) -> None:
    if not redis_url:
        pytest.skip("no Redis with a free database answers on 127.0.0.1:6379")
    redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    with override_settings(CACHES={**settings.CACHES, "default": redis}):
        names = lambda: sorted(cluster.host for cluster in dispatch.live_clusters())  # noqa: E731
        eventually(lambda: names() == ["far", "near"], what="both heartbeats")


def cut(link: Link) -> None:
    """Both ends hear of it."""
    link.cut()


def fall_silent(link: Link) -> None:
    """Nobody hears of it: the server waits for the end of a write, and holds its locks."""
    link.hold_after(COUNTED)


@pytest.mark.parametrize("lose", [cut, fall_silent])
def test_lost_host_doubles_nothing(pair: Pair, lose: Callable[[Link], None]) -> None:
    pair.start_on_both()
    lost = pair.requests(pair.far.requests_file)
    lose(pair.link)
    pair.answers.release_all()
    if lose is fall_silent:
        eventually(lambda: pair.link.held, what="a write that broke off")
    pair.end_leases(line.pid for line in lost)
    pair.finish()
    pair.assert_complete()
    assert pair.repeated() == [line.code for line in lost], "only what the lost host had in hand"
    pair.start()
    pair.link.mend()
    eventually(lambda: pair.codes(pair.far), what="work on the host that is back")
    pair.finish()
