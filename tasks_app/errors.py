"""Errors of orders and verbs, as one tree whose leaves have stable codes.

Only `api/errors.py` turns these errors into HTTP. What a source raises is in `sources/base.py`;
what the stored codes of stocks and tasks mean is in `reasons.py`.
"""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, gettext_lazy as _, pgettext

from tasks_app import command_lines
from tasks_app.sentences import join_sentences, list_words

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class CollectorError(Exception):
    """Base class. `code` is stable and for machines; `str()` is one sentence in the reader's language.

    A template may have the parameters and %(manage)s, with which a command of manage.py begins.
    """

    code = "error"
    template: "StrPromise | str" = _("Something went wrong.")

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.code, params)

    def __str__(self) -> str:
        return str(self.template) % {"manage": command_lines.manage(), **self.params, **self._market_names()}

    def _market_names(self) -> dict[str, str]:
        """Returns the parameters that are markets as lists name these: codes, which in Chinese are words."""
        found = {name: str(self.params[name]) for name in ("market", "markets") if name in self.params}
        return {
            name: list_words(pgettext("market", code) for code in text.split(", "))
            for name, text in found.items()
        }


class OrderError(CollectorError):
    """An order that can't be carried out; `field` is the field of the request at fault."""

    field = ""


class ReversedDates(OrderError):
    code = "reversed_dates"
    field = "end_date"
    template = _("end_date %(end)s is before start_date %(start)s.")


class FutureStart(OrderError):
    code = "future_start"
    field = "start_date"
    template = _("start_date %(start)s is in the future: there are no quotes yet.")


class UnknownMarket(OrderError):
    code = "unknown_market"
    field = "market"
    template = _("Unknown market “%(market)s”. Known markets: %(known)s.")


class NoSuchStocks(OrderError):
    code = "no_such_stocks"
    field = "stock_codes"
    template = _("There are no such stocks in the market %(market)s: %(codes)s.")


class UnknownSource(OrderError):
    code = "unknown_source"
    field = "source"
    template = _("Unknown source “%(source)s”. Available sources: %(known)s.")


class SourceNotInstalled(OrderError):
    code = "source_not_installed"
    field = "source"
    template = _("The source “%(source)s” is not installed. To install it, run: %(install)s")

    def __str__(self) -> str:
        install = command_lines.install(self.params["requirements"])
        return str(self.template) % {**self.params, "install": install}


class SourceNotSet(OrderError):
    code = "source_not_set"
    field = "source"
    template = _("The source “%(source)s” can't be used until %(setting)s is set.")


class SourceCheckRunning(CollectorError):
    code = "source_check_running"
    template = _("The source is being checked already.")


class SourceBroken(OrderError):
    code = "source_broken"
    field = "source"
    template = _("The source “%(source)s” of COLLECTOR_SOURCES can't be used: %(reason)s.")


class SourceUnusable(OrderError):
    code = "source_unusable"
    field = "source"
    template = _("The source “%(source)s” can't be used: %(reason)s")


class NoSourceForMarket(OrderError):
    code = "no_source_for_market"
    field = "market"
    template = _(
        "No available source has real quotes of the market %(market)s. Available sources: %(known)s. A "
        "source of synthetic quotes is used only if the request names it: %(made_up)s."
    )


class SourceWasSynthetic(OrderError):
    code = "source_was_synthetic"
    field = "source"
    template = _(
        "The name “%(source)s” belongs to a synthetic source (market %(market)s), so no source of "
        "real quotes can have it. Register the source under another name in COLLECTOR_SOURCES."
    )


class MarketNotServed(OrderError):
    code = "market_not_served"
    field = "market"
    template = _("The source “%(source)s” does not support the market %(market)s, only %(markets)s.")


class AdjustNotServed(OrderError):
    code = "adjust_not_served"
    field = "adjust"
    template = _("The source “%(source)s” does not support the adjustment “%(adjust)s”, only: %(adjusts)s.")


class KindNotServed(OrderError):
    code = "kind_not_served"
    field = "kind"
    template = _("The source “%(source)s” has no list of this kind for the market %(market)s: %(kind)s.")


class IndicesNotServed(OrderError):
    code = "indices_not_served"
    field = "stock_codes"
    template = _(
        "The source “%(source)s” has no indices: %(codes)s. Sources with indices: %(known)s. "
        "A stock is written without an exchange."
    )


class IndicesNotAdjusted(OrderError):
    code = "indices_not_adjusted"
    field = "adjust"
    template = _("An index has no adjusted prices: order it unadjusted.")


class SameSource(OrderError):
    code = "same_source"
    field = "verify_with"
    template = _("The bars of “%(source)s” can't be compared with themselves: name another source.")


class BadSample(OrderError):
    code = "bad_sample"
    field = "verify_sample"
    template = _("The sample to compare is a whole number of percent from 1 to 100, not %(sample)s.")


class MalformedCodes(OrderError):
    code = "malformed_codes"
    field = "stock_codes"
    template = _(
        "Malformed stock codes: %(codes)s. A code is 1 to 16 letters, digits, dots, dashes or underscores."
    )


class UnreadCodes(OrderError):
    code = "unread_codes"
    field = "stock_codes"
    template = _("The marks beside these codes are not known: %(codes)s. Write %(meant)s.")


class ShortCodes(OrderError):
    code = "short_codes"
    field = "stock_codes"
    template = _(
        "Too short for an A-share: %(codes)s. If a spreadsheet took the leading zeros away, write %(meant)s. "
        "A stock of Hong Kong needs the market HK."
    )


class IndexCodes(OrderError):
    code = "index_codes"
    field = "stock_codes"
    template = _(
        "No stock or index has such a code on such an exchange: %(codes)s. %(stock)s is a stock of "
        "%(expected)s: for that, write %(stock)s."
    )


class CodesOfOtherMarket(OrderError):
    code = "codes_of_other_market"
    field = "stock_codes"
    template = _(
        "Not of the market %(market)s: %(codes)s. Order the stocks of each market by themselves (%(other)s)."
    )


class TooManyCodes(OrderError):
    code = "too_many_codes"
    field = "stock_codes"
    template = _("Too many stock codes: %(count)d. A task can have at most %(limit)d.")


class UnknownCodes(OrderError):
    code = "unknown_codes"
    field = "stock_codes"
    template = _("None of these stock codes is known in the market %(market)s: %(codes)s.")

    def __str__(self) -> str:
        return join_sentences(super().__str__(), self.params["changes"])


class NothingToCollect(OrderError):
    code = "nothing_to_collect"
    field = "stock_codes"
    template = _(
        "Nothing to collect in the market %(market)s: the whole listed life of these stocks is already "
        "answered, and completely collected stocks are to be skipped."
    )


class InvalidPlan(OrderError):
    """A value of a plan that it can't have; `field` is the instance's."""

    code = "invalid_plan"
    template = _("%(name)s: %(reason)s")

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.field = params["field"]


class TooManySteps(OrderError):
    code = "too_many_steps"
    field = "steps"
    template = _("A plan has at most %(limit)d steps.")


class InvalidStep(OrderError):
    code = "invalid_step"
    field = "steps"
    template = _("Step %(step)d: %(reason)s")


class ExportIsAStep(OrderError):
    code = "export_is_a_step"
    field = "export_to"
    template = _("A plan with steps exports by a step of the kind “export”. Leave “export into” empty.")


class FactorsNotServed(OrderError):
    code = "factors_not_served"
    field = "source"
    template = _(
        "The source “%(source)s” sends no adjustment factors or corporate actions of the market %(market)s."
    )


class PlanRunning(CollectorError):
    code = "plan_running"
    template = _("A run of the plan “%(name)s” has not ended yet.")


class PlanNameTaken(OrderError):
    code = "plan_name_taken"
    field = "name"
    template = _("There is a plan named “%(name)s” already.")


class IdempotencyConflict(OrderError):
    code = "idempotency_conflict"
    field = "Idempotency-Key"
    template = _("This Idempotency-Key was already used with another body. Use a new key.")


class ImportUnfinished(CollectorError):
    code = "import_unfinished"
    template = _(
        "The import of %(folder)s, begun at %(at)s, is not finished. Run %(manage)s import with this folder "
        "again: it goes on where it was interrupted. Then collect. If the folder is lost, %(manage)s import "
        "--discard deletes what was imported."
    )


class ImportNotFound(CollectorError):
    code = "import_not_found"
    template = _("There is no import %(id)s that could be undone.")


class CodeChangeConflict(CollectorError):
    code = "code_change_conflict"
    template = _("Nothing was stored: %(new)s can't follow %(old)s, as another code became %(new)s already.")


class AliasConflict(CollectorError):
    code = "alias_conflict"
    template = _("“%(alias)s” can't be an alias: it is a stock's code, or stands for itself.")


class TaskAlreadyRunning(CollectorError):
    code = "task_running"
    template = _("A task is already running: %(task_id)s. Wait for it to end, or cancel it first.")


class TaskIsPaused(TaskAlreadyRunning):
    template = _("A task is paused: %(task_id)s. Resume it and wait for its end, or cancel it first.")


class TaskAlreadyPaused(CollectorError):
    code = "task_paused"
    template = _("The task %(task_id)s is paused already.")


class TaskNotPaused(CollectorError):
    code = "task_not_paused"
    template = _("The task %(task_id)s is not paused.")


class QueueFull(CollectorError):
    code = "queue_full"
    template = _("%(limit)d orders are waiting already, as many as may. Withdraw one, or try again later.")


class QueuedOrderNotFound(CollectorError):
    code = "queued_order_not_found"
    template = _("There is no queued order %(order)s.")


class QueuedOrderLeft(CollectorError):
    """The order does not wait any more; the parameter `state` is its state."""

    code = "queued_order_left"
    template = _("The order %(order)s does not wait any more: its state is “%(state)s”, which is final.")

    def __str__(self) -> str:
        return str(self.template) % {**self.params, "state": gettext(self.params["state"])}


class TaskNotFound(CollectorError):
    code = "task_not_found"
    template = _("There is no task %(task_id)s.")


class ItemNotFound(CollectorError):
    code = "item_not_found"
    template = _("The task %(task_id)s has no stock %(stock)s.")


class PlanNotFound(CollectorError):
    code = "plan_not_found"
    template = _("There is no plan %(plan)s.")


class TargetNotFound(CollectorError):
    code = "target_not_found"
    template = _("There is no target %(target)s.")


class TaskNotRunning(CollectorError):
    """The task has ended; the parameter `status` is its status."""

    code = "task_not_running"
    template = _("The task %(task_id)s is not running: its status is “%(status)s”, which is final.")

    def __str__(self) -> str:
        return str(self.template) % {**self.params, "status": gettext(self.params["status"])}


class TaskStillRunning(CollectorError):
    code = "task_still_running"
    template = _("The task %(task_id)s is still running: wait for it to end, or cancel it first.")


class TaskGoesOn(CollectorError):
    code = "task_goes_on"
    template = _(
        "The task %(task_id)s yielded to a plan, and its rest is collected by itself: retry the last task of "
        "the chain once that has ended."
    )


class NothingToRetry(CollectorError):
    code = "nothing_to_retry"
    template = _("The task %(task_id)s has no matching failed or unprocessed stocks to retry.")


class StaleClaim(CollectorError):
    """The caller no longer holds its task, lane or item: its transaction must roll back."""

    code = "lost_fence"
    template = _("The claim on %(what)s is no longer valid; nothing was written.")


class MalformedMoment(OrderError):
    code = "malformed_moment"
    field = "as_of"
    template = _(
        "“%(moment)s” is no moment. Write a day (2024-05-01, which means its end in UTC), a time with its "
        "offset (2024-05-01T15:00:00+08:00), or the number of a change."
    )


class FutureMoment(OrderError):
    code = "future_moment"
    field = "as_of"
    template = _(
        "%(moment)s is not over yet (a day ends at midnight UTC), so the answer could still change. Write an "
        "earlier moment, or the number of the last change."
    )


class UnknownNumber(OrderError):
    code = "unknown_number"
    field = "as_of"
    template = _("There is no change with the number %(number)d yet: the last one has %(last)d.")


class UnknownSince(UnknownNumber):
    field = "since"


class PanelTooWide(OrderError):
    code = "panel_too_wide"
    field = "codes"
    template = _("A panel has at most %(limit)d codes, and these are %(codes)d. Read it in parts by codes.")


class ForgottenMoment(OrderError):
    code = "forgotten_moment"
    field = "as_of"
    template = _(
        "What was stored at %(moment)s can't be told any more, or was never recorded: changes are kept from "
        "%(first)s on (number %(number)d)."
    )


class ForgottenChanges(CollectorError):
    """The changes after a number are no longer kept: a consumer has to begin with a full copy."""

    code = "changes_forgotten"
    template = _(
        "The changes after number %(since)d are no longer kept completely, or were never numbered: they are "
        "kept after %(first)d. Copy everything anew as of the last number, then ask for the changes since it."
    )


class NothingNumbered(CollectorError):
    code = "nothing_numbered"
    template = _("No changes are numbered yet. Run: %(manage)s migrate")
