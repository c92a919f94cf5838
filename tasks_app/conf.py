"""The COLLECTOR_* settings: typed, read once at start, a malformed value stops the program by name."""

from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Conf:
    """Everything that can be set; times in seconds. The README's table is held against this class."""

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
    simulated: Simulated = Simulated()


_RATE = validate.Range(min=0, max=1)
_LOWEST = {
    "heartbeat": 0.05,
    "lease": 1,
    "slice_seconds": 0.1,
    "fetch_timeout": 0.1,
    "watchdog_interval": 0.1,
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
    env.add_parser("source_paths", source_paths)
    with env.prefixed("COLLECTOR_"):
        with env.prefixed("SIMULATED_"):
            simulated = _read_simulated(env)
        values: dict[str, Any] = {
            "default_source": env.str("DEFAULT_SOURCE", Conf.default_source),
            "sources": env.source_paths("SOURCES", ""),
            "simulated": simulated,
        }
        for field in fields(Conf):
            if field.name not in values:
                lowest = _LOWEST.get(field.name, 1 if isinstance(field.default, int) else 0)
                check = validate.Range(min=lowest)
                values[field.name] = _number(env, field.default, field.name.upper(), check)
    return Conf(**values)
