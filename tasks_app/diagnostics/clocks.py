"""Clocks: this machine's and each worker machine's against the database's, and that against
what is stored."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Max
from django.db.models.functions import Now

from tasks_app.db.functions import clock_offset, database_now
from tasks_app.diagnostics.findings import Finding, fault, ok, operations, warning
from tasks_app.diagnostics.texts import gettext_lazy as _
from tasks_app.models import CollectionTask, WorkerMachine

OFF_SECONDS, WRONG_SECONDS = 5.0, 300.0
FUTURE = timedelta(minutes=5)
FRESH = timedelta(seconds=90)  # a worker machine reports every 30 s

AGREE = ok("clocks_agree", _("The clocks agree with the database's within %(seconds)d s."))
OFF = warning(
    "clock_off",
    _(
        "The clock of %(host)s is %(seconds)s s off the database's. Logs are misleading, leases"
        " are not affected."
    ),
    _("Let all machines keep time by NTP (timedatectl set-ntp true)."),
    operations("clocks"),
)
WRONG = fault(
    "clock_wrong",
    _("The clock of %(host)s is %(seconds)s s off the database's: near midnight it collects the wrong day."),
    _("Set it, let all machines keep time by NTP (timedatectl set-ntp true), and restart what runs there."),
    operations("clocks"),
)
WENT_BACK = fault(
    "clock_went_back",
    _("The database's clock says %(now)s, but a task was started at %(last)s: the clock was set back."),
    _("Set the clock of the database's machine. Until then leases do not expire, and plans wait."),
    operations("clocks"),
)


def examine(this_host: str) -> Iterator[Finding]:
    """Compares the clocks. Takes three queries; rows of worker machines that are silent do not count."""
    offsets = {row.host: row.clock_offset for row in live_machines()}
    offsets[this_host] = clock_offset()
    found = [_judge(host, offset) for host, offset in sorted(offsets.items()) if abs(offset) > OFF_SECONDS]
    last, now = CollectionTask.objects.aggregate(last=Max("start_time"))["last"], database_now()
    if last and last > now + FUTURE:
        found.append(WENT_BACK(now=f"{now:%Y-%m-%d %H:%M:%S %Z}", last=f"{last:%Y-%m-%d %H:%M:%S %Z}"))
    yield from found or [AGREE(seconds=OFF_SECONDS)]


def _judge(host: str, offset: float) -> Finding:
    kind = WRONG if abs(offset) > WRONG_SECONDS else OFF
    return kind(host=host, seconds=f"{offset:+,.1f}")


def live_machines() -> list[WorkerMachine]:
    """Returns the worker machines that have reported lately, by host and process."""
    return list(WorkerMachine.objects.filter(seen_at__gt=Now() - FRESH).order_by("host", "pid"))
