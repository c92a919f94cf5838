"""What can go wrong with an order or a verb: one tree, each leaf with a stable code.

Only `api/errors.py` turns these into HTTP. What a source raises is in `sources/base.py`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils.translation import get_language, gettext, gettext_lazy as _, override

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class CollectorError(Exception):
    """Base. `code` is stable and for machines, `str()` is one translated sentence."""

    code = "error"
    template: "StrPromise | str" = _("Something went wrong.")

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.code, params)

    def __str__(self) -> str:
        return str(self.template) % self.params


class OrderError(CollectorError):
    """An order that can't be carried out as given; `field` names the culprit."""

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


class UnknownSource(OrderError):
    code = "unknown_source"
    field = "source"
    template = _("Unknown source “%(source)s”. Sources here: %(known)s.")


class SourceNotInstalled(OrderError):
    code = "source_not_installed"
    field = "source"
    template = _(
        "The source “%(source)s” is not installed here: "
        "python -m pip install -r requirements-%(source)s.txt adds it."
    )


class SourceNotSet(OrderError):
    code = "source_not_set"
    field = "source"
    template = _("The source “%(source)s” can't be used before %(setting)s is set.")


class SourceBroken(OrderError):
    code = "source_broken"
    field = "source"
    template = _("The source “%(source)s” of COLLECTOR_SOURCES can't be used: %(reason)s.")


class NoSourceForMarket(OrderError):
    code = "no_source_for_market"
    field = "market"
    template = _(
        "No source of real quotes here serves the market %(market)s. Sources here: %(known)s. "
        "Made-up quotes come only from a source that is named: %(made_up)s."
    )


class MarketNotServed(OrderError):
    code = "market_not_served"
    field = "market"
    template = _("The source “%(source)s” does not serve the market %(market)s, only %(markets)s.")


class AdjustNotServed(OrderError):
    code = "adjust_not_served"
    field = "adjust"
    template = _("The source “%(source)s” does not serve the adjustment “%(adjust)s”, only: %(adjusts)s.")


class MalformedCodes(OrderError):
    code = "malformed_codes"
    field = "stock_codes"
    template = _(
        "Malformed stock codes: %(codes)s. A code is 1 to 16 letters, digits, dots, dashes or underscores."
    )


class TooManyCodes(OrderError):
    code = "too_many_codes"
    field = "stock_codes"
    template = _("%(count)d stock codes are too many: at most %(limit)d in one task.")


class UnknownCodes(OrderError):
    code = "unknown_codes"
    field = "stock_codes"
    template = _("None of the stock codes is known in the market %(market)s: %(codes)s.")


class NothingToCollect(OrderError):
    code = "nothing_to_collect"
    field = "stock_codes"
    template = _("Nothing to collect in the market %(market)s: the full history of these stocks is stored.")


class IdempotencyConflict(OrderError):
    code = "idempotency_conflict"
    field = "Idempotency-Key"
    template = _("This Idempotency-Key was already used with another body. Use a new key.")


class TaskAlreadyRunning(CollectorError):
    code = "task_running"
    template = _("A task is already running: %(task_id)s. Wait for it to end, or cancel it first.")


class TaskNotFound(CollectorError):
    code = "task_not_found"
    template = _("There is no task %(task_id)s.")


class TaskNotRunning(CollectorError):
    """A verb for a running task met a final one; `status` is what it found."""

    code = "task_not_running"
    template = _("The task %(task_id)s is not running: its status is “%(status)s”, which is final.")

    def __str__(self) -> str:
        return str(self.template) % {**self.params, "status": gettext(self.params["status"])}


class TaskStillRunning(CollectorError):
    code = "task_still_running"
    template = _("The task %(task_id)s is still running: wait for its end, or cancel it first.")


class NothingToRetry(CollectorError):
    code = "nothing_to_retry"
    template = _("The task %(task_id)s has no such failed or unprocessed stock left to retry.")


class StaleClaim(CollectorError):
    """The writer's claim is no longer its own: its data must be thrown away."""

    code = "lost_fence"
    template = _("The claim on %(what)s was lost; nothing was written.")


# What the codes of failed stocks and tasks mean. The sentences that are recorded with them are
# English, from sources and workers that know no reader's language.
REASONS = {
    "all_failed": _("Every stock failed."),
    "amount_outside_range": _("Amount ÷ volume lies outside the low and high of the session."),
    "bad_answer": _("The source's answer is not a list of bars."),
    "bad_day": _("A bar has no valid day."),
    "bad_file": _("The stock's file can't be read as quotes."),
    "bad_stock_list": _("The stock list holds lines that are no stocks."),
    "bad_volume": _("A volume is not a number of shares."),
    "blacklisted": _("The source has blacklisted this address. It is lifted after hours, or a day."),
    "captcha": _("The source asks for a captcha: it takes us for a robot."),
    "client_outdated": _("The source wants a newer version of its client library."),
    "columns_changed": _("The source's columns have changed: an update is needed."),
    "connection_closed": _("The source closed the connection before its answer was complete."),
    "day_not_asked": _("A bar lies outside the days asked for."),
    "day_not_offered": _("The source does not offer a whole day of this market or adjustment."),
    "disk_full": _("The database's disk is full. Make room, then retry."),
    "duplicate_day": _("The source sent one day twice."),
    "empty_answer": _("The source answered with nothing, as sources do that throttle."),
    "empty_stock_list": _("The source lists no stock of this market."),
    "future_day": _("A bar lies in the future."),
    "jump_beyond_limit": _("The price moved further from the previous close than its board allows."),
    "list_cut_short": _("The source's stock list broke off."),
    "login_refused": _("The source refused the login."),
    "negative_value": _("A value that can't be negative is."),
    "no_worker": _("No worker gave a sign of work for too long."),
    "not_a_number": _("A price or value is missing or not a number."),
    "not_a_session": _("The market was closed that day, by its calendar."),
    "not_storable": _("The database refused the bars."),
    "plan_lost": _("The worker was lost again and again while it read the stock list."),
    "price_not_positive": _("An unadjusted price is zero or negative."),
    "prices_out_of_order": _("Low, open, close and high of a bar are out of order."),
    "series_cut": _("The source sent only part of an adjusted series that moved as a whole."),
    "series_moved": _(
        "The adjusted prices moved, as after a dividend or split: the series is asked for again as a whole."
    ),
    "source_busy": _("The source was busy or out of reach."),
    "source_error": _("The source failed."),
    "source_missing": _(
        "No worker that can use the source gave a sign of work for too long: on others it is not "
        "installed or not set."
    ),
    "source_paused": _(
        "The source is paused: it refused again and again, or its day's requests are used up."
    ),
    "source_raised": _("The source's program failed."),
    "source_refused": _("The source refused the request."),
    "stock_list_shrank": _("The stock list is much shorter than the last one: pages may be missing."),
    "throttled": _("The source throttles: too many requests."),
    "timeout": _("The source did not answer in time."),
    "units_changed": _("The source's volumes have changed their unit: an update is needed."),
    "unknown_stock": _("The source does not know this stock."),
    "worker_lost": _("The worker was lost while it collected this stock."),
}


# What workers warn of; the placeholders are the event's parameters.
WARNINGS = {
    "by_day_failed": _(
        "Whole days could not be had from %(source)s, so it is asked stock by stock. %(reason)s"
    ),
    "calendar_ends": _(
        "The trading calendar of %(market)s is known up to %(end)s: after that every weekday counts as a "
        "trading day."
    ),
    "source_not_here": _(
        "The workers on %(host)s can't use the source “%(source)s”, which is not installed or not set there: "
        "they leave this task to others."
    ),
    "stock_list_kept": _(
        "The stock list could not be read, so the stored one of %(stocks)s stocks is used. %(message)s"
    ),
}


def warning(params: Mapping[str, Any]) -> str:
    """A warning's sentence in the reader's language, from its event's parameters; "" for an unknown one."""
    try:
        return str(WARNINGS[params["code"]]) % params
    except KeyError:  # of another version: the page shows the parameters instead
        return ""


def reason(code: str) -> str:
    """What a code means, for readers whose language the recorded sentence is not in; "" otherwise."""
    english = (get_language() or "en").startswith("en")
    return "" if english or code not in REASONS else str(REASONS[code])


def english(code: str) -> str:
    """Returns what a code means in English, the language of recorded sentences."""
    with override("en"):
        return str(REASONS[code])
