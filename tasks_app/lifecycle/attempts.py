"""The history of a stock's attempts: a few bytes in its row, written by the update that is made anyway.

So it costs no statement of its own, it is fenced like everything that a claim writes, and it is deleted with
its task. Rows of a table of their own would have been an insert more per stock.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks_app.reasons import sanitize_message, translated_reason

MOST = 20  # of a stock: the first ones are dropped
MOST_CHARACTERS = 300  # of an error


@dataclass(frozen=True)
class Attempt:
    """One request for a stock, and how it was answered.

    `at`: when it was sent, ISO 8601 in UTC, by the database's clock. `purpose`: "" for its bars, "days" for
    days of the whole market that were requested once for all stocks, "comparison", or the adjustment data
    requested. `latency_ms` is None where no request was made for it. `bars` is None for an error and for data
    other than bars; `stocks` is how many stocks shared the request.
    """

    at: str
    source: str = ""
    purpose: str = ""
    latency_ms: int | None = None
    stocks: int = 1
    bars: int | None = None
    error_code: str = ""
    error_message: str = ""
    worker: str = ""

    @property
    def result(self) -> str:
        """What came: "error", "empty", "bars", or "answered" for other data."""
        if self.error_code:
            return "error"
        if self.bars is None:
            return "answered"
        return "bars" if self.bars else "empty"


DEFAULTS = asdict(Attempt(""))


def added(stored: Sequence[Any] | None, attempt: Attempt) -> list[dict[str, Any]]:
    """Returns what is stored with another attempt, as the column holds it."""
    fields = asdict(attempt) | {
        "error_code": attempt.error_code[:40],
        "error_message": sanitize_message(attempt.error_message)[:MOST_CHARACTERS],
    }
    return [*(stored or ()), {k: v for k, v in fields.items() if v != DEFAULTS[k]}][-MOST:]


def read(stored: Sequence[Any] | None) -> list[Attempt]:
    """Returns the attempts of a column, the oldest first."""
    return [Attempt(**fields) for fields in stored or ()]


def describe(attempt: Attempt) -> dict[str, Any]:
    """Returns an attempt for the API, its error in the reader's language where it is one of ours."""
    message = translated_reason(attempt.error_code) or attempt.error_message
    return {**asdict(attempt), "result": attempt.result, "error_message": message}
