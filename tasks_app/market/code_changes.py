"""Changes of codes: under which code a security was traded before."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.history.versions import Moment, known_rows
from tasks_app.market.calendars import DAY
from tasks_app.market.codes import MAX_NAMED
from tasks_app.models import CodeChange


class Predecessor(NamedTuple):
    """An earlier code of a security, and the day from which it was no longer its code."""

    code: str
    until: date


class CodePair(NamedTuple):
    """A change of code as a file tells it."""

    old: str
    new: str
    on: date


def predecessors(market: str, code: str, moment: Moment | None = None) -> list[Predecessor]:
    """Returns a security's earlier codes, the latest first. Takes a query for each, and one more.

    With a moment, as they were known then.
    """
    known = {row.new_code: row for row in known_rows(CodeChange, moment, market)} if moment else None
    found: list[Predecessor] = []
    while change := _change_to(market, code) if known is None else known.get(code):
        until = min([change.changed_on, *(one.until for one in found)])
        code = change.old_code
        if code in {one.code for one in found}:  # a circle: told wrongly
            break
        found.append(Predecessor(code, until))
    return found


def _change_to(market: str, code: str) -> CodeChange | None:
    return CodeChange.objects.filter(market=market, new_code=code).first()


def changes_of(market: str, moment: Moment | None = None) -> list[CodePair]:
    """Returns all changes of a market; with a moment, as they were known then."""
    rows = known_rows(CodeChange, moment, market)
    return [CodePair(row.old_code, row.new_code, row.changed_on) for row in rows]


def moved_days(changes: Iterable[CodePair]) -> dict[str, date]:
    """Returns, of each code that became another, the first day that is not read under a later code instead.

    The days before are those that `predecessors` gives to the later codes. Codes in a circle, which was told
    wrongly, keep their days.
    """
    by_old = {change.old: change for change in changes}
    moved = {}
    for old in by_old:
        seen, code, until = {old}, old, date.max
        while change := by_old.get(code):
            code, until = change.new, min(until, change.on)
            if code in seen:
                break
            seen.add(code)
        else:
            moved[old] = until
    return moved


def is_traded() -> Q:
    """Returns the condition that further sessions of a stock are expected: not delisted, and no new code."""
    became_another = Exists(CodeChange.objects.filter(market=OuterRef("market"), old_code=OuterRef("code")))
    return Q(delisted_on__isnull=True) & ~Q(became_another)


def last_day(market: str, code: str) -> date:
    """Returns the day before a code became another one; `date.max` for one that did not."""
    change = successor(market, code)
    return change.changed_on - DAY if change else date.max


def last_days(market: str) -> dict[str, date]:
    """Returns `last_day` of each code of the market that became another one."""
    changes = CodeChange.objects.filter(market=market)
    return {old: changed_on - DAY for old, changed_on in changes.values_list("old_code", "changed_on")}


def successor(market: str, code: str) -> CodeChange | None:
    """Returns the change by which a code became another one."""
    return CodeChange.objects.filter(market=market, old_code=code).first()


def describe_changes(market: str, codes: Sequence[str]) -> str:
    """Returns a sentence on those of the codes that became others; "" without any."""
    changes = CodeChange.objects.filter(market=market, old_code__in=codes).order_by("old_code")
    few = ", ".join(f"{change} ({change.changed_on})" for change in changes[:MAX_NAMED])
    return _("Codes have changed: %(changes)s.") % {"changes": few} if few else ""


def store_changes(market: str, pairs: Sequence[CodePair]) -> int:
    """Stores changes of codes; one of a known old code replaces it. Returns the number of changes.

    Raises `CodeChangeConflict`, and stores nothing, if two old codes have the same new one.
    """
    try:
        with transaction.atomic():
            for pair in pairs:
                CodeChange.objects.update_or_create(
                    market=market,
                    old_code=pair.old,
                    defaults={"new_code": pair.new, "changed_on": pair.on},
                )
    except IntegrityError as error:
        raise errors.CodeChangeConflict(old=pair.old, new=pair.new) from error
    return len(pairs)


def remove_change(market: str, old_code: str) -> bool:
    """Removes a change, so that reads of the new code no longer join the old one's bars.

    Returns whether there was one.
    """
    return CodeChange.objects.filter(market=market, old_code=old_code).delete()[0] > 0
