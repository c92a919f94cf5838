"""From a variable's text to its value. What is malformed raises `EnvError` with one sentence."""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from environs import EnvError

MARKETS = ("CN", "HK", "US")
REDIS_SCHEMES = ("redis", "rediss", "unix")
HIGHEST = 1e9  # of the amounts given by name
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
_PATH = re.compile(r"[^\s:]+:[^\s:]+")


def source_paths(value: str) -> tuple[tuple[str, str], ...]:
    """`name=package.module:Class, …` as pairs."""
    pairs = []
    for part in _parts(value):
        name, path = _halves(part)
        if not (_NAME.fullmatch(name) and _PATH.fullmatch(path)):
            raise EnvError(f"“{part}” is not name=package.module:Class, with a name of at most 32 characters")
        pairs.append((name, path))
    _require_each_once([name for name, _ in pairs])
    return tuple(pairs)


def amounts(value: str) -> tuple[tuple[str, float], ...]:
    """`name=number, …` as pairs; no number is negative."""
    pairs = []
    for part in _parts(value):
        name, number = _halves(part)
        if not (name and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) and float(number) <= HIGHEST):
            raise EnvError(f"“{part}” is not name=number, with a number of at most {HIGHEST:,.0f}")
        pairs.append((name, float(number)))
    _require_each_once([name for name, _ in pairs])
    return tuple(pairs)


def caps(value: str) -> tuple[tuple[str, int], ...]:
    """`name=whole number, …` as pairs."""
    if any(number % 1 for _, number in amounts(value)):
        raise EnvError(f"“{value}” holds a number that is not whole")
    return tuple((name, int(number)) for name, number in amounts(value))


def chains(value: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`CN=first>second>third, HK=…` as pairs of a market and its sources, in their order."""
    pairs = []
    for part in _parts(value):
        market, chain = _halves(part)
        names = tuple(name.strip() for name in chain.split(">"))
        if market not in MARKETS or not all(names):
            raise EnvError(f"“{part}” is not MARKET=source>source, with a market of {', '.join(MARKETS)}")
        _require_each_once(names)
        pairs.append((market, names))
    _require_each_once([market for market, _ in pairs])
    return tuple(pairs)


def address(value: str) -> str:
    """`host:port`, or nothing."""
    host, _, port = value.rpartition(":")
    if value and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise EnvError(f"“{value}” is not host:port")
    return value


def folder(value: str) -> str:
    """The absolute path of a folder that is there, or nothing."""
    if value and not Path(value).is_dir():
        raise EnvError(f"“{value}” is not a folder")
    return str(Path(value).resolve()) if value else ""


def log_file(value: str) -> str:
    """A file, or nothing. It may be missing, its folder may not."""
    if value and (Path(value).is_dir() or not Path(value).parent.is_dir()):
        raise EnvError(f"“{value}” is not a file in a folder that exists")
    return value


def time_zone(value: str) -> str:
    """A name of the time zone database."""
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, LookupError):  # LookupError: ZoneInfoNotFoundError is one
        raise EnvError(f"“{value}” is no time zone such as Asia/Shanghai") from None


def redis(value: str) -> str:
    """A Redis server's address, or nothing. The text may hold a password, so that it is not repeated."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in REDIS_SCHEMES and (parts.path if parts.scheme == "unix" else parts.hostname)
        if not value or (known and parts.port != 0):
            return value
    except ValueError:  # a malformed port or host
        pass
    raise EnvError("it is not redis://host:port/number, rediss://… or unix:///path")


def _parts(value: str) -> Sequence[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _halves(part: str) -> tuple[str, str]:
    name, _, rest = part.partition("=")
    return name.strip(), rest.strip()


def _require_each_once(names: Sequence[str]) -> None:
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise EnvError(f"“{doubles[0]}” is named more than once")
