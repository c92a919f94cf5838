"""Child programs of a command: restarted when they die, stopped with it, never orphaned; and stop signals."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Self

from django.conf import settings
from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.errors import CollectorError
from tasks_app.workers import parent_death

QUICK_DEATH_SECONDS = 10.0
MAX_QUICK_DEATHS = 3
STDERR = 2


class KeepsDying(CollectorError):
    code = "child_keeps_dying"
    template = gettext_lazy("The %(name)s does not stay alive (exit code %(code)s); its messages are above.")


class StopSignals:
    """Handles Ctrl-C, SIGTERM and a closed terminal. The first signal sets `received`, the second interrupts.

    A handler that raises every time would not do: an exception raised while Python runs a destructor is lost,
    and a child that is just being started could be forgotten.
    """

    def __init__(self) -> None:
        self.received = False
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # ignored under nohup, on purpose
            signal.signal(signal.SIGHUP, self._on_signal)

    def check(self) -> None:
        """Raises KeyboardInterrupt once a signal was received."""
        if self.received:
            raise KeyboardInterrupt

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True


class ManagedProcess:
    """A program in its own session, so that a terminal's Ctrl-C reaches only us and we stop it in order.

    It receives SIGTERM when this process dies, whatever kills it (on Linux; start it from the main thread).
    Its output goes to stderr.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = (), stop_timeout: float
    ) -> None:
        self.name, self.pass_fds, self.stop_timeout = name, pass_fds, stop_timeout
        self.command = [sys.executable, *command]
        self.quick_deaths = 0
        self.dead_sessions: list[int] = []
        self.start()

    def start(self) -> None:
        """Starts the program, with this site importable from any folder and routine messages off."""
        parent = os.getpid()
        path = os.pathsep.join(filter(None, (str(settings.BASE_DIR), os.environ.get("PYTHONPATH"))))
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env={"DJANGO_LOG_LEVEL": "WARNING", **os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            start_new_session=True,
            pass_fds=self.pass_fds,
            # SIGTERM, so that it can finish its work. Safe: no thread runs in this process.
            preexec_fn=lambda: parent_death.set_parent_death_signal(parent, signal.SIGTERM),  # noqa: PLW1509
        )

    def restart(self) -> None:
        """Raises `KeepsDying` after three deaths in a row within seconds of the start."""
        # Processes that a killed program left in its session may finish their request, and no more.
        self._signal_session(self.process.pid, signal.SIGTERM)
        self.dead_sessions.append(self.process.pid)
        is_quick = time.monotonic() - self.started < QUICK_DEATH_SECONDS
        self.quick_deaths = self.quick_deaths + 1 if is_quick else 0
        if self.quick_deaths >= MAX_QUICK_DEATHS:
            raise KeepsDying(name=self.name, code=self.process.returncode)
        self.start()

    def wait(self) -> None:
        """Waits until the program and its session are gone; kills them `stop_timeout` seconds from now."""
        try:
            self.process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for session in (*self.dead_sessions, self.process.pid):
            self._signal_session(session, signal.SIGKILL)

    def _signal_session(self, session: int, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signum)


class ProcessGroup:
    """Programs that run as long as the `with` block; nothing of them is left at its end."""

    def __init__(self, report: Callable[[str], None], stop: StopSignals) -> None:
        self.report, self.stop = report, stop
        self.processes: list[ManagedProcess] = []

    def add(self, process: ManagedProcess) -> None:
        """Adds a started program. Raises KeyboardInterrupt once a stop signal was received."""
        self.processes.append(process)
        self.stop.check()

    def restart_dead(self) -> None:
        """Restarts dead programs. Raises `KeepsDying`, or KeyboardInterrupt once a signal was received."""
        self.stop.check()
        for process in self.processes:
            if process.process.poll() is not None:
                self.report(_("The %(name)s has ended. Starting it again.") % {"name": process.name})
                process.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C kills at once
            signal.signal(signum, self._kill_all)
        for process in self.processes:
            process.process.terminate()
        for process in self.processes:
            process.wait()

    def _kill_all(self, signum: int, frame: FrameType | None) -> None:
        for process in self.processes:
            process.process.kill()
