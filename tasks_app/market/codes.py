"""Stock codes: the one code of a security, the texts that stand for it, and how a list is abbreviated."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.db.models import Exists, OuterRef

from tasks_app import errors
from tasks_app.models import CodeAlias, Stock
from tasks_app.models.quotes import InstrumentKind, Market
from tasks_app.sources import cn_codes, security_codes
from tasks_app.sources.security_codes import CodeError

MAX_NAMED = 10
LOOKED_UP = 1000  # texts in one query
_CODE = re.compile(r"[A-Za-z0-9._-]{1,16}")
SPELLING = r"[A-Za-z0-9._/#-]{1,24}"  # of a code, as people, vendors and spreadsheets write it
ERRORS: dict[str, type[errors.OrderError]] = {
    "not_a_code": errors.MalformedCodes,
    "unread": errors.UnreadCodes,
    "short_code": errors.ShortCodes,
    "other_exchange": errors.IndexCodes,
    "other_market": errors.CodesOfOtherMarket,
}

canonical_or_same = lru_cache(maxsize=50_000)(security_codes.canonical_or_same)


def is_code(text: str) -> bool:
    """Returns whether the text can be a stock's code."""
    return bool(_CODE.fullmatch(text))


def kind_of(market: str, code: str) -> str:
    """Returns the `InstrumentKind` of a code. Elsewhere than in China only a stock list can tell it."""
    return cn_codes.kind_of(code) if market == Market.CN else InstrumentKind.STOCK.value


def read_code(market: str, text: str) -> str:
    """Returns the code under which a market's security is stored. Raises what `read_codes` raises."""
    return read_codes(market, [text])[0]


def read_codes(market: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the codes under which a market's securities are stored, each once, whatever their spellings.

    Takes one query for the aliases, and two for each code with marks that nobody knows.
    Raises `MalformedCodes`, or the error that says what to write:
    `UnreadCodes`, `ShortCodes`, `IndexCodes` or `CodesOfOtherMarket`.
    """
    codes: dict[str, None] = {}
    faults: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for text in texts:
        try:
            code = security_codes.canonical_code(market, text)
            if not is_code(code):
                raise CodeError("not_a_code")
            codes[code] = None
        except CodeError as error:
            own = security_codes.clean_text(text).upper()
            if error.code == "unread" and _is_stored(market, own):  # of a source of its own, or an alias
                codes[own] = None
            else:
                faults[error.code].append((text.strip(), error.values))
    if faults:
        raise _order_error(next(iter(faults)), market, next(iter(faults.values())))
    stock = Stock.objects.filter(market=OuterRef("market"), code=OuterRef("alias"))  # stands for itself
    named = CodeAlias.objects.filter(~Exists(stock), market=market, alias__in=codes)
    aliases = dict(named.values_list("alias", "code"))
    return tuple(dict.fromkeys(aliases.get(code, code) for code in codes))


def _is_stored(market: str, text: str) -> bool:
    """Returns whether a text is the code of a stored stock or an alias."""
    is_stock = Stock.objects.filter(market=market, code=text).exists()
    return is_stock or CodeAlias.objects.filter(market=market, alias=text).exists()


def find_stored(market: str, text: str) -> str | None:
    """Returns the code of the stored stock that a text stands for; None without one."""
    return find_all_stored(market, [text]).get(text)


def find_all_stored(market: str, texts: Sequence[str]) -> dict[str, str]:
    """Returns the codes of the stored stocks that texts stand for, by text; of unknown texts nothing.

    The very spelling of a text comes first: what could not be merged into a security's series is stored under
    an earlier spelling. Takes a query for each `LOOKED_UP` texts, and two more where some are aliases.
    """
    found: dict[str, str] = {}
    for first in range(0, len(texts), LOOKED_UP):
        spellings = {text: canonical_or_same(market, text) for text in texts[first : first + LOOKED_UP]}
        stored = _stored_codes(market, {*spellings, *spellings.values()})
        rest = {text: code for text, code in spellings.items() if not {text, code} & stored}
        named = CodeAlias.objects.filter(market=market, alias__in=set(rest.values())) if rest else ()
        aliases = {alias.alias: alias.code for alias in named}
        known = _stored_codes(market, set(aliases.values())) if aliases else set()
        for text, code in spellings.items():
            if text not in rest:
                found[text] = text if text in stored else code
            elif aliases.get(code) in known:
                found[text] = aliases[code]
    return found


def require_stored(market: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Returns the codes of the stored stocks that texts stand for, sorted, each once.

    Raises `NoSuchStocks`, and the errors of `read_codes` for what can't be a code.
    """
    found = find_all_stored(market, texts)
    if unknown := [text for text in texts if text not in found]:
        read_codes(market, unknown)
        raise errors.NoSuchStocks(market=market, codes=count_codes([text[:24] for text in unknown]))
    return tuple(sorted(set(found.values())))


def _stored_codes(market: str, codes: Collection[str]) -> set[str]:
    return set(Stock.objects.filter(market=market, code__in=codes).values_list("code", flat=True))


def codes_of_any_market(text: str) -> set[str]:
    """Returns the codes that a text may stand for, where no market is named."""
    return {canonical_or_same(market, text.strip()).upper() for market in Market.values}


def add_alias(market: str, alias: str, code: str) -> CodeAlias:
    """Stores a text that stands for a code from now on. Raises `AliasConflict` or an `OrderError`."""
    alias, code = alias.strip().upper(), read_code(market, code)
    is_stock = Stock.objects.filter(market=market, code=canonical_or_same(market, alias)).exists()
    if is_stock or canonical_or_same(market, alias) == code:
        raise errors.AliasConflict(alias=alias)
    return CodeAlias.objects.update_or_create(market=market, alias=alias, defaults={"code": code})[0]


def remove_alias(market: str, alias: str) -> bool:
    """Lets a text stand for a code no longer. Returns whether it did."""
    return CodeAlias.objects.filter(market=market, alias=alias.strip().upper()).delete()[0] > 0


def name_codes(codes: Sequence[str]) -> str:
    """Returns the first ten codes, separated by commas, and "…" if there are more."""
    return ", ".join([*codes[:MAX_NAMED], "…"] if len(codes) > MAX_NAMED else codes)


def count_codes(codes: Sequence[str]) -> str:
    """Returns the first ten codes, and how many there are if there are more."""
    return name_codes(codes) + (f" ({len(codes)})" if len(codes) > MAX_NAMED else "")


def _order_error(kind: str, market: str, found: Sequence[tuple[str, dict[str, Any]]]) -> errors.OrderError:
    texts = [f"“{text[:24]}”" for text, _ in found]
    values: dict[str, Any] = {"codes": count_codes(texts), "market": market}
    if kind in ("short_code", "unread"):
        values["meant"] = count_codes([fault["meant"] for _, fault in found])
    elif kind == "other_exchange":
        values |= {name: found[0][1][name] for name in ("stock", "expected")}
    elif kind == "other_market":
        values["other"] = ", ".join(sorted({fault["market"] for _, fault in found}))
    return ERRORS[kind](**values)
