"""Checks what a source can do here: one small request for each of its capabilities, through its limiter.

Nothing is stored.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from tasks_app.conf import Conf
from tasks_app.engine import item_planner
from tasks_app.engine.answers import CheckedSource
from tasks_app.market.codes import canonical_or_same
from tasks_app.quotes.trading_days import trading_days_for
from tasks_app.reasons import sanitize_message
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, Request, SourceError, Symbol
from tasks_app.sources.traits import SourceTraits

WELL_KNOWN = {"CN": ("600519", "000001"), "HK": ("00700", "00005"), "US": ("AAPL", "MSFT")}
DAYS = timedelta(days=30)  # of bars
LONG_AGO = date(1990, 1, 1)  # from which files are read, which cost no vendor anything
NOTHING_SENT = "nothing_sent"


@dataclass(frozen=True)
class CapabilityCheck:
    """How a request for a capability went: what it brought, or the error's code and sentence.

    `seconds` is how long it took, with its wait for the source's rate. `is_skipped`: it was not made, and
    `found` says why.
    """

    capability: str
    market: str
    seconds: float = 0.0
    found: str = ""
    error_code: str = ""
    error: str = ""
    is_skipped: bool = False

    @property
    def works(self) -> bool:
        """Whether the source answered as it should."""
        return not self.error_code


def check_source(name: str, market: str, conf: Conf) -> Iterator[CapabilityCheck]:
    """Yields the checks of an available source's capabilities in a market.

    A source that can't be made yields its sentence alone.
    """
    if reason := registry.why_unusable(name, conf):
        yield CapabilityCheck("settings", market, error_code="source_unusable", error=reason)
        return
    check = _SourceCheck(name, market, conf)
    yield from check.run()


class _SourceCheck:
    def __init__(self, name: str, market: str, conf: Conf) -> None:
        self.name, self.market, self.conf = name, market, conf
        self.source = CheckedSource(registry.get_source(name, conf), conf)
        self.traits: SourceTraits = registry.traits(name, conf)
        self.adjust = "" if "" in self.source.source.adjusts else self.source.source.adjusts[0]
        self.codes: Sequence[str] = WELL_KNOWN.get(market, ())

    def run(self) -> Iterator[CapabilityCheck]:
        yield self._make("list", self._read_list)
        if not self.codes:
            return
        code = self.codes[0]
        yield self._make("bars", lambda: _bars(self.source.fetch(self._request(code))))
        if self.traits.batch_size > 1:
            yield self._make("batch", self._fetch_many)
        if self.traits.serves_days(self.market, self.adjust):
            yield self._check_day()
        if self.market in self.traits.factor_markets:
            yield self._make(
                "factors", lambda: f"{len(self.source.fetch_factors(self.market, code))} factors"
            )
        if self.market in self.traits.action_markets:
            yield self._make(
                "actions",
                lambda: f"{len(self.source.fetch_actions(self.market, code, None))} corporate actions",
            )

    def _make(self, capability: str, request: Callable[[], str]) -> CapabilityCheck:
        """Makes one request. `request` returns what it brought, "" for nothing at all."""
        began, found, code, error = time.monotonic(), "", "", ""
        try:
            timeout = self.conf.fetch_timeout
            found = item_planner.call_now(request, self.name, self.conf, capability, timeout)
            if not found:
                code, error = NOTHING_SENT, "The source sent nothing at all."
        except SourceError as failure:
            code, error = failure.code, sanitize_message(str(failure))
        return CapabilityCheck(capability, self.market, time.monotonic() - began, found, code, error)

    def _read_list(self) -> str:
        symbols = self.source.symbols(self.market)
        if symbols:
            self.codes = _choose(symbols, self.market)
        return f"{len(symbols):,} stocks" if symbols else ""

    def _fetch_many(self) -> str:
        answers: Mapping[str, Any] = self.source.fetch_many([self._request(code) for code in self.codes])
        for answer in answers.values():
            if isinstance(answer, SourceError):
                raise answer
        return f"bars of {len(answers)} stocks" if any(answers.values()) else ""

    def _check_day(self) -> CapabilityCheck:
        days = trading_days_for(self.market, self.name)
        day = days.expected_before(days.last_closed + timedelta(days=1))
        if self.traits.selects_days and not self.source.offers_day(self.market, day):
            text = f"it does not offer {day} now"
            return CapabilityCheck("day", self.market, found=text, is_skipped=True)

        def fetch() -> str:
            bars = self.source.fetch_day(self.market, day, self.adjust)
            return f"bars of {len(bars):,} stocks on {day}" if bars else ""

        return self._make("day", fetch)

    def _request(self, code: str) -> Request:
        last = trading_days_for(self.market, self.name).last_closed
        first = last - DAYS if self.traits.limits.breaker else LONG_AGO
        return Request(self.market, code, first, last, self.adjust)


def _choose(symbols: Sequence[Symbol], market: str) -> list[str]:
    """Returns two codes of the list as the source writes them: well-known ones, else the first listed."""
    by_code = {canonical_or_same(market, symbol.code): symbol.code for symbol in symbols}
    known = [by_code[code] for code in WELL_KNOWN.get(market, ()) if code in by_code]
    listed = [symbol.code for symbol in symbols if symbol.delisted_on is None]
    return list(dict.fromkeys([*known, *listed[:2]]))[:2]


def _bars(answer: Answer) -> str:
    return f"{len(answer)} bars from {answer[0].day} to {answer[-1].day}" if answer else ""
