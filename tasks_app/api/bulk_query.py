"""The parameters of a bulk read, from a query string or a JSON body."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from tasks_app.api.fields import (
    AS_OF,
    BodySerializer,
    InputSerializer,
    MarketField,
    StrictBooleanField,
    StrictDateField,
    StrictIntegerField,
    scalars,
    unknown_fields,
    validated,
)
from tasks_app.errors import OrderError
from tasks_app.history.versions import moment_of
from tasks_app.market import codes
from tasks_app.models.quotes import Adjust
from tasks_app.quotes.adjusted_prices import BASES
from tasks_app.quotes.bulk_read.query import (
    COLUMNS,
    COMPRESSIONS,
    DEFAULT_COLUMNS,
    LAYOUTS,
    LONG,
    MAX_PANEL_CODES,
    PANEL_COLUMNS,
    WIDE,
    BulkQuery,
)

MAX_TEXTS = 100_000
LISTS = ("codes", "columns")  # in a query string: repeated, or separated by commas
PANEL_COLUMN = "close"  # by default
MAX_LIMIT = 1_000_000_000


@extend_schema_field({"type": "array", "items": {"type": "string"}, "maxItems": MAX_TEXTS})
class TextsField(s.Field[Any, Any, Any, Any]):
    """A list of strings."""

    default_error_messages = {
        "not_texts": _('Give a list of strings, such as ["600519"].'),
        "too_many": _("At most %(limit)d of them.") % {"limit": MAX_TEXTS},
    }

    def to_internal_value(self, data: Any) -> tuple[str, ...]:
        if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
            self.fail("not_texts")
        if len(data) > MAX_TEXTS:
            self.fail("too_many")
        return tuple(dict.fromkeys(text.strip() for text in data))


class BulkParameters(InputSerializer):
    market = MarketField()
    codes = TextsField(required=False, help_text="In any spelling. Default: all stocks with bars.")
    start = StrictDateField(required=False, help_text="First day, YYYY-MM-DD.")
    end = StrictDateField(required=False, help_text="Last day, YYYY-MM-DD.")
    adjust = s.ChoiceField(Adjust.choices, default="", allow_blank=True)
    basis = s.ChoiceField(
        BASES,
        default="",
        help_text="stored: as a source sent it; computed: from unadjusted bars and adjustment factors. "
        "Default: as for the bars of one stock.",
    )
    joined = StrictBooleanField(
        default=True, help_text="With the unadjusted bars from before a stock's code changed."
    )
    layout = s.ChoiceField(
        LAYOUTS,
        default=LONG,
        help_text="long: a row for each bar. wide, a panel: a row for each day and a column for each code, "
        f"with one column of the bars; at most {MAX_PANEL_CODES:,} codes.",
    )
    columns = TextsField(
        required=False,
        help_text=f"Some of {', '.join(COLUMNS)}. Default: {', '.join(DEFAULT_COLUMNS)}. Of a panel one of "
        f"{', '.join(PANEL_COLUMNS)}. Default: {PANEL_COLUMN}.",
    )
    cursor = s.CharField(
        required=False,
        max_length=40,
        help_text="Code and day of the last bar that the client has, as 600519,2024-06-28, of a panel its "
        "last day: the read continues behind it.",
    )
    as_of = s.CharField(required=False, max_length=40, help_text=AS_OF)
    limit = StrictIntegerField(
        required=False, min_value=1, max_value=MAX_LIMIT, help_text="Rows at most. Default: all."
    )
    compression = s.ChoiceField(
        COMPRESSIONS, default="", help_text="Of Arrow's buffers (default lz4) and Parquet's pages (zstd)."
    )


class BulkBody(BodySerializer, BulkParameters):
    pass


def from_query_string(parameters: QueryDict) -> dict[str, Any]:
    """Returns the parameters as a body would have them. Raises `ValidationError` for repeated scalars."""
    single = parameters.copy()
    for name in LISTS:
        single.pop(name, None)
    data: dict[str, Any] = scalars(single)
    data.pop("format", None)  # heeded by content negotiation
    for name in filter(parameters.__contains__, LISTS):
        data[name] = [text for text in ",".join(parameters.getlist(name)).split(",") if text.strip()]
    return data


def bulk_query(data: Mapping[str, Any]) -> BulkQuery:
    """Returns the query that a body asks for. Raises `ValidationError`, also for names that are not known.

    A name that is not known would otherwise read more than was meant: a whole market instead of one stock.
    """
    if unknown := unknown_fields(BulkParameters, data):
        known = ", ".join(BulkParameters().fields)
        sentence = _("There is no such parameter. Known ones: %(known)s.") % {"known": known}
        raise ValidationError({name: [sentence] for name in unknown})
    values = validated(BulkParameters, data)
    market, named = values["market"], values.pop("codes", None)
    if "start" in values and "end" in values and values["end"] < values["start"]:
        place = {"start": values["start"], "end": values["end"]}
        raise ValidationError({"end": [_("end %(end)s is before start %(start)s.") % place]})
    is_wide, default = values["layout"] == WIDE, {LONG: DEFAULT_COLUMNS, WIDE: (PANEL_COLUMN,)}
    names = values.pop("columns", default[values["layout"]])
    if not names:
        raise ValidationError({"columns": [_("Name a column, or leave the parameter out for the default.")]})
    values["columns"] = _panel_column(names) if is_wide else _columns(names)
    if as_of := values.pop("as_of", ""):
        values["moment"] = moment_of(as_of)
    read_position = _panel_position if is_wide else _position
    values["after"] = read_position(market, cursor) if (cursor := values.pop("cursor", "")) else None
    return BulkQuery(**values, codes=None if named is None else _codes(market, named))


def _columns(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name[:40] for name in names if name not in COLUMNS]
    if unknown:
        values = {"unknown": codes.name_codes(unknown), "known": ", ".join(COLUMNS)}
        raise ValidationError(
            {"columns": [_("There are no such columns: %(unknown)s. Known ones: %(known)s.") % values]}
        )
    return names


def _panel_column(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 1 or names[0] not in PANEL_COLUMNS:
        sentence = _("A panel has the values of one column: one of %(known)s.")
        raise ValidationError({"columns": [sentence % {"known": ", ".join(PANEL_COLUMNS)}]})
    return names


def _codes(market: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the codes under which the stocks are stored. Raises `ValidationError` if one is unknown."""
    if not texts:
        raise ValidationError({"codes": [_("Name a stock, or leave the parameter out for all.")]})
    try:
        return codes.require_stored(market, texts)
    except OrderError as error:
        raise ValidationError({"codes": [str(error)]}) from error


def _panel_position(market: str, cursor: str) -> tuple[str, date]:
    """Returns the day after which a panel continues, as a position."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", cursor, re.ASCII):
        cursor = ""
    try:
        return "", date.fromisoformat(cursor)
    except ValueError:
        message = _("Give the last day of the panel that you have, as 2024-06-28.")
        raise ValidationError({"cursor": [message]}) from None


def _position(market: str, cursor: str) -> tuple[str, date]:
    found = re.fullmatch(rf"({codes.SPELLING}),(\d{{4}}-\d\d-\d\d)", cursor, re.ASCII)
    try:
        if not found:
            raise ValueError
        return codes.canonical_or_same(market, found[1]), date.fromisoformat(found[2])
    except ValueError:
        message = _("Give the code and the day of the last bar that you have, as 600519,2024-06-28.")
        raise ValidationError({"cursor": [message]}) from None
