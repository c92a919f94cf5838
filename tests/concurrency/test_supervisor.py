"""`manage.py worker` with real processes: whatever is killed, work goes on.

The tests share a machine as long as it works well; a test that stops it leaves the next one to start another.
Those that stop it are the last ones.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django_q.conf import Conf

from tasks_app.engine import slice
from tasks_app.workers import shutdown, supervisor, worker_process
from tests.concurrency import jobs as job, own_database
from tests.concurrency.jobs import Jobs
from tests.concurrency.own_database import on_postgresql
from tools.worker_machine import Machine, Processes, eventually

pytestmark = [
    pytest.mark.any_database,
    pytest.mark.skipif(on_postgresql(), reason="the tests write jobs into SQLite's own file"),
    pytest.mark.xdist_group("supervisor"),  # in one process of pytest, for the sake of the shared machine
]
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="children die with their parent on Linux only"
)
VICTIMS: dict[str, Callable[[Processes], int]] = {
    "first worker": lambda processes: processes.workers[0],
    "second worker": lambda processes: processes.workers[1],
    "watchdog": lambda processes: processes.watchdog,
}
WAYS_TO_STOP: dict[str, Callable[[Machine], None]] = {
    "systemd": lambda machine: machine.signal(signal.SIGTERM),
    "Ctrl-C": lambda machine: os.killpg(machine.supervisor_pid, signal.SIGINT),
    "KillMode=control-group": lambda machine: terminate_all([machine.supervisor_pid, *machine.living()]),
}


def terminate_all(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def url(template_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The database of the shared machine, and of its successors."""
    with own_database.copied(template_url, tmp_path_factory.mktemp("supervisor")) as url:
        yield url


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    """The machine that the tests share, after its predecessors. None survives the tests."""
    started: list[Machine] = []
    yield started
    for machine in started:
        machine.close()


@pytest.fixture
def jobs(url: str, tmp_path: Path) -> Jobs:
    """Returns the test's jobs; nothing else is queued."""
    jobs = Jobs(url, tmp_path)
    jobs.broker.purge_queue()
    return jobs


@pytest.fixture
def any_machine(
    machines: list[Machine], jobs: Jobs, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Machine:
    """Returns a machine whose workers are all idle, however often it has lost some."""
    if machines and works(machines[-1], jobs):
        return machines[-1]
    return start(machines, jobs, url, tmp_path_factory)


@pytest.fixture
def machine(
    machines: list[Machine], jobs: Jobs, url: str, tmp_path_factory: pytest.TempPathFactory
) -> Machine:
    """Returns one that soon replaces a process that dies."""
    is_quick = machines and "starting it again in 2.0 s" not in machines[-1].log()
    if is_quick and works(machines[-1], jobs):
        return machines[-1]
    return start(machines, jobs, url, tmp_path_factory)


def start(machines: list[Machine], jobs: Jobs, url: str, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Starts a machine, and ends its predecessors."""
    for predecessor in machines:
        predecessor.close()
    machines.append(Machine(tmp_path_factory.mktemp("machine"), url))
    machines[-1].start()
    jobs.prove_that_all_work(machines[-1])
    return machines[-1]


@pytest.fixture
def own_machine(database_url: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine that the test starts itself."""
    machine = Machine(tmp_path, database_url)
    yield machine
    machine.close()


def works(machine: Machine, jobs: Jobs) -> bool:
    """Whether it runs and its workers are idle."""
    if machine.has_ended():
        return False
    try:
        jobs.prove_that_all_work(machine)
    except AssertionError:
        return False
    return True


def new_processes(machine: Machine, old: Processes) -> set[int]:
    return machine.current().all() - old.all()


def test_start_waits_for_the_database(
    machines: list[Machine], jobs: Jobs, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Comes first, because the others then share its machine."""
    for predecessor in machines:
        predecessor.close()
    folder = tmp_path_factory.mktemp("machine")
    link, working_link = folder / "link", folder / "working link"
    link.symlink_to(folder)  # SQLite can't open a folder
    working_link.symlink_to(url.removeprefix("sqlite:///"))
    machine = Machine(folder, f"sqlite:///{link}")
    machines.append(machine)
    machine.start(workers=3)
    eventually(lambda: "waiting for the database" in machine.log())
    working_link.rename(link)  # a worker that found nothing there would create an empty database
    jobs.prove_that_all_work(machine)
    eventually(lambda: "the database is back" in machine.log())
    assert machine.log().count("waiting for the database") == 1
    assert len(machine.current().workers) == 3  # as the option says


def test_killed_idle_processes_are_replaced(machine: Machine, jobs: Jobs) -> None:
    for victim in ("watchdog", "first worker", "second worker", "first worker"):
        old = machine.current()
        pid = VICTIMS[victim](old)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: pid not in machine.current().all(), what=f"another {victim}")
        assert new_processes(machine, old) == {VICTIMS[victim](machine.current())}
        jobs.prove_that_all_work(machine)
        assert new_processes(machine, old) == {VICTIMS[victim](machine.current())}
        assert pid not in machine.living()


def test_all_processes_killed_at_once_are_replaced(machine: Machine, jobs: Jobs) -> None:
    old = machine.current()
    for pid in old.all():
        os.kill(pid, signal.SIGKILL)
    jobs.prove_that_all_work(machine)
    eventually(lambda: len(new_processes(machine, old)) == len(old.all()), what="as many new processes")
    eventually(lambda: not set(machine.living()) & old.all(), what="the old ones' end")


def test_killed_busy_worker_disturbs_no_other(machine: Machine, jobs: Jobs) -> None:
    old = machine.current()
    jobs.queue(job.held)
    jobs.queue(job.held)
    victim, other = jobs.wait_for("begun", 2)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in machine.current().all(), what="its replacement")
    jobs.release()
    assert jobs.wait_for("ended") == [other]
    jobs.prove_that_all_work(machine)
    assert len(new_processes(machine, old)) == 1


def test_worker_killed_within_a_lock_is_replaced(machine: Machine, jobs: Jobs) -> None:
    old = machine.current()
    jobs.queue(job.die_holding_the_timer)
    (victim,) = jobs.wait_for("begun")
    eventually(lambda: victim not in machine.current().all(), what="its replacement")
    jobs.prove_that_all_work(machine)
    assert len(new_processes(machine, old)) == 1


def test_job_that_ignores_its_timeout_is_killed(machine: Machine, jobs: Jobs) -> None:
    old = machine.current()
    jobs.queue(job.ignoring_its_timeout, timeout=1)
    (hung,) = jobs.wait_for("begun")
    eventually(lambda: hung not in machine.current().all(), what="its replacement")
    assert hung not in machine.living()
    assert jobs.pids("ignored the time-out") == [hung]
    jobs.prove_that_all_work(machine)
    assert len(new_processes(machine, old)) == 1
    assert f"({hung}) gives no sign of life" in machine.log()


def test_timed_out_job_fails(machine: Machine, jobs: Jobs) -> None:
    jobs.queue(job.held, timeout=1)
    (pid,) = jobs.wait_for("begun")
    eventually(lambda: pid not in machine.current().all(), what="its replacement")
    assert jobs.broker.queue_size() == 0  # the job failed, and was acknowledged
    assert "Task exceeded maximum timeout value" in machine.log()
    assert not jobs.pids("ended")


def test_stopped_workers_are_killed_and_replaced(machine: Machine, jobs: Jobs) -> None:
    old = machine.current()
    for worker in old.workers:
        os.kill(worker, signal.SIGSTOP)
    jobs.prove_that_all_work(machine)
    assert not set(machine.current().workers) & set(old.workers)
    for worker in old.workers:
        assert f"({worker}) gives no sign of life" in machine.log()


def test_every_process_is_replaced_within_30_s() -> None:
    noticed = shutdown.POLL_SECONDS
    assert noticed + supervisor.LAST_DELAY + supervisor.START_SECONDS < 30
    assert worker_process.IDLE_SECONDS + noticed + supervisor.FIRST_DELAY + Conf.POLL < 30


def test_child_of_a_job_can_be_terminated(any_machine: Machine, jobs: Jobs) -> None:
    jobs.queue(job.fork_and_terminate)
    jobs.wait_for(f"child ended by {int(signal.SIGTERM)}")


@linux_only
def test_killed_supervisor_leaves_no_orphans(any_machine: Machine, jobs: Jobs) -> None:
    jobs.queue(job.held)
    jobs.wait_for("begun")
    any_machine.signal(signal.SIGKILL)
    eventually(lambda: not any_machine.living(), what="the end of all processes")
    assert not jobs.pids("ended")


@pytest.mark.parametrize(
    "way",  # one handler counts both signals; with KillMode=control-group the supervisor gets systemd's, too
    [
        pytest.param("systemd", marks=pytest.mark.soak),
        pytest.param("Ctrl-C", marks=pytest.mark.soak),
        "KillMode=control-group",
    ],
)
def test_stop_lets_jobs_end(any_machine: Machine, jobs: Jobs, way: str) -> None:
    jobs.queue(job.until_drained)
    jobs.queue(job.held)
    jobs.wait_for("begun", 2)
    WAYS_TO_STOP[way](any_machine)
    jobs.wait_for("returned")
    assert not any_machine.has_ended()
    jobs.release()
    assert any_machine.wait() == 0
    assert len(jobs.pids("ended")) == 1
    assert not any_machine.living()


def test_slices_hand_back_within_ten_seconds() -> None:
    """A slice notices the stop, and that its requests had time enough, at a heartbeat at the latest."""
    collector = settings.COLLECTOR
    seconds = shutdown.POLL_SECONDS + collector.heartbeat + slice.DRAIN_SECONDS + collector.heartbeat
    assert seconds < 10 < supervisor.DRAIN_SECONDS


@pytest.mark.soak
def test_sigterm_during_start_stops(own_machine: Machine) -> None:
    own_machine.start(wait=False)
    eventually(lambda: "worker started" in own_machine.log())
    own_machine.signal(signal.SIGTERM)
    assert own_machine.wait() == 0
    assert not own_machine.living()


def test_second_signal_stops_at_once(any_machine: Machine, jobs: Jobs) -> None:
    jobs.queue(job.held)
    jobs.wait_for("begun")
    any_machine.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in any_machine.log())
    any_machine.signal(signal.SIGTERM)
    assert any_machine.wait() == 1
    eventually(lambda: not any_machine.living(), what="the end of all processes")
    assert not jobs.pids("ended")
