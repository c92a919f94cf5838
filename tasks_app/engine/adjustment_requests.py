"""The requests for adjustment factors and corporate actions, which are part of a stock's item.

They are made for unadjusted bars only, before the bars if the source has never sent them, if they are known
to lack an ex day, or if the order fetches everything again; after the bars if those show an ex day that is
not among them. A whole trading day's bars cause a request only in the last case. Each one is reserved at the
source's limiter like any other. What fails is noted on the item: the bars are stored all the same.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.db import sqlite_priority
from tasks_app.engine.source_router import SourceState, StockRequest
from tasks_app.market.codes import kind_of
from tasks_app.models import CollectionTask
from tasks_app.models.adjustments import AdjustmentContent
from tasks_app.models.quotes import InstrumentKind
from tasks_app.quotes import adjustment_data, raw_answers
from tasks_app.quotes.date_ranges import DAY
from tasks_app.quotes.raw_answers import SourceCallRecord
from tasks_app.sources import registry
from tasks_app.sources.base import Bar
from tasks_app.sources.market_time import market_today

FACTORS, ACTIONS = AdjustmentContent.FACTORS.value, AdjustmentContent.ACTIONS.value


class AdjustmentRequests:
    """Decides which of these requests a stock of the task needs, and stores their answers."""

    def __init__(self, task: CollectionTask, conf: Conf) -> None:
        self.task, self.conf = task, conf

    def plan_before(self, item: StockRequest) -> None:
        """Decides once what is requested before the stock's bars."""
        progress = item.adjustment
        if progress.pending is not None:
            return
        progress.pending = self._offered(item.source, item.claim.code)
        if progress.pending and not self.task.force_update:
            tables = adjustment_data.tables_of(self.task.market, item.claim.code, item.source.name)
            if not any(table.lacks for table in tables.values()):
                progress.pending = [content for content in progress.pending if content not in tables]

    def plan_after(self, item: StockRequest, bars: Sequence[Bar]) -> bool:
        """Returns whether something must be requested before these bars of the stock can be stored."""
        offered, progress = self._offered(item.source, item.claim.code), item.adjustment
        if not bars or FACTORS not in offered:
            return False
        request = item.request
        tables = adjustment_data.tables_of(request.market, request.code, item.source.name)
        if (table := tables.get(FACTORS)) is None or FACTORS in progress.done:
            return False
        unknown = adjustment_data.unknown_ex_days(request, bars, table)
        is_untold = bars[-1].day > table.until and adjustment_data.sent_previous_close(bars[-1]) is None
        if unknown or table.lacks or (is_untold and progress.pending is not None):
            progress.pending = offered
            return True
        return False

    def request_for(self, item: StockRequest) -> tuple[str, Callable[[], Any]] | None:
        """Returns the next pending request: its content and the call. None without one."""
        if not item.adjustment.pending:
            return None
        market, code, source = self.task.market, item.claim.code, item.source.source
        own_code = item.source.spelling(code)
        if item.adjustment.pending[0] == FACTORS:
            return FACTORS, partial(source.fetch_factors, market, own_code)
        since = adjustment_data.last_ex_day(market, code, item.source.name)
        return ACTIONS, partial(source.fetch_actions, market, own_code, since)

    def store(
        self, item: StockRequest, content: str, answer: Any, record: SourceCallRecord | None = None
    ) -> None:
        """Replaces what is stored, in a short transaction, and keeps the raw answer if there is a record.

        Raises `StaleClaim` once the claim is lost.

        The answer counts as complete up to yesterday only: the vendor may add today's ex day later today.
        """
        market, code, source = self.task.market, item.claim.code, item.source.name
        replace = adjustment_data.replace_factors if content == FACTORS else adjustment_data.replace_actions
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            replace(market, code, source, answer, market_today(market) - DAY)
            raw_answers.save([record] if record else [], item.claim.item_id, code)
            lifecycle.keep(item.claim)

    def _offered(self, source: SourceState, code: str) -> list[str]:
        """Returns what the source can be asked for in this task; nothing of ETFs and indices."""
        is_other = kind_of(self.task.market, code) in (InstrumentKind.ETF, InstrumentKind.INDEX)
        if self.task.adjust or is_other or not self.conf.adjustment_data:
            return []
        traits = registry.traits(source.name, self.conf)
        offers = ((FACTORS, traits.factor_markets), (ACTIONS, traits.action_markets))
        return [content for content, markets in offers if self.task.market in markets]
