"""Starts `client_process` with two more requests: for adjustment factors and for dividends.

Run by its path, as that module is. Requests: {"call": "factors", "code", "start", "end"} and
{"call": "dividends", "code", "year"}, whose year is that of the ex day.
"""

import importlib.util
from pathlib import Path
from typing import Any

import baostock

spec = importlib.util.spec_from_file_location("client_process", Path(__file__).with_name("client_process.py"))
assert spec is not None  # noqa: S101 - the file is beside this one
assert spec.loader is not None  # noqa: S101
client_process = importlib.util.module_from_spec(spec)
spec.loader.exec_module(client_process)


class AdjustmentSession(client_process.Session):  # type: ignore[name-defined, misc]
    """The session with all requests."""

    def _send(self, request: dict[str, Any]) -> Any:
        if request["call"] == "factors":
            self._wait()
            return baostock.query_adjust_factor(request["code"], request["start"], request["end"])
        if request["call"] == "dividends":
            self._wait()
            return baostock.query_dividend_data(request["code"], request["year"], "operate")
        return super()._send(request)


if __name__ == "__main__":
    client_process.Session = AdjustmentSession  # type: ignore[attr-defined]
    client_process.main()
