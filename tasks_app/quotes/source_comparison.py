"""Compares the bars of two sources day by day; what differs by more than rounding is a difference.

Both sides are in the stored units. The rules:

- A day on which one source has no bar is a difference of its own kind, unless one of the two calls the stock
  suspended and the other has no volume.
- Prices agree within half a unit of the coarser side's last decimal (the most decimals of any of its prices),
  and always within half a cent; an unadjusted price below 1, which markets quote in thousandths, within half
  a thousandth. Adjusted prices agree within a ten-thousandth, too: vendors round their factors.
- Volumes agree if they are equal, or less than a lot apart where one of them is of whole lots.
- Amounts agree within one unit of the last digit that either side writes, but within a ten-thousandth, and
  always within 1.

What a side does not send is not compared.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from tasks_app.models.agreement import ComparedField
from tasks_app.quotes.validation import LOT
from tasks_app.sources.base import Bar

PRICES = ("open", "high", "low", "close")
FIELDS = (*PRICES, "volume", "amount")
HALF_CENT, HALF_THOUSANDTH = 0.005, 0.0005
SHARE = 1e-4  # by which adjusted prices and amounts may differ
EPSILON = 1e-9  # of a value: what binary fractions cost
MOST_DECIMALS, CENTS = 6, 2
MANY_BARS = 10
DIFFERS, MISSING_HERE, MISSING_THERE = "value_differs", "missing_here", "missing_there"

Values = dict[str, float | int]


@dataclass(frozen=True)
class Side:
    """One source's bars of the compared days, and the days on which it calls the stock suspended."""

    bars: Sequence[Bar]
    suspended: Collection[date] = ()
    refused: Collection[date] = ()  # days with a bar that failed validation: they are not compared


@dataclass(frozen=True)
class Difference:
    """A day on which the sources differ, with the differing values of each; all of a bar that one lacks."""

    day: date
    code: str
    here: Values
    there: Values


@dataclass
class FieldCount:
    """How many values were compared, how many differ, and the largest difference by its share."""

    compared: int = 0
    differing: int = 0
    worst: float = 0.0

    def add(self, *, differs: bool, share: float = 0.0) -> None:
        self.compared += 1
        self.differing += differs
        if differs:
            self.worst = max(self.worst, share)


@dataclass
class Comparison:
    """How many bars were compared, those that differ by ascending day, and counts by field and month."""

    bars: int = 0
    differences: list[Difference] = field(default_factory=list)
    counts: dict[tuple[str, date], FieldCount] = field(default_factory=lambda: defaultdict(FieldCount))


def compare(here: Side, there: Side, *, adjusted: bool = False) -> Comparison:
    """Returns how the bars of two sources agree; the days are those of which either has a bar."""
    ours, theirs = ({bar.day: bar for bar in side.bars} for side in (here, there))
    left_aside = {*here.refused, *there.refused}
    decimals = _decimals(here.bars), _decimals(there.bars)
    coarser = 0.5 * 10.0 ** -min(decimals)
    found = Comparison()
    for day in sorted({*ours, *theirs} - left_aside):
        one, other = ours.get(day), theirs.get(day)
        if one is None or other is None:
            bar, lacking = (one, there) if one else (other, here)
            if bar and (bar.volume or day not in lacking.suspended):
                _add_missing(found, day, one, other)
        else:
            _add_pair(found, one, other, coarser, adjusted)
    return found


def _add_missing(found: Comparison, day: date, one: Bar | None, other: Bar | None) -> None:
    found.bars += 1
    found.counts[ComparedField.DAY, day.replace(day=1)].add(differs=True)
    code = MISSING_THERE if one else MISSING_HERE
    found.differences.append(Difference(day, code, _values(one), _values(other)))


def _add_pair(found: Comparison, one: Bar, other: Bar, coarser: float, adjusted: bool) -> None:
    day, month = one.day, one.day.replace(day=1)
    found.bars += 1
    found.counts[ComparedField.DAY, month].add(differs=False)
    differing = []
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        if a is None or b is None:
            continue
        differs = a != b and abs(a - b) > _tolerance(name, a, b, coarser, adjusted)
        share = abs(a - b) / max(abs(a), abs(b)) if differs else 0.0
        found.counts[name, month].add(differs=differs, share=share)
        if differs:
            differing.append(name)
    if differing:
        values = ({name: getattr(bar, name) for name in differing} for bar in (one, other))
        found.differences.append(Difference(day, DIFFERS, *values))


def _tolerance(name: str, a: float, b: float, coarser: float, adjusted: bool) -> float:
    """Returns by how much two values may differ and still agree."""
    size = max(abs(a), abs(b))
    if name == "volume":
        is_of_lots = a % LOT == 0 or b % LOT == 0
        return LOT - 1 if is_of_lots else 0
    if name == "amount":
        return max(1.0, min(max(_last_digit(a), _last_digit(b)), SHARE * size)) + EPSILON * size
    least = HALF_CENT if size >= 1 or adjusted else HALF_THOUSANDTH
    return max(coarser, least, SHARE * size * adjusted) + EPSILON * max(size, 1.0)


def _decimals(bars: Sequence[Bar]) -> int:
    """Returns the most decimals that a side writes a price with, at most six.

    Of few bars it is at least two: they may be round by chance.
    """
    least = CENTS if len(bars) < MANY_BARS else 0
    return max([least, *(_exponent(price) for bar in bars for price in bar[1:5])])


def _exponent(value: float) -> int:
    text = repr(round(float(value), MOST_DECIMALS))
    if "e" in text:  # a huge number, or one below a ten-thousandth
        return MOST_DECIMALS if "e-" in text else 0
    decimals = text.partition(".")[2]
    return 0 if decimals == "0" else len(decimals)


def _last_digit(value: float) -> float:
    """Returns the unit of a number's last digit that is not zero: 10,000 for 123,450,000.

    The sixteenth digit and what follows are the noise of a multiplication, as in 863100700.0000001.
    """
    exponent = Decimal(f"{value:.15g}").normalize().as_tuple().exponent
    return float(10.0**exponent) if isinstance(exponent, int) else 0.0


def _values(bar: Bar | None) -> Values:
    if bar is None:
        return {}
    return {name: value for name in FIELDS if (value := getattr(bar, name)) is not None}
