"""The sentences of stored codes: why stocks and tasks failed, what validation found, what a task warns of."""

import re
from collections.abc import Mapping
from functools import cache
from reprlib import Repr
from typing import Any

from django.utils.translation import get_language, gettext, gettext_lazy as _, gettext_noop, override

from tasks_app.sentences import join_sentences
from tasks_app.source_settings import mask

MASKED = 10_000  # characters of a message that are searched for secrets; the rest is not stored


class _MaskingRepr(Repr):
    """Masks secrets before it cuts a text in its middle: half a secret could not be recognized."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(mask(x[:MASKED]), level)

    def repr_instance(self, x: Any, level: int) -> str:
        text = mask(repr(x)[:MASKED])
        half = (self.maxother - 3) // 2
        return text if len(text) <= self.maxother else f"{text[:half]}...{text[-half:]}"


PLACEHOLDER = re.compile(r"%\((\w+)\)([dgs])")
_REPR = _MaskingRepr()
_REPR.maxstring = _REPR.maxother = 60

# The meanings of the error codes of stocks and tasks. A failure is stored with an English sentence, because
# workers serve readers of any language; pages show other readers the translation of its code.
REASONS = {
    "all_failed": _("Every stock failed."),
    "all_refused": _("The source refuses every request."),
    "amount_outside_range": _("Amount ÷ volume is outside the range from the session's low to its high."),
    "answer_too_large": _("The source's response is larger than the limit, and was not read any further."),
    "bad_answer": _("The source's response is malformed."),
    "bad_day": _("A bar has no valid date."),
    "bad_file": _("The stock's file can't be read as quotes."),
    "bad_stock_list": _("The stock list contains entries that are not stocks."),
    "bad_volume": _("A volume is not a valid number of shares."),
    "blacklisted": _("The source has banned this machine's address for some hours, up to a day."),
    "captcha": _("The source asks for a captcha: it treats our requests as automated."),
    "client_outdated": _("The source requires a newer version of its client library."),
    "columns_changed": _("The source's columns have changed: this program needs an update."),
    "connection_closed": _("The source closed the connection before its response was complete."),
    "day_not_asked": _("A bar is outside the requested days."),
    "day_not_offered": _("The source can't deliver a whole trading day of this market and adjustment."),
    "disk_full": _("The database's disk is full. Free some space, then retry."),
    "duplicate_day": _("The source sent the same day twice."),
    "export_deleted": _("The export was deleted."),
    "empty_answer": _("The source sent an empty response, as throttling sources do."),
    "empty_stock_list": _("The source's stock list of this market is empty."),
    "future_day": _("A bar's date is in the future."),
    "history_cut": _("The source sent only a part of the stock's history."),
    "jump_beyond_limit": _("The price moved beyond its board's limit against the previous close."),
    "jump_without_factor": _(
        "The price jumped overnight as after a split, but no adjustment factor or split is known of that day."
    ),
    "list_job_lost": _("The workers that refreshed the stock list ended before they had it, three times."),
    "list_cut_short": _("The source's stock list is incomplete."),
    "login_refused": _("The source refused the sign-in."),
    "memory_limit": _("The request filled the worker's memory up to its limit (COLLECTOR_WORKER_MEMORY)."),
    "missing_here": _("Another source has a bar of this day, this one has none."),
    "missing_there": _("This source has a bar of this day, another one has none."),
    "negative_value": _("A value that must not be negative is negative."),
    "no_permission": _("The account at the source lacks the points or the subscription for this."),
    "no_permit": _("The source was paused before the request was complete."),
    "no_turn": _("Other requests of this machine took all of the request's time, so it was not sent."),
    "no_worker": _("No worker was active for too long."),
    "not_a_number": _("A price or value is missing or not a number."),
    "no_volume": _("The volume is zero, but an A-share that is not suspended trades every day."),
    "not_a_session": _("By the trading calendar, the market was closed that day."),
    "not_final": _("The second source has no final bars of these days yet."),
    "nothing_sent": _("The second source sent no bar, which may be throttling."),
    "not_storable": _("The database refused the bars."),
    "other_spelling": _("Bars stored under another spelling of the code could not be merged with these."),
    "past_rescaled": _("The source has adjusted its past prices, so the stored bars were kept."),
    "plan_lost": _("Workers were lost or failed repeatedly while they read the stock list."),
    "price_not_positive": _("An unadjusted price is zero or negative."),
    "prices_out_of_order": _("A bar's low, open, close and high contradict each other."),
    "rest_withdrawn": _("A user withdrew the rest of the task from the queue."),
    "same_source": _("The stock was collected from the second source itself."),
    "second_not_here": _("The second source is not installed or not configured on the worker's machine."),
    "series_cut": _("The adjusted series was rebased, but the source sent only part of it."),
    "series_moved": _(
        "The adjusted series was rebased (dividend or split) and is requested again as a whole."
    ),
    "session_in_use": _("The vendor allows one session at a time, and a task may have it."),
    "setting_missing": _("A setting of the source, such as its token, is missing or malformed."),
    "source_busy": _("The source was busy or out of order."),
    "source_error": _("The source failed."),
    "source_missing": _("No worker with the source installed and configured was active for too long."),
    "source_paused": _(
        "The source is paused: requests failed repeatedly, or the day's requests are used up."
    ),
    "source_raised": _("The source's code raised an error."),
    "source_refused": _("The source refused the request."),
    "source_unusable": _("The source can't be used: it can't even be set up, as without a token."),
    "step_waited": _("The step waited too long for another task or export (COLLECTOR_PLAN_WAIT)."),
    "task_deleted": _("The task was deleted."),
    "stock_list_shrank": _("The stock list is much shorter than the previous one: pages may be missing."),
    "throttled": _("The source is throttling: too many requests."),
    "timeout": _("The source did not respond in time."),
    "too_slow": _("The second source's rate left no time to ask it."),
    "units_changed": _("The source has changed the unit of its volumes: this program needs an update."),
    "unknown_stock": _("The source does not know this stock."),
    "unreachable": _("The source can't be reached: check the network, the proxy and the firewall."),
    "value_differs": _("Two sources differ by more than rounding."),
    "worker_lost": _("Workers were lost while they collected this stock."),
    "yielded": _("It yielded to a plan of a higher priority; its rest is collected by another task."),
}
# Those for which a stock is not compared with the second source.
UNCOMPARED = ("not_final", "nothing_sent", "same_source", "second_not_here", "too_slow", "worker_lost")
# The sentences to store where they say more than the ones above.
STORED_REASONS = {
    "all_failed": gettext_noop("Every stock failed (%(total)d). The first one is %(first)s"),
    "all_refused": gettext_noop("The source %(source)s refuses every request. %(reason)s"),
    "answer_too_large": gettext_noop(
        "The source's response is larger than %(limit)s, and was not read any further."
    ),
    "bad_answer": gettext_noop("The source's response is malformed: %(problem)s"),
    "no_worker": gettext_noop("No worker has been active on this task for %(seconds)g s."),
    "not_storable": gettext_noop("The database refused the bars: %(error)s"),
    "plan_lost": gettext_noop(
        "Workers were lost or failed %(times)d times while they read the stock list. The last one %(end)s."
    ),
    "series_cut": gettext_noop(
        "The source's response lacks %(lost)d of %(stored)d days of the rebased series."
    ),
    "source_missing": gettext_noop(
        "No worker that can use the source %(source)s has been active on this task for %(seconds)g s; "
        "on %(host)s it is not installed or not configured."
    ),
    "source_paused": gettext_noop(
        "Nothing could be collected for too long: the source %(source)s is paused. %(reason)s"
    ),
    "source_unusable": gettext_noop("The source %(source)s can't be used on %(host)s: %(reason)s"),
    "timeout": gettext_noop("The source did not respond within %(seconds)g s."),
    "unreachable": gettext_noop(
        "%(vendor)s can't be reached (%(problem)s): check the network, the proxy and the firewall, or choose"
        " another source."
    ),
    "worker_lost": gettext_noop(
        "Workers lost while they collected only this stock: %(isolated)d. "
        "The last worker lost with it %(end)s."
    ),
    "yielded": gettext_noop(
        "It yielded to the plan “%(plan)s”, whose priority is higher; its rest is collected by another task."
    ),
}


# The sentences of findings, by code. Their placeholders are the finding's day and parameters.
FINDINGS = {
    "amount_outside_range": _("%(day)s: amount ÷ volume is %(mean)s, outside low %(low)s to high %(high)s."),
    "bad_volume": _("%(day)s: the volume %(volume)s is not a valid number of shares."),
    "day_not_asked": _("%(day)s: the date is outside the requested range, %(start)s to %(end)s."),
    "duplicate_day": _(
        "%(day)s: the source sent this day twice (the first close is %(first)s, this one %(close)s)."
    ),
    "future_day": _("%(day)s: the date is in the future."),
    "jump_beyond_limit": _(
        "%(day)s: %(low)s to %(high)s is more than %(limit)s from the previous close %(before)s."
    ),
    "jump_without_factor": _(
        "%(day)s: the open %(open)s follows the close %(before)s, and no adjustment factor or split is known "
        "of that day."
    ),
    "missing_here": _("%(day)s: %(other)s has a bar, %(source)s has none."),
    "missing_there": _("%(day)s: %(source)s has a bar, %(other)s has none."),
    "negative_value": _("%(day)s: the value %(column)s is negative (%(value)s)."),
    "not_a_number": _("%(day)s: the value %(column)s is missing or not a number (%(value)s)."),
    "no_volume": _("%(day)s: the volume is zero, but an A-share that is not suspended trades every day."),
    "not_a_session": _("%(day)s: the market was closed, according to its calendar."),
    "past_rescaled": _(
        "%(first)s to %(day)s: all prices of the source are now the stored ones times %(ratio)s. It has "
        "adjusted its past, as after a split; the stored bars were kept."
    ),
    "price_not_positive": _("%(day)s: an unadjusted price is zero or negative (low %(low)s)."),
    "prices_out_of_order": _(
        "%(day)s: the prices contradict each other (open %(open)s, high %(high)s, low %(low)s, "
        "close %(close)s)."
    ),
    "value_differs": _("%(day)s: %(source)s and %(other)s differ by more than rounding."),
}

# Why a task that skips completely collected stocks had nothing to collect.
NOTHING_LEFT = _(
    "Nothing was left to collect: the whole listed life of every stock of the list is already answered, and "
    "completely collected stocks are to be skipped."
)

# The sentences of warnings, by code. Their placeholders are the parameters of the event.
WARNINGS = {
    "by_day_failed": _(
        "Whole trading days could not be fetched from %(source)s, so the stocks are requested one by one. "
        "%(reason)s"
    ),
    "compared_by_stock": _(
        "Whole trading days could not be fetched from %(source)s, so the stocks to compare are requested one "
        "by one. %(reason)s"
    ),
    "calendar_ends": _(
        "The trading calendar of %(market)s ends on %(end)s: after that, every weekday counts as a trading "
        "day."
    ),
    "day_not_ready": _(
        "%(source)s has the bars of a day from %(time)s (market time): %(day)s was not requested yet."
    ),
    "left_aside": _("Entries that the source left aside: %(count)s. %(message)s"),
    "no_quotes": _(
        "%(source)s has no quotes of %(days)s: none of the stocks asked first had one, although they had "
        "bars up to the session before. The others were not requested for these days."
    ),
    "nothing_left": _(
        "Nothing was left to collect: the whole listed life of every stock of the list (%(stocks)s) is "
        "already answered, and completely collected stocks are to be skipped."
    ),
    "source_not_here": _(
        "The workers on %(host)s leave this task to others: the source “%(source)s” is not installed or "
        "not configured there."
    ),
    "source_unusable": _("The source “%(source)s” can't be used on %(host)s: %(reason)s"),
    "stock_list_repeated": _(
        "Attempt %(attempt)s of %(attempts)s to read the stock list failed; it is requested again."
        " %(message)s"
    ),
    "stock_list_kept": _(
        "The stock list could not be read, so the stored list is used (stocks: %(stocks)s). %(message)s"
    ),
}


def stored_reason(code: str, **params: Any) -> str:
    """Returns the English sentence that is stored with a failure."""
    with override("en"):
        return str(STORED_REASONS.get(code) or REASONS[code]) % params


def translated_uncompared(text: str) -> str:
    """Returns why a stock was not compared in the reader's language; a source's words stay as they are."""
    code = next((code for code in UNCOMPARED if stored_reason(code) == text), "")
    return str(REASONS[code]) if code else text


def sanitize_message(message: str, most: int = 500) -> str:
    """Returns a vendor's message as any database can store it: short, without NUL and lone surrogates.

    The secrets of sources are masked: the address of a failed request may contain a token.
    """
    return mask(message[:MASKED])[:most].replace("\0", "").encode(errors="replace").decode()


def bounded_repr(value: Any) -> str:
    """Returns how Python writes a foreign object, in at most 80 characters, or its type if it can't."""
    try:
        if type(value) is int and value.bit_length() > 256:  # Python refuses to write thousands of digits
            return f"a whole number of {value.bit_length():,} bits"
        return sanitize_message(_REPR.repr(value[:MASKED] if type(value) is bytes else value), 80)
    except BaseException:  # the object's own code may raise anything
        return f"an object of the type {type_name(value)}"


def type_name(value: Any) -> str:
    """Returns the name of a foreign object's type."""
    try:
        return sanitize_message(type(value).__name__, 60)
    except BaseException:  # the type's own code may raise anything
        return "unknown"


def translated_reason(code: str) -> str:
    """Returns what a code means if the reader's language is not that of the stored sentence, else ""."""
    is_english = (get_language() or "en").startswith("en")
    return "" if is_english or code not in REASONS else str(REASONS[code])


def meaning(code: str) -> str:
    """Returns what a code means in the reader's language; the code itself if it is not known here."""
    return str(REASONS.get(code) or code)


def explain(code: str, message: str) -> str:
    """Returns why something failed, in the reader's language: a stored sentence of ours is translated whole.

    Another message is shown as it is, in English after what its code means; the words of a vendor always are.
    """
    if not (translated := translated_reason(code)):
        return message
    with override("en"):
        template = str(STORED_REASONS.get(code) or REASONS[code])
    if found := _sentence_pattern(template).fullmatch(message):
        numbers = {"d": int, "g": float, "s": str}
        params = {name: numbers[kind](found[name]) for name, kind in PLACEHOLDER.findall(template)}
        if code == "all_failed":
            params["first"] = _code_and_reason(str(params["first"]))
        return gettext(template) % params
    return join_sentences(translated, message)


def _code_and_reason(text: str) -> str:
    """Returns a stored “code: reason” with the reader's punctuation."""
    code, colon, reason = text.partition(": ")
    return gettext("%(code)s: %(reason)s") % {"code": code, "reason": reason} if colon else text


def is_unreachable(message: str) -> bool:
    """Returns whether a source's stored sentence says that no connection to its vendor was made."""
    return bool(_sentence_pattern(STORED_REASONS["unreachable"]).fullmatch(message))


def translated_unreachable(message: str) -> str:
    """Returns such a sentence in the reader's language, any other one as it is."""
    return explain("unreachable", message) if is_unreachable(message) else message


@cache
def _sentence_pattern(template: str) -> re.Pattern[str]:
    """Returns what matches the sentences of the template, with its placeholders as groups."""
    of_kind = {"d": r"-?\d+", "g": r"-?[\d.]+(?:e[+-]?\d+)?", "s": ".*"}
    parts = PLACEHOLDER.split(template)  # a text, then a name, its kind and a text of each placeholder
    groups = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    rest = (f"(?P<{name}>{of_kind[kind]}){re.escape(text)}" for name, kind, text in groups)
    return re.compile(re.escape(parts[0]) + "".join(rest), re.DOTALL)


def describe_finding(code: str, message: str, day: object, params: Mapping[str, str] | None) -> str:
    """Returns a finding's sentence in the reader's language, with its numbers.

    A finding from before the parameters were recorded keeps its English `message`, after what the code means.
    """
    try:
        if params is not None:
            return str(FINDINGS[code]) % {**params, "day": day}
    except KeyError:  # of another version
        pass
    return join_sentences(translated_reason(code), message)


def translated_warning(params: Mapping[str, Any]) -> str:
    """Returns a warning's sentence in the reader's language, from its event's parameters.

    Returns "" for a code or parameters of another version: the page then shows the parameters.
    """
    try:
        return str(WARNINGS[params["code"]]) % params
    except KeyError:
        return ""
