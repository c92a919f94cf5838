"""Collections one after another, struck at random moments, watched all the time."""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import count

from django.db import Error, connection
from django.db.models import Count, F, Q, Sum

from benchmarks.chaos import faults
from benchmarks.chaos.faults import Blow
from benchmarks.chaos.site import Site
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.sources.simulated.exchange import symbol_at

MARKET = "US"  # its simulated codes never run out
FIRST_DAY, LAST_DAY = date(2024, 1, 1), date(2024, 12, 31)
PATIENCE = 90.0  # a promise is broken after 30 s; this is for the end of the drill
LOOK_SECONDS = 0.5
BY_ITEMS = {
    "total_stocks": Count("items"),
    "success_count": Count("items", Q(items__state__in=["succeeded", "skipped"])),
    "failed_count": Count("items", Q(items__state="failed")),
    "collected_count": Sum("items__rows_collected"),
    "skipped_count": Sum("items__rows_skipped"),
}


@dataclass
class Strike:
    """One fault: unix times of its beginning and end."""

    kind: str
    at: float
    until: float


@dataclass
class Log:
    """What a drill has seen."""

    site: Site
    strikes: list[Strike] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    looks: int = 0
    left: list[int] = field(default_factory=list)

    def commits(self) -> list[float]:
        """The unix times at which stocks were finished, by rising time."""
        found = CollectionItem.objects.filter(finished_at__isnull=False).values_list("finished_at", flat=True)
        return sorted(at.timestamp() for at in found)


class Drill:
    """One run over a site."""

    def __init__(self, site: Site, options: argparse.Namespace) -> None:
        self.site, self.options = site, options
        self.chance = random.Random(options.seed)
        self.log = Log(site)
        self.numbers = count()
        self.processed: dict[object, int] = {}
        self.next_look = 0.0

    def run(self) -> Log:
        """Strike until the time or the list is over, then let the last collection end."""
        self._begin()
        self._until(lambda: self._commits_since(0.0), "the first stock")
        for kind in self._kinds():
            self._strike(kind)
            at = self.log.strikes[-1].until
            self._until(lambda at=at: self._commits_since(at), f"a stock after “{kind}”")
            if not self.options.strikes and self.chance.random() < 0.5:
                self._until(lambda at=at: self._full_strength(at), f"full strength after “{kind}”")
        self._until(lambda: not self._running(), "the end of the last collection", begin=False)
        self.log.left = self.site.stop()
        return self.log

    def _kinds(self) -> Iterator[str]:
        """What to do next, each at a random moment."""
        if self.options.strikes:
            pause, given = 0.5, iter(self.options.strikes.split(","))
        else:
            pause, given = 4.0, iter(lambda: faults.draw(self.chance, self.site), "")
        end = time.monotonic() + self.options.seconds
        for kind in given:
            moment = time.monotonic() + self.chance.uniform(0.0, pause)
            self._until(lambda moment=moment: time.monotonic() > moment, "a moment")
            if time.monotonic() > end:
                return
            yield kind.strip()

    def _strike(self, kind: str) -> None:
        """Break it as soon as there is something to break."""
        blow = Blow(self.site, self.chance, self.options)

        def struck() -> bool:
            at = time.time()
            if not faults.FAULTS[kind](blow):
                return False
            self.log.strikes.append(Strike(kind, at, time.time()))
            with (self.site.folder / "strikes").open("a") as file:
                print(self.log.strikes[-1], file=file)
            return True

        self._until(struck, f"something to break by “{kind}”")

    def _until(self, condition: Callable[[], object], what: str, begin: bool = True) -> None:
        """Keep the site going and look at it, until the condition holds; note when it never does."""
        deadline = time.monotonic() + PATIENCE
        while not self._asked(condition):
            if time.monotonic() > deadline:
                self.log.broken.append(f"waited {PATIENCE:.0f} s in vain for {what}")
                return
            self.site.tend()
            if begin and self._asked(self._running) is False:
                self._begin()
            self._look()
            time.sleep(0.05)

    def _asked(self, question: Callable[[], object]) -> object:
        """The answer; None while the database is away."""
        try:
            return question()
        except Error:
            connection.close()
            return None

    def _running(self) -> bool:
        return CollectionTask.objects.filter(status="running").exists()

    def _begin(self) -> None:
        """Start the next collection over the web, as often as it takes; the key makes it one."""
        number, size = next(self.numbers), self.options.stocks
        codes = [symbol_at(MARKET, n).code for n in range(number * size, (number + 1) * size)]
        days = {"start_date": str(FIRST_DAY), "end_date": str(LAST_DAY)}
        order = {**days, "market": MARKET, "source": "simulated", "stock_codes": codes}
        deadline = time.monotonic() + PATIENCE
        while True:
            self.site.tend()
            try:
                self.site.web.post("historical", f"{self.site.mark}-{number}", order)
                return
            except OSError as error:  # refused, too
                if time.monotonic() > deadline:
                    raise TimeoutError("no collection can be started") from error
                time.sleep(0.1)

    def _commits_since(self, at: float) -> bool:
        since = datetime.fromtimestamp(at).astimezone()
        return CollectionItem.objects.filter(finished_at__gt=since).exists()

    def _full_strength(self, at: float) -> bool:
        """As many processes ask the source as may."""
        return len({pid for asked, pid, _ in self.site.requests() if asked > at}) >= self.site.slots()

    def _look(self) -> None:
        """Twice a second: the counters are the sums, they never fall, nobody is an orphan."""
        if time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + LOOK_SECONDS
        self._asked(self._check_counters)
        if orphans := self.site.orphans():
            self.log.broken.append(f"orphans: {orphans}")
            self.site.kill(orphans)

    def _check_counters(self) -> None:
        sums = {f"sum_{name}": sums for name, sums in BY_ITEMS.items()}
        task = CollectionTask.objects.annotate(**sums).latest("start_time")  # one statement: one instant
        self.log.looks += 1
        told = {name: (getattr(task, name), getattr(task, f"sum_{name}")) for name in BY_ITEMS}
        wrong = {name: pair for name, pair in told.items() if pair[0] != pair[1]}
        if wrong or task.processed_stocks != task.success_count + task.failed_count:
            self.log.broken.append(f"counters differ from the items: {wrong}")
        if task.processed_stocks < self.processed.get(task.pk, 0):
            self.log.broken.append("the counter of processed stocks fell")
        self.processed[task.pk] = task.processed_stocks


def again(log: Log) -> list[tuple[float, float, str]]:
    """(first, second, code) of each repeated request."""
    last: dict[str, float] = {}
    repeated = []
    for at, _, code in log.site.requests():
        if code in last:
            repeated.append((last[code], at, code))
        last[code] = at
    return repeated


def finished() -> dict[str, float]:
    """When each stock was finished, in unix time."""
    rows = CollectionItem.objects.filter(finished_at__isnull=False).values_list("code", F("finished_at"))
    return {code: at.timestamp() for code, at in rows}
