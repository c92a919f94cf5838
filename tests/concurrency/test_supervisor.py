"""`manage.py worker` with real processes: whatever is killed, work goes on."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.concurrency.own_database import on_postgresql
from tools.worker_machine import Machine, Processes, eventually

pytestmark = [
    pytest.mark.any_database,
    pytest.mark.skipif(on_postgresql(), reason="the machine looks into SQLite's own file"),
]
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="children die with their parent on Linux only"
)
PROMISED = 30.0


@pytest.fixture
def machine(tmp_path: Path, database_url: str) -> Iterator[Machine]:
    machine = Machine(tmp_path, database_url)
    yield machine
    machine.close()


@pytest.fixture
def running(machine: Machine) -> Machine:
    machine.start()
    machine.prove_alive()
    machine.become_idle()
    return machine


VICTIMS: dict[str, Callable[[Processes], int]] = {
    "first worker": lambda processes: processes.workers[0],
    "second worker": lambda processes: processes.workers[1],
    "watchdog": lambda processes: processes.watchdog,
}


def kill(machine: Machine, victim: str) -> None:
    """SIGKILL it: another one is started, the others stay, and jobs run."""
    old = machine.current()
    pid = VICTIMS[victim](old)
    os.kill(pid, signal.SIGKILL)
    seconds = eventually(lambda: pid not in machine.current().all(), PROMISED, "the next one")
    print(f"{victim} killed: replaced {seconds:.1f} s later")
    assert machine.current().all() - old.all() == {VICTIMS[victim](machine.current())}
    machine.prove_alive(f"after the kill of {pid}")
    assert pid not in machine.living()


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_idle_process_is_replaced(running: Machine, victim: str) -> None:
    kill(running, victim)


def test_consecutive_kills_are_survived(running: Machine) -> None:
    for victim in ("watchdog", "first worker", "second worker", "first worker"):
        kill(running, victim)


def test_all_workers_killed_at_once_are_replaced(running: Machine) -> None:
    old = running.current()
    for pid in old.all():
        os.kill(pid, signal.SIGKILL)
    assert running.seconds_until_new_workers_work(old) < PROMISED
    eventually(lambda: not set(running.living()) & old.all(), 5, "the old ones' end")


def test_killed_busy_worker_disturbs_no_other(running: Machine) -> None:
    running.queue("until_drained")
    eventually(lambda: running.note_pid("begun"), 10)
    victim = running.note_pid("begun")
    assert victim
    old = running.current()
    running.queue("linger", 4)
    eventually(lambda: [text for _, text in running.notes()].count("begun") == 2, 10)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: running.note_pid("ended"), 10, "the other job's end")
    running.prove_alive("after the kill")
    assert len(running.current().all() - old.all()) == 1


def test_worker_killed_within_a_lock_is_replaced(running: Machine) -> None:
    old = running.current()
    running.queue("die_holding_the_timer")
    eventually(lambda: running.current() != old, 10, "its replacement")
    running.prove_alive("after the kill")
    assert len(running.current().all() - old.all()) == 1


def test_job_that_ignores_its_timeout_is_killed(running: Machine) -> None:
    old = running.current()
    running.queue("deaf", timeout=1)
    eventually(lambda: running.note_pid("did not listen"), 10)
    deaf = running.note_pid("did not listen")
    eventually(lambda: deaf not in running.living(), 15, "the end of the hung worker")
    eventually(lambda: running.current() != old, 5, "its replacement")
    running.prove_alive("after the kill")
    assert len(running.current().all() - old.all()) == 1


def test_timed_out_job_fails(running: Machine) -> None:
    old = running.current()
    running.queue("linger", 60, timeout=1)
    eventually(lambda: running.current() != old, 10, "its replacement")
    running.become_idle()  # the job failed, and was acknowledged
    assert "Task exceeded maximum timeout value" in running.log()
    assert not running.note_pid("ended")


def test_stopped_workers_are_killed_and_replaced(running: Machine) -> None:
    old = running.current()
    for worker in old.workers:
        os.kill(worker, signal.SIGSTOP)
    assert running.seconds_until_new_workers_work(old) < PROMISED
    assert "gives no sign of life" in running.log()


@linux_only
def test_killed_supervisor_leaves_no_orphans(running: Machine) -> None:
    running.queue("linger", 60)
    eventually(lambda: running.note_pid("begun"), 10)
    running.signal(signal.SIGKILL)
    eventually(lambda: not running.living(), 5, "the end of all processes")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_stops_gracefully_in_ten_seconds(running: Machine, signum: int) -> None:
    running.queue("until_drained")
    eventually(lambda: running.note_pid("begun"), 10)
    running.signal(signum)
    assert running.wait(10) == 0
    assert running.note_pid("handed back")
    assert not running.living()


def test_sigterm_during_start_stops(machine: Machine) -> None:
    machine.start(wait=False)
    eventually(lambda: "worker started" in machine.log(), 20)
    machine.signal(signal.SIGTERM)
    assert machine.wait(10) == 0
    assert not machine.living()


def test_sigterm_to_the_group_lets_the_job_finish(running: Machine) -> None:
    running.queue("linger", 2)
    eventually(lambda: running.note_pid("begun"), 10)
    assert running.supervisor
    os.killpg(running.supervisor.pid, signal.SIGTERM)
    assert running.wait(10) == 0
    assert running.note_pid("ended")


def test_sigterm_to_all_lets_the_job_finish(running: Machine) -> None:
    """systemd's default, should somebody forget KillMode=mixed."""
    running.queue("linger", 2)
    eventually(lambda: running.note_pid("begun"), 10)
    assert running.supervisor
    for pid in [running.supervisor.pid, *running.living()]:
        os.kill(pid, signal.SIGTERM)
    assert running.wait(10) == 0
    assert running.note_pid("ended")


def test_second_signal_stops_at_once(running: Machine) -> None:
    running.queue("linger", 60)
    eventually(lambda: running.note_pid("begun"), 10)
    running.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in running.log(), 5)
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 1
    eventually(lambda: not running.living(), 5)


def test_child_of_a_job_can_be_terminated(running: Machine) -> None:
    running.queue("fork_and_terminate")
    eventually(lambda: running.note_pid(f"child {int(signal.SIGTERM)}"), 10)


def test_unavailable_database_at_start_is_waited_for(machine: Machine) -> None:
    away = machine.database.with_suffix(".away")
    machine.database.rename(away)
    machine.database.mkdir()  # SQLite cannot open a folder
    machine.start(wait=False)
    eventually(lambda: "waiting for the database" in machine.log(), 20)
    machine.database.rmdir()
    away.rename(machine.database)
    eventually(machine.processes, 20, "the start of all processes")
    machine.prove_alive()
    assert machine.log().count("waiting for the database") == 1
    assert "the database is back" in machine.log()


def test_worker_count_is_an_option(machine: Machine) -> None:
    machine.start(workers=3)
    assert len(machine.current().workers) == 3
