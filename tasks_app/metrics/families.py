"""Builds Prometheus' metric families from rows: label values, and a value."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Row = tuple[Sequence[str], float]
PREFIX = "collector_"


def gauge(name: str, text: str, rows: Iterable[Row], *labels: str) -> Metric:
    """Returns a gauge; `rows` have the values of `labels` in their order."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family


def counter(name: str, text: str, rows: Iterable[Row], *labels: str) -> Metric:
    """Returns a counter, whose samples are named `…_total`."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family


def histogram(
    name: str,
    text: str,
    rows: Iterable[tuple[Sequence[str], Sequence[tuple[str, float]], float]],
    *labels: str,
) -> Metric:
    """Returns a histogram; `rows` also have the cumulative buckets, "+Inf" the last, and the sum."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for values, buckets, total in rows:
        family.add_metric(values, buckets, total)
    return family


def epoch(moment: datetime | None) -> float:
    """Returns a time (aware) in seconds since 1970; 0 for None."""
    return moment.timestamp() if moment else 0.0
