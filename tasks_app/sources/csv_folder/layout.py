"""Which file of a folder holds which stock.

A file lies in the folder itself or in CN, HK, US, and there in qfq or hfq if it is adjusted; its name
carries the code: 600000.csv, sh.600000.csv, 600000_SH.csv, CN-600000.csv, 00700.parquet, AAPL.csv.
Without a folder or a mark, six digits are CN, five HK, and anything with a letter US.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks_app.conf import ADJUSTS, MARKETS
from tasks_app.sources.cn_codes import SHORT, exchange_of
from tasks_app.sources.csv_folder.problems import Problem, Unreadable, trouble

KINDS = (".csv", ".parquet")
STEM = re.compile(
    r"(?:(?P<market>CN|HK|US)[-_])?(?:(?P<before>sh|sz|bj|hk|us)[-_.]?(?=[0-9]))?"
    r"(?P<code>[A-Z0-9](?:[A-Z0-9._-]{0,14}?[A-Z0-9])??)(?:[-_.](?P<after>sh|ss|sz|bj|hk|us))?",
    re.IGNORECASE | re.ASCII,
)
MARKET_OF_MARK = {"hk": "HK", "us": "US", "ss": "CN", **dict.fromkeys(SHORT.values(), "CN")}
EXCHANGE_OF_MARK = {"ss": "SSE", **{mark: exchange for exchange, mark in SHORT.items()}}

Key = tuple[str, str, str]


@dataclass(frozen=True)
class File:
    """One stock under one adjustment. `twins` hold the same one: nobody can tell which is right."""

    path: Path
    market: str
    adjust: str
    code: str
    twins: tuple[Path, ...] = ()

    @property
    def key(self) -> Key:
        """Market, adjustment and code."""
        return self.market, self.adjust, self.code

    @property
    def exchange(self) -> str:
        """Where it is traded, as far as the code tells."""
        return {"CN": exchange_of(self.code), "HK": "HKEX"}.get(self.market, "")


@dataclass(frozen=True)
class Layout:
    """The files by market, adjustment and code, in the order of their names, and what was left aside."""

    files: dict[Key, File]
    ignored: list[tuple[Path, Problem]]


def scan(folder: Path) -> Layout:
    """What the folder holds now. Raises OSError when it can't be listed."""
    files: dict[Key, File] = {}
    ignored: list[tuple[Path, Problem]] = []
    for path, place, adjust, problem in _walk(folder, "", ""):
        try:
            if problem:
                raise Unreadable([problem])
            market, code = name_of(path.stem, place)
        except Unreadable as error:
            ignored.append((path, error.problems[0]))
            continue
        file = File(path, market, adjust, code)
        first = files.setdefault(file.key, file)
        if first is not file:
            files[file.key] = File(first.path, market, adjust, code, (*first.twins, path))
    return Layout(files, ignored)


def _walk(folder: Path, market: str, adjust: str) -> Iterator[tuple[Path, str, str, Problem | None]]:
    """Every entry with the market and adjustment of its folder; links are never followed."""
    with os.scandir(folder) as found:
        entries = sorted(
            (entry for entry in found if entry.name[0] not in ".~"), key=lambda entry: entry.name
        )
    for entry in entries:
        path, inner = Path(entry.path), _meaning(entry.name, market, adjust)
        if entry.is_dir(follow_symlinks=False):
            if inner:
                yield from _walk(path, *inner)
            else:
                yield path, market, adjust, Problem("not_a_folder")
        elif not entry.is_file(follow_symlinks=False):
            yield path, market, adjust, Problem("not_a_file")
        else:
            known = path.suffix.lower() in KINDS
            yield path, market, adjust, None if known else Problem("not_known_here")


def _meaning(name: str, market: str, adjust: str) -> tuple[str, str] | None:
    """Market and adjustment within a folder of that name; None for a folder without a meaning."""
    if name.upper() in MARKETS and not market and not adjust:
        return name.upper(), ""
    if name.lower() in filter(None, ADJUSTS) and not adjust:
        return market, name.lower()
    return None


def name_of(stem: str, market: str = "") -> tuple[str, str]:
    """Market and code that a file's name stands for, within a market's folder or none.

    Raises `Unreadable` for a name that is none, or that contradicts itself: sh.000001 is an index, and
    000001 a stock of Shenzhen.
    """
    parts = STEM.fullmatch(stem)
    if not parts:
        raise trouble("not_a_code")
    mark = (parts["before"] or parts["after"] or "").lower()
    told = {m for m in (market, (parts["market"] or "").upper(), MARKET_OF_MARK.get(mark, "")) if m}
    code = parts["code"].upper()
    market = min(told, default=_market_by_shape(code))
    if market == "HK" and code.isdigit():
        code = code.zfill(5) if mark else code
    if len(told) > 1 or not _fits(market, code):
        raise trouble("not_a_code")
    wanted, named = exchange_of(code), EXCHANGE_OF_MARK.get(mark)
    if market == "CN" and named not in (None, wanted):
        raise trouble("other_exchange", named=named, wanted=wanted)
    return market, code


def _market_by_shape(code: str) -> str:
    if code.isdigit():
        return {6: "CN", 5: "HK"}.get(len(code), "")
    return "US"


def _fits(market: str, code: str) -> bool:
    digits = code.isdigit()
    tests: dict[str, Any] = {"CN": exchange_of(code), "HK": digits and len(code) == 5, "US": not digits}
    return bool(tests.get(market))
