"""A made-up exchange: which codes it lists, when it trades, and what it traded at.

Every bar follows from (seed, market, code, day) alone: the same day is the same bar in any window,
process and run. Prices are a slow wave times daily noise, both read from tables shared by all
codes and entered at a place of the code's own; nothing is kept per code.
"""

import hashlib
import math
import random
from datetime import date
from functools import lru_cache
from typing import NamedTuple, TypeVar

from tasks_app.sources.base import Bar, Symbol

T = TypeVar("T")

# Prefix, first number and exchange of the boards that CN codes go round.
CN_BOARDS = (("00", 1, "SZSE"), ("30", 1, "SZSE"), ("60", 0, "SSE"))
# Sessions after which a table starts again; without a common divisor, so that a price does not.
WAVE_LENGTH = 5040
MOOD_LENGTH = 8191
# Sessions per swing and its size in log price; each period divides the wave's length.
SWINGS = ((5040, 0.45), (1260, 0.2), (252, 0.1), (63, 0.03))


class Mood(NamedTuple):
    """What a session adds to the wave: factors on prices, turnover in 1/100 % and in percent."""

    noise: float
    gap: float
    up: float
    down: float
    points: int
    turnover: float


def symbol_at(market: str, index: int) -> Symbol:
    """The symbol at a place in a market's list, counted from 0."""
    code, exchange = f"SIM{index + 1:04d}", "NASDAQ"
    if market == "HK":
        code, exchange = f"{index + 1:05d}", "HKEX"
    elif market == "CN":
        prefix, first, exchange = CN_BOARDS[index % len(CN_BOARDS)]
        code = f"{prefix}{index // len(CN_BOARDS) + first:04d}"
    return Symbol(code, f"Simulated {code}", exchange)


def _guess(market: str, code: str) -> int:
    """The only index that can have the code; ValueError or a wrong one for a code nobody has."""
    if market == "US":
        return int(code.removeprefix("SIM")) - 1
    if market == "HK":
        return int(code) - 1
    boards = [prefix for prefix, _, _ in CN_BOARDS]
    board = boards.index(code[:2])
    return (int(code[2:]) - CN_BOARDS[board][1]) * len(boards) + board


def index_of(market: str, code: str) -> int | None:
    """The place of a code in a market's list, found without a list; None for a malformed code."""
    try:
        index = _guess(market, code)
    except ValueError:
        return None
    return index if index >= 0 and symbol_at(market, index).code == code else None


def sessions_between(start: date, end: date) -> range:
    """The session numbers, Monday to Friday, from `start` to `end`, both included."""
    # Ordinal 1 is a Monday, so weeks are plain division.
    first_week, first_day = divmod(start.toordinal() - 1, 7)
    last_week, last_day = divmod(end.toordinal() - 1, 7)
    return range(first_week * 5 + min(first_day, 5), last_week * 5 + min(last_day, 4) + 1)


@lru_cache(maxsize=16)
def days_of(sessions: range) -> tuple[date, ...]:
    """The dates of session numbers; cached, since the stocks of a task ask for the same ones."""
    return tuple(date.fromordinal(number // 5 * 7 + number % 5 + 1) for number in sessions)


def _wave() -> tuple[float, ...]:
    def height(place: int) -> float:
        return sum(size * math.sin(math.tau * place / period) for period, size in SWINGS)

    return tuple(math.exp(height(place)) for place in range(WAVE_LENGTH))


def _moods(seed: int) -> tuple[Mood, ...]:
    draw = random.Random(f"moods of {seed}").random  # noqa: S311 - a drill, not a secret

    def mood() -> Mood:
        points = int(20 + 480 * draw() ** 3)
        noise, gap = 0.985 + 0.03 * draw(), 0.99 + 0.02 * draw()
        return Mood(noise, gap, 1 + 0.02 * draw(), 1 - 0.02 * draw(), points, points / 100)

    return tuple(mood() for _ in range(MOOD_LENGTH))


def _ring(table: tuple[T, ...], start: int, count: int) -> tuple[T, ...]:
    """`count` entries from `start` on, going round as often as needed."""
    start %= len(table)
    if start + count > len(table):
        table *= 1 + (start + count) // len(table)
    return table[start : start + count]


class Exchange:
    """The bars of a seed. Holds two tables of a few thousand entries, whatever is asked."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._wave = _wave()
        self._moods = _moods(seed)

    def bars(self, market: str, code: str, sessions: range) -> list[Bar]:
        """One bar per session number (a range of step 1), in their order."""
        if not sessions:
            return []
        key = hashlib.blake2b(f"{self._seed}/{market}/{code}".encode(), digest_size=16).digest()
        wave_at, mood_at, price, size = (int.from_bytes(key[i : i + 4]) for i in (0, 4, 8, 12))
        before, count = sessions.start - 1, len(sessions) + 1
        waves = _ring(self._wave, wave_at + before, count)
        moods = _ring(self._moods, mood_at + before, count)
        return _trade(500 + price % 20_000, 100 + size % 10_000, days_of(sessions), waves, moods)


def _trade(
    base: int, lots_per_point: int, days: tuple[date, ...], waves: tuple[float, ...], moods: tuple[Mood, ...]
) -> list[Bar]:
    """Bars around a base price in cents; `waves` and `moods` begin with the session before `days`."""
    # Whole cents and inlined rounding: exact, and several times as fast as round() on floats.
    new, bars = tuple.__new__, []
    prev = int(base * waves[0] * moods[0].noise)
    for day, wave, (noise, gap, up, down, points, turnover) in zip(days, waves[1:], moods[1:], strict=True):
        opened, close = int(prev * gap), int(base * wave * noise)
        low, high = (opened, close) if opened < close else (close, opened)
        low, high = int(low * down), int(high * up)
        lots, change = points * lots_per_point, close - prev
        amount = lots * (opened + high + low + close) / 4
        amplitude = ((high - low) * 20_000 + prev) // (prev * 2) / 100
        percent = (change * 20_000 + prev) // (prev * 2) / 100
        prices = (day, opened / 100, high / 100, low / 100, close / 100, lots * 100, prev / 100)
        bars.append(new(Bar, (*prices, amount, amplitude, change / 100, percent, turnover)))
        prev = close
    return bars
