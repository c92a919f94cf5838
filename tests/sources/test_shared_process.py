"""Sources whose requests are made in a process that the machine shares, and that process."""

import os
import pickle
import socket
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from tasks_app.conf import Conf, Simulated
from tasks_app.source_settings import MASK
from tasks_app.sources import base, registry
from tasks_app.sources.base import Permanent, Request, SourceError, Transient
from tasks_app.sources.permits import granting_permits
from tasks_app.sources.shared_process import handle
from tasks_app.sources.shared_process.handle import NO_TURN, runtime_folder
from tasks_app.sources.shared_process.remote_source import METHODS, make_remote
from tasks_app.sources.shared_process.server import LENGTH
from tasks_app.sources.shared_process.source_main import MethodCall
from tests.fakes.clock import Clock
from tests.fakes.own_process_source import DAY, SEED_OF_OWN_PERMITS, OwnProcessSource
from tools.worker_machine import eventually

pytestmark = pytest.mark.xdist_group("shared_process")
CONF = Conf(fetch_timeout=60.0, worker_memory=1_000_000)


@pytest.fixture
def make(monkeypatch):
    """Returns a function that makes a source as a worker has it; processes of other tests are not shared."""
    monkeypatch.setenv("NO_PROXY", f"test-{os.getpid()}")
    made = []

    def make_one(**settings):
        made.append(make_remote(OwnProcessSource, replace(CONF, **settings)))
        return made[-1]

    yield make_one
    for source in made:
        source.process.close()


def fetch(source, code="600000"):
    return source.fetch(Request("CN", code, DAY, DAY))


def fetch_error(source, code):
    with pytest.raises(SourceError) as caught:
        fetch(source, code)
    return caught.value


def listed(source):
    """Returns the pid of the process that made the request, and the seed of the source."""
    return [int(symbol.code) for symbol in source.symbols("CN")]


def has_ended(pid):
    """Returns whether a process has ended, waited for or not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_process_is_shared_and_another_one(make):
    one, other = make(), make()
    (pid, _), (same, _) = listed(one), listed(other)
    assert pid == same != os.getpid()


def test_source_is_made_again_with_its_settings(make):
    one, other = make(), make(simulated=Simulated(seed=3))
    (pid, first), (same, second), (_, last) = listed(one), listed(other), listed(one)
    assert (pid, first, second, last) == (same, 0, 3, 0)


def test_answer_keeps_what_it_tells_besides(make):
    answer = fetch(make())
    assert (len(answer), answer.suspended, answer.notes, answer.is_whole) == (1, (DAY,), ("a note",), True)


@dataclass(frozen=True)
class PlannedRequest(Request):
    """What the engine sends has more fields than the process may need to know."""

    more: object = print


def test_engines_own_request_is_sent_as_a_plain_one(make):
    assert len(make().fetch(PlannedRequest("CN", "600000", DAY, DAY))) == 1


def test_errors_arrive_as_they_were(make):
    source = make()
    busy, odd, bug = (fetch_error(source, code) for code in ("busy", "odd", "bug"))
    assert (type(busy), busy.code, busy.retry_after, str(busy)) == (Transient, "throttled", 7, "Come later.")
    assert (type(odd), odd.code, str(odd)) == (Permanent, "odd", "Something odd.")
    assert (type(bug), bug.code, str(bug)) == (Permanent, "source_raised", "ZeroDivisionError: by zero")
    with pytest.raises(MemoryError):
        fetch(source, "memory")


def test_each_request_of_the_contract_is_made_there():
    """And what is cheap, or belongs to the worker, is not."""
    protocols = [each for each in vars(base).values() if getattr(each, "_is_protocol", False)]
    methods = {name for each in protocols for name, value in vars(each).items() if is_public(name, value)}
    assert methods - set(METHODS) == {"from_conf", "offers_day"}


def is_public(name, value):
    return not name.startswith("_") and (callable(value) or isinstance(value, classmethod))


def test_lines_of_the_client_are_in_the_callers_log_without_secrets(make, caplog):
    source = make()
    fetch(source, "log")
    (line, warning) = caplog.records
    assert (line.name, line.levelname, line.getMessage()) == ("vendor", "WARNING", f"asked with {MASK}")
    assert (warning.name, f"an old token {MASK}" in warning.getMessage()) == ("py.warnings", True)
    (printed,) = runtime_folder().glob(f"{source.process._name}.log")
    assert printed.read_text() == f"printed {MASK}\n"


def test_session_of_the_process_is_ended_there_if_there_is_one(make):
    source = make()
    source.end_session()
    assert source.process.pid is None
    fetch(source, "log-in")
    source.end_session()
    assert fetch_error(source, "session").code == "no_session"


def test_permits_are_taken_in_the_callers_thread(make):
    taken, source = [], make()
    fetch(source)
    with granting_permits(taken.append):
        fetch(source, "pages")
    assert taken == [1, 1, 2], "the first request's, too"


def test_source_that_sees_to_its_first_permit_has_none_taken_for_it(make):
    taken, source = [], make(simulated=Simulated(seed=SEED_OF_OWN_PERMITS))
    with granting_permits(taken.append):
        fetch(source, "pages")
        source.end_session()
    assert taken == [1, 2]


def test_refused_permit_leaves_the_process_alive(make):
    def refuse(cost):
        raise Transient("Paused.", code="no_permit", retry_after=5.0)

    source = make()
    pid, _ = listed(source)
    with granting_permits(refuse):
        error = fetch_error(source, "600000")
    assert (type(error), error.code, error.retry_after) == (Transient, "no_permit", 5.0)
    assert listed(source)[0] == pid


def test_request_of_a_caller_that_is_gone_is_not_sent(make, tmp_path):
    """It was killed while it waited for a permit: the process ends instead of going on without one."""
    source, mark = make(), tmp_path / "sent"
    pid, _ = listed(source)
    request = Request("CN", f"mark:{mark}", DAY, DAY)
    call = MethodCall(OwnProcessSource.__module__, "OwnProcessSource", "own", CONF, "fetch", (request,))
    packed = pickle.dumps(call)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.connect(str(runtime_folder() / f"{source.process._name}.sock"))
        caller.recv(LENGTH.size, socket.MSG_WAITALL)  # the process id
        caller.sendall(LENGTH.pack(len(packed)) + packed)
        assert caller.recv(LENGTH.size, socket.MSG_WAITALL)  # it asks for a permit
    eventually(lambda: has_ended(pid), 60)
    assert not mark.exists()


def test_dead_process_fails_its_request_alone(make):
    source = make()
    pid, _ = listed(source)
    error = fetch_error(source, "exit")
    assert (type(error), str(error)) == (Transient, "own's client ended by itself.")
    eventually(lambda: has_ended(pid), 60)
    assert len(fetch(source)) == 1


def test_late_process_is_killed(make, monkeypatch):
    source = make()
    pid, _ = listed(source)
    monkeypatch.setattr(handle, "time", clock := Clock())
    monkeypatch.setattr(handle, "wait_readable", lambda connection, seconds: clock.sleep(seconds))
    assert fetch_error(source, "hang").code == "timeout"
    monkeypatch.undo()
    eventually(lambda: has_ended(pid), 60)


def test_other_request_waits_for_its_turn(make, monkeypatch):
    one, other = make(), make(fetch_timeout=6.0)
    listed(one), listed(other)
    monkeypatch.setattr(handle, "time", Clock())
    inner = []

    def wait(connection, seconds):
        if not inner:
            inner.append(None)
            inner.append(fetch_error(other, "600000"))
        return wait_readable(connection, 60)

    wait_readable = handle.wait_readable
    monkeypatch.setattr(handle, "wait_readable", wait)
    assert len(fetch(one)) == 1, "it is not killed by the one that waits"
    assert "another one is in progress" in str(inner[1])
    assert inner[1].code == NO_TURN


def test_wait_for_its_turn_is_no_time_of_the_request(make, monkeypatch):
    source, waits, locks = make(fetch_timeout=6.0), [], iter((False, False, True))
    listed(source)
    monkeypatch.setattr(handle, "_lock", lambda descriptor: next(locks))
    clock = SimpleNamespace(monotonic=lambda: 5.0 * len(waits), sleep=waits.append)
    monkeypatch.setattr(handle, "time", clock)

    @contextmanager
    def waiting():
        waits.append("turn")
        yield lambda: None

    with granting_permits(lambda cost: None, waiting):
        assert len(fetch(source)) == 1
    assert waits == ["turn", handle.TURN_SECONDS]


def test_call_that_is_to_end_waits_for_no_turn(make, monkeypatch):
    source = make()
    listed(source)

    @contextmanager
    def waiting():
        yield refuse

    def refuse():
        raise Transient("Cancelled.", code="no_permit")

    monkeypatch.setattr(handle, "_lock", lambda descriptor: False)
    with granting_permits(lambda cost: None, waiting):
        assert str(fetch_error(source, "600000")) == "Cancelled."


def test_memory_has_the_limit_of_a_worker(make):
    source = make(worker_memory=200)
    pid, _ = listed(source)
    with pytest.raises(MemoryError):
        fetch(source, "greedy")
    eventually(lambda: has_ended(pid), 60)


def test_swollen_process_is_replaced_between_requests(make, monkeypatch):
    source = make()
    pid, _ = listed(source)
    monkeypatch.setattr(handle, "RECYCLE_SHARE", 1e-6)
    assert len(fetch(source)) == 1
    eventually(lambda: has_ended(pid), 60)


def test_process_ends_when_nobody_is_connected(make):
    source = make()
    pid, _ = listed(source)
    source.process.close()
    eventually(lambda: has_ended(pid), 60)


def test_what_costs_no_request_is_not_sent(make):
    source = make()
    assert source.offers_day("CN", DAY)
    assert source.process.pid is None


def test_folder_of_the_sockets_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(handle.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = runtime_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    with pytest.raises(Transient, match="this user alone"):
        runtime_folder()


def test_registry_makes_such_a_source():
    conf = replace(CONF, sources=(("mine", f"{OwnProcessSource.__module__}:OwnProcessSource"),))
    source = registry.get_source("mine", conf)
    pid, _ = listed(source)
    assert (source.name, pid != os.getpid()) == ("mine", True)
    source.process.close()
