"""What an export holds: its layout and the bars it selects."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet

from tasks_app.models import DailyBar, Series

PARQUET = "parquet"


@dataclass(frozen=True)
class Selection:
    """A layout, and which bars it has; empty values select all.

    `first` and `last` are days, both included. `as_of` is the number of a change: the bars are those that
    were stored after it (`history.versions`); None: those that are stored. An export without any restriction
    is *whole*: in the layout `parquet` it holds all tables and can be imported.
    """

    layout: str = PARQUET
    market: str = ""
    adjust: str | None = None
    codes: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    as_of: int | None = None

    @property
    def is_whole(self) -> bool:
        return self == Selection()

    @property
    def days(self) -> dict[str, date]:
        """The selected days, as filters of bars."""
        bounds = {"day__gte": self.first, "day__lte": self.last}
        return {name: day for name, day in bounds.items() if day}

    @property
    def stocks(self) -> dict[str, Any]:
        """The selected market, adjustment and codes, as filters of series, bars and their changes."""
        filters: dict[str, Any] = {"market": self.market} if self.market else {}
        if self.adjust is not None:
            filters["adjust"] = self.adjust
        if self.codes:
            filters["symbol__in"] = self.codes
        return filters

    def series(self) -> QuerySet[Series]:
        """Returns the selected series that have bars."""
        rows = Series.objects.filter(bars__gt=0, **self.stocks)
        overlap = Q(last_day__gte=self.first) if self.first else Q()
        return rows.filter(overlap, Q(first_day__lte=self.last) if self.last else Q())

    def bars(self, market: str, keys: list[tuple[str, str]]) -> QuerySet[DailyBar]:
        """Returns the selected bars of these series of a market, given as pairs of code and adjustment.

        The conditions on both columns are the ones that the unique index serves.
        """
        codes, adjusts = {code for code, _ in keys}, {adjust for _, adjust in keys}
        return DailyBar.objects.filter(market=market, symbol__in=codes, adjust__in=adjusts, **self.days)

    def as_dict(self) -> dict[str, Any]:
        """Returns the selection as JSON values."""
        days = {name: day and day.isoformat() for name, day in (("first", self.first), ("last", self.last))}
        values = {**asdict(self), "codes": list(self.codes), **days}
        if self.as_of is None:  # as in exports from before it was known
            del values["as_of"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Selection":
        """Returns the selection that `as_dict` described."""
        days = {name: date.fromisoformat(values[name]) for name in ("first", "last") if values[name]}
        return cls(**{**values, "codes": tuple(values["codes"]), **days})
