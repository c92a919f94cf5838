"""All metrics, read from the database at each scrape: so every web process of every host reports the same.

No process counts anything by itself. Workers store what they count, sums of what is deleted remain, and
`prometheus_client` only writes the text.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tasks_app.metrics import sources, system, targets, tasks


class DatabaseCollector(Collector):
    """Reads all metrics. Raises `django.db.Error` when the database is unavailable."""

    def collect(self) -> Iterator[Metric]:
        yield from tasks.collect()
        yield from sources.collect()
        yield from system.collect()
        yield from targets.collect()
