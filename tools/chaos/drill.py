"""Runs collections one after another, injects faults at random moments and checks the invariants."""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import count

from django.db import Error, connection
from django.db.models import Count, F, Q, Sum

from tasks_app import lifecycle
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.models.events import Channel
from tasks_app.orders.order import Order
from tasks_app.sources.simulated.exchange import symbol_at
from tools.chaos import faults
from tools.chaos.faults import FaultContext
from tools.chaos.site import ChaosSite

MARKET = "SIM"
FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2024, 12, 31)
GIVE_UP_SECONDS = 90.0  # the promise is 30 s; after this long the drill gives up
CHECK_SECONDS = 0.5
BY_ITEMS = {
    "total_stocks": Count("items"),
    "success_count": Count("items", Q(items__state__in=["succeeded", "skipped"])),
    "failed_count": Count("items", Q(items__state="failed")),
    "collected_count": Sum("items__rows_collected"),
    "skipped_count": Sum("items__rows_skipped"),
}


@dataclass
class InjectedFault:
    """A fault and the unix times of its beginning and end."""

    kind: str
    at: float
    until: float


@dataclass
class Log:
    """What a drill has recorded. Not `timed`: leases were ended early, so the silences say nothing."""

    site: ChaosSite
    timed: bool = True
    faults: list[InjectedFault] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    checks: int = 0
    left: list[int] = field(default_factory=list)

    def commits(self) -> list[float]:
        """Returns the unix times at which stocks were finished, ascending."""
        times = CollectionItem.objects.filter(finished_at__isnull=False).values_list("finished_at", flat=True)
        return sorted(at.timestamp() for at in times)


class Drill:
    """One run against a site."""

    def __init__(self, site: ChaosSite, options: argparse.Namespace) -> None:
        self.site, self.options = site, options
        self.rng = random.Random(options.seed)
        self.log = Log(site, timed=not options.expire)
        self.numbers = count()
        self.processed: dict[object, int] = {}
        self.next_check = 0.0

    def run(self) -> Log:
        """Injects faults until the time or the list is over, then lets the last collection end."""
        self._begin()
        self._wait_until(lambda: self._commits_since(0.0), "the first stock")
        for kind in self._next_faults():
            self._inject(kind)
            at = self.log.faults[-1].until
            self._wait_until(lambda at=at: self._commits_since(at), f"a stock after “{kind}”")
            if not self.options.strikes and self.rng.random() < 0.5:
                self._wait_until(lambda at=at: self._full_strength(at), f"full strength after “{kind}”")
        self._wait_until(lambda: not self._running(), "the end of the last collection", begin=False)
        self.log.left = self.site.stop()
        return self.log

    def _next_faults(self) -> Iterator[str]:
        """Yields the next fault to inject, each at a random moment."""
        if self.options.strikes:
            pause, faults_to_inject = 0.5, iter(self.options.strikes.split(","))
        else:
            pause, faults_to_inject = 4.0, iter(lambda: faults.draw(self.rng, self.site), "")
        end = time.monotonic() + self.options.seconds
        for kind in faults_to_inject:
            moment = time.monotonic() + self.rng.uniform(0.0, pause)
            self._wait_until(lambda moment=moment: time.monotonic() > moment, "a moment")
            if time.monotonic() > end:
                return
            yield kind.strip()

    def _inject(self, kind: str) -> None:
        """Injects the fault as soon as it has something to break."""
        context = FaultContext(self.site, self.rng, self.options)

        def injected() -> bool:
            at = time.time()
            if not faults.FAULTS[kind](context):
                return False
            self.log.faults.append(InjectedFault(kind, at, time.time()))
            with (self.site.folder / "strikes").open("a") as file:
                print(self.log.faults[-1], file=file)
            return True

        self._wait_until(injected, f"something to break by “{kind}”")
        if self.options.expire:
            self._evaluate(self.site.expire_lost_leases)

    def _wait_until(self, condition: Callable[[], object], what: str, begin: bool = True) -> None:
        """Keeps the site running and checked until the condition holds; records a timeout as broken."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not self._evaluate(condition):
            if time.monotonic() > deadline:
                self.log.broken.append(f"waited {GIVE_UP_SECONDS:.0f} s in vain for {what}")
                return
            self.site.restart_dead()
            if begin and self._evaluate(self._running) is False:
                self._begin()
            self._check()
            time.sleep(0.05)

    def _evaluate(self, condition: Callable[[], object]) -> object:
        """Returns the result, or None while the database is unavailable."""
        try:
            return condition()
        except Error:
            connection.close()
            return None

    def _running(self) -> bool:
        return CollectionTask.objects.filter(status="running").exists()

    def _begin(self) -> None:
        """Starts the next collection over HTTP, retrying; the idempotency key makes it one task.

        Without a web server it is started in this process.
        """
        number, size = next(self.numbers), self.options.stocks
        codes = [symbol_at(n).code for n in range(number * size, (number + 1) * size)]
        if self.site.web is None:
            own = Order(FIRST_DAY, LAST_DAY, market=MARKET, source="simulated", stock_codes=tuple(codes))
            lifecycle.start(own, Actor(Channel.COMMAND), today=LAST_DAY)
            return
        days = {"start_date": str(FIRST_DAY), "end_date": str(LAST_DAY)}
        order = {**days, "market": MARKET, "source": "simulated", "stock_codes": codes}
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            self.site.restart_dead()
            try:
                self.site.web.post("historical", f"{self.site.mark}-{number}", order)
                return
            except OSError as error:  # includes refused connections
                if time.monotonic() > deadline:
                    raise TimeoutError("no collection can be started") from error
                time.sleep(0.1)

    def _commits_since(self, at: float) -> bool:
        since = datetime.fromtimestamp(at).astimezone()
        return CollectionItem.objects.filter(finished_at__gt=since).exists()

    def _full_strength(self, at: float) -> bool:
        """Whether as many processes send requests as may."""
        return len({pid for sent, pid, _ in self.site.requests() if sent > at}) >= self.site.slots()

    def _check(self) -> None:
        """Checks twice a second: counters equal the sums and never fall, and no process is orphaned."""
        if time.monotonic() < self.next_check:
            return
        self.next_check = time.monotonic() + CHECK_SECONDS
        self._evaluate(self._check_counters)
        if orphans := self.site.orphans():
            self.log.broken.append(f"orphans: {orphans}")
            self.site.kill(orphans)

    def _check_counters(self) -> None:
        sums = {f"sum_{name}": sums for name, sums in BY_ITEMS.items()}
        task = CollectionTask.objects.annotate(**sums).latest("start_time")  # one statement: one instant
        self.log.checks += 1
        pairs = {name: (getattr(task, name), getattr(task, f"sum_{name}")) for name in BY_ITEMS}
        wrong = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if wrong or task.processed_stocks != task.success_count + task.failed_count:
            self.log.broken.append(f"counters differ from the items: {wrong}")
        if task.processed_stocks < self.processed.get(task.pk, 0):
            self.log.broken.append("the counter of processed stocks fell")
        self.processed[task.pk] = task.processed_stocks


def repeated_requests(log: Log) -> list[tuple[float, float, str]]:
    """Returns (first time, second time, code) of each repeated request."""
    last: dict[str, float] = {}
    repeated = []
    for at, _, code in log.site.requests():
        if code in last:
            repeated.append((last[code], at, code))
        last[code] = at
    return repeated


def finish_times() -> dict[str, float]:
    """Returns the unix time at which each stock was finished."""
    rows = CollectionItem.objects.filter(finished_at__isnull=False).values_list("code", F("finished_at"))
    return {code: at.timestamp() for code, at in rows}
