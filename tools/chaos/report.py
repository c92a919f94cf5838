"""Reports a drill: its figures and every broken promise."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from statistics import median

from django.conf import settings

from tasks_app.models import CollectionItem, CollectionTask, DailyBar
from tasks_app.sources.base import Bar, Request
from tasks_app.sources.simulated.source import SimulatedSource
from tools.chaos import faults
from tools.chaos.drill import (
    FIRST_DAY,
    LAST_DAY,
    MARKET,
    InjectedFault,
    Log,
    finish_times,
    repeated_requests,
)

TARGET_SECONDS = 30.0
DYING_SECONDS = 0.2  # a kill of a parent reaches its children a moment later
Row = tuple[object, ...]


def report(log: Log) -> int:
    """Prints the report; returns 0 if every promise held."""
    commits, requests = log.commits(), log.site.requests()
    silences = [silence(log, commits, fault.until) for fault in log.faults]
    repeated, ends = repeated_requests(log), finish_times()
    most, slots = _most(log, repeated), log.site.slots()
    longest = max(filter(None, silences), default=0.0)
    results = {
        "collections": CollectionTask.objects.count(),
        "stocks": len(ends),
        "bars": DailyBar.objects.count(),
        "requests": len(requests),
        "kills": sum(fault.kind in faults.KILLS for fault in log.faults),
        "losses": sum(fault.kind in faults.LOSSES for fault in log.faults),
        "restarts by the service manager": log.site.restarts,
        "checks of the counters": log.checks,
        "finished stocks fetched again": sum(at > ends.get(code, at) for _, at, code in repeated),
        "stocks in flight fetched again": len(repeated),
        "of these without a fault": sum(_cause(log, one, two) is None for one, two, _ in repeated),
        "most for one fault": f"{most} of {slots} slots",
        "longest silence after a fault": f"{longest:.1f} s",
        "processes left after SIGTERM": len(log.left),
        "checksum": checksum(stored())[:16],
        "undisturbed": checksum(expected(ends))[:16],
    }
    _print_kinds(log, silences)
    for name, value in results.items():
        print(f"{name:>34}  {value}")
    checks = {
        "one fault cost more than one fetch per slot": most <= slots,
        "not back at work within 30 s": longest <= TARGET_SECONDS or not log.timed,
        **_checks(results, log),
    }
    faulty = [*log.broken, *(name for name, held in checks.items() if not held)]
    for fault in dict.fromkeys(faulty):
        print(f"BROKEN: {fault}")
    print("broken" if faulty else "every promise held")
    return 1 if faulty else 0


def _checks(results: dict[str, object], log: Log) -> dict[str, bool]:
    """Returns each expectation of the end state, and whether it holds."""
    ended = Counter(CollectionTask.objects.values_list("status", flat=True))
    failed = CollectionItem.objects.exclude(state="succeeded").values_list("code", "state", "error_code")
    return {
        f"not all collections completed: {dict(ended)}": set(ended) == {"completed"},
        f"stocks did not succeed: {list(failed[:5])}": not failed.exists(),
        "the bars differ from the undisturbed ones": results["checksum"] == results["undisturbed"],
        "finished stocks were fetched again": not results["finished stocks fetched again"],
        "stocks were fetched again without a fault": not results["of these without a fault"],
        f"processes outlived SIGTERM: {log.left}": not log.left,
    }


def silence(log: Log, commits: list[float], at: float) -> float | None:
    """Returns the seconds from a fault to the next stock; None if another fault or the end came first."""
    later = next((commit for commit in commits if commit > at), None)
    overtaken = any(at < fault.at < (later or at) for fault in log.faults)
    return None if later is None or overtaken else later - at


def _strength(log: Log, at: float) -> float | None:
    """Returns the seconds until all slots send requests again; None if another fault came first."""
    pids: set[int] = set()
    for sent, pid, _ in log.site.requests():
        if sent > at:
            pids.add(pid)
        if len(pids) >= log.site.slots():
            return None if any(at < fault.at < sent for fault in log.faults) else sent - at
    return None


def _print_kinds(log: Log, silences: list[float | None]) -> None:
    by_kind: dict[str, list[Row]] = defaultdict(list)
    for fault, first in zip(log.faults, silences, strict=True):
        by_kind[fault.kind].append((first, _strength(log, fault.until)))
    print(
        f"{'struck':>18} {'times':>5}  {'next stock after (median, max)':>30}  {'all slots again after':>22}"
    )
    for kind in sorted(by_kind, key=list(faults.FAULTS).index):
        rows = by_kind[kind]
        first, full = (_spread(column) for column in zip(*rows, strict=True))
        print(f"{kind:>18} {len(rows):>5}  {first:>30}  {full:>22}")


def _spread(values: Iterable[object]) -> str:
    numbers = [value for value in values if isinstance(value, float)]
    return f"{median(numbers):.1f} s, {max(numbers):.1f} s" if numbers else "-"


def _cause(log: Log, first: float, second: float) -> InjectedFault | None:
    """Returns the fault between the two requests, if there was one."""
    between = (s for s in log.faults if s.at < second and s.until + DYING_SECONDS > first)
    return next(between, None)


def _most(log: Log, repeated: list[tuple[float, float, str]]) -> int:
    """Returns the most stocks fetched again because of one fault."""
    causes = [_cause(log, first, second) for first, second, _ in repeated]
    return max(Counter(fault.at for fault in causes if fault).values(), default=0)


def stored() -> Iterable[Row]:
    """Returns every stored bar in order, without its id and time of storage."""
    return DailyBar.objects.order_by("market", "symbol", "adjust", "day").values_list(
        "market", "symbol", "adjust", "source", *Bar._fields
    )


def expected(codes: Iterable[str]) -> Iterable[Row]:
    """Returns the bars that an undisturbed collection of these stocks stores."""
    source = SimulatedSource(replace(settings.COLLECTOR.simulated, latency=0.0, log=""))
    for code in sorted(codes):
        for bar in source.fetch(Request(MARKET, code, FIRST_DAY, LAST_DAY)):
            yield (MARKET, code, "", source.name, *bar)


def checksum(rows: Iterable[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()
