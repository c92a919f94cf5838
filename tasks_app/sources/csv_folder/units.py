"""The units of a file's volumes and amounts, told by what fits its prices, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tasks_app.sources.csv_folder.headings import LOT, Columns, Vendor
from tasks_app.sources.csv_folder.problems import file_error

TOLERANCE = 0.01  # of the price: prices are rounded
MANY = 20  # lines, of which one in twenty may be odd
ENDS = 5  # lines at the end of an adjusted file whose prices are those that were traded
PENNY = 1.0  # yuan: A-shares below that are delisted
VOLUME_UNITS = {"shares": 1, "lots": LOT}
MONEY_UNITS = (1, 1000, 10_000)


class Trade(NamedTuple):
    """What a line says about a session's trade, in the file's units."""

    line: int
    low: float
    high: float
    volume: float
    amount: float | None


@dataclass(frozen=True)
class Units:
    """The shares in one volume, the money in one amount (None: unknown), and how the shares are known.

    `known_by` is `amount` (it fits), `against` (the amount proves it, though the columns suggest another
    unit), `heading`, `columns` (the vendor's), `fractions` (only lots have decimals), `market` (elsewhere
    than in China all count in shares), `setting` or, without any volume, `nothing`.
    """

    shares: int
    money: int | None
    known_by: str


def find_units(
    trades: Sequence[Trade], columns: Columns, vendor: Vendor, *, market: str, adjust: str, setting: str
) -> Units:
    """Returns the units of a file whose days with trades are these, in ascending order of their days.

    `setting` is `shares` or `lots` for what nothing else tells. Raises `UnreadableFile` where the amounts fit
    no units, or where nothing tells whether A-shares are counted in shares or lots.
    """
    shares, money, known_by = _declared(columns, vendor, market)
    proof = _Proof(trades, shares, money, heading=known_by == "heading")
    if proof.checks and not adjust:
        return proof.decide(shares, money)
    if shares is None and proof.checks and (found := proof.decide_adjusted(adjust)):
        return found
    if shares is None:
        shares, known_by = _unit_without_amounts(trades, market, setting)
    odd = next((trade for trade in trades if round(trade.volume, 4) % 1), None)
    if odd and shares == 1 and market == "CN":
        raise file_error("unit_clash", odd.line, value=f"{odd.volume:g}")
    return Units(shares, money, known_by)


def fits_as_amount(trades: Sequence[Trade]) -> bool:
    """Returns whether the amounts of these trades are indeed amounts: in some unit they fit the prices."""
    proof = _Proof(trades, None, None)
    return bool(proof.checks) and max(proof.fits.values()) * MANY >= len(proof.checks) * (MANY - 1)


def _declared(columns: Columns, vendor: Vendor, market: str) -> tuple[int | None, int | None, str]:
    """Returns the shares in a volume and the money in an amount by the headings, else by the vendor."""
    shares, known_by = columns.declared_unit("volume"), "heading"
    if shares is None:
        shares, known_by = (vendor.shares, "columns") if market == "CN" else (None, "market")
    has_amounts = "amount" in columns.positions and columns.has_known_unit("amount")
    money = columns.declared_unit("amount") if has_amounts else None
    if money is None:
        money = vendor.money if market == "CN" else 1
    return shares, money, known_by


def _unit_without_amounts(trades: Sequence[Trade], market: str, setting: str) -> tuple[int, str]:
    """Returns the shares in a volume that neither amounts nor columns tell, and what does."""
    if market != "CN":
        return 1, "market"
    if not trades:
        return 1, "nothing"
    has_fractions = any(round(trade.volume, 4) % 1 for trade in trades)
    if has_fractions and all(round(trade.volume * LOT, 2) % 1 == 0 for trade in trades):
        return LOT, "fractions"
    if setting:
        return VOLUME_UNITS[setting], "setting"
    raise file_error("unit_unproven", 1)


class _Proof:
    """How many lines each pair of units fits: amount ÷ volume must be a price of the day."""

    def __init__(
        self, trades: Sequence[Trade], shares: int | None, money: int | None, *, heading: bool = False
    ) -> None:
        self.checks = [trade for trade in trades if trade.amount and trade.volume > 0 and trade.low > 0]
        shares_options = {shares} if heading and shares else {1, LOT, shares or 1}
        money_options = {*MONEY_UNITS, money or 1}
        self.fits = {
            (in_shares, in_money): sum(_fits(trade, in_shares, in_money) for trade in self.checks)
            for in_shares in sorted(shares_options)
            for in_money in sorted(money_options)
        }

    def decide(self, shares: int | None, money: int | None) -> Units:
        """Returns the only units that fit. Raises `UnreadableFile`."""
        lines = len(self.checks)
        best = max(self.fits, key=lambda pair: self.fits[pair])
        declared = shares or best[0], money or best[1]
        if declared not in self.fits:
            declared = best
        others = max((count for pair, count in self.fits.items() if pair != declared), default=0)
        # A few odd lines are the engine's to flag; more are a file in two units, or of adjusted prices.
        if self.fits[declared] * 2 >= lines and others * MANY <= lines:
            misfits = lines - self.fits[declared]
            if lines >= MANY and misfits * MANY > lines:
                raise file_error("amount_misfits", self._first_misfit(declared), misfits=misfits, lines=lines)
            return Units(*declared, "amount")
        if self.fits[best] * MANY >= lines * (MANY - 1):
            known = shares in (None, best[0]) and money in (None, best[1])
            return Units(*best, "amount" if known else "against")
        raise file_error("unit_unclear", self._first_misfit(declared))

    def decide_adjusted(self, adjust: str) -> Units | None:
        """Returns the units that fit where adjusted prices are the traded ones: the newest, or the oldest.

        None where a factor explains the amounts as well: files rarely begin with the listing, and prices
        adjusted backward are then multiples of the traded ones, such as 10 times (as if lots were traded for
        thousands) or 100 times (as if lots were shares).
        """
        ends = self.checks[-ENDS:] if adjust == "qfq" else self.checks[:ENDS]
        for pair in self.fits:
            if all(_fits(trade, *pair) for trade in ends):
                return None if adjust == "hfq" and self._has_rival(pair, ends) else Units(*pair, "amount")
        return None

    def _has_rival(self, found: tuple[int, int], trades: Sequence[Trade]) -> bool:
        """Returns whether other units fit, too, if the prices are multiples of what stocks are traded at."""
        price = min(trade.low for trade in trades)
        factors = (found[1] / found[0] * shares / money for shares, money in self.fits)
        return any(factor > 1 and price / factor >= PENNY for factor in factors)

    def _first_misfit(self, units: tuple[int, int]) -> int:
        return next((trade.line for trade in self.checks if not _fits(trade, *units)), 1)


def _fits(trade: Trade, shares: int, money: int) -> bool:
    price = (trade.amount or 0.0) * money / trade.volume / shares
    return trade.low * (1 - TOLERANCE) <= price <= trade.high * (1 + TOLERANCE)
