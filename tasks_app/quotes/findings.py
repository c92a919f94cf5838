"""What is written down beside the bars: findings of the checks, corrections by the sources.

All are counted; of one item so many are listed, that a source gone mad fills no table.
"""

from collections.abc import Sequence
from datetime import date

from tasks_app.models import Correction, Finding
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes.corrections import BarDiff
from tasks_app.quotes.upsert import Provenance
from tasks_app.quotes.validation import Flag, Rejection, ValidationResult
from tasks_app.sources.base import Request

MAX_FINDINGS = 20
MAX_CORRECTIONS = 500


def record_findings(request: Request, origin: Provenance, sifted: ValidationResult) -> None:
    """List what the checks said: of the refused bars and of the flagged ones the first 20 each."""
    rows = [_finding(origin, request, FindingKind.REFUSED, one) for one in sifted.rejected[:MAX_FINDINGS]]
    rows += [_finding(origin, request, FindingKind.FLAGGED, one) for one in sifted.flags[:MAX_FINDINGS]]
    if rows:
        Finding.objects.bulk_create(rows)


def record_corrections(request: Request, origin: Provenance, corrections: Sequence[BarDiff]) -> None:
    """List corrected bars with what changed; past 500 of an item one line tells how many more there were."""
    rows = [
        _correction(request, origin, one.new.day, before=one.before(), after=one.after())
        for one in corrections[:MAX_CORRECTIONS]
    ]
    if more := corrections[MAX_CORRECTIONS:]:
        rows.append(_correction(request, origin, more[0].new.day, bars=len(more)))
    if rows:
        Correction.objects.bulk_create(rows)


def record_rebase(
    request: Request, origin: Provenance, corrections: Sequence[BarDiff], gone: Sequence[date]
) -> None:
    """List an adjusted series that moved as a whole: one line."""
    days = sorted([*(one.new.day for one in corrections), *gone])
    if days:
        _correction(request, origin, days[0], bars=len(days)).save()


def _finding(origin: Provenance, request: Request, kind: FindingKind, one: Rejection | Flag) -> Finding:
    return Finding(
        item_id=origin.item_id,
        market=request.market,
        symbol=request.code,
        adjust=request.adjust,
        day=one.day,
        kind=kind,
        code=one.code,
        message=one.message.replace("\0", "")[:500],
    )


def _correction(request: Request, origin: Provenance, day: date, **fields: object) -> Correction:
    return Correction(
        item_id=origin.item_id,
        market=request.market,
        symbol=request.code,
        adjust=request.adjust,
        day=day,
        source=origin.source,
        **fields,
    )
