"""Which file of a folder holds which stock.

A file lies in the folder itself or in CN, HK, US, and there in qfq or hfq if it is adjusted; its name
carries the code: 600000.csv, sh.600000.csv, 600000_SH.csv, CN-600000.csv, 00700.parquet, AAPL.csv.
Without a market's folder or prefix, six digits are CN, five HK, and anything with a letter US.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks_app.conf import ADJUSTS, MARKETS
from tasks_app.sources.cn_codes import SHORT, exchange_of
from tasks_app.sources.csv_folder.problems import Problem, UnreadableFile, file_error

SUFFIXES = (".csv", ".parquet")
STEM = re.compile(
    r"(?:(?P<market>CN|HK|US)[-_])?(?:(?P<before>sh|sz|bj|hk|us)[-_.]?(?=[0-9]))?"
    r"(?P<code>[A-Z0-9](?:[A-Z0-9._-]{0,14}?[A-Z0-9])??)(?:[-_.](?P<after>sh|ss|sz|bj|hk|us))?",
    re.IGNORECASE | re.ASCII,
)
# Yahoo writes Shanghai as "ss".
MARKET_OF_MARK = {"hk": "HK", "us": "US", "ss": "CN", **dict.fromkeys(SHORT.values(), "CN")}
EXCHANGE_OF_MARK = {"ss": "SSE", **{mark: exchange for exchange, mark in SHORT.items()}}


@dataclass(frozen=True)
class QuoteFile:
    """The file of one stock under one adjustment.

    `duplicates` are other files of the same. A file with duplicates is not read, since any may be right.
    """

    path: Path
    market: str
    adjust: str
    code: str
    duplicates: tuple[Path, ...] = ()

    @property
    def exchange(self) -> str:
        """SSE, SZSE, BSE or HKEX; "" where the code does not tell."""
        return {"CN": exchange_of(self.code), "HK": "HKEX"}.get(self.market, "")


@dataclass(frozen=True)
class Layout:
    """The files by (market, adjustment, code) in the order of their names, and the ignored entries."""

    files: dict[tuple[str, str, str], QuoteFile] = field(default_factory=dict)
    ignored: list[tuple[Path, Problem]] = field(default_factory=list)


def scan_folder(folder: Path) -> Layout:
    """Returns what the folder holds now. Raises `OSError` when it can't be listed."""
    layout = Layout()
    _scan_into(layout, folder, "", "")
    return layout


def _scan_into(layout: Layout, folder: Path, market: str, adjust: str) -> None:
    """Adds every entry of a folder for this market and adjustment; links are never followed."""
    with os.scandir(folder) as scanned:
        entries = sorted((e for e in scanned if e.name[0] not in ".~"), key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        try:
            if entry.is_dir(follow_symlinks=False):
                _scan_into(layout, path, *_folder_meaning(entry.name, market, adjust))
                continue
            if not entry.is_file(follow_symlinks=False):
                raise file_error("not_a_file")
            if path.suffix.lower() not in SUFFIXES:
                raise file_error("not_known_here")
            file_market, code = parse_stem(path.stem, market)
        except UnreadableFile as error:
            layout.ignored.append((path, error.problems[0]))
            continue
        key = (file_market, adjust, code)
        if first := layout.files.get(key):
            layout.files[key] = replace(first, duplicates=(*first.duplicates, path))
        else:
            layout.files[key] = QuoteFile(path, file_market, adjust, code)


def _folder_meaning(name: str, market: str, adjust: str) -> tuple[str, str]:
    """Returns the market and adjustment of the files in a subfolder. Raises `UnreadableFile`."""
    if name.upper() in MARKETS and not market and not adjust:
        return name.upper(), ""
    if name.lower() in filter(None, ADJUSTS) and not adjust:
        return market, name.lower()
    raise file_error("not_a_folder")


def parse_stem(stem: str, folder_market: str = "") -> tuple[str, str]:
    """Returns the market and code that a file's name stands for, within a market's folder if any.

    Raises `UnreadableFile` for a name without a code, or one that contradicts itself: sh.000001 is an
    index, and 000001 a stock of Shenzhen.
    """
    parts = STEM.fullmatch(stem)
    if not parts:
        raise file_error("not_a_code")
    code, mark = parts["code"].upper(), (parts["before"] or parts["after"] or "").lower()
    named = {folder_market, (parts["market"] or "").upper(), MARKET_OF_MARK.get(mark, "")} - {""}
    if code.isdigit():
        market = min(named, default={6: "CN", 5: "HK"}.get(len(code), ""))
        if market == "HK" and mark:
            code = code.zfill(5)
    else:
        market = min(named, default="US")
    exchange = exchange_of(code)
    fits = {"CN": bool(exchange), "HK": code.isdigit() and len(code) == 5, "US": not code.isdigit()}
    if len(named) > 1 or not fits.get(market):
        raise file_error("not_a_code")
    if market == "CN" and EXCHANGE_OF_MARK.get(mark, exchange) != exchange:
        raise file_error("other_exchange", named=EXCHANGE_OF_MARK[mark], expected=exchange)
    return market, code
