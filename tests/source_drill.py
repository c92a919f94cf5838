"""Collects 60 stocks from every vendor's stand-in, and lets each of them go wrong.

`python -m tests.source_drill [--kill] [SOURCE …]`. Each drill runs the whole engine on a temporary SQLite
database: the bars that are stored must be the stand-in's, whatever happened. `--kill` kills real workers
instead, on SQLite and PostgreSQL. Exits with 1 when a drill shows something else than it should.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

COUNT = 60  # stocks
PERMITS = 4  # of the drill of a used-up quota
US_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, by the modes of a stand-in, and the error that it must be."""

    name: str
    failures: dict[str, Any]
    code: str


@dataclass
class Outcome:
    """What a drill showed: a sentence, and how many requests it took; `problem` is empty if it went well."""

    drill: str
    requests: int = 0
    seconds: float = 0.0
    shown: str = ""
    problem: str = ""


def faults(vendor: Any) -> Iterator[Fault]:
    """Yields how this vendor refuses: with a ban, with "too frequent", with its own quota, without a key."""
    (key, refusal) = next(iter(vendor.refusal.items()))
    if vendor.source == "baostock":
        yield Fault("ban", {"login": "10001011"}, "blacklisted")
        yield Fault("no answer", {"login": "gone"}, "connection_closed")
        yield Fault("wrong key", {"login": "10001002"}, "login_refused")
        return
    yield Fault("ban", {key: "ban"}, "blacklisted")
    # To Tiingo it is a plan that lacks the data, for which no retry helps.
    yield Fault("blocked", {key: "403"}, "no_permission" if vendor.source == "tiingo" else "blacklisted")
    yield Fault("throttle", {key: refusal}, "blacklisted" if refusal == "456" else "throttled")
    if vendor.source == "tushare":
        yield Fault("vendor's quota", {key: "抱歉，您每天最多访问该接口500次"}, "throttled")
    if vendor.source == "tiingo":
        yield Fault("vendor's quota", {key: "text"}, "throttled")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.source_drill", description=__doc__)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="default: all that are installed")
    parser.add_argument("--kill", action="store_true", help="kill real workers instead")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="source-drill-") as folder:
        url = f"sqlite:///{folder}/drill.sqlite3"
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        os.environ["TQDM_DISABLE"] = "1"  # as in the shared process
        warnings.simplefilter("ignore")  # those of the vendors' clients, one for each request
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        fill_markets()
        outcomes = list(run_all(chosen.sources, Path(folder) if chosen.kill else None))
    failed = [outcome for outcome in outcomes if outcome.problem]
    print(f"{len(outcomes)} drills, {len(failed)} went wrong")
    return 1 if failed or not outcomes else 0


def fill_markets() -> None:
    """Lists so many stocks at every stand-in, on all boards."""
    from tests.fakes.eastmoney_server import Security
    from tests.sources.vendors import STOCKS

    boards = ("1.6001", "0.0011", "0.3008", "1.6882")  # Shanghai, Shenzhen, ChiNext, STAR
    for number in range(COUNT - len(STOCKS["CN"])):
        name = f"{boards[number % len(boards)]}{number // len(boards) + 10:02}"
        STOCKS["CN"][name] = Security(name, name)
    for number in range(COUNT - len(STOCKS["US"])):
        name = f"105.ZZ{US_LETTERS[number // 26]}{US_LETTERS[number % 26]}"
        STOCKS["US"][name] = Security(name, name)


def run_all(sources: list[str], kill_folder: Path | None) -> Iterator[Outcome]:
    """Runs the drills of the chosen sources; prints a line for each."""
    from tests.sources.vendors import VENDORS

    for vendor in VENDORS:
        if (sources and vendor.source not in sources) or not find_spec(vendor.package):
            continue
        if kill_folder:
            from tests.source_kill_drill import kill_drills

            for outcome in kill_drills(vendor, kill_folder):
                yield printed(vendor, outcome)
            continue
        drills = [("60 codes", collect), ("our quota", use_up_quota)]
        drills += [(fault.name, stumble(fault)) for fault in faults(vendor)]
        if vendor.own or vendor.source == "akshare":
            drills.append(("wrong key", refuse_key))
        for name, drill in drills:
            yield printed(vendor, run_one(vendor, name, drill))


def printed(vendor: Any, outcome: Outcome) -> Outcome:
    mark = "✗" if outcome.problem else "✓"
    told = outcome.problem or outcome.shown
    where = f"{vendor.source} {vendor.market}"
    numbers = f"{outcome.requests:5} requests {outcome.seconds:6.1f} s"
    print(f"{mark} {where:<12} {outcome.drill:<15} {numbers}  {told}", flush=True)
    return outcome


def run_one(vendor: Any, name: str, drill: Callable[["Stage"], str]) -> Outcome:
    """Runs one drill in a transaction that is rolled back."""
    outcome, began = Outcome(name), time.monotonic()
    with Stage.of(vendor) as stage:
        try:
            outcome.shown = drill(stage)
        except AssertionError as error:
            outcome.problem = str(error) or "an assertion without a sentence failed"
        outcome.requests = len(stage.server.requests)
    outcome.seconds = time.monotonic() - began
    return outcome


class Stage:
    """A running stand-in, the settings that lead to it, and a task of 60 stocks."""

    def __init__(self, vendor: Any, server: Any) -> None:
        self.vendor, self.server, self.task = vendor, server, None
        self.codes: list[str] = []  # of the errors that the limiter was told

    @classmethod
    @contextmanager
    def of(cls, vendor: Any) -> Iterator["Stage"]:
        """Yields a stage; what it stored is gone afterwards."""
        from unittest import mock

        from django.conf import settings
        from django.db import transaction
        from django.test import override_settings

        from tasks_app.sources import permits, registry
        from tasks_app.sources.shared_process import handle

        with vendor.run() as server:
            conf = replace(
                settings.COLLECTOR,
                environment=(
                    *vendor.settings(server),
                    (f"COLLECTOR_{vendor.source.upper()}_PER_HOUR", "100000"),
                ),
                rates=((vendor.source, 0.0),),
                backoff=0.0,
                breaker_after=1,
                slice_seconds=1.0,
                source_give_up=86_400.0,
                adjustment_data=False,
            )
            environment = getattr(server, "environment", {})
            with (
                mock.patch.dict(os.environ, environment),
                mock.patch.object(handle, "IS_SUPPORTED", False),  # the clients are in this process
                mock.patch.object(permits, "FRESH_SECONDS", float("inf")),
                override_settings(COLLECTOR=conf),
                transaction.atomic(),
                ExitStack() as active,
            ):
                registry.forget_sources()
                stage = cls(vendor, server)
                listening(stage.codes, active)
                try:
                    yield stage
                finally:
                    registry.forget_sources()
                    transaction.set_rollback(True)

    def configure(self, **changes: Any) -> None:
        """Changes settings until the end of the drill."""
        from django.conf import settings

        from tasks_app.sources import registry

        settings.COLLECTOR = replace(settings.COLLECTOR, **changes)
        registry.forget_sources()

    def order(self) -> None:
        from tests.sources.test_vendors import order

        self.task = order(self.vendor)

    def work(self, slices: int) -> None:
        """Runs up to so many slices, while stocks wait for nothing."""
        from django.db.models.functions import Now

        from tasks_app.models import CollectionItem
        from tasks_app.workers import watchdog
        from tools.in_process import work_one

        for _ in range(slices):
            work_one()
            watchdog.tick()
            self.task.refresh_from_db()
            if self.task.status != "running":
                return
            CollectionItem.objects.filter(state="pending").update(not_before=Now())

    def recover(self) -> None:
        """Lets the time of the pause pass, and the task end; everything must have come."""
        from django.db.models.functions import Now

        from tasks_app.models import SourceGate

        self.server.failures = {}
        for _ in range(60):
            SourceGate.objects.filter(open_until__isnull=False).update(open_until=Now())
            SourceGate.objects.update(next_at=None)
            self.work(1)
            if self.task.status != "running":
                break
        self.check_bars()

    def check_bars(self) -> None:
        """Asserts that each stock has succeeded and the stored bars are the vendor's."""
        from tasks_app.models import DailyBar
        from tests.sources.test_vendors import expected_bars, symbol_codes

        failures = list(self.task.items.exclude(state="succeeded").values_list("code", "error_message")[:3])
        ended = (self.task.status, self.task.success_count)
        stocks = symbol_codes(self.vendor)
        assert (ended, failures) == (("completed", len(stocks)), []), f"{ended} {failures}"
        columns = ("day", "open", "close", "high", "low", "volume", "amount")
        for code, stock in stocks.items():
            stored = list(DailyBar.objects.filter(symbol=code).order_by("day").values_list(*columns))
            assert stored == expected_bars(stock, self.vendor), f"other bars of {code}: {stored[:1]}"

    def check_paused(self) -> Any:
        """Asserts that the source is paused and no stock is lost; returns its limiter's status."""
        from tasks_app.models import DailyBar
        from tasks_app.throttle import status

        paused = status.status_of(self.vendor.source)
        assert paused.is_blocked, f"the source is {paused.state}"
        assert not DailyBar.objects.exists(), "a refusal was taken for an answer"
        assert self.task.processed_stocks == 0, f"{self.task.processed_stocks} stocks are lost"
        return paused


def listening(codes: list[str], active: ExitStack) -> None:
    """Adds the code of each error that a limiter is told, until the end of `active`."""
    from unittest import mock

    from tasks_app.throttle.limiter import SourceLimiter

    def told(record: Callable[..., bool]) -> Callable[..., bool]:
        def listen(limiter: Any, permit: Any, error: Any, *rest: Any) -> bool:
            codes.append(error.code)
            return record(limiter, permit, error, *rest)

        return listen

    for name in ("record_failure", "record_refusal"):
        active.enter_context(mock.patch.object(SourceLimiter, name, told(getattr(SourceLimiter, name))))


def collect(stage: Stage) -> str:
    stage.order()
    stage.work(60)
    stage.check_bars()
    return "the stored bars are the vendor's"


def use_up_quota(stage: Stage) -> str:
    """Our limit per day ends the requests; the next day the rest comes."""
    from tasks_app.models import SourceGate
    from tasks_app.throttle import status

    stage.configure(daily_caps=((stage.vendor.source, PERMITS),))
    stage.order()
    stage.work(3)
    used = status.status_of(stage.vendor.source).requests_today
    assert used <= PERMITS, f"{used} permits of {PERMITS}"
    assert stage.task.failed_count == 0, f"{stage.task.failed_count} stocks failed"
    stage.configure(daily_caps=())
    SourceGate.objects.update(requests_today=0)
    stage.recover()
    return f"{used} of {PERMITS} permits, the rest a day later"


def stumble(fault: Fault) -> Callable[[Stage], str]:
    """Returns the drill of a fault: the source is paused, and afterwards everything comes."""

    def drill(stage: Stage) -> str:
        stage.server.failures = dict(fault.failures)
        stage.order()
        stage.work(3)
        assert set(stage.codes) == {fault.code}, f"the errors are {stage.codes}"
        if stage.task.status == "failed":  # the source itself says that no retry helps
            assert (stage.task.failed_count, len(stage.server.requests)) == (0, 1), (
                f"{stage.task.failed_count} stocks, {len(stage.server.requests)} requests"
            )
            return f"{stage.task.error_code} after one request"
        paused, requests = stage.check_paused(), len(stage.server.requests)
        stage.recover()
        return f"{fault.code} after {requests}: {paused.reason[:70]}"

    return drill


def refuse_key(stage: Stage) -> str:
    """A wrong key costs one request, fails the task with the vendor's reason, and no stock."""
    if stage.vendor.source == "akshare":
        stage.server.wanted_cookie = "nid18=the-right-one"
        stage.configure(environment=(("COLLECTOR_AKSHARE_COOKIE", "nid18=expired"),))
        stage.order()
        stage.work(3)
        paused = stage.check_paused()
        requests = len(stage.server.requests)
        stage.server.wanted_cookie = ""
        stage.recover()
        return f"expired cookie: paused after {requests} requests: {paused.reason[:60]}"
    ((name, _),) = stage.vendor.own
    stage.configure(environment=((name, "another-token"),))
    stage.order()
    stage.work(3)
    told = (stage.task.status, stage.task.error_code, stage.task.failed_count)
    assert told == ("failed", "login_refused", 0), str(told)
    assert len(stage.server.requests) == 1, f"{len(stage.server.requests)} requests"
    return f"{stage.task.error_code} after one request"


if __name__ == "__main__":
    sys.exit(main())
