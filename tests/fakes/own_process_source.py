"""A source that runs in a process of its own; the code of a stock says what its requests do."""

import logging
import os
import threading
import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar, Self

from tasks_app import source_settings
from tasks_app.conf import Conf
from tasks_app.sources.base import Answer, Bar, Permanent, Request, Symbol, Transient, take_permit

DAY = date(2024, 6, 3)
SEED_OF_OWN_PERMITS = 7  # with it the source sees to its first permit itself, and takes none
SECRET = "s3cret-of-the-client"  # of the stock "log"


class Oddity(Permanent):
    """An error of the source's own, which can't be made from its message."""

    def __init__(self) -> None:
        super().__init__("Something odd.", code="odd")


def tell_secret() -> None:
    source_settings.remember_secret(SECRET)
    logging.getLogger("vendor").warning("asked with %s", SECRET)
    print(f"printed {SECRET}", flush=True)
    warnings.warn(f"an old token {SECRET}", stacklevel=1)


ACTIONS = {"log": tell_secret, "hang": lambda: threading.Event().wait()}


class OwnProcessSource:
    """Its list has the pid of the process and the seed that it was made with."""

    name: ClassVar[str] = "own"
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    own_process: ClassVar[bool] = True

    def __init__(self, seed: int) -> None:
        self.seed, self.has_session = seed, False
        self.takes_first_permit = seed == SEED_OF_OWN_PERMITS

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls(conf.simulated.seed)

    def symbols(self, market: str) -> Sequence[Symbol]:
        return (Symbol(str(os.getpid())), Symbol(str(self.seed)))

    def fetch(self, request: Request) -> Answer:
        assert type(request) is Request
        ACTIONS.get(request.code, bool)()
        match request.code:
            case "exit":
                os._exit(7)
            case "greedy":
                self.much = bytearray(os.urandom(1)) * 400_000_000
                threading.Event().wait()
            case "memory":
                raise MemoryError
            case "two requests":
                take_permit()
            case "pages":
                take_permit()
                take_permit(2)
            case code if code.startswith("mark:"):
                take_permit()
                Path(code.removeprefix("mark:")).touch()
            case "odd":
                raise Oddity
            case "bug":
                raise ZeroDivisionError("by zero")
            case "log-in":
                self.has_session = True
            case "session" if not self.has_session:
                raise Permanent("Log in first.", code="no_session")
            case "busy":
                raise Transient("Come later.", code="throttled", retry_after=7.0)
        return Answer([Bar(DAY, 1.0, 1.0, 1.0, 1.0, 100)], suspended=[DAY], notes=["a note"], is_whole=True)

    def end_session(self) -> None:
        self.has_session = False

    def offers_day(self, market: str, day: date) -> bool:
        return bool(os.getpid() % 2 + 1)
