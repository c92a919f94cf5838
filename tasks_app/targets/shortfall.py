"""What a session lacks under a target: which securities, why if that is known, and the order for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.conf import settings
from django.utils.translation import gettext as _

from tasks_app import reasons
from tasks_app.market import calendars
from tasks_app.models import CollectionItem, CollectionTask, Stock, Target, TargetSession
from tasks_app.models.states import OPEN_STATES, ItemState, TaskStatus
from tasks_app.orders.order import MAX_CODES, Order
from tasks_app.quotes.market_days import MarketListing
from tasks_app.sources import registry
from tasks_app.targets.contents import Contents, read_contents

PAGE = 50  # securities
TASKS = 20  # the newest that requested the session


@dataclass(frozen=True)
class Lack:
    """A security without the session's bar, and why; `item` is that of the newest task that asked for it."""

    code: str
    name: str
    why: str
    item: CollectionItem | None = None


@dataclass(frozen=True)
class Shortfall:
    """What is stored of a session now, and what is still to be collected."""

    target: Target
    session: date
    contents: Contents
    listed: int

    @property
    def order(self) -> Order | None:
        """The order that collects exactly what is missing; None if nothing is.

        That is the whole list where everything is missing, nothing is known, or more is missing than an
        order may name. Bars of another source count as stored: they are requested again from the target's.
        """
        missing = self.contents.missing
        if not missing and self.listed:
            return None
        names_all = len(missing) == self.listed or len(missing) > MAX_CODES
        return Order(
            start_date=self.session,
            end_date=self.session,
            stock_codes=None if names_all else tuple(missing),
            market=self.target.market,
            source=source_of(self.target),
            adjust=self.target.adjust,
            kind=self.target.kind,
            force_update=bool(self.target.source),
        )


def read_shortfall(row: TargetSession) -> Shortfall:
    """Returns what the session lacks now, whatever was judged. Reads a bar or a series per security."""
    listing = MarketListing(row.target.market, row.target.kind)
    contents = read_contents(row.target, listing, row.session, row.minimum)
    return Shortfall(row.target, row.session, contents, len(listing.listed_on(row.session)))


def source_of(target: Target) -> str:
    """Returns the source that is asked for what is missing: the target's, else the market's; "" for none."""
    return target.source or registry.choose_source(target.market, settings.COLLECTOR) or ""


def explain_missing(shortfall: Shortfall, codes: Sequence[str], now: datetime | None = None) -> list[Lack]:
    """Returns why these of the missing codes have no bar: what the newest task that asked for them says.

    `now` (aware; default: the host's clock) decides whether a source has the session by now.
    """
    names, items = _names(shortfall.target, codes), dict(_newest_items(shortfall, codes))
    otherwise = _not_collected(shortfall.target, shortfall.session, now)
    return [
        Lack(
            code, names.get(code, ""), _of_item(items[code]) if code in items else otherwise, items.get(code)
        )
        for code in codes
    ]


def explain_reasons(shortfall: Shortfall, codes: Sequence[str]) -> list[Lack]:
    """Returns the recorded reasons of those of the codes that have one."""
    names, known = _names(shortfall.target, codes), shortfall.contents.reasons
    market = shortfall.target.market
    return [Lack(code, names.get(code, ""), known[code].describe(market)) for code in codes if code in known]


def _names(target: Target, codes: Sequence[str]) -> dict[str, str]:
    stocks = Stock.objects.filter(market=target.market, code__in=codes)
    return dict(stocks.values_list("code", "name"))


def _newest_items(shortfall: Shortfall, codes: Sequence[str]) -> Iterator[tuple[str, CollectionItem]]:
    """Yields the items of the codes in the newest tasks that requested the session, the newest last."""
    target, day = shortfall.target, shortfall.session
    tasks = CollectionTask.objects.filter(
        market=target.market, adjust=target.adjust, start_date__lte=day, end_date__gte=day
    )
    newest = list(tasks.order_by("-start_time", "-id").values_list("pk", flat=True)[:TASKS])
    items = CollectionItem.objects.filter(task__in=newest, code__in=codes).select_related("task")
    heavy = ("task__stock_codes", "task__unknown_codes", "task__shares")
    yield from ((item.code, item) for item in items.defer(*heavy).order_by("task__start_time", "task__id"))


def _of_item(item: CollectionItem) -> str:
    """Returns in one sentence what became of a stock that a task asked for."""
    if item.state == ItemState.FAILED:
        said = reasons.translated_reason(item.error_code) or item.error_message or item.error_code
        return _("failed: %(reason)s") % {"reason": said}
    if item.state in OPEN_STATES and item.task.status == TaskStatus.RUNNING:
        return _("is being collected")
    if item.state in OPEN_STATES:
        return _("its task ended before it was requested")
    return _("requested, and the source had no final answer yet")


def _not_collected(target: Target, day: date, now: datetime | None) -> str:
    """Returns why a stock is missing that no task has asked for: nobody did, or no source has the day yet."""
    source = source_of(target)
    if source in registry.available(settings.COLLECTOR):
        ready_at = registry.traits(source, settings.COLLECTOR).ready_at
        if ready_at is not None and day > calendars.last_day_ready_at(target.market, ready_at, now):
            told = {"source": source, "time": f"{ready_at:%H:%M}"}
            return _("not due yet: %(source)s has the session from %(time)s on") % told
    return _("not collected")
