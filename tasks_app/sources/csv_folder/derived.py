"""Columns that follow from prices: changes, amplitudes and turnovers, whose unit their values must prove."""

from collections.abc import Sequence

from tasks_app.sources.base import Bar
from tasks_app.sources.csv_folder.headings import DERIVED, Columns, Vendor
from tasks_app.sources.csv_folder.problems import Note

MIN_PERCENT = 0.2  # smaller changes tell nothing: both units would fit
MIN_CHANGE = 0.02
MIN_TURNOVER = 1e-6
ROUNDING = 0.02
TOLERANCE = 0.02  # relative
Values = list[float | None]


class DerivedColumns:
    """The derived columns of a file. `notes` say which were converted or left out."""

    def __init__(self, columns: Columns, vendor: Vendor, values: dict[str, Values]) -> None:
        self.columns, self.vendor, self.values = columns, vendor, values
        self.notes: list[Note] = []

    def prove(self, bars: list[Bar], stocks: Sequence[tuple[str, str]]) -> list[Bar]:
        """Returns the bars with changes in currency and percentages in percent, and without what may not be.

        The bars are in ascending order of their stocks, then of their days.
        """
        previous = self._previous_closes(bars, stocks)
        changed: dict[str, Values] = {}
        for column in DERIVED:
            values = self.values.get(column, [])
            if not any(values):
                continue
            if column == "turnover":
                expected = self._expected_turnovers(bars)
            else:
                expected = expected_values(column, bars, previous)
            scale = find_scale(values, expected, column)
            if scale is None and self._is_documented(column, values):
                scale = 1.0
            heading = {"column": self.columns.heading(column).text}
            if not scale:
                self.notes.append(Note("unproven" if scale is None else "misfit", heading))
                changed[column] = [None] * len(bars)
            elif scale != 1:
                self.notes.append(Note("ratio", heading))
                changed[column] = [value if value is None else round(value * scale, 8) for value in values]
        if not changed:
            return bars
        rows = zip(bars, zip(*changed.values(), strict=True), strict=True)
        return [bar._replace(**dict(zip(changed, row, strict=True))) for bar, row in rows]

    def _previous_closes(self, bars: Sequence[Bar], stocks: Sequence[tuple[str, str]]) -> Values:
        """Returns what changes are measured against: as the file says, else the close of the line before."""
        if "prev_close" in self.values:
            return self.values["prev_close"]
        if "change" in self.values and "change" in self.vendor.documented:
            changes = zip(bars, self.values["change"], strict=True)
            return [None if change is None else bar.close - change for bar, change in changes]
        return [
            bars[at - 1].close if at and stocks[at - 1] == stock else None for at, stock in enumerate(stocks)
        ]

    def _expected_turnovers(self, bars: Sequence[Bar]) -> Values:
        """Returns each day's turnover in percent of the outstanding shares."""
        outstanding = self.values.get("outstanding", [None] * len(bars))
        return [
            bar.volume / total * 100 if total and total > 0 else None
            for bar, total in zip(bars, outstanding, strict=True)
        ]

    def _is_documented(self, column: str, values: Sequence[float | None]) -> bool:
        """Returns whether a column has our unit that no prices prove: its heading, maker or size tells."""
        heading = self.columns.heading(column)
        if heading.unit or column in self.vendor.documented:
            return self.columns.has_known_unit(column)
        if column == "change":
            return heading.name in ("涨跌额", "涨跌", "pricechange")
        # A ratio of more than one is none; more than a hundred percent is no turnover.
        most = max((abs(value) for value in values if value is not None), default=0.0)
        return column == "turnover" and heading.name != "turnover" and 1 < most <= 100


def find_scale(values: Sequence[float | None], expected: Sequence[float | None], column: str) -> float | None:
    """Returns what makes a column's values ours: 1, or 100 for ratios; 0 if they fit neither.

    None if no line tells, since it has no value, or so small a one that it fits both. Most lines must fit:
    on a few days the previous close is not the one of the line before.
    """
    least = {"change": MIN_CHANGE, "turnover": MIN_TURNOVER}.get(column, MIN_PERCENT)
    slack = 0.0 if column == "turnover" else ROUNDING
    checks = [
        (value, known)
        for value, known in zip(values, expected, strict=True)
        if value is not None and known is not None and abs(known) >= least
    ]
    for scale in (1.0,) if column == "change" else (1.0, 100.0):
        fits = sum(abs(value * scale - known) <= slack + TOLERANCE * abs(known) for value, known in checks)
        if checks and fits * 2 >= len(checks):
            return scale
    return 0.0 if checks else None


def expected_values(column: str, bars: Sequence[Bar], previous: Sequence[float | None]) -> Values:
    """Returns each bar's change, change in percent or amplitude in percent, by the previous closes."""
    values: Values = []
    for bar, before in zip(bars, previous, strict=True):
        if not before or before <= 0:
            values.append(None)
        elif column == "amplitude":
            values.append((bar.high - bar.low) / before * 100)
        else:
            values.append((bar.close - before) * (1 if column == "change" else 100 / before))
    return values
