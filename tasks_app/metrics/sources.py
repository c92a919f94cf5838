"""Metrics of sources: how requests ended and how long they took, the rate limiter and its breaker."""

from collections import defaultdict
from collections.abc import Iterator

from django.conf import settings
from django.db.models.functions import Now
from prometheus_client.core import Metric

from tasks_app.metrics.families import Row, counter, gauge, histogram
from tasks_app.models import SourceGate, SourceRequests, SourceRequestTotals
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle.history import CLASS_FACTOR, FIRST_CLASS, LAST_CLASS
from tasks_app.throttle.status import quota_day

# Upper bounds in milliseconds: every third of the classes in which latencies are stored.
BUCKETS = [round(FIRST_CLASS * CLASS_FACTOR**n) for n in range(0, 46, 3)]
KINDS = [kind.value for kind in SourceRequests.Kind]


def collect() -> Iterator[Metric]:
    """Yields the metrics of sources. Takes two queries."""
    yield from _requests()
    yield from _limiters()


def _requests() -> Iterator[Metric]:
    ended: dict[tuple[str, str, str], int] = defaultdict(int)
    classes: dict[tuple[str, str], dict[int, int]] = {}
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    rows = SourceRequestTotals.objects.values_list("source", "kind", "code", "at_most", "requests", "seconds")
    for source, kind, code, at_most, count, spent in rows:
        for each in KINDS:  # zeros first: a counter that begins with one shows no increase
            classes.setdefault((source, each), defaultdict(int))
            ended[source, each, ""] += 0
        ended[source, kind, code] += count
        classes[source, kind][at_most] += count
        seconds[source, kind] += spent
    yield counter(
        "source_requests", "Requests to a source that have ended.", ended.items(), "source", "outcome", "code"
    )
    yield histogram(
        "source_request_duration_seconds",
        "How long requests to a source took, without their waits for the rate limiter.",
        [(key, _buckets(counts), seconds[key]) for key, counts in classes.items()],
        *("source", "outcome"),
    )


def _buckets(counts: dict[int, int]) -> list[tuple[str, float]]:
    """Returns the cumulative buckets of stored classes, in seconds."""
    bounds = [*((f"{bound / 1000:g}", bound) for bound in BUCKETS), ("+Inf", LAST_CLASS * CLASS_FACTOR)]
    return [(name, sum(n for at, n in counts.items() if at <= bound)) for name, bound in bounds]


def _limiters() -> Iterator[Metric]:
    gates = list(SourceGate.objects.annotate(now=Now()).defer("recent"))
    today: list[Row] = []
    for gate in gates:
        known = gate.source in registry.available(settings.COLLECTOR)
        limits = registry.limits(gate.source, settings.COLLECTOR) if known else Limits()
        is_today = gate.day == quota_day(gate.now, limits)
        today.append(((gate.source,), gate.requests_today if is_today else 0))
    pauses = [
        max((gate.open_until - gate.now).total_seconds(), 0.0) if gate.open_until else 0.0 for gate in gates
    ]

    def of(values: list[float]) -> list[Row]:
        return [((gate.source,), value) for gate, value in zip(gates, values, strict=True)]

    yield counter(
        "source_permits",
        "Permits that the limiter of a source gave for requests.",
        of([gate.permits for gate in gates]),
        "source",
    )
    yield counter(
        "source_wait_seconds",
        "Time that requests waited for their turn at the rate limiter, in sum.",
        of([gate.waited for gate in gates]),
        "source",
    )
    yield gauge("source_permits_today", "Permits given on the current day of the quota.", today, "source")
    yield gauge(
        "source_daily_cap",
        "Permits that a source has per day; 0: no limit.",
        of([gate.daily_cap for gate in gates]),
        "source",
    )
    yield gauge(
        "source_refusals",
        "Refusals in a row.",
        of([gate.refusals for gate in gates]),
        "source",
    )
    yield gauge(
        "source_breaker_open",
        "Whether the circuit breaker pauses a source.",
        of([pause > 0 for pause in pauses]),
        "source",
    )
    yield gauge("source_pause_seconds", "Time until the pause of a source ends.", of(pauses), "source")
