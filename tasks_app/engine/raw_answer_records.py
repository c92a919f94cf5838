"""Describes a request of a slice as a call to record: what a replay needs to make it again."""

from collections.abc import Sequence
from datetime import date

from tasks_app.engine.source_router import SourceState, StockRequest
from tasks_app.models import CollectionTask
from tasks_app.models.adjustments import AdjustmentContent
from tasks_app.models.raw_answers import CallKind
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.raw_answers import SourceCallRecord


def record_of(
    task: CollectionTask, source: SourceState, items: Sequence[StockRequest], day: date | None, content: str
) -> SourceCallRecord:
    """Returns the record of a request: for the whole market's day, or of stocks for their bars or `content`.

    A query of its own only for corporate actions.
    """
    market, adjust = task.market, task.adjust
    if day:
        arguments = {"day": day.isoformat()}
        return SourceCallRecord(source.name, market, CallKind.DAY, arguments, adjust, day, day)
    code = items[0].claim.code
    spelled = {source.spelling(item.claim.code): item.claim.code for item in items}
    if content:
        if content == AdjustmentContent.FACTORS:
            return SourceCallRecord(source.name, market, CallKind.FACTORS, {"codes": spelled})
        since = adjustment_data.last_ex_day(market, code, source.name)
        known = {"codes": spelled, "since": since and since.isoformat()}
        return SourceCallRecord(source.name, market, CallKind.ACTIONS, known)
    kind = CallKind.BATCH if len(items) > 1 else CallKind.BARS
    span = items[0].request.start, items[0].request.end
    return SourceCallRecord(source.name, market, kind, {"codes": spelled}, adjust, *span)
