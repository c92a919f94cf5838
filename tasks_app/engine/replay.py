"""Derives bars, factors and corporate actions again from raw answers, and asks nobody.

The source's own code runs over the recorded responses (`derivation`). What comes out is compared with what is
stored, stock by stock, and written by the ordinary writers, so that corrections are recorded and counted.

Of several answers with the same day the newest counts. Nothing is changed that another source stored, nor
what was stored later by an answer that was not recorded or is deleted by now. No bar is deleted: one that no
longer comes out stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple, cast

from django.db.models import F
from django.db.models.functions import Now

from tasks_app.conf import Conf
from tasks_app.engine import replayed_adjustments
from tasks_app.engine.derivation import Derivations
from tasks_app.engine.recorder import validation_context
from tasks_app.engine.request_planner import StoredState, is_full
from tasks_app.lifecycle.events import Actor
from tasks_app.lifecycle.slot import locked_slot, require_free_slot
from tasks_app.models import DailyBar, RawAnswerReplay, RecordedStock, Series, Stock
from tasks_app.models.raw_answers import CallKind
from tasks_app.quotes import (
    absences,
    adjustment_data,
    coverage,
    date_ranges,
    findings,
    series,
    upsert,
    validation,
)
from tasks_app.quotes.corrections import BarDiff, diff_bars, rescale_ratio
from tasks_app.quotes.raw_answers import BARS
from tasks_app.quotes.series import AnsweredDays, bars_of
from tasks_app.quotes.trading_days import trading_days_for
from tasks_app.quotes.upsert import Provenance
from tasks_app.quotes.validation import ValidationResult
from tasks_app.sources.base import Bar, Request, SourceError

STOCKS = 200  # read at once


@dataclass(frozen=True)
class Scope:
    """Whose answers are replayed: a source's, in one market or all (""), of these codes or all.

    `since`: only calls recorded on this day (UTC) or later.
    """

    source: str
    market: str = ""
    codes: tuple[str, ...] = ()
    since: date | None = None

    def links(self) -> Any:
        """Returns the stocks of the recorded calls, as a query."""
        rows = RecordedStock.objects.filter(call__source=self.source)
        if self.market:
            rows = rows.filter(call__market=self.market)
        if self.codes:
            rows = rows.filter(symbol__in=self.codes)
        return rows.filter(call__recorded_at__date__gte=self.since) if self.since else rows

    def stocks(self) -> Iterator[tuple[str, str]]:
        """Yields market and code of each stock that has recorded calls, a page at a time."""
        markets = self.links().values_list("call__market", flat=True).order_by("call__market").distinct()
        for market in list(markets):
            after = ""
            rows = self.links().filter(call__market=market).values_list("symbol", flat=True)
            while page := list(rows.filter(symbol__gt=after).order_by("symbol").distinct()[:STOCKS]):
                yield from ((market, code) for code in page)
                after = page[-1]


class Change(NamedTuple):
    """One value that a replay changes; `old` is None where nothing was stored, `new` where nothing comes."""

    market: str
    code: str
    adjust: str
    day: date | None
    field: str
    old: Any
    new: Any


class Failure(NamedTuple):
    """A recorded call from which nothing can be derived, and why."""

    call_id: int
    code: str  # of the stock
    error_code: str
    error: str


@dataclass
class StockReplay:
    """What the replay of one stock changes, and what it leaves as it is.

    `added` and `corrected` count bars, `adjustments` tables of factors or corporate actions. `later` bars
    were stored by a later answer, `others` by another source; `rescaled` were only compared and have all
    changed by one ratio; `refused` did not pass validation.
    """

    market: str
    code: str
    changes: list[Change] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    derived: int = 0
    added: int = 0
    corrected: int = 0
    adjustments: int = 0
    later: int = 0
    others: int = 0
    rescaled: int = 0
    refused: int = 0


class Chosen(NamedTuple):
    """The bars that one call's answer has for a series: the request, and what validation made of them."""

    link: RecordedStock
    request: Request
    result: ValidationResult
    diffs: list[BarDiff]
    added: list[Bar]


@dataclass
class SeriesState:
    """The stored bars of a series by day, with the days that newer calls have decided, or have answered."""

    row: Series | None
    stored: dict[date, DailyBar]
    decided: set[date] = field(default_factory=set)
    answered: list[date_ranges.DateRange] = field(default_factory=list)


def replay(scope: Scope, conf: Conf) -> Iterator[StockReplay]:
    """Yields what a replay would change, stock by stock; writes nothing.

    Raises `SourceError` if the source can't be made here.
    """
    derivations = Derivations(scope.source, conf)
    for market, code in scope.stocks():
        yield _StockReplayer(scope, derivations, market, code).run()


def write(scope: Scope, conf: Conf, actor: Actor) -> Iterator[tuple[RawAnswerReplay, StockReplay]]:
    """Replays and writes stock by stock, each in a transaction of its own, and records who had it done.

    Yields the record after each stock. Raises `TaskAlreadyRunning` while a task runs: none is started during
    a stock, but one may be between two. A replay that was interrupted can be made again.
    """
    derivations = Derivations(scope.source, conf)
    with locked_slot():
        require_free_slot()
        record = RawAnswerReplay.objects.create(
            source=scope.source,
            market=scope.market,
            codes=list(scope.codes),
            since=scope.since,
            user=actor.user,
            user_name=actor.name,
            channel=actor.channel,
        )
    for market, code in scope.stocks():
        done = _StockReplayer(scope, derivations, market, code).run()  # parsing takes time
        if done.changes:
            with locked_slot():
                require_free_slot()
                done = _StockReplayer(scope, derivations, market, code, record.pk).run()
                _count(record, done)
        yield record, done
    RawAnswerReplay.objects.filter(pk=record.pk).update(ended_at=Now())
    coverage.forget_cached()


def _count(record: RawAnswerReplay, done: StockReplay) -> None:
    counts = {name: F(name) + getattr(done, name) for name in ("added", "corrected", "adjustments")}
    changed = int(bool(done.changes))
    RawAnswerReplay.objects.filter(pk=record.pk).update(stocks=F("stocks") + changed, **counts)


class _StockReplayer:
    """Replays one stock. With `replay_id` it writes, in the caller's transaction."""

    def __init__(
        self, scope: Scope, derivations: Derivations, market: str, code: str, replay_id: int | None = None
    ) -> None:
        self.scope, self.derivations, self.replay_id = scope, derivations, replay_id
        self.market, self.code = market, code
        self.done = StockReplay(market, code)
        self.stock = Stock.objects.filter(market=market, code=code).first()

    def run(self) -> StockReplay:
        links = self.scope.links().filter(call__market=self.market, symbol=self.code)
        newest_first = list(links.select_related("call").order_by("-call_id"))
        by_adjust: dict[str, list[RecordedStock]] = {}
        for link in newest_first:
            if link.call.kind in BARS:
                by_adjust.setdefault(link.call.adjust, []).append(link)
        for adjust, of_series in by_adjust.items():
            self._replay_series(adjust, of_series)
        for kind in (CallKind.FACTORS, CallKind.ACTIONS):
            if link := next((one for one in newest_first if one.call.kind == kind), None):
                self._replay_adjustments(link)
        return self.done

    def _replay_series(self, adjust: str, links: Sequence[RecordedStock]) -> None:
        """Finds what changes in one series, and writes it."""
        row = Series.objects.filter(market=self.market, symbol=self.code, adjust=adjust).first()
        bars_by_day = {bar.day: bar for bar in bars_of(self.market, self.code, adjust).iterator()}
        state = SeriesState(row, bars_by_day)
        chosen: list[Chosen] = []
        for link in links:
            first, last = cast(date, link.call.first_day), cast(date, link.call.last_day)
            request = Request(self.market, self.code, first, last, adjust)
            try:
                bars = self.derivations.bars_of(link)
            except SourceError as error:
                self._note_failure(link, error)
                continue
            context = validation_context(
                request, StoredState(row, self.stock), trading_days_for(self.market, self.scope.source)
            )
            result = validation.validate(bars, request, context)
            self.done.derived += len(bars)
            self.done.refused += len(result.refused)
            one = self._choose(state, link, request, result)
            if one.diffs or one.added:
                chosen.append(one)
            state.answered.append((first, last))
        if chosen and self.replay_id:
            self._write(row, chosen)

    def _choose(
        self, state: SeriesState, link: RecordedStock, request: Request, result: ValidationResult
    ) -> Chosen:
        """Takes from a call's bars those of days that no newer call has decided; notes their changes."""
        diffs: list[BarDiff] = []
        chosen = Chosen(link, request, result, diffs, [])
        for bar in result.bars:
            if bar.day in state.decided:
                continue
            old = state.stored.get(bar.day)
            if old is None:
                if not any(start <= bar.day <= end for start, end in state.answered):
                    state.decided.add(bar.day)
                    chosen.added.append(bar)
                continue
            state.decided.add(bar.day)
            if old.source != self.scope.source:
                self.done.others += 1
            elif old.item_id != link.item_id and old.collected_at > link.recorded_at:
                self.done.later += 1
            elif diff := diff_bars(_bar_of(old), bar, same_source=True, source=old.source):
                diffs.append(diff)
        self._leave_rescaled(link, diffs, state.decided)
        for bar in chosen.added:
            values = {name: (None, value) for name, value in bar._asdict().items() if value is not None}
            self._note(request.adjust, bar.day, values)
        for diff in diffs:
            values = {name: (getattr(diff.old, name), getattr(diff.new, name)) for name in diff.columns}
            self._note(request.adjust, diff.new.day, values)
        self.done.added += len(chosen.added)
        self.done.corrected += len(diffs)
        return chosen

    def _leave_rescaled(self, link: RecordedStock, diffs: list[BarDiff], decided: set[date]) -> None:
        """Leaves compared bars whose prices all changed by one ratio to older calls, as a collection does."""
        first = link.missing_from
        compared = [diff for diff in diffs if first and diff.new.day < first and not link.call.adjust]
        if rescale_ratio([diff for diff in compared if diff.is_correction]) is None:
            return
        self.done.rescaled += len(compared)
        for diff in compared:
            diffs.remove(diff)
            decided.discard(diff.new.day)

    def _write(self, row: Series | None, chosen: Sequence[Chosen]) -> None:
        """Writes the changes of one series, the oldest call's first."""
        days = trading_days_for(self.market, self.scope.source)
        covered = date_ranges.parse(row.covered) if row else []
        new_days: list[date] = []
        for link, request, result, diffs, added in reversed(chosen):
            origin = Provenance(self.scope.source, link.item_id, self.replay_id)
            bars = sorted([*added, *(diff.new for diff in diffs)], key=lambda bar: bar.day)
            stored = upsert.upsert_bars(request, origin, bars)
            findings.record_corrections(request, origin, stored.corrections)
            changed = {bar.day for bar in bars}
            flags = [flag for flag in result.flags if flag.day in changed]
            findings.record_findings(request, origin, replace(result, refused=[], flags=flags))
            adjustment_data.mark_ex_days_of(request, bars)
            if added:
                covered = date_ranges.add_range(covered, (added[0].day, added[-1].day), days.contiguous)
                new_days += [bar.day for bar in added]
        if not new_days:
            return
        absent = absences.parse(row.absences) if row else []
        absent = absences.clear(absent, [(day, day) for day in sorted(new_days)])
        answered = AnsweredDays(covered, absent, is_full(self.stock, covered, days))
        request = chosen[0].request
        series.update_series(request, row, (), upsert.UpsertResult(), answered, recount=True)
        upsert.save_stock(self.market, self.code, answered.is_full and not (row and row.full_at))

    def _replay_adjustments(self, link: RecordedStock) -> None:
        """Finds what changes in the stock's factors or corporate actions, and writes it."""
        try:
            rows = self.derivations.adjustments_of(link)
        except SourceError as error:
            self._note_failure(link, error)
            return
        changes, is_later = replayed_adjustments.replace_table(link, rows, write=bool(self.replay_id))
        self.done.later += is_later
        self.done.adjustments += bool(changes)
        self.done.changes += [Change(self.market, self.code, "", *change) for change in changes]

    def _note(self, adjust: str, day: date, values: dict[str, tuple[Any, Any]]) -> None:
        """Notes the changed values of a bar: pairs of the old and the new one by column."""
        self.done.changes += [
            Change(self.market, self.code, adjust, day, name, *pair)
            for name, pair in values.items()
            if name != "day"
        ]

    def _note_failure(self, link: RecordedStock, error: SourceError) -> None:
        self.done.failures.append(Failure(link.call_id, self.code, error.code, str(error)))


def _bar_of(row: Any) -> Bar:
    return Bar._make(getattr(row, name) for name in Bar._fields)
