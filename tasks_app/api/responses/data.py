"""Responses about stocks, bars and what is recorded about them."""

from rest_framework import serializers as s

from tasks_app.api.responses.common import Answer, count
from tasks_app.models.adjustments import ActionKind
from tasks_app.models.agreement import ComparedField
from tasks_app.models.changes import ChangeKind
from tasks_app.models.quotes import Adjust, FindingKind, InstrumentKind, Market
from tasks_app.quotes.adjusted_prices import BASES
from tasks_app.quotes.gaps import GapKind
from tasks_app.quotes.market_days import UnsealedReason


class AgreementAnswer(Answer):
    source = s.CharField(help_text="Whose bars were stored.")  # type: ignore[assignment]
    other_source = s.CharField(help_text="With whose bars they were compared.")
    market = s.ChoiceField(Market.choices)
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    field = s.ChoiceField(ComparedField.choices, help_text="day: whether both have a bar.")
    month = s.DateField(help_text="Its first day.")
    compared = count("Values; a bar that is compared again counts again.")
    agreeing = count()
    differing = count("By more than rounding.")
    worst = s.FloatField(min_value=0, help_text="The largest difference, as a share of the larger value.")
    updated_at = s.DateTimeField()


class StockAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: a made-up stock.")
    code = s.CharField()
    kind = s.ChoiceField(InstrumentKind.choices)
    name = s.CharField(allow_blank=True)
    full_collection_completed = s.BooleanField(
        help_text="Whether the whole listed life is answered, in at least one adjustment."
    )
    full_collection_date = s.DateTimeField(allow_null=True)
    first_day = s.DateField(allow_null=True, help_text="Of all adjustments.")
    last_day = s.DateField(allow_null=True)
    bars = count("Of the adjustment with the most.")
    behind = s.IntegerField(
        min_value=0,
        allow_null=True,
        help_text="Sessions for which no source has answered yet, under the adjustment with the fewest; "
        "0 for a delisted stock, null without bars.",
    )


class StockListAnswer(Answer):
    total = count("Stocks that match, before the limit.")
    stocks = StockAnswer(many=True)
    only_uncompleted = s.BooleanField()


class CoverageAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: made-up quotes.")
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    source = s.CharField(  # type: ignore[assignment]
        allow_null=True,
        allow_blank=True,
        help_text="The source of the stocks' newest bars, though not of all of them; "
        "null for listed stocks without bars.",
    )
    stocks = count("complete + behind + empty.")
    bars = count()
    first_day = s.DateField(allow_null=True)
    last_day = s.DateField(allow_null=True)
    updated_at = s.DateTimeField(
        allow_null=True,
        help_text="When a collection, or a deletion, last wrote what is stored of these stocks.",
    )
    session = s.DateField(help_text="The market's latest session whose bars are final.")
    complete = count("Up to date, or delisted.")
    behind = count("With bars, but a later session for which no source has answered.")
    behind_by = s.DictField(
        child=s.IntegerField(min_value=0), help_text="Stocks that are behind by 1, 2-5, 6-20, 21+ sessions."
    )
    most_behind = count("Sessions by which the last one is behind.")
    empty = count("Listed stocks without any bar.")


class BarRecordAnswer(Answer):
    id = s.IntegerField()
    market = s.ChoiceField(Market.choices)
    code = s.CharField()
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    source = s.CharField(allow_blank=True)  # type: ignore[assignment]
    task_id = s.UUIDField(allow_null=True, help_text="Null if the task was deleted.")


KIND_HELP = "refused: not stored; flagged: stored, but doubtful; differs: a second source has other values."


class FindingAnswer(BarRecordAnswer):
    day = s.DateField(allow_null=True)
    kind = s.ChoiceField(FindingKind.choices, help_text=KIND_HELP)
    error_code = s.CharField()
    message = s.CharField(help_text="One sentence in the language of Accept-Language.")
    values = s.DictField(allow_null=True, help_text="Of the bar, by column; null where not recorded.")
    other_source = s.CharField(allow_blank=True, help_text="With which the source was compared.")
    other_values = s.DictField(allow_null=True, help_text="Its values, which are not stored.")
    found_at = s.DateTimeField()


class CorrectionAnswer(BarRecordAnswer):
    day = s.DateField(help_text="Of a series that changed as a whole: the first day that changed.")
    bars = s.IntegerField(min_value=1)
    before = s.DictField(allow_null=True, help_text="The changed columns; null for a whole series.")
    after = s.DictField(allow_null=True, help_text="{} for a bar that its source no longer has.")
    previous_source = s.CharField(allow_blank=True, help_text="Of the values before.")
    corrected_at = s.DateTimeField()
    is_replayed = s.BooleanField(
        help_text="Whether the bar was derived again from the raw answer: its source has changed nothing."
    )


class SilentDayAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment]
    stocks = count("That were asked for and had no bar of the day.")
    asked_at = s.DateTimeField()


class CalendarDayAnswer(Answer):
    market = s.ChoiceField(Market.choices)
    day = s.DateField()
    is_session = s.BooleanField()
    is_published = s.BooleanField(help_text="Else every weekday counts as a session.")
    corrected = s.BooleanField(help_text="Whether the published calendar was corrected here.")
    note = s.CharField(allow_blank=True)
    changed_by = s.CharField(allow_blank=True)
    changed_at = s.DateTimeField(allow_null=True)
    without_quotes = SilentDayAnswer(many=True, help_text="Sources that had no quotes of the day.")


class BarAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: a made-up bar.")
    code = s.CharField()
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    day = s.DateField()
    open = s.FloatField()
    high = s.FloatField()
    low = s.FloatField()
    close = s.FloatField()
    prev_close = s.FloatField(allow_null=True)
    volume = count("Shares.")
    amount = s.FloatField(allow_null=True)
    amplitude = s.FloatField(allow_null=True, help_text="Percent.")
    change = s.FloatField(allow_null=True)
    change_pct = s.FloatField(allow_null=True, help_text="Percent.")
    turnover = s.FloatField(allow_null=True, help_text="Percent.")
    source = s.CharField()  # type: ignore[assignment]
    collected_at = s.DateTimeField()
    is_st = s.BooleanField(allow_null=True, help_text="Under special treatment (ST, *ST) on this day.")
    st_from = s.ChoiceField(["source", "names"], allow_null=True, help_text="Told, or by the recorded names.")
    limit_up = s.FloatField(allow_null=True, help_text="Upper price limit of the day.")
    limit_down = s.FloatField(allow_null=True)
    limits_from = s.ChoiceField(
        ["source", "computed"],
        allow_null=True,
        help_text="Told by the source, or computed by the board's rules; null where they are not certain.",
    )
    at_limit = s.ChoiceField(
        ["up", "down"], allow_null=True, help_text="Whether the day closed at one of its limits."
    )
    basis = s.ChoiceField(BASES, help_text="Whether the prices are stored so, or computed with factors.")
    factor_source = s.CharField(allow_null=True, help_text="The source of the factors of computed prices.")
    factors_at = s.DateTimeField(allow_null=True, help_text="When it sent them.")


class BulkBarAnswer(Answer):
    """A bar with the columns that were asked for."""

    code = s.CharField(required=False)
    day = s.DateField(required=False)
    open = s.FloatField(required=False)
    high = s.FloatField(required=False)
    low = s.FloatField(required=False)
    close = s.FloatField(required=False)
    prev_close = s.FloatField(required=False, allow_null=True)
    volume = s.IntegerField(required=False, help_text="Shares.")
    amount = s.FloatField(required=False, allow_null=True)
    amplitude = s.FloatField(required=False, allow_null=True, help_text="Percent.")
    change = s.FloatField(required=False, allow_null=True)
    change_pct = s.FloatField(required=False, allow_null=True, help_text="Percent.")
    turnover = s.FloatField(required=False, allow_null=True, help_text="Percent.")
    is_st = s.BooleanField(required=False, allow_null=True, help_text="Only what the source told.")
    limit_up = s.FloatField(required=False, allow_null=True, help_text="Only what the source told.")
    limit_down = s.FloatField(required=False, allow_null=True, help_text="Only what the source told.")
    source = s.CharField(required=False)  # type: ignore[assignment]
    collected_at = s.DateTimeField(required=False)
    stored_code = s.CharField(required=False, help_text="Another one than `code` from before it changed.")
    adjust = s.ChoiceField(Adjust.choices, required=False, allow_blank=True)
    basis = s.ChoiceField(BASES, required=False)
    factor_source = s.CharField(required=False, allow_null=True)
    factors_at = s.DateTimeField(required=False, allow_null=True)


class FactorAnswer(Answer):
    ex_day = s.DateField()
    hfq = s.CharField(help_text="Times an unadjusted price from this day on: the backward-adjusted price.")
    qfq = s.CharField(allow_blank=True, help_text="The same forward-adjusted; empty: hfq ÷ the newest hfq.")


class FactorTableAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment]
    fetched_at = s.DateTimeField()
    until = s.DateField(help_text="No ex day up to this one is missing.")
    lacks = s.DateField(allow_null=True, help_text="An ex day that bars show and the source lacked.")
    factors = FactorAnswer(many=True)


class ActionAnswer(Answer):
    kind = s.ChoiceField(ActionKind.choices)
    ex_day = s.DateField(allow_null=True)
    announced_on = s.DateField(allow_null=True)
    record_day = s.DateField(allow_null=True)
    paid_on = s.DateField(allow_null=True)
    cash = s.CharField(allow_blank=True, help_text="Per share before tax, in the market's currency.")
    ratio = s.CharField(allow_blank=True, help_text="New shares per held share.")
    price = s.CharField(allow_blank=True, help_text="Of a new share in a rights issue.")
    note = s.CharField(allow_blank=True)


class ActionTableAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment]
    fetched_at = s.DateTimeField()
    until = s.DateField(help_text="No ex day up to this one is missing.")
    complete_from = s.DateField(allow_null=True, help_text="The first complete day; null: all of the past.")
    actions = ActionAnswer(many=True)


class GapAnswer(Answer):
    first_day = s.DateField()
    last_day = s.DateField()
    days = s.IntegerField(min_value=1, help_text="Sessions without a bar, or closed weekdays.")
    reason = s.ChoiceField(GapKind.values)
    message = s.CharField(help_text="One sentence in the language of Accept-Language.")
    source = s.CharField(allow_null=True)  # type: ignore[assignment]
    requested_on = s.DateField(allow_null=True, help_text="In the market's time zone.")
    bound = s.DateField(allow_null=True, help_text="The first bar that came after these days, or the last.")


class ChangeAnswer(Answer):
    number = s.IntegerField(min_value=0)
    at = s.DateTimeField(help_text="When it was committed.")
    kind = s.ChoiceField(ChangeKind.choices)
    market = s.ChoiceField(Market.choices, allow_blank=True)
    code = s.CharField(allow_blank=True, help_text="Empty for a change of the calendar.")
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    first_day = s.DateField(allow_null=True, help_text="The first day that it concerns.")
    last_day = s.DateField(allow_null=True)
    rows = count("Bars or rows that it concerns.")


class ChangesAnswer(Answer):
    since = s.IntegerField(min_value=0)
    last = s.IntegerField(min_value=0, help_text="The answer is complete up to this number: the next since.")
    newest = s.IntegerField(min_value=0, help_text="The last number of all. Above last: there are more.")
    first = s.IntegerField(min_value=0, help_text="Changes are kept after this number.")
    changes = ChangeAnswer(many=True)


class DayAnswer(Answer):
    market = s.ChoiceField(Market.choices)
    kind = s.ChoiceField(InstrumentKind.choices)
    day = s.DateField()
    sealed = s.BooleanField(help_text="Whether every listed security has a bar or a recorded reason.")
    sealed_at = s.DateTimeField(allow_null=True)
    revision = count("Number of sealings; 0: never sealed.")
    checksum = s.CharField(allow_null=True, help_text="SHA-256 of its bars; null: unsealed.")
    bars = s.IntegerField(min_value=0, allow_null=True)
    reasons = s.IntegerField(min_value=0, allow_null=True, help_text="Securities without a bar.")
    number = s.IntegerField(
        min_value=0, allow_null=True, help_text="The last change before it was sealed: read `as_of` it."
    )


class MissingAnswer(Answer):
    code = s.CharField()
    reason = s.ChoiceField(GapKind.values)
    message = s.CharField(help_text="One sentence in the language of Accept-Language.")


class DayDetailAnswer(DayAnswer):
    unsealed_reason = s.ChoiceField(
        UnsealedReason.values,
        allow_null=True,
        help_text="Why it is not sealed: no_bars: none of its bars is stored; missing: securities lack one "
        "without a reason; pending: nothing is missing, and it is about to be sealed. null: it is sealed.",
    )
    missing_count = count("Listed securities without a bar or a reason.")
    missing = MissingAnswer(many=True, help_text="The first 100 of them.")
