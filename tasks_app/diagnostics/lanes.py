"""Whether the workers are used: how many lanes the running task has, or the next one would have, and why."""

from collections.abc import Iterator, Sequence

from django.conf import settings

from tasks_app.diagnostics.findings import Finding, ok, runbook, warning
from tasks_app.diagnostics.texts import gettext_lazy as _
from tasks_app.lifecycle import selectors
from tasks_app.queue import dispatch
from tasks_app.sources import registry

REQUESTS_PER_LANE = 16  # at once, at most: what a lane can send in a second if answers take one

USED = ok(
    "lanes_used",
    _("Workers: %(workers)d. At most %(lanes)d may work on the running task at once; %(busy)d do."),
)
ENOUGH = ok("lanes_enough", _("Workers: %(workers)d. At most %(lanes)d may work on the next task at once."))
BY_SOURCE = ok(
    "lanes_limited_by_source",
    _(
        "Workers: %(workers)d. At most %(lanes)d may work on a task at once: %(source)s takes requests"
        " of no more."
    ),
)
BY_RATE = ok(
    "lanes_limited_by_rate",
    _(
        "Workers: %(workers)d. At most %(lanes)d may work on a task at once, which suffice: the rate of"
        " %(source)s, %(rate)s requests a second, is the limit."
    ),
)
IDLE = warning(
    "workers_idle",
    _(
        "More workers are alive (%(workers)d) than may work on the running task at once (%(lanes)d): some"
        " have nothing to do."
    ),
    _(
        "Set COLLECTOR_FAN_OUT=%(workers)d, now %(fan_out)d, on all machines and restart; it"
        " counts from the next task on."
    ),
    runbook("CollectorWorkersIdle"),
)
FEW = warning(
    "fan_out_low",
    _("More workers are alive (%(workers)d) than may work on the next task at once (%(lanes)d)."),
    _("Set COLLECTOR_FAN_OUT=%(workers)d, now %(fan_out)d, on all machines and restart."),
    runbook("CollectorWorkersIdle"),
)


def examine() -> Iterator[Finding]:
    """Compares lanes and workers. Takes two queries at most. Says nothing without workers."""
    workers = sum(cluster.workers for cluster in dispatch.live_clusters())
    if not workers:
        return
    conf, task = settings.COLLECTOR, selectors.get_running_task()
    if task is None:
        names: Sequence[str] = [conf.default_source]
        lanes = registry.lane_count(names, conf)
        enough, few = ENOUGH(lanes=lanes, workers=workers), FEW
    else:
        names = [task.source, *task.fallbacks]
        counts = selectors.count_lanes(task.pk)
        lanes = counts.all
        enough, few = USED(lanes=lanes, busy=counts.busy, workers=workers), IDLE
    if workers <= lanes:
        yield enough
        return
    yield _why_limited(names, lanes, workers) or few(workers=workers, lanes=lanes, fan_out=conf.fan_out)


def _why_limited(names: Sequence[str], lanes: int, workers: int) -> Finding | None:
    """Returns what limits the lanes other than COLLECTOR_FAN_OUT; None for nothing."""
    conf = settings.COLLECTOR
    for name in names:
        limit = registry.traits(name, conf).limits.most_workers
        if limit and lanes >= limit:
            return BY_SOURCE(lanes=lanes, workers=workers, source=name)
    source = names[0]
    rate = registry.limits(source, conf).rate if source in registry.available(conf) else 0.0
    if 0 < rate <= lanes * REQUESTS_PER_LANE:
        return BY_RATE(lanes=lanes, workers=workers, source=source, rate=f"{rate:g}")
    return None
