"""Runs a source's own code over recorded calls. Nobody is asked: see `sources.raw_answers`."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from tasks_app.conf import Conf
from tasks_app.engine.answers import CheckedSource, to_source_error
from tasks_app.market.codes import canonical_or_same
from tasks_app.models import RecordedCall, RecordedStock
from tasks_app.models.raw_answers import CallKind
from tasks_app.quotes import raw_answers
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, CorporateActions, Factor, Request, SourceError
from tasks_app.sources.raw_answers import replaying

KEPT = 32  # answers: those for many stocks are needed for the next ones, too; a day of China takes 3 MB


class Derivations:
    """What the source makes of its recorded calls. Every method raises `SourceError` as the source does."""

    def __init__(self, source: str, conf: Conf) -> None:
        self.source = CheckedSource(registry.make_here(source, conf), conf)
        self._answers: OrderedDict[int, Any] = OrderedDict()  # by the call's id: an answer, or its error

    def bars_of(self, link: RecordedStock) -> Sequence[Bar]:
        """Returns the stock's bars in a call's answer."""
        answer = self._answer(link.call)
        if isinstance(answer, SourceError):
            raise answer
        if link.call.kind == CallKind.BARS:
            bars: Sequence[Bar] = answer
            return bars
        found = answer.get(link.symbol, ())
        if isinstance(found, SourceError):
            raise found
        return [found] if isinstance(found, Bar) else list(found)

    def adjustments_of(self, link: RecordedStock) -> list[Factor] | CorporateActions:
        """Returns the stock's factors or corporate actions in a call's answer."""
        answer: Any = self._answer(link.call)
        if isinstance(answer, SourceError):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _answer(self, call: RecordedCall) -> Any:
        if call.pk not in self._answers:
            self._answers[call.pk] = self._derive(call)
        self._answers.move_to_end(call.pk)
        if len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return self._answers[call.pk]

    def _derive(self, call: RecordedCall) -> Any:
        """Returns what the source makes of the recorded responses, or the error that it raises."""
        derive = {
            CallKind.BARS: self._bars,
            CallKind.BATCH: self._batch,
            CallKind.DAY: self._day,
            CallKind.FACTORS: self._factors,
            CallKind.ACTIONS: self._actions,
        }[CallKind(call.kind)]
        exchanges = raw_answers.exchanges_of(call)
        try:
            with replaying(exchanges, call.asked_at):
                return derive(call)
        except Exception as error:  # a source's code may raise anything
            return to_source_error(error)

    def _bars(self, call: RecordedCall) -> Sequence[Bar]:
        (request,) = _requests(call)
        return self.source.fetch(request)

    def _batch(self, call: RecordedCall) -> Mapping[str, Any]:
        answers = self.source.fetch_many(_requests(call))
        codes: dict[str, str] = call.arguments["codes"]
        return {codes[spelled]: answer for spelled, answer in answers.items()}

    def _day(self, call: RecordedCall) -> Mapping[str, Bar]:
        day = date.fromisoformat(call.arguments["day"])
        bars = self.source.fetch_day(call.market, day, call.adjust)
        return {canonical_or_same(call.market, code): bar for code, bar in bars.items()}

    def _factors(self, call: RecordedCall) -> list[Factor]:
        return self.source.fetch_factors(call.market, _code(call))

    def _actions(self, call: RecordedCall) -> CorporateActions:
        since = call.arguments["since"]
        return self.source.fetch_actions(call.market, _code(call), since and date.fromisoformat(since))


def _code(call: RecordedCall) -> str:
    """Returns the stock's code as the source writes it."""
    (code,) = call.arguments["codes"]
    return str(code)


def _requests(call: RecordedCall) -> list[Request]:
    make = partial(Request, call.market)
    return [make(code, call.first_day, call.last_day, call.adjust) for code in call.arguments["codes"]]  # type: ignore[arg-type]
