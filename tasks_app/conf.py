"""The COLLECTOR_* settings: typed, and read once at start.

A malformed value stops the program with one sentence that names its variable. The default and the bounds
of a setting stand beside its field; a test compares the README's table with the classes.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from environs import Env, EnvError, validate

from tasks_app import source_settings
from tasks_app.source_settings import SourceSettings

MARKETS = ("CN", "HK", "US")  # of real quotes
SYNTHETIC_MARKET = "SIM"  # of made-up quotes, whatever source they come from
ALL_MARKETS = (*MARKETS, SYNTHETIC_MARKET)
MARKET_TIME_ZONES = {
    "CN": "Asia/Shanghai",
    "HK": "Asia/Hong_Kong",
    "US": "America/New_York",
    SYNTHETIC_MARKET: "Asia/Shanghai",
}
ADJUSTS = ("", "qfq", "hfq", "split")

T = TypeVar("T")
_SECRET_NAME = re.compile("TOKEN|KEY|SECRET|PASS|COOKIE")  # to be masked before a source declares it
N = TypeVar("N", int, float)
DAY, YEAR = 86_400, 31_536_000  # seconds
MILLION, BILLION = 1_000_000, 1_000_000_000


def number(default: N, lowest: float, highest: float) -> N:
    """Declares a setting that is a number of the default's type, within bounds (inclusive)."""
    return field(default=default, metadata={"bounds": (lowest, highest)})


def parsed(default: T, parse: Callable[[str], T]) -> T:
    """Declares a setting whose text `parse` converts; an unset variable is an empty text."""
    return field(default=default, metadata={"parse": parse})


def source_paths(text: str) -> tuple[tuple[str, str], ...]:
    """Parses `name=package.module:Class, …` into pairs."""
    form = "name=package.module:Class, with a name of at most 32 characters"
    return _pairs(text, r"([A-Za-z0-9._-]{1,32})\s*=\s*([^\s:]+:[^\s:]+)", form)


def amounts(text: str) -> tuple[tuple[str, float], ...]:
    """Parses `name=number, …` into pairs, with numbers from 0 to a billion."""
    form = f"name=number, with a number of at most {BILLION:,}"
    pairs = _pairs(text, r"([^=\s]+)\s*=\s*([0-9]+(?:\.[0-9]+)?)", form)
    for name, amount in pairs:
        if float(amount) > BILLION:
            raise EnvError(f"“{name}={amount}” is not {form}")
    return tuple((name, float(amount)) for name, amount in pairs)


def caps(text: str) -> tuple[tuple[str, int], ...]:
    """Parses `name=whole number, …` into pairs."""
    if any(amount % 1 for _, amount in amounts(text)):
        raise EnvError(f"“{text}” has a number that is not whole")
    return tuple((name, int(amount)) for name, amount in amounts(text))


def chains(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Parses `CN=first>second>third, HK=…` into pairs of a market and its sources, in their order."""
    form = f"MARKET=source>source, with a market of {', '.join(MARKETS)}"
    pairs = []
    for market, chain in _pairs(text, rf"({'|'.join(MARKETS)})\s*=\s*([^\s>]+(?:\s*>\s*[^\s>]+)*)", form):
        names = tuple(name.strip() for name in chain.split(">"))
        _require_unique(names)
        pairs.append((market, names))
    return tuple(pairs)


def source_names(text: str) -> tuple[str, ...]:
    """Parses `name, …` into unique names of sources, or `all`."""
    names = tuple(filter(None, map(str.strip, text.split(","))))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", name):
            raise EnvError(f"“{name}” is neither the name of a source nor all")
    _require_unique(names)
    return names


def address(text: str) -> str:
    """Checks `host:port`, or an empty text."""
    host, _, port = text.rpartition(":")
    if text and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise EnvError(f"“{text}” is not host:port")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Parses `https://host:port, …`, the origins of pages, or `*` for any."""
    for origin in (found := tuple(filter(None, map(str.strip, text.split(","))))):
        if origin != "*" and not re.fullmatch(r"https?://[^\s/?#@]+", origin):
            raise EnvError(f"“{origin}” is neither an origin such as https://quant.example.com nor *")
    return found


def base_url(text: str) -> str:
    """Checks the address under which people open the pages, or an empty text; returns it without a slash."""
    if text and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise EnvError(f"“{text}” is not an address such as https://quant.example.com")
    return text.rstrip("/")


def language(text: str) -> str:
    """Checks the language of responses to clients that name none."""
    if text not in ("", "en", "zh-hans"):
        raise EnvError(f"“{text}” is neither en nor zh-hans")
    return text or "en"


def folder(text: str) -> str:
    """Returns the absolute path of an existing folder, or an empty text."""
    if text and not Path(text).is_dir():
        raise EnvError(f"“{text}” is not a folder")
    return str(Path(text).resolve()) if text else ""


def volume_unit(text: str) -> str:
    """Checks the unit of volumes in files that don't tell it: shares, lots, or an empty text."""
    if text not in ("", "shares", "lots"):
        raise EnvError(f"“{text}” is neither shares nor lots")
    return text


def access_token(text: str) -> str:
    """Checks a secret that opens a page, or an empty text. It isn't in the error."""
    if text and not re.fullmatch(r"[!-~]{16,256}", text):
        raise EnvError("it is not a token of 16 to 256 letters, digits and signs, without spaces")
    return text


def log_file(text: str) -> str:
    """Checks the path of a file, or an empty text. The file need not exist, its folder must."""
    if text and (Path(text).is_dir() or not Path(text).parent.is_dir()):
        raise EnvError(f"“{text}” is not a file in an existing folder")
    return text


def log_format(text: str) -> str:
    """Checks the format of the log's lines."""
    if text not in ("", "text", "json"):
        raise EnvError(f"“{text}” is neither text nor json")
    return text or "text"


def _pairs(text: str, pattern: str, form: str) -> tuple[tuple[str, str], ...]:
    """Splits `name=value, …` into pairs with unique names. `form` describes the pattern in the error."""
    pairs = []
    for part in filter(None, map(str.strip, text.split(","))):
        if not (match := re.fullmatch(pattern, part)):
            raise EnvError(f"“{part}” is not {form}")
        pairs.append((match[1], match[2]))
    _require_unique([name for name, _ in pairs])
    return tuple(pairs)


def _require_unique(names: Sequence[str]) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise EnvError(f"“{repeated[0]}” is named more than once")


@dataclass(frozen=True)
class Simulated:
    """The synthetic exchange: sizes, seconds, and shares of misbehaving requests from 0 to 1."""

    stocks: int = number(5400, 0, MILLION)
    bars: int = number(250, 0, MILLION)
    latency: float = number(0.0, 0, YEAR)
    failure_rate: float = number(0.0, 0, 1)
    hang_rate: float = number(0.0, 0, 1)
    throttle_rate: float = number(0.0, 0, 1)
    empty_rate: float = number(0.0, 0, 1)
    seed: int = number(0, 0, BILLION)
    log: str = parsed("", log_file)


@dataclass(frozen=True)
class Conf:
    """All COLLECTOR_* settings; times in seconds.

    Rates are requests per second and daily caps requests per day, of one source over all workers and
    hosts; 0 means no limit.
    """

    default_source: str = "sample"
    sources: tuple[tuple[str, str], ...] = parsed((), source_paths)
    workers: int = number(2, 1, 1000)
    worker_memory: int = number(320, 150, MILLION)  # megabytes
    fan_out: int = number(2, 1, 1000)
    queue_limit: int = number(20, 0, 1000)
    slice_seconds: float = number(10.0, 0.1, DAY)
    in_flight: int = number(1, 1, 1000)
    fetch_timeout: float = number(30.0, 0.1, DAY)
    answer_max_bars: int = number(100_000, 1, BILLION)
    answer_max_mb: int = number(128, 1, MILLION)
    heartbeat: float = number(1.0, 0.05, DAY)
    lease: float = number(15.0, 1, DAY)
    max_attempts: int = number(3, 1, MILLION)
    backoff: float = number(1.0, 0, YEAR)
    backoff_max: float = number(300.0, 0, YEAR)
    watchdog_interval: float = number(2.0, 0.1, DAY)
    no_worker_after: float = number(30.0, 0, YEAR)
    abandon_after: float = number(900.0, 0, YEAR)
    plan_wait: float = number(43_200.0, 60, YEAR)
    csv_dir: str = parsed("", folder)
    csv_volume_unit: str = parsed("", volume_unit)
    csv_upload_mb: int = number(512, 1, MILLION)
    export_dir: str = parsed("", folder)
    backup_dir: str = parsed("", folder)
    backup_hours: float = number(26.0, 0.1, 8760)
    rates: tuple[tuple[str, float], ...] = parsed((), amounts)
    daily_caps: tuple[tuple[str, int], ...] = parsed((), caps)
    no_throttle: bool = False
    breaker_after: int = number(5, 1, MILLION)
    breaker_pause: float = number(60.0, 0.1, YEAR)
    breaker_pause_max: float = number(3600.0, 0, YEAR)
    source_give_up: float = number(86_400.0, 0, YEAR)
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...] = parsed((), chains)
    fallback_after: float = number(300.0, 0, YEAR)
    adjustment_data: bool = True
    days_at_once: int = number(5, 0, MILLION)
    by_day_from: int = number(50, 1, MILLION)
    cors_origins: tuple[str, ...] = parsed((), origins)
    language: str = parsed("en", language)
    bulk_reads: int = number(2, 1, 1000)
    bulk_read_seconds: float = number(600.0, 1, DAY)
    list_max_age: float = number(86_400.0, 0, YEAR)
    retention_days: int = number(0, 0, 36_500)  # a century: dates further back would not exist
    version_days: int = number(0, 0, 36_500)
    raw_answers: tuple[str, ...] = parsed((), source_names)
    raw_answers_mb: int = number(1000, 1, MILLION)  # compressed
    raw_answers_days: int = number(90, 1, 36_500)
    source_history_days: int = number(400, 31, 36_500)
    audit_days: int = number(1100, 30, 36_500)
    log_format: str = parsed("text", log_format)
    base_url: str = parsed("", base_url)
    disk_low_mb: int = number(1000, 1, BILLION)
    metrics_token: str = field(default="", repr=False, metadata={"parse": access_token})
    simulated: Simulated = Simulated()
    # Texts of the sources' own settings by variable: of the environment, and of the rows edited on pages.
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False, metadata={"internal": True})
    stored: tuple[tuple[str, str], ...] = field(default=(), repr=False, metadata={"internal": True})

    def keeps_raw_answers(self, source: str) -> bool:
        """Whether what the source's vendor sends is kept."""
        return source in self.raw_answers or "all" in self.raw_answers

    def source_settings(self, source: type[Any]) -> SourceSettings:
        """Returns the settings that a source's class declares, by name. `from_conf` passes its own class.

        Raises `InvalidSetting`, which names the variable of a malformed value.
        """
        return source_settings.read(source, dict(self.environment), dict(self.stored))


def read(env: Env) -> Conf:
    """Returns the settings of the environment. Raises `EnvError`, which names the variable."""
    own = [setting for setting in fields(Conf) if "internal" not in setting.metadata]
    rest = {name: text for name, text in os.environ.items() if name.startswith(source_settings.PREFIX)}
    for name, text in rest.items():
        if _SECRET_NAME.search(name):
            source_settings.remember_secret(text)
    with env.prefixed(source_settings.PREFIX):
        values = {setting.name: _read_setting(env, setting) for setting in own}
    return Conf(**values, environment=tuple(sorted((n, t) for n, t in rest.items() if n not in VARIABLES)))


def _read_setting(env: Env, setting: Field[Any]) -> Any:
    variable, default = setting.name.upper(), cast("Any", setting.default)
    if isinstance(default, Simulated):
        with env.prefixed("SIMULATED_"):
            return Simulated(**{each.name: _read_setting(env, each) for each in fields(Simulated)})
    if parse := setting.metadata.get("parse"):
        env.add_parser(f"parse_{setting.name}", parse)  # so that environs names the variable in its errors
        return getattr(env, f"parse_{setting.name}")(variable, "")
    if bounds := setting.metadata.get("bounds"):
        read_number = env.float if isinstance(default, float) else env.int
        return read_number(variable, default, validate=validate.Range(*bounds))
    return (env.bool if isinstance(default, bool) else env.str)(variable, default)


# The variables of the program itself: no source's setting may be one of them.
VARIABLES = frozenset(
    {
        f"{source_settings.PREFIX}{each.name.upper()}"
        for each in fields(Conf)
        if not each.metadata.get("internal")
    }
    | {f"{source_settings.PREFIX}SIMULATED_{each.name.upper()}" for each in fields(Simulated)}
)
