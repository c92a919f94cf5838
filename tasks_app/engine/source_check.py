"""Checks what a source can do here: one small request for each of its capabilities, through its limiter.

Nothing is stored.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

from django.utils.translation import gettext as _, ngettext

from tasks_app.conf import Conf
from tasks_app.engine import item_planner
from tasks_app.engine.answers import CheckedSource
from tasks_app.lifecycle import selectors
from tasks_app.market.codes import canonical_or_same
from tasks_app.quotes.trading_days import trading_days_for
from tasks_app.reasons import sanitize_message, translated_unreachable
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, Request, SourceError, Symbol
from tasks_app.sources.traits import SourceTraits
from tasks_app.throttle import holds
from tasks_app.throttle.limiter import let_probe

WELL_KNOWN = {"CN": ("600519", "000001"), "HK": ("00700", "00005"), "US": ("AAPL", "MSFT")}
DAYS = timedelta(days=30)  # of bars
LINE_SECONDS = 90.0  # that a request waits for its permit at most: a minute's quota may be used up
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
    is_empty: bool = False  # the source answered, and has none, such as factors of a stock that never paid

    @property
    def works(self) -> bool:
        """Whether the source answered as it should."""
        return not self.error_code


def check_source(name: str, market: str, conf: Conf) -> Iterator[CapabilityCheck]:
    """Yields the checks of an available source's capabilities in a market.

    A source that can't be made yields its sentence alone. So does one with a session, of which its vendor
    allows one at a time, while a task uses it: the task's session may be that of another machine.
    """
    if reason := registry.why_unusable(name, conf):
        yield CapabilityCheck("settings", market, error_code="source_unusable", error=reason)
        return
    check = _SourceCheck(name, market, conf)
    if not check.source.has_session:
        yield from check.run()
        return
    # Held first and looked for a task then: a task that starts after the look gets no permit.
    with holds.held(name, check.hold_seconds) as check.holder:
        if in_use := _why_session_is_in_use(name) if check.holder else _("It is being checked already."):
            yield CapabilityCheck("session", market, error_code="session_in_use", error=in_use)
            return
        yield from check.run()
        try:  # an open one would keep other machines from theirs
            check.source.end_session()
        except SourceError as failure:
            text = sanitize_message(str(failure))
            yield CapabilityCheck("session", market, error_code=failure.code, error=text)


def _why_session_is_in_use(name: str) -> str:
    """Returns a sentence on the running task that may have a source's session; "" if none does."""
    task = selectors.get_running_task()
    if task is None or name not in (task.source, *task.fallbacks, task.verify_with):
        return ""
    text = _(
        "The vendor allows one session at a time, and task %(task)s may have it: check again once it has"
        " ended."
    )
    return text % {"task": task.pk}


class _SourceCheck:
    def __init__(self, name: str, market: str, conf: Conf) -> None:
        self.name, self.market, self.conf = name, market, conf
        self.source = CheckedSource(registry.get_source(name, conf), conf)
        self.traits: SourceTraits = registry.traits(name, conf)
        self.adjust = "" if "" in self.source.source.adjusts else self.source.source.adjusts[0]
        self.codes: Sequence[str] = WELL_KNOWN.get(market, ())
        self.holder, self.hold_seconds = "", conf.fetch_timeout + LINE_SECONDS

    def run(self) -> Iterator[CapabilityCheck]:
        let_probe([self.name])  # as for a new task: the check is to show whether what was refused is mended
        source, market, traits = self.source, self.market, self.traits
        yield self._make("list", partial(source.symbols, market), self._describe_list)
        if not self.codes:
            return
        requests = [self._request(code) for code in self.codes]
        yield self._make("bars", partial(source.fetch, requests[0]), _describe_bars)
        if traits.batch_size > 1:
            yield self._make("batch", partial(source.fetch_many, requests), _describe_batch)
        if traits.serves_days(market, self.adjust):
            yield self._check_day()
        code = self.codes[0]
        if market in traits.factor_markets:
            yield self._make("factors", partial(source.fetch_factors, market, code), _count_factors)
        if market in traits.action_markets:
            yield self._make("actions", partial(source.fetch_actions, market, code, None), _count_actions)

    def _make(
        self, capability: str, request: Callable[[], Any], describe: Callable[[Any], str]
    ) -> CapabilityCheck:
        """Makes one request. `describe` says what it brought, "" for nothing at all."""
        began, found, code, error, is_empty = time.monotonic(), "", "", "", False
        try:
            if self.holder:
                holds.renew(self.name, self.holder, self.hold_seconds)
            limits: dict[str, Any] = {"timeout": self.conf.fetch_timeout, "holder": self.holder}
            answer = item_planner.call_now(request, self.name, self.conf, capability, **limits)
            found, is_empty = describe(answer), not answer
            if not found:
                code, error = NOTHING_SENT, _("The source sent nothing at all.")
        except SourceError as failure:
            code, error = failure.code, translated_unreachable(sanitize_message(str(failure)))
        seconds = time.monotonic() - began
        return CapabilityCheck(
            capability, self.market, seconds, found, code, error, is_empty=is_empty and not code
        )

    def _describe_list(self, symbols: Sequence[Symbol]) -> str:
        if not symbols:
            return ""
        self.codes = _choose(symbols, self.market)
        return ngettext("%(count)s stock", "%(count)s stocks", len(symbols)) % {"count": f"{len(symbols):,}"}

    def _check_day(self) -> CapabilityCheck:
        days = trading_days_for(self.market, self.name)
        day = days.expected_before(days.last_closed + timedelta(days=1))
        if self.traits.selects_days and not self.source.offers_day(self.market, day):
            text = _("it does not offer %(day)s now") % {"day": day}
            return CapabilityCheck("day", self.market, found=text, is_skipped=True)
        request = partial(self.source.fetch_day, self.market, day, self.adjust)
        return self._make("day", request, partial(_describe_day, day))

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


def _describe_bars(answer: Answer) -> str:
    if not answer:
        return ""
    params = {"count": len(answer), "first": answer[0].day, "last": answer[-1].day}
    text = ngettext(
        "%(count)s bar from %(first)s to %(last)s", "%(count)s bars from %(first)s to %(last)s", len(answer)
    )
    return text % params


def _describe_day(day: date, bars: Mapping[str, Any]) -> str:
    if not bars:
        return ""
    text = ngettext("bars of %(count)s stock on %(day)s", "bars of %(count)s stocks on %(day)s", len(bars))
    return text % {"count": f"{len(bars):,}", "day": day}


def _describe_batch(answers: Mapping[str, Answer | SourceError]) -> str:
    """Raises the error of a stock, if there is one."""
    for answer in answers.values():
        if isinstance(answer, SourceError):
            raise answer
    text = ngettext("bars of %(count)s stock", "bars of %(count)s stocks", len(answers))
    return text % {"count": len(answers)} if any(answers.values()) else ""


def _count_factors(rows: Sequence[Any]) -> str:
    """A stock may well have none."""
    return ngettext("%(count)s factor", "%(count)s factors", len(rows)) % {"count": len(rows)}


def _count_actions(rows: Sequence[Any]) -> str:
    """A stock may well have none."""
    text = ngettext("%(count)s corporate action", "%(count)s corporate actions", len(rows))
    return text % {"count": len(rows)}
