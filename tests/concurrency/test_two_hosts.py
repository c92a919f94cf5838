"""Two worker machines, each with a name and a clock of its own, on one PostgreSQL and one Redis."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.concurrency.own_database import manage, on_postgresql
from tests.concurrency.tcp_proxy import Link, linked
from tests.concurrency.test_promises import BARS, STOCKS, Collection, assert_complete
from tools.worker_machine import Machine, eventually

pytestmark = pytest.mark.skipif(not on_postgresql(), reason="SQLite is for one host")
TEN_MINUTES = 600.0
PROMISED = 30.0
COUNTED = b'UPDATE "tasks_app_collectiontask" SET "processed_stocks"'  # a stock's last statement
LANES = {"COLLECTOR_FAN_OUT": "2", "COLLECTOR_SLICE_SECONDS": "0.5"}


def host_environment(name: str, ahead: float) -> dict[str, str]:
    """The environment of a host with this name, its clock ahead by some seconds."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.concurrency.other_host_settings",
        "OTHER_HOST_NAME": name,
        "OTHER_HOST_CLOCK": str(ahead),
    }


class Host(Machine):
    """One of two worker machines, with one worker and its own log of requests."""

    def __init__(self, folder: Path, url: str, ahead: float, **extra: str) -> None:
        folder.mkdir()
        self.requests_file = folder / "requests"
        log = {"COLLECTOR_SIMULATED_LOG": str(self.requests_file)}
        super().__init__(folder, url, **{**extra, **host_environment(folder.name, ahead), **log})
        self.start(workers=1, wait=False)

    def ready(self) -> None:
        eventually(self.processes, 30, "the start of all processes")

    def requests(self) -> list[tuple[float, str]]:
        """(unix time by this host's clock, code) of every request so far."""
        if not self.requests_file.exists():
            return []
        lines = [line.split() for line in self.requests_file.read_text().splitlines()]
        return [(float(at), code) for at, _, code in lines]


class Pair:
    """A collection, and two hosts on one database: `near` is well, `far` is what may happen to a host."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.url, self.folder, self.stack = url, folder, stack
        self.collection = Collection(url, folder)
        self.collection.extra |= LANES
        self.link = stack.enter_context(linked(url))

    def start_hosts(self, ahead: float = 0.0, **extra: str) -> tuple[Host, Host]:
        """Both at work; `far` has the clock that is ahead, and reaches the database by way of the link."""
        extra = {**self.collection.extra, **extra}
        near = Host(self.folder / "near", self.url, 0.0, **extra)
        self.stack.callback(near.close)
        far = Host(self.folder / "far", self.link.url, ahead, **extra)
        self.stack.callback(far.close)
        near.ready()
        far.ready()
        return near, far

    def ask(self, statement: str) -> Any:
        """The first value that the database answers, not by way of the link."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute(statement).fetchone()
            return row and row[0]

    def end(self, seconds: float) -> float:
        """Wait for the task's end; seconds until it came."""
        running = "SELECT count(*) FROM tasks_app_collectiontask WHERE status = 'running'"
        return eventually(lambda: not self.ask(running), seconds, "the task's end")

    def assert_exact(self, *hosts: Host, spare: int = 0) -> None:
        """Complete, every bar there once, and no stock asked for twice, but for `spare` of them."""
        assert_complete(self.collection.status())
        assert self.ask("SELECT count(*) FROM tasks_app_dailybar") == STOCKS * BARS
        asked = Counter(code for host in hosts for _, code in host.requests())
        assert len(asked) == STOCKS
        assert asked.total() <= STOCKS + spare, {code: n for code, n in asked.items() if n > 1}


@pytest.fixture
def pair(database_url: str, tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(database_url, tmp_path, stack)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis database of our own on the local server."""
    redis = pytest.importorskip("redis")
    for number in range(15, 0, -1):
        client = redis.Redis(db=number)
        try:
            empty = not client.dbsize()
        except redis.RedisError:
            pytest.skip("no Redis answers on 127.0.0.1:6379")
        if empty:
            yield f"redis://127.0.0.1:6379/{number}"
            client.flushdb()
            return
    pytest.skip("every database of this Redis is taken")


@pytest.mark.parametrize("ahead", [TEN_MINUTES, -TEN_MINUTES])
def test_hosts_with_different_clocks_share_a_task(pair: Pair, ahead: float) -> None:
    near, far = pair.start_hosts(ahead)
    pair.collection.start()
    pair.end(60)
    pair.assert_exact(near, far)
    shares = len(near.requests()), len(far.requests())
    print(f"shares with the far clock {ahead:+.0f} s: {shares}")
    assert min(shares) >= STOCKS // 4
    apart = far.requests()[0][0] - near.requests()[0][0]
    assert abs(apart - ahead) < 60, "the drill's clocks are not what it says"


def test_fast_clock_delays_no_slice(pair: Pair) -> None:
    near = Host(pair.folder / "near", pair.url, 0.0, **pair.collection.extra)
    pair.stack.callback(near.close)
    near.ready()
    pair.collection.extra |= host_environment("web", TEN_MINUTES)
    pair.collection.start()
    seconds = eventually(near.requests, 3, "the first request")  # a lost slice is missed after its lease: 4 s
    print(f"taken up {seconds:.1f} s after the start")


def test_both_hosts_are_listed_in_redis(pair: Pair, redis_url: str) -> None:
    pair.start_hosts(TEN_MINUTES, REDIS_URL=redis_url)
    seen = "from tasks_app.queue import dispatch; print(sorted(c.host for c in dispatch.live_clusters()))"

    def hosts() -> str:
        return manage(pair.url, "shell", "--no-imports", "-c", seen, REDIS_URL=redis_url)

    eventually(lambda: hosts() == "['far', 'near']\n", 15, "both heartbeats")


def cut(link: Link) -> None:
    """Both ends hear of it."""
    link.cut()


def fall_silent(link: Link) -> None:
    """Nobody hears of it: the server waits for the end of a write, and holds its locks."""
    link.hold_after(COUNTED)
    eventually(lambda: link.held, 20, "a write to break off")


@pytest.mark.parametrize("lose", [cut, fall_silent])
def test_lost_host_doubles_nothing(pair: Pair, lose: Callable[[Link], None]) -> None:
    near, far = pair.start_hosts()
    pair.collection.start()
    eventually(lambda: min(len(near.requests()), len(far.requests())) > 1, 20, "both at work")
    lose(pair.link)
    print(f"{lose.__name__}: the task ended {pair.end(PROMISED):.1f} s later")
    pair.assert_exact(near, far, spare=2)  # what was in the two hosts' hands
    before = len(far.requests())
    pair.collection.start("--force")
    pair.link.mend()
    seconds = eventually(lambda: len(far.requests()) > before, PROMISED, "work on the host that is back")
    print(f"{lose.__name__}: back at work {seconds:.1f} s after the link was")
