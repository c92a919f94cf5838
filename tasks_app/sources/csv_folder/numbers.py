"""Columns of numbers as people's files write them: separators, signs of currency, missing values."""

import re
from collections.abc import Iterable, Sequence

from tasks_app.sources.csv_folder.problems import UnclearCell

MISSING = {"", "-", "--", "—", "nan", "none", "null", "n/a", "#n/a", "na", "<na>", "nil", "停牌"}
PLAIN = re.compile(r"[0-9.\n-]*")
CURRENCY = re.compile(r"^(-?)(?:US\$|HK\$|\$|¥|￥|RMB|CNY|HKD|USD)\s*", re.IGNORECASE)
SPACED = re.compile(r"-?\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d+)?")
ROUNDED = re.compile(r"-?[\d.,]+\s*(?:[KMBT]|千|万|亿)", re.IGNORECASE)
SCIENTIFIC = re.compile(r"-?\d(?:[.,](\d+))?e\+?(\d+)", re.IGNORECASE)
GROUPED = {
    ".": re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?"),
    ",": re.compile(r"[-+]?\d{1,3}(?:\.\d{3})+(?:,\d*)?"),
}
# What only a decimal comma explains, and what only a decimal point does.
COMMA_PROOF = re.compile(
    r"-?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+|[\d.]*\.\d{3},\d+|\d{1,3}(?:\.\d{3}){2,})"
)
POINT_PROOF = re.compile(
    r"-?(?:\d+\.(?:\d{1,2}|\d{4,})|0\.\d+|\d{4,}\.\d+|[\d,]*,\d{3}\.\d*|\d{1,3}(?:,\d{3}){2,})"
)


class NumberReader:
    """Reads the numbers of one file, whose decimal sign is the same everywhere.

    `decimal` is "." or ","; "" where a comma occurs and nothing tells what it means.
    """

    def __init__(self, columns: Iterable[Sequence[str]]) -> None:
        cells = [cell for column in columns for cell in column]
        self.decimal = _decimal_sign(cells) if any("," in cell for cell in cells) else "."

    def read_column(self, cells: Sequence[str]) -> list[float | UnclearCell | None]:
        """Returns each cell's number, None where it is missing, and an error where it is neither."""
        if self.decimal == "." and PLAIN.fullmatch("\n".join(cells)):
            try:
                return [float(cell) if cell else None for cell in cells]
            except ValueError:
                pass
        return [self._read(cell) for cell in cells]

    def _read(self, text: str) -> float | UnclearCell | None:
        try:
            return self._parse(text)
        except UnclearCell as error:
            return error
        except ValueError:
            return UnclearCell("not_a_number")

    def _parse(self, text: str) -> float | None:
        text = text.strip()
        if text.lower() in MISSING:
            return None
        text = CURRENCY.sub(r"\1", text).removesuffix("%").strip()
        if ROUNDED.fullmatch(text):
            raise UnclearCell("rounded_number")
        if (parts := SCIENTIFIC.fullmatch(text)) and len(parts[1] or "") < int(parts[2]):
            raise UnclearCell("rounded_number")  # a spreadsheet shows 123,456,789 as 1.23E+08
        if SPACED.fullmatch(text):
            text = re.sub(r"[ \u00a0\u202f'’]", "", text)
        if "," in text and not self.decimal:
            raise UnclearCell("ambiguous_number")
        decimal = self.decimal or "."
        if GROUPED[decimal].fullmatch(text):
            text = text.replace("." if decimal == "," else ",", "")
        elif decimal == "," and "." in text:
            raise UnclearCell("not_a_number")
        if decimal == ",":
            text = text.replace(",", ".")
        if "_" in text or "," in text:  # Python would read 1_000
            raise UnclearCell("not_a_number")
        return float(text)


def _decimal_sign(cells: Iterable[str]) -> str:
    comma = point = False
    for cell in cells:
        text = CURRENCY.sub(r"\1", cell.strip()).removesuffix("%")
        comma = comma or bool(COMMA_PROOF.fullmatch(text))
        point = point or bool(POINT_PROOF.fullmatch(text))
    if comma and not point:
        return ","
    return "." if point else ""
