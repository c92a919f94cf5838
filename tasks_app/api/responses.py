"""The shape of what goes out, for the schema. Views answer with plain values; tests hold both together."""

from typing import Any

from rest_framework import serializers as s

from tasks_app.models.quotes import Adjust, Market
from tasks_app.models.tasks import ItemState, TaskStatus

Answer = s.Serializer[Any]


class ErrorAnswer(Answer):
    detail = s.CharField(help_text="One sentence in the language of Accept-Language.")
    code = s.CharField(help_text="Stable, for machines.")
    errors = s.DictField(  # type: ignore[assignment]
        child=s.ListField(child=s.CharField()),
        required=False,
        help_text="Sentences by field, where fields err.",
    )


class OrderAnswer(Answer):
    market = s.ChoiceField(Market.choices)
    source = s.CharField()  # type: ignore[assignment]
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    start_date = s.DateField()
    end_date = s.DateField()
    test_mode = s.BooleanField()
    full_collection_mode = s.BooleanField()
    force_update = s.BooleanField()
    fallbacks = s.ListField(
        child=s.CharField(), help_text="Further sources, asked in this order for stocks that fail."
    )
    retry_of = s.UUIDField(allow_null=True, help_text="The task that this one tries again.")


class StartedAnswer(OrderAnswer):
    task_id = s.UUIDField()
    status = s.ChoiceField(["started"])
    message = s.CharField()
    stock_codes = s.ListField(child=s.CharField(), allow_null=True, help_text="Null: the whole list.")
    unknown_codes = s.ListField(
        child=s.CharField(), help_text="Asked for, not listed in the market, left out."
    )
    total_stocks = s.IntegerField(min_value=0, help_text="0 until a worker has read the whole list.")


class ShareAnswer(Answer):
    stocks = s.IntegerField(min_value=0)
    bars = s.IntegerField(min_value=0, help_text="Written or corrected.")


class TaskAnswer(OrderAnswer):
    task_id = s.UUIDField()
    status = s.ChoiceField(TaskStatus.choices)
    progress = s.IntegerField(min_value=0, max_value=100, help_text="Percent of the stocks processed.")
    total_stocks = s.IntegerField(min_value=0)
    processed_stocks = s.IntegerField(min_value=0)
    success_count = s.IntegerField(min_value=0)
    failed_count = s.IntegerField(min_value=0)
    collected_count = s.IntegerField(min_value=0, help_text="Bars written.")
    corrected_count = s.IntegerField(min_value=0, help_text="Bars that the source had changed.")
    skipped_count = s.IntegerField(min_value=0, help_text="Bars that were there already.")
    refused_count = s.IntegerField(min_value=0, help_text="Bars that made no sense.")
    flagged_count = s.IntegerField(min_value=0, help_text="Bars that are stored, but doubtful.")
    start_time = s.DateTimeField()
    end_time = s.DateTimeField(allow_null=True)
    heartbeat_at = s.DateTimeField(help_text="When a worker last worked on it.")
    unattended = s.BooleanField(help_text="It runs, and no worker comes.")
    source_paused_until = s.DateTimeField(
        allow_null=True, help_text="It runs, and its source takes no requests until then."
    )
    source_message = s.CharField(allow_null=True, help_text="Why the source takes no requests.")
    sources = s.DictField(
        child=ShareAnswer(), help_text="What came from which source; empty for a task without fallbacks."
    )
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_blank=True)
    failed_details = s.ListField(child=s.CharField(), help_text="“code: reason”, the first 100.")


class CancelledAnswer(Answer):
    message = s.CharField()
    task_id = s.UUIDField()


class RunningAnswer(Answer):
    task_id = s.UUIDField()
    status = s.ChoiceField(["running"])
    start_time = s.DateTimeField()


class CurrentAnswer(Answer):
    current_task = RunningAnswer(allow_null=True)


class ItemAnswer(Answer):
    position = s.IntegerField(min_value=0)
    code = s.CharField()
    status = s.ChoiceField(ItemState.choices)
    attempts = s.IntegerField(min_value=0)
    rows_collected = s.IntegerField(min_value=0)
    rows_corrected = s.IntegerField(min_value=0)
    rows_skipped = s.IntegerField(min_value=0)
    rows_refused = s.IntegerField(min_value=0)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_blank=True)
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)


class ErrorGroupAnswer(Answer):
    error_code = s.CharField(allow_blank=True)
    message = s.CharField(allow_blank=True)
    count = s.IntegerField(min_value=1)
    first_seen = s.DateTimeField()
    last_seen = s.DateTimeField()
    sample_codes = s.ListField(child=s.CharField())


class StockAnswer(Answer):
    code = s.CharField()
    name = s.CharField(allow_blank=True)
    full_collection_completed = s.BooleanField()
    full_collection_date = s.DateTimeField(allow_null=True)


class StockListAnswer(Answer):
    total = s.IntegerField(min_value=0, help_text="Stocks that match, before the limit.")
    stocks = StockAnswer(many=True)
    only_uncompleted = s.BooleanField()


class BarAnswer(Answer):
    market = s.ChoiceField(Market.choices)
    code = s.CharField()
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    day = s.DateField()
    open = s.FloatField()
    high = s.FloatField()
    low = s.FloatField()
    close = s.FloatField()
    prev_close = s.FloatField(allow_null=True)
    volume = s.IntegerField(min_value=0, help_text="Shares.")
    amount = s.FloatField(allow_null=True)
    amplitude = s.FloatField(allow_null=True, help_text="Percent.")
    change = s.FloatField(allow_null=True)
    change_pct = s.FloatField(allow_null=True, help_text="Percent.")
    turnover = s.FloatField(allow_null=True, help_text="Percent.")
    source = s.CharField()  # type: ignore[assignment]
    collected_at = s.DateTimeField()


class AliveAnswer(Answer):
    alive = s.BooleanField()


class ReadyAnswer(Answer):
    ready = s.BooleanField(help_text="All of the rest.")
    database = s.BooleanField(help_text="It answers.")
    migrations = s.BooleanField(help_text="None is missing.")
    queue = s.BooleanField(help_text="It can be read.")
    worker = s.BooleanField(help_text="At least one is alive.")
