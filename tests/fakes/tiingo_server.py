"""A fake Tiingo on loopback, with the quotes of `eastmoney_server`; reached through `HTTPS_PROXY`."""

import io
import json
import zipfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.eastmoney_server import NONE, FakeEastmoney, Handler, Security, market_of, run_proxy

TOKEN = "a-token-of-tiingo"
EXCHANGES = {"105": "NASDAQ", "106": "NYSE", "107": "NYSE MKT"}


@dataclass
class FakeTiingo(FakeEastmoney):
    """What it lists, and how it fails: `failures` by ticker, or by "list" and "prices".

    Modes are those of the fake Eastmoney, and `text` (a refusal with the status 200).
    """

    splits: dict[date, str] = field(default_factory=dict)  # factors by ex day, of every stock

    def securities(self) -> dict[str, Security]:
        return {
            security.code.replace("_", "-"): security
            for security in self.listings.values()
            if market_of(security.security_id) == "US" and not security.gone
        }

    def days(self, security: Security, first: str, last: str) -> list[dict[str, Any]]:
        """Returns the rows of the days, with what happened on each."""
        rows = []
        for day, opened, close, high, low, shares, *_ in security.klines(NONE):
            if first <= day <= last:
                prices = {"open": opened, "close": close, "high": high, "low": low}
                rows.append(
                    {name: float(price) for name, price in prices.items()}
                    | {"date": f"{day}T00:00:00.000Z", "volume": int(shares)}
                    | {"divCash": security.dividends.get(date.fromisoformat(day), 0.0)}
                    | {"splitFactor": float(self.splits.get(date.fromisoformat(day), "1"))}
                )
        return rows

    def list_file(self) -> bytes:
        """Returns the list, with a fund, a stock abroad, a delisted one, and a ticker's earlier owner."""
        today = date.today()
        rows = ["ticker,exchange,assetType,priceCurrency,startDate,endDate"]
        for ticker, security in self.securities().items():
            exchange = EXCHANGES[security.security_id.partition(".")[0]]
            rows.append(f"{ticker},NYSE,Stock,USD,1980-01-02,1990-01-02")
            rows.append(f"{ticker},{exchange},Stock,USD,{security.listed},{today - timedelta(days=1)}")
        rows.append("OLD,NYSE,Stock,USD,1980-01-02,2010-01-04")
        rows.append(f"FUND,NYSE,ETF,USD,2010-01-04,{today}")
        rows.append(f"000001,SHE,Stock,CNY,2010-01-04,{today}")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("supported_tickers.csv", "\n".join(rows))
        return file.getvalue()


class TiingoHandler(Handler):
    vendor: FakeTiingo

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        ticker = path.path.split("/")[3] if path.path.endswith("/prices") else ""
        kind = "prices" if ticker else "list"
        self.vendor.requests.append((kind, ticker))
        mode = self.vendor.failure_mode(ticker, kind)
        security = self.vendor.securities().get(ticker)
        if mode == "text":
            self.send(200, json.dumps({"detail": "Error: You have run over your hourly request allocation."}))
        elif mode:
            self.answer(kind, query, mode, ticker)
        elif kind == "list":
            self.send(200, self.vendor.list_file(), "application/zip")
        elif self.headers["Authorization"] != f"Token {TOKEN}":
            self.send(401, json.dumps({"detail": "Invalid token."}))
        elif security is None:
            self.send(404, json.dumps({"detail": f"Error: Ticker '{ticker}' not found"}))
        else:
            self.send(200, json.dumps(self.vendor.days(security, query["startDate"], query["endDate"])))

    def body(self, kind: str, query: dict[str, str], mode: str, key: str) -> str:
        return '[{"date": "2024-05-06T00:00:00.000Z"}]'  # cut in half by the mode `broken`


def run_server(vendor: FakeTiingo | None = None) -> AbstractContextManager[FakeTiingo]:
    """Runs the fake server; its `environment` leads any process of ours to it."""
    return run_proxy(vendor or FakeTiingo(), TiingoHandler)
