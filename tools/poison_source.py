"""A simulated exchange of which every few stocks, or the stock list, are poison.

It is loaded by its dotted path like a third party's source.
"""

import mmap
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from tasks_app.conf import Conf, Simulated
from tasks_app.sources.base import Bar, Request, Symbol, Transient
from tasks_app.sources.simulated.exchange import index_of
from tasks_app.sources.simulated.source import SimulatedSource
from tools import odd_answers
from tools.odd_answers import OddAnswer

KIND, EVERY = "POISON_KIND", "POISON_EVERY"  # variables of the environment
Poison = Callable[[Request, Sequence[Bar]], Sequence[Bar]]


def kill(request: Request, bars: Sequence[Bar]) -> Sequence[Bar]:
    """Ends the worker as a crash in a vendor's C code or the kernel's memory killer does."""
    os.kill(os.getpid(), signal.SIGKILL)
    return bars


def leave(request: Request, bars: Sequence[Bar]) -> Sequence[Bar]:
    """Ends the worker as if it were done."""
    os._exit(0)


def swell(request: Request, bars: Sequence[Bar]) -> Sequence[Bar]:
    """Takes memory without end, as an endless response does that is read into a list."""
    taken = []
    while True:
        taken.append(bytearray(1_000_000))


def swell_wrapped(request: Request, bars: Sequence[Bar]) -> Sequence[Bar]:
    """The same in a library that passes every error on as its own."""
    try:
        return swell(request, bars)
    except Exception as error:
        raise Transient("The response broke off.") from error


def swell_shared(request: Request, bars: Sequence[Bar]) -> Sequence[Bar]:
    """The same with memory that no resource limit counts, so that only the supervisor notices."""
    taken, block = [], bytes(2_000_000)  # once: in the loop it could be what meets the resource limit
    while True:
        taken.append(shared := mmap.mmap(-1, len(block)))
        shared.write(block)


@dataclass(frozen=True)
class Kind:
    """What a poison stock's request does, given the right answer, and the codes that tell what was wrong.

    With `stock_list` no stock is poison, but the list of all stocks.
    """

    poison: Poison
    error_codes: tuple[str, ...]
    stock_list: OddAnswer | None = None


def give(odd: OddAnswer) -> Kind:
    """Returns the kind of a stock whose answer is odd."""
    return Kind(lambda request, bars: odd.answer(bars), (odd.code,))


def spoil_list(odd: OddAnswer) -> Kind:
    """Returns the kind of a market whose stock list is odd."""
    return Kind(lambda request, bars: bars, (odd.code,), odd)


KINDS = {
    "killer": Kind(kill, ("worker_lost",)),
    "leaver": Kind(leave, ("worker_lost",)),
    "sweller": Kind(swell, ("memory_limit",)),
    "wrapped sweller": Kind(swell_wrapped, ("memory_limit",)),
    "shared sweller": Kind(swell_shared, ("memory_limit",)),
    **{name: give(odd) for name, odd in odd_answers.BARS.items()},
    **{f"list {name}": spoil_list(odd) for name, odd in odd_answers.STOCK_LISTS.items()},
}


class PoisonSource(SimulatedSource):
    """Answers as the simulated exchange does, but every POISON_EVERY-th stock is poison of POISON_KIND."""

    name: ClassVar[str] = "poison"

    def __init__(self, settings: Simulated, kind: str, every: int) -> None:
        super().__init__(settings)
        self.kind, self.every = KINDS[kind], every

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls(replace(conf.simulated), os.environ[KIND], int(os.environ[EVERY]))

    def fetch(self, request: Request) -> Sequence[Bar]:
        bars = super().fetch(request)
        return self.kind.poison(request, bars) if self.is_poison(request) else bars

    def symbols(self, market: str) -> Sequence[Symbol]:
        symbols = super().symbols(market)
        return self.kind.stock_list.answer(symbols) if self.kind.stock_list else symbols

    def is_poison(self, request: Request) -> bool:
        index = index_of(request.code)
        assert index is not None
        return index % self.every == self.every - 1
