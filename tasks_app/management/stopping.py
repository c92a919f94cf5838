"""Ctrl-C, SIGTERM and a closed terminal, as something that loops ask for."""

import signal
from types import FrameType


class StopSignals:
    """Takes the signals over. The first one only sets `asked`; a second one interrupts at once.

    To raise from a handler every time would not do: what is raised while Python happens to be in a
    destructor is lost, and a child that is just being started could be forgotten.
    """

    def __init__(self) -> None:
        self.asked = False
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else nohup meant it
            signal.signal(signal.SIGHUP, self._on_signal)

    def check(self) -> None:
        """Raises KeyboardInterrupt once a stop was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
