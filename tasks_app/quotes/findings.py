"""Records the findings of validation and the corrections of sources.

All of them are counted on the item, but only a bounded number is listed: a source that sends nothing but
errors must not fill the tables.
"""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.utils.translation import override

from tasks_app.models import Correction, Finding
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes.corrections import DAY_COLUMNS, TRADE_COLUMNS, BarDiff
from tasks_app.quotes.source_comparison import Difference
from tasks_app.quotes.upsert import Provenance
from tasks_app.quotes.validation import ValidationResult
from tasks_app.reasons import FINDINGS, bounded_repr, sanitize_message
from tasks_app.sources.base import Bar, Request

MAX_FINDINGS = 20  # of each kind and item
MAX_CORRECTIONS = 500  # of each item
LARGEST = 2**63  # of a whole number in JSON


def record_findings(request: Request, origin: Provenance, result: ValidationResult) -> None:
    """Lists an item's first 20 refusals and first 20 flags."""
    issues = [(FindingKind.REFUSED, issue) for issue in result.refused[:MAX_FINDINGS]]
    issues += [(FindingKind.FLAGGED, issue) for issue in result.flags[:MAX_FINDINGS]]
    Finding.objects.bulk_create(
        Finding(
            **_shared_fields(request, origin),
            day=issue.day,
            kind=kind,
            code=issue.code,
            source=origin.source,
            message=sanitize_message(issue.message),
            params=issue.params,
            values=_values_of(issue.bar),
        )
        for kind, issue in issues
    )


def record_differences(
    request: Request, origin: Provenance, other: str, differences: Sequence[Difference]
) -> None:
    """Replaces what is listed of the request's days by the newest 20 differences of the two sources.

    A day that was listed and agrees now is no longer listed.
    """
    shared = {"market": request.market, "symbol": request.code, "adjust": request.adjust}
    sources = {"source": origin.source, "other_source": other, "kind": FindingKind.DIFFERS}
    listed = Finding.objects.filter(**shared, **sources, day__range=(request.start, request.end))
    listed.delete()
    params = {"source": origin.source, "other": other}
    Finding.objects.bulk_create(
        Finding(
            **shared,
            **sources,
            item_id=origin.item_id,
            day=each.day,
            code=each.code,
            message=describe_difference(each, params),
            params=params,
            values={name: _plain(value) for name, value in each.here.items()},
            other_values={name: _plain(value) for name, value in each.there.items()},
        )
        for each in differences[-MAX_FINDINGS:]
    )


def describe_difference(difference: Difference, params: dict[str, str]) -> str:
    """Returns the English sentence of a difference."""
    with override("en"):
        return sanitize_message(str(FINDINGS[difference.code]) % {**params, "day": difference.day})


def record_corrections(request: Request, origin: Provenance, corrections: Sequence[BarDiff]) -> None:
    """Lists an item's first 500 corrections one by one; one more row counts the rest."""
    fields = {**_shared_fields(request, origin), "source": origin.source, "replay_id": origin.replay_id}
    rows = [
        Correction(
            **fields, day=diff.new.day, before=diff.before(), after=diff.after(), previous_source=diff.source
        )
        for diff in corrections[:MAX_CORRECTIONS]
    ]
    if rest := corrections[MAX_CORRECTIONS:]:
        rows.append(Correction(**fields, day=rest[0].new.day, bars=len(rest)))
    Correction.objects.bulk_create(rows)


def record_retractions(request: Request, origin: Provenance, removed: Sequence[Bar]) -> None:
    """Lists an item's first 500 bars that its source no longer has, with their values; one row
    counts the rest.
    """
    fields = {**_shared_fields(request, origin), "source": origin.source, "after": {}}
    rows = [
        Correction(**fields, day=bar.day, before={name: getattr(bar, name) for name in TRADE_COLUMNS})
        for bar in removed[:MAX_CORRECTIONS]
    ]
    if rest := removed[MAX_CORRECTIONS:]:
        rows.append(Correction(**{**fields, "after": None}, day=rest[0].day, bars=len(rest)))
    Correction.objects.bulk_create(rows)


def record_rebase(
    request: Request, origin: Provenance, corrections: Sequence[BarDiff], deleted: Sequence[date]
) -> None:
    """Lists an adjusted series that was replaced as a whole in one row: its first day, and how many bars."""
    days = [*(diff.new.day for diff in corrections), *deleted]
    if days:
        fields = {**_shared_fields(request, origin), "source": origin.source}
        Correction.objects.create(**fields, day=min(days), bars=len(days))


def _values_of(bar: Bar) -> dict[str, Any]:
    """Returns a bar's values by column as JSON can hold them: an odd one as text.

    What is said of its day is among them only where something is.
    """
    values = {name: _plain(value) for name, value in zip(Bar._fields[1:], bar[1:], strict=True)}
    return {k: v for k, v in values.items() if v is not None or k not in DAY_COLUMNS}


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, int) and abs(value) < LARGEST:
        return value
    return bounded_repr(value)


def _shared_fields(request: Request, origin: Provenance) -> dict[str, Any]:
    return {
        "item_id": origin.item_id,
        "market": request.market,
        "symbol": request.code,
        "adjust": request.adjust,
    }
