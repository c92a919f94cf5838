"""Programs that a command runs beside itself: started again when they die, stopped with it, never orphans."""

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
from tasks_app.management.stopping import StopSignals
from tasks_app.workers import parent_death

QUICK_SECONDS = 10.0
QUICK_DEATHS = 3
TURN_SECONDS = 0.05
STDERR = 2


class KeepsDying(CollectorError):
    code = "child_keeps_dying"
    template = gettext_lazy("The %(name)s does not stay alive (exit code %(code)s); its messages are above.")


class Child:
    """One program, in a session of its own: a terminal's Ctrl-C reaches only us, and we stop it in order.

    It is asked to stop when this process dies, whatever kills it (on Linux; start it from the main thread).
    What it prints goes to stderr.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = (), bound: float
    ) -> None:
        self.name = name
        self.command = [sys.executable, *command]
        self.pass_fds = pass_fds
        self.bound = bound
        self.quick_deaths = 0
        self.sessions: list[int] = []  # of those that died
        self.start()

    def start(self) -> None:
        """Start it, as far as this process has no other running."""
        parent = os.getpid()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            start_new_session=True,
            pass_fds=self.pass_fds,
            # SIGTERM, so that it can finish what it does. Safe: no thread runs in this process.
            preexec_fn=lambda: parent_death.die_with(parent, signal.SIGTERM),  # noqa: PLW1509
        )

    def died(self) -> bool:
        return self.process.poll() is not None

    def start_again(self) -> None:
        """Raises `KeepsDying` when it has died within seconds, three times in a row."""
        self._ask_the_orphans()
        quick = time.monotonic() - self.started < QUICK_SECONDS
        self.quick_deaths = self.quick_deaths + 1 if quick else 0
        if self.quick_deaths >= QUICK_DEATHS:
            raise KeepsDying(name=self.name, code=self.process.returncode)
        self.start()

    def ask_to_stop(self) -> None:
        self.process.terminate()

    def wait(self) -> None:
        """Until it has stopped and nothing of it is left; it is killed `bound` seconds from now."""
        try:
            self.process.wait(self.bound)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        self._bury()

    def kill(self) -> None:
        self.process.kill()

    def _ask_the_orphans(self) -> None:
        """What a killed one left in its session may finish the request it serves, and no more."""
        self._signal(self.process.pid, signal.SIGTERM)
        self.sessions.append(self.process.pid)

    def _bury(self) -> None:
        for session in (*self.sessions, self.process.pid):
            self._signal(session, signal.SIGKILL)

    def _signal(self, session: int, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, signum)


class Family:
    """Children that live as long as the `with` block; at its end nothing of them is left."""

    def __init__(self, say: Callable[[str], None], stop: StopSignals) -> None:
        self.say = say
        self.stop = stop
        self.children: list[Child] = []

    def add(self, child: Child) -> None:
        """Take it in, unless a stop was asked for: then KeyboardInterrupt."""
        self.children.append(child)
        self.stop.check()

    def tend(self) -> None:
        """Start again what died. Raises `KeepsDying`, or KeyboardInterrupt once a stop was asked for."""
        self.stop.check()
        for child in self.children:
            if child.died():
                self.say(_("The %(name)s has ended. Starting it again.") % {"name": child.name})
                child.start_again()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._on_impatience)
        for child in self.children:
            child.ask_to_stop()
        for child in self.children:
            child.wait()

    def _on_impatience(self, signum: int, frame: FrameType | None) -> None:
        """A second Ctrl-C: whatever still runs dies now, and its own children with it."""
        for child in self.children:
            child.kill()


def _environment() -> dict[str, str]:
    """Ours, with this site importable from any folder, and routine messages left out unless asked for."""
    path = os.pathsep.join(filter(None, (str(settings.BASE_DIR), os.environ.get("PYTHONPATH"))))
    return {"DJANGO_LOG_LEVEL": "WARNING", **os.environ, "PYTHONPATH": path}
