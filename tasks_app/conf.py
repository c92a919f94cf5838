"""The COLLECTOR_* settings: typed, read once at start, a malformed value stops the program by name."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from environs import Env, EnvError, validate

MARKETS = ("CN", "HK", "US")
MARKET_TIME_ZONES = {"CN": "Asia/Shanghai", "HK": "Asia/Hong_Kong", "US": "America/New_York"}
ADJUSTS = ("", "qfq", "hfq")


@dataclass(frozen=True)
class Simulated:
    """The made-up exchange: sizes, seconds, and rates of misbehaviour from 0 to 1."""

    stocks: int = 5400
    bars: int = 250
    latency: float = 0.0
    failure_rate: float = 0.0
    hang_rate: float = 0.0
    throttle_rate: float = 0.0
    empty_rate: float = 0.0
    seed: int = 0
    log: str = ""
    rate: float = 0.0
    daily: int = 0


@dataclass(frozen=True)
class Conf:
    """Everything that can be set; times in seconds. The README's table is held against this class.

    Rates are requests per second and daily caps requests per day, of one source over all workers and
    hosts; 0 means no limit.
    """

    default_source: str = "sample"
    sources: tuple[tuple[str, str], ...] = ()
    workers: int = 2
    fan_out: int = 2
    slice_seconds: float = 10.0
    in_flight: int = 1
    fetch_timeout: float = 30.0
    heartbeat: float = 1.0
    lease: float = 15.0
    max_attempts: int = 3
    backoff: float = 1.0
    backoff_max: float = 300.0
    watchdog_interval: float = 2.0
    no_worker_after: float = 30.0
    abandon_after: float = 900.0
    akshare_rate: float = 0.25
    akshare_daily: int = 10_000
    baostock_rate: float = 2.0
    baostock_daily: int = 40_000
    baostock_address: str = ""
    csv_dir: str = ""
    rates: tuple[tuple[str, float], ...] = ()
    daily_caps: tuple[tuple[str, int], ...] = ()
    no_throttle: bool = False
    breaker_after: int = 5
    breaker_pause: float = 60.0
    breaker_pause_max: float = 3600.0
    source_give_up: float = 86_400.0
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fallback_after: float = 300.0
    days_at_once: int = 5
    by_day_from: int = 50
    list_max_age: float = 86_400.0
    simulated: Simulated = Simulated()


_RATE = validate.Range(min=0, max=1)
_LOWEST = {
    "heartbeat": 0.05,
    "lease": 1,
    "slice_seconds": 0.1,
    "fetch_timeout": 0.1,
    "watchdog_interval": 0.1,
    "breaker_pause": 0.1,
    "akshare_daily": 0,
    "baostock_daily": 0,
    "days_at_once": 0,
}


def source_paths(value: str) -> tuple[tuple[str, str], ...]:
    """`name=package.module:Class, …` as pairs."""
    pairs = []
    for part in filter(None, (p.strip() for p in value.split(","))):
        name, equals, path = part.partition("=")
        if not (name.strip() and equals and ":" in path):
            raise EnvError(f"“{part}” is not name=package.module:Class")
        pairs.append((name.strip(), path.strip()))
    return tuple(pairs)


def amounts(value: str) -> tuple[tuple[str, float], ...]:
    """`name=number, …` as pairs; no number is negative."""
    pairs = []
    for part in filter(None, (p.strip() for p in value.split(","))):
        name, _, number = (p.strip() for p in part.partition("="))
        if not (name and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number)):
            raise EnvError(f"“{part}” is not name=number")
        pairs.append((name, float(number)))
    return tuple(pairs)


def caps(value: str) -> tuple[tuple[str, int], ...]:
    """`name=whole number, …` as pairs."""
    if any(number % 1 for _, number in amounts(value)):
        raise EnvError(f"“{value}” holds a number that is not whole")
    return tuple((name, int(number)) for name, number in amounts(value))


def chains(value: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`CN=first>second>third, HK=…` as pairs of a market and its sources, in their order."""
    pairs = []
    for part in filter(None, (p.strip() for p in value.split(","))):
        market, _, chain = (p.strip() for p in part.partition("="))
        names = tuple(name.strip() for name in chain.split(">"))
        if market not in MARKETS or not all(names):
            raise EnvError(f"“{part}” is not MARKET=source>source, with a market of {', '.join(MARKETS)}")
        pairs.append((market, names))
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


def _number(env: Env, default: Any, name: str, check: validate.Range) -> Any:
    """A setting of the default's own type."""
    kind = env.float if isinstance(default, float) else env.int
    return kind(name, default, validate=check)


def _read_simulated(env: Env) -> Simulated:
    values: dict[str, Any] = {"log": env.str("LOG", "")}
    for field in fields(Simulated):
        if field.name not in values:
            check = _RATE if field.name.endswith("_rate") else validate.Range(min=0)
            values[field.name] = _number(env, field.default, field.name.upper(), check)
    return Simulated(**values)


def read(env: Env) -> Conf:
    """The settings from the environment. Raises `EnvError`, which names the variable."""
    for parse in (source_paths, amounts, caps, chains, address, folder):
        env.add_parser(parse.__name__, parse)
    with env.prefixed("COLLECTOR_"):
        with env.prefixed("SIMULATED_"):
            simulated = _read_simulated(env)
        values: dict[str, Any] = {
            "default_source": env.str("DEFAULT_SOURCE", Conf.default_source),
            "sources": env.source_paths("SOURCES", ""),
            "rates": env.amounts("RATES", ""),
            "daily_caps": env.caps("DAILY_CAPS", ""),
            "fallbacks": env.chains("FALLBACKS", ""),
            "baostock_address": env.address("BAOSTOCK_ADDRESS", ""),
            "csv_dir": env.folder("CSV_DIR", ""),
            "no_throttle": env.bool("NO_THROTTLE", Conf.no_throttle),
            "simulated": simulated,
        }
        for field in fields(Conf):
            if field.name not in values:
                lowest = _LOWEST.get(field.name, 1 if isinstance(field.default, int) else 0)
                check = validate.Range(min=lowest)
                values[field.name] = _number(env, field.default, field.name.upper(), check)
    return Conf(**values)
