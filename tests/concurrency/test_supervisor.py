"""`manage.py worker` with real processes: whatever is killed, work goes on."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.concurrency.own_database import on_postgresql
from tools.worker_machine import Machine, Roles, eventually

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


VICTIMS: dict[str, Callable[[Roles], int]] = {
    "first worker": lambda roles: roles.workers[0],  # one of the two holds the queue's lock
    "second worker": lambda roles: roles.workers[1],
    "monitor": lambda roles: roles.monitor,
    "pusher": lambda roles: roles.pusher,
    "sentinel": lambda roles: roles.sentinel,
    "main": lambda roles: roles.main,
}


def kill(machine: Machine, victim: str) -> float:
    """SIGKILL it; seconds until another process has done a job."""
    old = machine.clusters()[-1]
    os.kill(VICTIMS[victim](old), signal.SIGKILL)
    seconds = machine.seconds_until_new_workers_work(old)
    print(f"{victim} killed: a job was done {seconds:.1f} s later")
    assert seconds < PROMISED
    eventually(
        lambda: not set(machine.living()) & {old.main, old.sentinel, *old.workers}, 5, "the old one's end"
    )
    return seconds


@pytest.mark.parametrize("victim", ["first worker", "second worker"])
def test_a_killed_idle_worker_does_not_hang_the_cluster(running: Machine, victim: str) -> None:
    kill(running, victim)


def test_a_killed_idle_monitor_does_not_hang_the_cluster(running: Machine) -> None:
    kill(running, "monitor")


def test_a_killed_pusher_does_not_hang_the_cluster(running: Machine) -> None:
    kill(running, "pusher")


def test_a_killed_sentinel_takes_its_cluster_along_and_a_new_one_works(running: Machine) -> None:
    kill(running, "sentinel")


def test_a_killed_cluster_main_takes_its_cluster_along_and_a_new_one_works(running: Machine) -> None:
    kill(running, "main")


def test_kills_in_a_row_are_all_recovered_from_in_time(running: Machine) -> None:
    for victim in ("main", "monitor", "first worker", "sentinel"):
        kill(running, victim)


def test_a_killed_busy_worker_is_replaced_and_the_others_are_not_disturbed(running: Machine) -> None:
    running.queue("until_drained")
    eventually(lambda: running.said("begun"), 10)
    victim = running.said("begun")
    assert victim
    running.queue("linger", 4)
    eventually(lambda: [text for _, text in running.notes()].count("begun") == 2, 10)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: running.said("ended"), 10, "the other job's end")
    running.prove_alive("after the kill")
    assert len(running.clusters()) == 1


def test_a_worker_killed_while_it_holds_a_lock_does_not_hang_the_cluster(running: Machine) -> None:
    old = running.clusters()[-1]
    running.queue("die_holding_the_timer")
    assert running.seconds_until_new_workers_work(old) < PROMISED
    assert "its holder was killed" in running.log()


def test_a_job_that_does_not_listen_to_its_time_out_is_killed_and_work_goes_on(running: Machine) -> None:
    running.queue("deaf", timeout=1)
    eventually(lambda: running.said("did not listen"), 10)
    deaf = running.said("did not listen")
    eventually(lambda: deaf not in running.living(), 15, "the end of the hung worker")
    running.prove_alive("after the kill")
    assert len(running.clusters()) == 1


def test_running_jobs_are_asked_to_hand_back_before_a_stalled_cluster_ends(running: Machine) -> None:
    running.queue("until_drained")
    eventually(lambda: running.said("begun"), 10)
    os.kill(running.clusters()[-1].monitor, signal.SIGKILL)
    eventually(lambda: running.said("handed back"), 10)
    eventually(lambda: len(running.clusters()) == 2, PROMISED, "the next cluster")


def test_a_stopped_worker_that_holds_the_queue_is_noticed_by_its_inactivity(running: Machine) -> None:
    old = running.clusters()[-1]
    for worker in old.workers:
        os.kill(worker, signal.SIGSTOP)
    assert running.seconds_until_new_workers_work(old) < PROMISED
    assert "no worker took one" in running.log()


@linux_only
def test_killing_the_supervisor_leaves_no_orphans(running: Machine) -> None:
    running.queue("linger", 60)
    eventually(lambda: running.said("begun"), 10)
    running.signal(signal.SIGKILL)
    eventually(lambda: not running.living(), 5, "the end of all processes")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_stops_everything_gracefully_within_ten_seconds(running: Machine, signum: int) -> None:
    running.queue("until_drained")
    eventually(lambda: running.said("begun"), 10)
    running.signal(signum)
    assert running.wait(10) == 0
    assert running.said("handed back")
    assert not running.living()


def test_sigterm_during_the_start_stops_it(machine: Machine) -> None:
    machine.start(wait=False)
    eventually(lambda: "worker started" in machine.log(), 20)
    machine.signal(signal.SIGTERM)
    assert machine.wait(10) == 0
    assert not machine.living()


def test_sigterm_to_the_whole_group_lets_the_running_job_finish(running: Machine) -> None:
    running.queue("linger", 2)
    eventually(lambda: running.said("begun"), 10)
    assert running.supervisor
    os.killpg(running.supervisor.pid, signal.SIGTERM)
    assert running.wait(10) == 0
    assert running.said("ended")


def test_sigterm_to_every_single_process_lets_the_running_job_finish(running: Machine) -> None:
    """systemd's default, should somebody forget KillMode=mixed."""
    running.queue("linger", 2)
    eventually(lambda: running.said("begun"), 10)
    assert running.supervisor
    for pid in [running.supervisor.pid, *running.living()]:
        os.kill(pid, signal.SIGTERM)
    assert running.wait(10) == 0
    assert running.said("ended")


def test_a_second_signal_stops_at_once(running: Machine) -> None:
    running.queue("linger", 60)
    eventually(lambda: running.said("begun"), 10)
    running.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in running.log(), 5)
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 1
    eventually(lambda: not running.living(), 5)


def test_what_a_job_forks_can_be_terminated(running: Machine) -> None:
    running.queue("fork_and_terminate")
    eventually(lambda: running.said(f"child {int(signal.SIGTERM)}"), 10)


def test_a_dead_database_at_start_is_waited_for(machine: Machine) -> None:
    away = machine.database.with_suffix(".away")
    machine.database.rename(away)
    machine.database.mkdir()  # SQLite cannot open a folder
    machine.start(wait=False)
    eventually(lambda: "waiting for the database" in machine.log(), 20)
    machine.database.rmdir()
    away.rename(machine.database)
    eventually(machine.clusters, 20, "the cluster's start")
    machine.prove_alive()
    assert machine.log().count("waiting for the database") == 1
    assert "the database is back" in machine.log()


def test_the_number_of_workers_can_be_given(machine: Machine) -> None:
    machine.start(workers=3)
    assert len(machine.clusters()[0].workers) == 3
