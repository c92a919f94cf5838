"""The COLLECTOR_* settings: typed, read once at start, a malformed value stops the program by name."""

from dataclasses import dataclass, fields
from typing import Any

from environs import Env, validate

from tasks_app import values

MARKETS = values.MARKETS
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
    retention_days: int = 0
    simulated: Simulated = Simulated()


_DAY, _YEAR, _MILLION, _BILLION = 86_400, 31_536_000, 1_000_000, 1_000_000_000
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
    "retention_days": 0,
}
# What is not here: a year of seconds, or a million.
_HIGHEST = {
    **dict.fromkeys(("heartbeat", "lease", "slice_seconds", "fetch_timeout", "watchdog_interval"), _DAY),
    **dict.fromkeys(("workers", "fan_out", "in_flight"), 1000),
    **dict.fromkeys(("akshare_daily", "baostock_daily", "daily", "seed"), _BILLION),
    "retention_days": 36_500,  # a century: beyond it dates come to their end
}


def _number(env: Env, default: Any, name: str, lowest: float, highest: float | None = None) -> Any:
    """A setting of the default's own type."""
    kind, usual = (env.float, _YEAR) if isinstance(default, float) else (env.int, _MILLION)
    highest = _HIGHEST.get(name, usual) if highest is None else highest
    return kind(name.upper(), default, validate=validate.Range(lowest, highest))


def _read_simulated(env: Env) -> Simulated:
    given: dict[str, Any] = {"log": env.log_file("LOG", "")}
    for field in fields(Simulated):
        if field.name not in given:
            highest = 1.0 if field.name.endswith("_rate") else None
            given[field.name] = _number(env, field.default, field.name, 0, highest)
    return Simulated(**given)


def read(env: Env) -> Conf:
    """The settings from the environment. Raises `EnvError`, which names the variable."""
    for name in ("source_paths", "amounts", "caps", "chains", "address", "folder", "log_file"):
        env.add_parser(name, getattr(values, name))
    with env.prefixed("COLLECTOR_"):
        with env.prefixed("SIMULATED_"):
            simulated = _read_simulated(env)
        given: dict[str, Any] = {
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
            if field.name not in given:
                lowest = _LOWEST.get(field.name, 1 if isinstance(field.default, int) else 0)
                given[field.name] = _number(env, field.default, field.name, lowest)
    return Conf(**given)
