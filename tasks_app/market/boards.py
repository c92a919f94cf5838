"""The boards of a market: China's by the codes, elsewhere the exchanges that a stock list names."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from tasks_app.models.quotes import InstrumentKind, Market
from tasks_app.sources import cn_codes

_CN = {
    "60": lambda: _("Shanghai main board"),
    "68": lambda: _("STAR market"),
    "00": lambda: _("Shenzhen main board"),
    "30": lambda: _("ChiNext"),
    "BSE": lambda: _("Beijing"),
    "B": lambda: _("B shares"),
}
ORDER = (*_CN, InstrumentKind.STOCK.value, InstrumentKind.ETF.value, InstrumentKind.INDEX.value)


def board_of(market: str, code: str, kind: str, exchange: str) -> str:
    """Returns the name of a security's board for addresses and forms."""
    if kind != InstrumentKind.STOCK:
        return kind
    if market != Market.CN:
        return exchange or kind
    if code[:2] in _CN:
        return code[:2]
    return "BSE" if cn_codes.exchange_of(code) == "BSE" else "B"


def label_of(board: str) -> str:
    """Returns the board's name in the reader's language."""
    if board in _CN:
        return _CN[board]()
    return str(InstrumentKind(board).label) if board in InstrumentKind.values else board


def in_order(boards: Sequence[str]) -> list[str]:
    """Returns the boards, the main ones first."""
    return sorted(boards, key=lambda board: (ORDER.index(board) if board in ORDER else 2.5, board))
