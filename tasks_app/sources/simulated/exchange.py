"""A synthetic exchange: which codes it lists, when it trades, and at what prices.

Every bar follows from (seed, code, day) alone: the same day is the same bar in any range of days, process
and run. Prices are a slow wave times daily noise. Both are read from tables that all codes share,
each code from an offset of its own; nothing is stored per code.
"""

import hashlib
import math
import random
from datetime import date
from functools import lru_cache
from typing import NamedTuple, TypeVar

from tasks_app.sources.base import Bar, Symbol

T = TypeVar("T")

# Prefix and first number of the boards among which the listed codes are dealt in turn.
BOARDS = (("00", 1), ("30", 1), ("60", 0))
EXCHANGE = "SIM"
# Sessions after which a table repeats; without a common divisor, so that prices do not repeat with them.
WAVE_LENGTH = 5040
NOISE_LENGTH = 8191
# Periods in sessions, each of which divides the wave's length, and amplitudes in log price.
CYCLES = ((5040, 0.45), (1260, 0.2), (252, 0.1), (63, 0.03))


class SessionNoise(NamedTuple):
    """What a session adds to the wave."""

    close: float  # factors on prices
    gap: float
    up: float
    down: float
    turnover_points: int  # in 1/100 %
    turnover: float  # in percent


def symbol_at(index: int) -> Symbol:
    """Returns the symbol at a position in the list, counted from 0: six digits, as on the mainland."""
    prefix, first = BOARDS[index % len(BOARDS)]
    code = f"{prefix}{index // len(BOARDS) + first:04d}"
    return Symbol(code, f"Simulated {code}", EXCHANGE)


def index_of(code: str) -> int | None:
    """Returns the position of a code, without building the list; None if it is malformed.

    Besides the codes of the list there are those like SIM0001 and, with five digits, like 00001: the source
    listed them before it had a market of its own. They have the positions of their numbers.
    """
    try:
        if code.startswith("SIM"):
            index, same = int(code[3:]) - 1, f"SIM{int(code[3:]):04d}"
        elif len(code) == len("00001"):
            index, same = int(code) - 1, f"{int(code):05d}"
        else:
            board = [prefix for prefix, _ in BOARDS].index(code[:2])
            index = (int(code[2:]) - BOARDS[board][1]) * len(BOARDS) + board
            same = symbol_at(index).code
    except ValueError:
        return None
    # int() also takes "+1" and other spellings that no symbol has.
    return index if index >= 0 and same == code else None


def seed_market(code: str) -> str:
    """Returns the market whose name seeds the code's bars: the one that its form is taken from."""
    if code.startswith("SIM"):
        return "US"
    return "HK" if len(code) == len("00001") else "CN"


def sessions_between(start: date, end: date) -> range:
    """Returns the numbers of the sessions, Monday to Friday, from `start` to `end`, both included."""
    # Ordinal 1 is a Monday, so weeks are plain division.
    first_week, first_day = divmod(start.toordinal() - 1, 7)
    last_week, last_day = divmod(end.toordinal() - 1, 7)
    return range(first_week * 5 + min(first_day, 5), last_week * 5 + min(last_day, 4) + 1)


@lru_cache(maxsize=16)
def days_of(sessions: range) -> tuple[date, ...]:
    """Returns the dates of session numbers; cached, since a task requests the same ones for all stocks."""
    return tuple(date.fromordinal(number // 5 * 7 + number % 5 + 1) for number in sessions)


def _make_wave() -> tuple[float, ...]:
    def log_price(session: int) -> float:
        return sum(size * math.sin(math.tau * session / period) for period, size in CYCLES)

    return tuple(math.exp(log_price(session)) for session in range(WAVE_LENGTH))


def _make_noise(seed: int) -> tuple[SessionNoise, ...]:
    # The seed's text decides every bar: it must not change.
    draw = random.Random(f"moods of {seed}").random  # noqa: S311 - a drill, not a secret

    def session_noise() -> SessionNoise:
        points = int(20 + 480 * draw() ** 3)
        close, gap = 0.985 + 0.03 * draw(), 0.99 + 0.02 * draw()
        return SessionNoise(close, gap, 1 + 0.02 * draw(), 1 - 0.02 * draw(), points, points / 100)

    return tuple(session_noise() for _ in range(NOISE_LENGTH))


def _repeat(table: tuple[T, ...], start: int, count: int) -> tuple[T, ...]:
    """Returns `count` entries from `start` on, repeating the table as often as needed."""
    start %= len(table)
    if start + count > len(table):
        table *= 1 + (start + count) // len(table)
    return table[start : start + count]


class Exchange:
    """The bars of a seed. Holds two tables of a few thousand entries, however many codes are requested."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._wave = _make_wave()
        self._noise = _make_noise(seed)

    def bars(self, code: str, sessions: range) -> list[Bar]:
        """Returns one bar per session number (a range of step 1), in ascending date order."""
        if not sessions:
            return []
        key = hashlib.blake2b(f"{self._seed}/{seed_market(code)}/{code}".encode(), digest_size=16).digest()
        wave_offset, noise_offset, price, size = (int.from_bytes(key[i : i + 4]) for i in (0, 4, 8, 12))
        before, count = sessions.start - 1, len(sessions) + 1
        waves = _repeat(self._wave, wave_offset + before, count)
        noise = _repeat(self._noise, noise_offset + before, count)
        return _make_bars(500 + price % 20_000, 100 + size % 10_000, days_of(sessions), waves, noise)


def _make_bars(
    base: int,
    lots_per_point: int,
    days: tuple[date, ...],
    waves: tuple[float, ...],
    noise: tuple[SessionNoise, ...],
) -> list[Bar]:
    """Returns bars around a base price in cents; `waves` and `noise` begin with the session before `days`."""
    # Whole cents and inlined rounding: exact, and several times as fast as round() on floats.
    new, bars = tuple.__new__, []
    prev = int(base * waves[0] * noise[0].close)
    sessions = zip(days, waves[1:], noise[1:], strict=True)
    for day, wave, (close_factor, gap, up, down, points, turnover) in sessions:
        opened, close = int(prev * gap), int(base * wave * close_factor)
        low, high = (opened, close) if opened < close else (close, opened)
        low, high = int(low * down), int(high * up)
        lots, change = points * lots_per_point, close - prev
        amount = lots * (opened + high + low + close) / 4
        amplitude = ((high - low) * 20_000 + prev) // (prev * 2) / 100
        percent = (change * 20_000 + prev) // (prev * 2) / 100
        prices = (day, opened / 100, high / 100, low / 100, close / 100, lots * 100, prev / 100)
        bars.append(new(Bar, (*prices, amount, amplitude, change / 100, percent, turnover, None, None, None)))
        prev = close
    return bars
