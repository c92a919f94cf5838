"""What is stored of a session under a target, and when it became complete.

A session is complete as a day is sealed (`quotes.sealed_days`): of the listed securities each has a bar or a
recorded reason. A target that demands just that takes the sealing and its time. Adjusted bars, those of one
source and a lower minimum are counted here in the same way; such a session is complete when the last of the
bars that it needs was stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from tasks_app.models import DailyBar, MarketDay, Series, Target
from tasks_app.quotes import market_days
from tasks_app.quotes.gaps import Reason
from tasks_app.quotes.market_days import BATCH, MarketListing


@dataclass(frozen=True)
class Contents:
    """Bars, securities without a bar for a recorded reason, and the codes of those that are missing.

    `complete_at` is None unless enough of them are there.
    """

    bars: int
    reasons: dict[str, Reason]
    missing: Sequence[str]
    complete_at: datetime | None = None


def sealing_of(target: Target, day: date) -> MarketDay | None:
    """Returns the sealed day that makes the session complete, if the target is met by it and it is sealed."""
    if not target.is_of_sealed_days:
        return None
    sealed = MarketDay.objects.filter(sealed_at__isnull=False)
    return sealed.filter(market=target.market, kind=target.kind, day=day).first()


def read_contents(target: Target, listing: MarketListing, day: date, minimum: Decimal) -> Contents:
    """Returns what is stored of the session now. Reads a bar or a series per listed security, in batches."""
    rows = list(_bars(target, listing, day))
    stored = {code: at for code, source, at in rows if target.source in ("", source)}
    others = {code for code, _source, _at in rows} - stored.keys()  # bars of another source
    without = [code for code in listing.listed_on(day) if code not in stored]
    answered = dict(_answered(target, without))
    reasons = market_days.reasons_on(target.market, day, without, target.adjust)
    excused = {}
    for code in without:
        counts = not target.source or reasons[code].source in ("", target.source)
        # One that was never asked for is missing also where others show that the source has no quotes.
        if code in answered and counts and code not in others and not reasons[code].is_open:
            excused[code] = reasons[code]
    missing = [code for code in without if code not in excused]
    complete_at = None
    if sealing := sealing_of(target, day):
        complete_at = sealing.sealed_at
    elif not target.is_of_sealed_days:
        times = [*((at, True) for at in stored.values()), *((answered[code], False) for code in excused)]
        complete_at = completed_at(times, len(missing), minimum)
    return Contents(len(stored), excused, missing, complete_at)


def completed_at(stored: Iterable[tuple[datetime, bool]], missing: int, minimum: Decimal) -> datetime | None:
    """Returns when enough was stored: at least `minimum` percent of those without a reason had their bar.

    `stored` has the time of each bar (True) and of each reason (False). None if that is not so yet; a session
    without any bar is never complete.
    """
    times = sorted(stored)
    bars, lacking = 0, missing + len(times)
    for at, is_bar in times:
        bars, lacking = bars + is_bar, lacking - 1
        if bars and bars * 100 >= minimum * (bars + lacking):
            return at
    return None


def _bars(target: Target, listing: MarketListing, day: date) -> Iterable[tuple[str, str, datetime]]:
    """Yields the codes with a bar of the day, its source, and when it was stored."""
    bars = DailyBar.objects.filter(market=target.market, adjust=target.adjust, day=day)
    codes = listing.codes()
    for first in range(0, len(codes), BATCH):
        batch = bars.filter(symbol__in=codes[first : first + BATCH])
        yield from batch.values_list("symbol", "source", "collected_at")


def _answered(target: Target, codes: Sequence[str]) -> Iterable[tuple[str, datetime]]:
    """Yields those of the codes of which something was ever asked, and when that was last written."""
    series = Series.objects.filter(market=target.market, adjust=target.adjust)
    for first in range(0, len(codes), BATCH):
        batch = series.filter(symbol__in=codes[first : first + BATCH])
        yield from batch.values_list("symbol", "updated_at")
