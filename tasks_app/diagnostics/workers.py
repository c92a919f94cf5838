"""Worker machines: whether any is alive, whether all are seen, and whether they run the same programs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tasks_app.diagnostics import versions
from tasks_app.diagnostics.clocks import live_machines
from tasks_app.diagnostics.findings import Finding, fault, ok, operations, runbook, warning
from tasks_app.diagnostics.texts import gettext_lazy as _, join
from tasks_app.models import WorkerMachine
from tasks_app.queue import dispatch

ALIVE = ok("workers_alive", _("Active workers: %(workers)d on %(hosts)s."))
NONE = fault(
    "no_workers",
    _("No active workers in the last 3 s: nothing is collected and no plan starts."),
    _("Look at systemctl status collector-worker and its journal on each worker machine, and start it."),
    runbook("CollectorNoWorkers"),
)
UNSEEN = fault(
    "heartbeats_unseen",
    _(
        "Workers run on %(hosts)s, but this machine does not see their heartbeats: pages show no"
        " or too few workers."
    ),
    _("Several machines need one REDIS_URL, the same on all of them, and Redis must answer."),
    runbook("CollectorNoWorkers"),
)
DIFFER = warning(
    "versions_differ",
    _("%(program)s differs between machines: %(versions)s"),
    _("Bring all machines to the same version, and restart their workers."),
    operations("upgrades"),
)
NOT_RESTARTED = warning(
    "code_not_restarted",
    _("%(hosts)s: the workers run other code than is installed here."),
    _("Update the code there, or restart the workers: systemctl restart collector-worker."),
    operations("upgrades"),
)


def examine(this_host: str) -> Iterator[Finding]:
    """Compares the heartbeats with what the worker machines told. Takes one query."""
    clusters, machines = dispatch.live_clusters(), live_machines()
    seen = {(cluster.host, cluster.pid) for cluster in clusters}
    unseen = [machine for machine in machines if (machine.host, machine.pid) not in seen]
    # One on this host that has just been stopped told of itself before, and has no heartbeat any more.
    if elsewhere := sorted(
        {machine.host for machine in unseen} - {cluster.host for cluster in clusters} - {this_host}
    ):
        yield UNSEEN(hosts=join(elsewhere))
    if clusters:
        hosts = sorted({cluster.host for cluster in clusters})
        yield ALIVE(workers=sum(cluster.workers for cluster in clusters), hosts=join(hosts))
    elif not elsewhere:
        yield NONE()
    # Of a host with a heartbeat, what has none has been stopped: after an upgrade it ran the old code.
    beating = {cluster.host for cluster in clusters}
    stopped = [machine for machine in unseen if machine.host in beating]
    yield from _compare([machine for machine in machines if machine not in stopped])


def _compare(machines: Sequence[WorkerMachine]) -> Iterator[Finding]:
    """Compares the versions that the workers loaded with each other, and their code with ours."""
    programs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for machine in machines:
        for program, version in machine.versions.items():
            programs[program][version].add(machine.host)
    for program, hosts_by_version in sorted(programs.items()):
        if len(hosts_by_version) > 1:
            yield DIFFER(program=program, versions=_describe(hosts_by_version))
    old = {
        machine.host for machine in machines if machine.versions.get(versions.CODE) != versions.code_digest()
    }
    if old and len(programs[versions.CODE]) == 1:
        yield NOT_RESTARTED(hosts=join(sorted(old)))


def _describe(hosts_by_version: Mapping[str, set[str]]) -> str:
    return "; ".join(
        f"{version} ({join(sorted(hosts))})" for version, hosts in sorted(hosts_by_version.items())
    )
