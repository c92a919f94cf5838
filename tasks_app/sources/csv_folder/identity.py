"""Which stock each row of a file is of, and whether the file is what its name and folder say."""

from collections.abc import Callable, Sequence

from tasks_app.conf import MARKETS
from tasks_app.sources.cn_codes import index_code, listed_exchange
from tasks_app.sources.csv_folder import codes
from tasks_app.sources.csv_folder.headings import Columns, find_adjust
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.problems import Note, Problem, ProblemLog, UnreadableFile, file_error
from tasks_app.sources.csv_folder.tables import QuoteTable, Row
from tasks_app.sources.security_codes import EXCHANGE_OF_MARK, clean_text

ADJUST_OF_FLAG = {"3": "", "2": "qfq", "1": "hfq"}  # BaoStock's
NO_ADJUST = {"none", "bfq", "不复权", "no", "0", "false"}
DAILY = {"", "d", "1d", "day", "daily", "1day", "日", "日线", "日k", "101"}
OTHER_PERIODS = ("分钟", "周线", "月线", "季线", "年线", "分时")
MAX_NAMED = 5
Stock = tuple[str, str]  # market, code
OTHER: Stock = ("", "")  # of a row whose code is no stock's


def check_remarks(file: QuoteFile, table: QuoteTable) -> None:
    """Raises `UnreadableFile` if the lines around the table name another adjustment, period or stock."""
    for remark in table.remarks:
        _, adjust = find_adjust(remark)
        if adjust is not None and adjust != file.adjust:
            raise file_error("other_adjustment", value=adjust, expected=file.adjust)
        if period := next((word for word in OTHER_PERIODS if word in remark), None):
            raise file_error("not_daily", value=period)
        titled = title_stock(remark, file.market)
        if titled and file.code and titled != (file.market, file.code):
            raise file_error("other_code", value=titled[1], expected=file.code)


def title_stock(remark: str, market: str) -> Stock | None:
    """Returns the market and code with which a title begins, such as "600000 浦发银行 日线 不复权"."""
    word = next(iter(remark.split()), "")
    try:
        return codes.parse_code(word, market) if word.isdigit() else None
    except UnreadableFile:
        return None


class RowIdentity:
    """Reads the words of a file's rows: codes, adjustments, periods and times of the day."""

    def __init__(self, file: QuoteFile, columns: Columns, rows: Sequence[Row], log: ProblemLog) -> None:
        self.file, self.columns, self.rows, self.log = file, columns, rows, log

    def check_words(self) -> None:
        """Logs the lines of another adjustment or period than the file's, or with an hour of the day."""
        self._check_each("adjustflag", self._adjust_problem)
        self._check_each("adjust", self._adjust_problem)
        self._check_each("period", lambda text: "" if text.lower() in DAILY else "not_daily")
        if (at := self.columns.time) is not None:
            heading = self.columns.headings[at].text
            for line, fields in self.rows:
                if fields[at].strip().strip("0:."):
                    self.log.add("time_of_day", line, value=fields[at].strip()[:40], column=heading)

    def find_stocks(self, remarks: Sequence[str]) -> list[Stock]:
        """Returns each row's stock; logs the lines of another stock than the file's name says.

        In a file of several stocks, `OTHER` stands for a code that is no stock's. Raises `UnreadableFile` if
        neither the name, nor a column, nor a title among the remarks says what the rows are of.
        """
        own = (self.file.market, self.file.code)
        if "code" not in self.columns.positions:
            titles = (title_stock(remark, self.file.market) for remark in remarks)
            titled = own if self.file.code else next(filter(None, titles), None)
            if not titled:
                word = self.file.word
                raise file_error("name_is_word", value=word) if word else file_error("not_quotes")
            return [titled] * len(self.rows)
        words = zip(*map(self._cells_or_blank, ("code", "market", "exchange")), strict=True)
        found: dict[tuple[str, ...], Stock | Problem] = {}
        stocks: list[Stock] = []
        for (line, _), key in zip(self.rows, words, strict=True):
            if key not in found:
                found[key] = self.find_stock(*key)
            stock = found[key]
            if isinstance(stock, Problem):
                self.log.add(stock.code, line, **stock.values)
                stock = own
            stocks.append(stock)
        return stocks

    def note_others(self, stocks: Sequence[Stock]) -> Note | None:
        """Returns what to say of the rows whose code is no stock's, such as an index's; None without any.

        Raises `UnreadableFile` if there are no other rows, or if those are of several markets.
        """
        others = [at for at, stock in enumerate(stocks) if stock == OTHER]
        markets = sorted({market for market, _ in stocks} - {""})
        if len(markets) > 1:
            raise file_error("several_markets", markets=", ".join(markets))
        if not others:
            return None
        cells = self._cells_or_blank("code")
        if len(others) == len(stocks):
            raise file_error("no_stocks", value=cells[0][:40], column=self.columns.heading("code").text)
        few = list(dict.fromkeys(cells[at][:16] for at in others))
        named = ", ".join([*few[:MAX_NAMED], "…"] if len(few) > MAX_NAMED else few)
        return Note("other_codes", {"count": len(others), "codes": named})

    def _cells_or_blank(self, column: str) -> list[str]:
        if (at := self.columns.positions.get(column)) is None:
            return [""] * len(self.rows)
        return [fields[at].strip() for _, fields in self.rows]

    def _check_each(self, column: str, find: Callable[[str], str]) -> None:
        if column not in self.columns.positions:
            return
        found: dict[str, str] = {}
        for (line, _), text in zip(self.rows, self._cells_or_blank(column), strict=True):
            if text not in found:
                found[text] = find(text)
            if code := found[text]:
                value = ADJUST_OF_FLAG.get(text, text) if column == "adjustflag" else text
                self.log.add(code, line, value=value[:40], expected=self.file.adjust)

    def _adjust_problem(self, text: str) -> str:
        named = ADJUST_OF_FLAG.get(text, text)
        if not text and "adjustflag" in self.columns.positions:  # a suspended row has none
            return ""
        if named.lower() in NO_ADJUST:
            named = ""
        elif (mark := find_adjust(named)[1]) is not None:
            named = mark
        return "" if named == self.file.adjust else "other_adjustment"

    def find_stock(self, written: str, market: str, exchange: str) -> Stock | Problem:
        """Returns the stock that a row's code, market and exchange name; `OTHER` for what is no stock's."""
        written, market = clean_text(written), market.upper()
        market = market if market in MARKETS else self.file.market
        if self.file.code:
            own = (self.file.market, self.file.code)
            if written and not (market == own[0] and codes.is_same_code(written, *own)):
                return Problem("other_code", values={"value": written[:40], "expected": self.file.code})
            return _exchange_problem(own, exchange) or own
        try:
            named = EXCHANGE_OF_MARK.get(exchange.upper(), "")
            if market in ("", "CN") and named and (index := index_code(written, [named])):
                return "CN", index
            stock = codes.parse_code(written, market)
        except UnreadableFile as error:
            if error.problems[0].code == "not_a_code" and written.isdigit() and len(written) < 6:
                heading = self.columns.heading("code").text
                return Problem("short_code", values={"value": written, "column": heading})
            return OTHER
        return OTHER if _exchange_problem(stock, exchange) else stock


def _exchange_problem(stock: Stock, exchange: str) -> Problem | None:
    """Returns the problem of 000001 at the SSE, which is an index and not the stock of the SZSE."""
    named = EXCHANGE_OF_MARK.get(exchange.upper())
    if stock[0] != "CN" or named is None or named == listed_exchange(stock[1]):
        return None
    return Problem("other_exchange", values={"named": named, "expected": listed_exchange(stock[1])})
