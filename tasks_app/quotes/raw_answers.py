"""Raw answers as they are stored: what the calls of sources brought, for which stocks, and how much is kept.

A content is locked by whoever adds an answer that has it, and by whoever deletes it: it is deleted only once
no answer refers to it, and never while one is added.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar, cast

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now

from tasks_app.models import DailyBar, RawAnswer, RawContent, RecordedCall, RecordedStock
from tasks_app.models.raw_answers import CallKind
from tasks_app.sources.raw_answers import Exchange, Recording, recording

T = TypeVar("T")
MEGABYTE = 1_000_000
BATCH, ROWS = 200, 10_000  # calls, and rows of their stocks; a larger batch would make others wait
BARS = (CallKind.BARS, CallKind.BATCH, CallKind.DAY)


@dataclass(eq=False)
class SourceCallRecord:
    """A call of a source that is recorded; see `RecordedCall` for the fields."""

    source: str
    market: str
    kind: str
    arguments: dict[str, Any]
    adjust: str = ""
    first_day: date | None = None
    last_day: date | None = None
    error_code: str = ""
    asked_at: datetime = datetime.min
    recording: Recording = field(default_factory=Recording)
    row_id: int | None = None  # of a row that may not have been committed

    def make(self, function: Callable[[], T]) -> T:
        """Makes the call in this thread, and records its exchanges."""
        self.asked_at = datetime.now(UTC)
        with recording(self.recording):
            return function()


def save(
    calls: Iterable[SourceCallRecord], item_id: int, symbol: str, missing_from: date | None = None
) -> None:
    """Stores the calls that were made for an item, in the caller's transaction; each call once.

    Call it right before the item is recorded: nothing else may be locked after the contents but the task.
    `missing_from`: the days of the calls before it were only compared.
    """
    kept = [call for call in calls if call.recording.exchanges]
    if not kept:
        return
    new = [call for call in kept if not _is_stored(call)]
    _save_contents([exchange for call in new for exchange in call.recording.exchanges])
    for call in new:
        _save_call(call)
    RecordedStock.objects.bulk_create(
        RecordedStock(
            call_id=cast(int, call.row_id), item_id=item_id, symbol=symbol, missing_from=missing_from
        )
        for call in kept
    )


def _is_stored(call: SourceCallRecord) -> bool:
    """Whether an earlier item's transaction has stored the call, and nobody has deleted it since."""
    if call.row_id is None:
        return False
    same = RecordedCall.objects.filter(pk=call.row_id, source=call.source, kind=call.kind)
    return same.filter(asked_at=call.asked_at).exists()  # SQLite uses the id of a lost row again


def _save_call(call: SourceCallRecord) -> None:
    names = ("source", "market", "adjust", "kind", "arguments", "first_day", "last_day", "error_code")
    row = RecordedCall.objects.create(asked_at=call.asked_at, **{name: getattr(call, name) for name in names})
    call.row_id = row.pk
    RawAnswer.objects.bulk_create(
        RawAnswer(call=row, position=place, asked=one.asked, about=one.about, content_id=one.sha256)
        for place, one in enumerate(call.recording.exchanges)
    )


def _save_contents(exchanges: Sequence[Exchange]) -> None:
    """Adds the contents that are not stored, and locks the others, always in the same order."""
    contents = {
        one.sha256: RawContent(
            sha256=one.sha256, size=one.size, stored_size=len(one.content), data=one.content
        )
        for one in exchanges
    }
    RawContent.objects.bulk_create(
        [contents[sha256] for sha256 in sorted(contents)],
        update_conflicts=True,
        unique_fields=["sha256"],
        update_fields=["size"],
    )


def calls_of_item(item_id: int) -> QuerySet[RecordedCall]:
    """Returns the calls that were made for an item, in their order."""
    stocks = RecordedStock.objects.filter(item_id=item_id)
    return RecordedCall.objects.filter(pk__in=stocks.values("call_id")).order_by("pk")


def call_of_bar(bar: DailyBar) -> RecordedCall | None:
    """Returns the call whose answer the stored bar came from; None if it was not recorded or is deleted."""
    call_id = calls_of_bars([bar]).get(bar.pk)
    return RecordedCall.objects.filter(pk=call_id).first() if call_id else None


def calls_of_bars(bars: Collection[DailyBar]) -> dict[int, int]:
    """Returns the ids of the calls whose answers these stored bars came from, by the bars' ids. One query.

    A bar came from the calls of the item that stored it: from the newest one that answered for its day.
    """
    items = {bar.item_id for bar in bars if bar.item_id}
    codes = {bar.symbol for bar in bars}
    calls = RecordedStock.objects.filter(
        item_id__in=items, symbol__in=codes, call__kind__in=BARS, call__error_code=""
    ).order_by("call_id")
    columns = ("item_id", "symbol", "call__source", "call__adjust", "call__first_day", "call__last_day")
    found: dict[int, int] = {}
    for item, symbol, source, adjust, first, last, call in calls.values_list(*columns, "call_id"):
        for bar in bars:
            key = (bar.item_id, bar.symbol, bar.source, bar.adjust)
            if key == (item, symbol, source, adjust) and first <= bar.day <= last:
                found[bar.pk] = call
    return found


def exchanges_of(call: RecordedCall) -> list[Exchange]:
    """Returns a call's recorded exchanges, in their order."""
    answers = RawAnswer.objects.filter(call=call).select_related("content").order_by("position")
    return [
        Exchange(one.asked, one.about, bytes(one.content.data), one.content_id, one.content.size)
        for one in answers
    ]


def kept_bytes() -> int:
    """Returns the compressed size of all contents; reads one index."""
    return RawContent.objects.aggregate(total=Sum("stored_size"))["total"] or 0


def delete_old(megabytes: int, days: int) -> int:
    """Deletes up to a batch of the oldest calls, in the caller's transaction. Returns how many.

    These are the calls recorded more than `days` days ago, and the oldest ones while all contents together
    have more than `megabytes`.
    """
    old = RecordedCall.objects.filter(recorded_at__lt=Now() - timedelta(days=days))
    if deleted := delete_calls(old):
        return deleted
    excess = kept_bytes() - megabytes * MEGABYTE
    return delete_calls(RecordedCall.objects.all(), excess) if excess > 0 else 0


def delete_calls(calls: QuerySet[RecordedCall], size: int = 0) -> int:
    """Deletes up to a batch of these calls, the oldest first, in the caller's transaction.

    With `size` no more than have contents of so many bytes. Returns how many were deleted.
    """
    keys = list(calls.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
    keys = keys[: _count_deletable(keys, size)]
    if not keys:
        return 0
    answers = RawAnswer.objects.filter(call_id__in=keys)
    contents = set(answers.values_list("content_id", flat=True))
    answers.delete()
    RecordedStock.objects.filter(call_id__in=keys).delete()
    RecordedCall.objects.filter(pk__in=keys).delete()
    oldest = RecordedCall.objects.aggregate(oldest=Min("pk"))["oldest"]
    # Of a day whose call was deleted while a worker still held it.
    RecordedStock.objects.filter(Q(call_id__lt=oldest) if oldest else Q()).delete()
    _delete_unused(contents)
    return len(keys)


def _count_deletable(keys: Sequence[int], size: int) -> int:
    """Returns how many of the calls to delete at once: by the size of their contents, and their rows."""
    sizes = dict(
        RawAnswer.objects.filter(call_id__in=keys)
        .values_list("call_id")
        .annotate(total=Sum("content__stored_size"))
    )
    stocks = dict(
        RecordedStock.objects.filter(call_id__in=keys).values_list("call_id").annotate(total=Count("pk"))
    )
    found = rows = 0
    for number, key in enumerate(keys, 1):
        found, rows = found + sizes.get(key, 0), rows + stocks.get(key, 0)
        if rows >= ROWS or 0 < size <= found:
            return number
    return len(keys)


def _delete_unused(contents: Iterable[str]) -> None:
    """Deletes those of the contents that no answer has any more.

    They are locked first: only then is it certain that no other transaction is about to add an answer.
    """
    rows = RawContent.objects.filter(pk__in=list(contents)).order_by("pk")
    locked = list(rows.select_for_update().values_list("pk", flat=True))
    answers = RawAnswer.objects.filter(content=OuterRef("pk"))
    RawContent.objects.filter(~Exists(answers), pk__in=locked).delete()
