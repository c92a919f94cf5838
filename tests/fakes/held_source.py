"""A simulated exchange that answers only when the test lets it, whatever process asks.

A test holds a `HeldAnswers`; the source finds the same folder in its environment. A task of the source is
running for as long as the test wants.
"""

import math
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

from tasks_app.conf import Conf
from tasks_app.sources.simulated.source import SimulatedSource
from tools.worker_machine import eventually

FOLDER = "HELD_SOURCE_FOLDER"


class HeldAnswers:
    """A folder of permits. An answer takes one; while the folder is open, answers need none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = folder / "open"

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of the processes that run the source, which is called "held"."""
        return {"COLLECTOR_SOURCES": "held=tests.fakes.held_source:HeldSource", FOLDER: str(self.folder)}

    def hold(self) -> None:
        """Holds every answer from now on, and takes back the permits that are left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.iterdir():
            file.unlink(missing_ok=True)

    def release(self, count: int) -> None:
        """Lets `count` more requests be answered."""
        for _ in range(count):
            (self.folder / f"permit-{uuid.uuid4().hex}").touch()

    def all_taken(self) -> bool:
        """Whether every released request has been answered."""
        return not any(self.folder.glob("permit-*"))

    def release_all(self) -> None:
        """Lets every request be answered until the next `hold`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open.touch()

    def wait(self) -> None:
        """Returns once this answer is released. The source calls it."""
        eventually(lambda: self._open.exists() or self._take_permit(), math.inf)

    def _take_permit(self) -> bool:
        for permit in self.folder.glob("permit-*"):
            with suppress(FileNotFoundError):  # another request has taken it
                permit.unlink()
                return True
        return False


class HeldSource(SimulatedSource):
    """Logs a request when it comes, like the simulated exchange, and answers when it is released."""

    name: ClassVar[str] = "held"

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        answers = HeldAnswers(Path(os.environ[FOLDER]))
        return cls(replace(conf.simulated, latency=1.0), sleep=lambda _: answers.wait())


class RefusingSource(HeldSource):
    """Refuses every request, once it is released, as a vendor does whose limit was exceeded."""

    name: ClassVar[str] = "refusing"
    local: ClassVar[bool] = False  # so that it has a breaker

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return super().from_conf(replace(conf, simulated=replace(conf.simulated, throttle_rate=1.0)))
