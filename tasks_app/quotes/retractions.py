"""Bars that their source no longer has, such as those of lines that were removed from a file.

Only sources that declare it (`retracts`) are believed, and only by a task that requests everything again
(`force_update`): a vendor's answer may lack bars for many reasons.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import date

from tasks_app.quotes import adjusted_series
from tasks_app.quotes.series import bars_of
from tasks_app.quotes.validation import ValidationResult
from tasks_app.sources.base import Bar, Request


def remove_retracted(
    request: Request,
    source: str,
    result: ValidationResult,
    suspended: Collection[date],
    non_sessions: Callable[[Iterable[date]], list[date]],
) -> list[Bar]:
    """Deletes the stored bars of the source that its answer lacks, and returns them by day.

    Bars before the answer's first bar and after its last are kept, unless no session was held on their day or
    the answer calls the stock suspended on it: a file may have been replaced by one of later years. A refused
    bar is not lacking.
    """
    answered = {bar.day for bar in result.bars} | {issue.day for issue in result.refused}
    stored = bars_of(request.market, request.code, request.adjust).filter(
        source=source, day__range=(request.start, request.end)
    )
    lacking = [day for day in stored.order_by("day").values_list("day", flat=True) if day not in answered]
    if not lacking or not (result.bars or suspended):
        return []
    first, last = (result.bars[0].day, result.bars[-1].day) if result.bars else (date.max, date.min)
    untrue = {*suspended, *non_sessions(lacking)}
    days = [day for day in lacking if first < day < last or day in untrue]
    removed = [Bar(*row) for row in stored.filter(day__in=days).order_by("day").values_list(*Bar._fields)]
    adjusted_series.delete_days(request, days)
    return removed
