"""Which file of a folder holds which stock.

A file lies in the folder itself or in CN, HK, US, and there in qfq, hfq or split if it is adjusted; its name
carries the code: 600000.csv, sh.600000.csv, 600000_SH.csv, SH#600000.txt, 00700.parquet, AAPL.csv.
A name may say the adjustment, too: 600000_qfq.csv. Any other file is of several stocks or none: what is in it
tells.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks_app.conf import ADJUSTS, MARKETS
from tasks_app.sources.cn_codes import listed_exchange, split_index
from tasks_app.sources.csv_folder.codes import parse_code
from tasks_app.sources.csv_folder.headings import find_adjust
from tasks_app.sources.csv_folder.problems import Problem, UnreadableFile, file_error

MEMBER_SUFFIXES = (".csv", ".txt", ".tsv", ".xls", ".xlsx", ".day")  # of files within an archive
SUFFIXES = (*MEMBER_SUFFIXES, ".parquet", ".zip")
ARCHIVES = (".parquet", ".zip")  # of many stocks, unless the name is one's
# Names of files that people give without meaning a stock of the US; DATA.US.csv is one of the stock DATA.
WORDS = frozenset({
    "BARS", "CHART", "CN", "CODES", "CSV", "DAILY", "DATA", "DL", "DUMP", "FILE", "FILES", "FINAL",
    "HIST", "HK", "INDEX", "INPUT", "KLINE", "LIST", "MONTH", "NAMES", "OHLC", "OHLCV", "PRICE",
    "QUOTE", "SHEET", "STOCK", "TABLE", "TEMP", "TEST", "TICK", "TMP", "TODAY", "TRADE", "US",
    "USA", "WEEK",
})  # fmt: skip
COPY = re.compile(
    r"\s*\(\d{1,2}\)|\s*[-_ ]\s*(?:copy|副本)(?:\s*\(\d+\))?", re.IGNORECASE
)  # as browsers save
# The code beside a stock's Chinese name; not an index's (中证全指), nor the title of other periods (周线).
_CHINESE = r"[\u4e00-\u9fff]"
_NAMED_CODE = re.compile(
    rf"(?=.*{_CHINESE})(?!.*(?:指|债|分钟|分时|[周月季年]线))[^\d]*?"
    r"(?P<code>(?:(?<![a-z])(?:sh|sz|bj)[.#_]?)?\d{6}(?:[.](?:sh|sz|bj|ss|xshg|xshe))?)(?![a-z\d])[^\d]*",
    re.IGNORECASE | re.ASCII,
)
PARTITION = re.compile(r"[^=]+=.*", re.DOTALL)  # a folder of one value of a column: year=2024
FOLDER_ADJUSTS = {**{adjust: adjust for adjust in ADJUSTS if adjust}, "前复权": "qfq", "后复权": "hfq"}


@dataclass(frozen=True)
class QuoteFile:
    """The file of one stock under one adjustment; `others` are further files of the same.

    In a file of several stocks (`Layout.shared`) the code is "", and so is the market unless its folder
    tells. `word` is the name if that could be a ticker, but is probably none.
    """

    path: Path
    market: str
    adjust: str
    code: str = ""
    others: tuple["QuoteFile", ...] = ()
    word: str = ""

    @property
    def exchange(self) -> str:
        """SSE, SZSE, BSE, CSI or HKEX; "" where the code does not tell."""
        return {"CN": listed_exchange(self.code), "HK": "HKEX"}.get(self.market, "")


@dataclass(frozen=True)
class Layout:
    """The files by (market, adjustment, code) in the order of their names, and the ignored entries.

    `shared` are the files whose name is no stock's: they are of several stocks, or of none. `archives` are
    those of them that are read by stock: zip files, Parquet files, and folders of parts of one. `folders` are
    the folders with the times of their last change, by which `is_current` sees that entries came or went.
    """

    files: dict[tuple[str, str, str], QuoteFile] = field(default_factory=dict)
    shared: list[QuoteFile] = field(default_factory=list)
    archives: list[QuoteFile] = field(default_factory=list)
    ignored: list[tuple[Path, Problem]] = field(default_factory=list)
    folders: dict[Path, int] = field(default_factory=dict)

    def is_current(self) -> bool:
        """Returns whether no entry has come or gone since the folder was scanned."""
        try:
            return all(os.stat(folder).st_mtime_ns == changed for folder, changed in self.folders.items())
        except OSError:
            return False


def scan_folder(folder: Path) -> Layout:
    """Returns what the folder holds now. Raises `OSError` when it can't be listed."""
    layout = Layout()
    _scan_into(layout, folder, "", "")
    return layout


def _scan_into(layout: Layout, folder: Path, market: str, adjust: str) -> None:
    """Adds every entry of a folder for this market and adjustment; links are never followed."""
    layout.folders[folder] = os.stat(folder).st_mtime_ns  # before the listing, so that no change is missed
    with os.scandir(folder) as scanned:
        entries = sorted((e for e in scanned if e.name[0] not in ".~"), key=lambda entry: entry.name)
    if any(PARTITION.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) for entry in entries):
        entries = [e for e in entries if not _is_part(e)]
        layout.archives.append(QuoteFile(folder, market, adjust))
    for entry in entries:
        path = Path(entry.path)
        try:
            if entry.is_dir(follow_symlinks=False):
                if _is_dump(entry):
                    layout.archives.append(QuoteFile(path, market, _named_adjust(path, adjust)[1]))
                else:
                    _scan_into(layout, path, *_folder_meaning(entry.name, market, adjust))
                continue
            if not entry.is_file(follow_symlinks=False):
                raise file_error("not_a_file")
            if path.suffix.lower() not in SUFFIXES:
                raise file_error("not_known_here")
            _add(layout, identify(path, market, adjust))
        except UnreadableFile as error:
            layout.ignored.append((path, error.problems[0]))


def _is_part(entry: "os.DirEntry[str]") -> bool:
    """Returns whether an entry belongs to the dump whose partitions lie beside it."""
    if entry.is_dir(follow_symlinks=False):
        return bool(PARTITION.fullmatch(entry.name))
    return entry.name.startswith(("_", "part-")) and entry.is_file(follow_symlinks=False)


def _is_dump(entry: "os.DirEntry[str]") -> bool:
    """Returns whether a folder is a dump: it is named as a Parquet file, or has partitions or only parts."""
    name = entry.name
    if name.upper() in MARKETS or name.lower() in FOLDER_ADJUSTS:
        return False  # what lies in there is scanned, and may be a dump
    if name.lower().endswith(".parquet"):
        return True
    with os.scandir(entry.path) as scanned:
        inner = [each for each in scanned if each.name[0] not in "._~"]
    if any(PARTITION.fullmatch(each.name) and each.is_dir(follow_symlinks=False) for each in inner):
        return True
    return bool(inner) and all(each.name.lower().endswith(".parquet") for each in inner)


def _add(layout: Layout, file: QuoteFile) -> None:
    key = (file.market, file.adjust, file.code)
    suffix = file.path.suffix.lower()
    if suffix == ".zip" or (suffix in ARCHIVES and not file.code):
        layout.archives.append(file)
    elif not file.code:
        layout.shared.append(file)
    elif first := layout.files.get(key):
        layout.files[key] = replace(first, others=(*first.others, file))
    else:
        layout.files[key] = file


def _folder_meaning(name: str, market: str, adjust: str) -> tuple[str, str]:
    """Returns the market and adjustment of the files in a subfolder. Raises `UnreadableFile`."""
    if name.upper() in MARKETS and not market and not adjust:
        return name.upper(), ""
    if (named := FOLDER_ADJUSTS.get(name.lower())) and not adjust:
        return market, named
    raise file_error("not_a_folder")


def identify(path: Path, market: str, adjust: str) -> QuoteFile:
    """Returns what a file's name and folder say about it; without a code if the name is no stock's.

    Raises `UnreadableFile` for a name that contradicts itself or its folder.
    """
    stem, adjust = _named_adjust(path, adjust)
    if path.suffix.lower() == ".zip":  # the names of its files say whose they are
        return QuoteFile(path, market, adjust)
    stem = _written_code(stem)
    if stem.upper() in WORDS:
        return QuoteFile(path, market, adjust, word=stem)
    try:
        file_market, code = parse_code(stem, market)
    except UnreadableFile as error:
        if error.problems[0].code != "not_a_code":
            raise
        return QuoteFile(path, market, adjust)
    if path.suffix.lower() == ".day" and file_market == "CN" and split_index(code):
        raise file_error("day_file_kind", value=code)  # a list must not name what can't be read
    return QuoteFile(path, file_market, adjust, code)


def _written_code(stem: str) -> str:
    """Returns the part of a name that may be a code: of 600519_贵州茅台, 贵州茅台(600519) and AAPL (1)."""
    if copied := re.fullmatch(rf"(.+?)(?:{COPY.pattern})", stem, re.IGNORECASE):
        stem = copied[1]
    found = _NAMED_CODE.fullmatch(stem)
    is_month = found and found["code"].startswith("20")  # 行情_200401 is no B share
    return found["code"] if found and not is_month else stem


def _named_adjust(path: Path, adjust: str) -> tuple[str, str]:
    """Returns a name without a mark of adjustment, and the adjustment. Raises `UnreadableFile`."""
    stem, named = find_adjust(path.stem)
    if named is None:
        return stem, adjust
    if named != adjust and (adjust or not named):
        raise file_error("other_adjustment", value=named, expected=adjust)
    return stem.strip("-_. ()（）"), named or adjust
