"""The options of `manage.py collect`, and the collection request or task that they describe."""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import gettext as _, gettext_lazy

from tasks_app import errors, lifecycle
from tasks_app.conf import ALL_MARKETS
from tasks_app.lifecycle import selectors
from tasks_app.models import CollectionTask
from tasks_app.models.priorities import PRIORITY_NAMES
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.models.quotes import ORDER_KINDS
from tasks_app.models.states import TaskOutcome, TaskStatus
from tasks_app.orders.code_lists import split_codes
from tasks_app.orders.order import Order
from tasks_app.sentences import join_sentences

YEAR = timedelta(days=365)
lazy_sentences = lazy(join_sentences, str)
EXIT_CODES = gettext_lazy(
    "Exit code: 0 complete, 1 failed, 2 completed with failures, 3 nothing new, 4 no bars in these days, "
    "5 cancelled."
)


SEALED_EXIT_CODES = gettext_lazy("Exit code: 0 sealed, 1 no such session or no answer, 2 not sealed in time.")


class NothingRunning(errors.CollectorError):
    code = "nothing_running"
    template = gettext_lazy("No task is running.")


class AmbiguousTask(errors.CollectorError):
    code = "ambiguous_task"
    template = gettext_lazy("More than one task begins with %(prefix)s. Give more of the id.")


class UnreadableCodes(errors.OrderError):
    code = "unreadable_codes"
    field = "stock_codes"
    template = gettext_lazy("The file of codes can't be read: %(reason)s")


def build_order(options: dict[str, Any]) -> Order:
    """Returns the request that the options of `start` describe. Raises `UnreadableCodes`."""
    end = options["end_date"] or timezone.localdate()
    return Order(
        start_date=options["start_date"] or end - YEAR,
        end_date=end,
        stock_codes=tuple(read_codes(options["codes"])) or None,
        market=options["market"],
        source=options["source"],
        adjust=options["adjust"],
        test_mode=options["test_mode"],
        full_collection_mode=options["full"],
        force_update=options["force"],
        fallbacks=options["fallbacks"],
        kind=options["kind"],
        verify_with=options["verify_with"],
        verify_sample=options["verify_sample"],
    )


def read_codes(words: Iterable[str]) -> list[str]:
    """Returns the codes in these words; a word @FILE stands for the file's content."""
    texts = [_read_code_file(word[1:]) if word.startswith("@") else word for word in words]
    return [code for text in texts for code in split_codes(text)]


def split_names(text: str) -> tuple[str, ...]:
    """Returns the names in a comma-separated list."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def find_task(text: str) -> UUID:
    """Returns the one task whose id begins with `text`; without text the running one.

    Raises `TaskNotFound`, `AmbiguousTask` or `NothingRunning`.
    """
    if not text:
        if (task := lifecycle.get_running_task()) is None:
            raise NothingRunning
        return task.pk
    ends = selectors.id_range(text)
    tasks = CollectionTask.objects.filter(pk__range=ends) if ends else CollectionTask.objects.none()
    matches = tasks.values_list("pk", flat=True)[:2]
    if len(matches) > 1:
        raise AmbiguousTask(prefix=text)
    if not matches:
        raise errors.TaskNotFound(task_id=text)
    return matches[0]


def _read_code_file(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableCodes(reason=error) from error


def _add_start(parser: argparse.ArgumentParser) -> None:
    day: dict[str, Any] = {"type": iso_day, "metavar": "YYYY-MM-DD"}
    parser.add_argument("--start-date", **day, help=_("first day (default: one year before the last one)"))
    parser.add_argument("--end-date", **day, help=_("last day (default: today)"))
    parser.add_argument(
        "--market", default="", type=str.upper, help=_("CN, HK or US (default: the source's)")
    )
    parser.add_argument(
        "--source", default="", help=_("default: COLLECTOR_DEFAULT_SOURCE, or one for the market")
    )
    parser.add_argument(
        "--fallbacks",
        type=split_names,
        metavar="SOURCE,…",
        help=_(
            'sources to try in this order for stocks that fail; "" for none (default: COLLECTOR_FALLBACKS)'
        ),
    )
    add_second_source(parser)
    parser.add_argument("--adjust", default="", help=_("qfq, hfq or split (default: unadjusted)"))
    parser.add_argument(
        "--codes",
        nargs="+",
        action="extend",
        default=[],
        metavar="CODE",
        help=_("only these, separated by commas or spaces; @FILE reads them from a file (default: all)"),
    )
    parser.add_argument(
        "--kind",
        choices=[kind.value for kind in ORDER_KINDS],
        default="stock",
        help=_("what to collect of a whole market (default: stock); --codes may be of any kind"),
    )
    parser.add_argument("--test-mode", action="store_true", help=_("the first 5 stocks only"))
    parser.add_argument(
        "--dry-run", action="store_true", help=_("only say what it would need and when it would end")
    )
    parser.add_argument(
        "--full", action="store_true", help=_("only stocks whose full history is not collected yet")
    )
    parser.add_argument("--force", action="store_true", help=_("request stored days again"))
    parser.add_argument(
        "--queue", action="store_true", help=_("while another task runs, queue it: it starts by itself later")
    )
    _add_priority(parser, default="normal")
    _add_watch_flag(parser)


def _add_priority(parser: argparse.ArgumentParser, default: str | None) -> None:
    names = [name for name, _label in PRIORITY_NAMES]
    text = _(
        "the task yields to a due plan of a higher one, and goes on after it; queued orders of a higher "
        "one start first"
    )
    if default:
        text += f" ({_('default: %(value)s') % {'value': default}})"
    parser.add_argument("--priority", choices=names, default=default, help=text)


def _add_queue(parser: argparse.ArgumentParser) -> None:
    states = QueuedOrderState.values
    parser.add_argument(
        "--state", choices=states, default=states[0], help=_("default: %(value)s") % {"value": states[0]}
    )


def _add_queued_order(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("order", metavar="NUMBER", help=_("the number that `collect queue` shows"))


def _add_move(parser: argparse.ArgumentParser) -> None:
    _add_queued_order(parser)
    text = _("among the orders of its priority: 1 is the first")
    parser.add_argument("--position", type=whole_number(1, 1000), metavar="N", help=text)
    _add_priority(parser, default=None)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=TaskStatus.values, help=_("only tasks with this status"))
    parser.add_argument(
        "--outcome", choices=TaskOutcome.values, help=_("only completed tasks with this outcome")
    )
    parser.add_argument(
        "--limit", type=whole_number(1, 1000), default=20, metavar="N", help=_("1 to 1000 (default: 20)")
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    text = _("the task's id, or its first characters (default: the running one)")
    parser.add_argument("task", metavar="ID", nargs="?", default="", help=text)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="ID", help=_("the task's id, or its first characters (at least 4)"))
    parser.add_argument("--error-code", default="", metavar="CODE", help=_("only failures with this code"))
    _add_watch_flag(parser)


def _add_wait_sealed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--market", required=True, type=str.upper, choices=ALL_MARKETS)
    parser.add_argument("--day", required=True, type=iso_day, metavar="YYYY-MM-DD", help=_("a session"))
    kinds = [kind.value for kind in ORDER_KINDS]
    parser.add_argument("--kind", choices=kinds, default="stock", help=_("default: stock"))
    parser.add_argument(
        "--timeout",
        type=whole_number(0, 604_800),
        default=3600,
        metavar="SECONDS",
        help=_("0: look once (default: 3600)"),
    )


def _add_watch_flag(parser: argparse.ArgumentParser) -> None:
    text = join_sentences(_("Follow a task to its end."), EXIT_CODES)
    parser.add_argument("--watch", action="store_true", help=text)


SUBCOMMANDS: Sequence[tuple[str, Any, Callable[[argparse.ArgumentParser], None]]] = (
    ("start", gettext_lazy("Start a collection."), _add_start),
    ("list", gettext_lazy("List the newest tasks."), _add_list),
    ("status", gettext_lazy("Show the progress of a task."), _add_running),
    ("watch", lazy_sentences(gettext_lazy("Follow a task to its end."), EXIT_CODES), _add_running),
    ("cancel", gettext_lazy("End a task for good."), _add_running),
    ("pause", gettext_lazy("Stop the work on a running task until it is resumed."), _add_running),
    ("resume", gettext_lazy("Let a paused task go on."), _add_running),
    ("queue", gettext_lazy("List the orders that wait until no task runs."), _add_queue),
    ("move", gettext_lazy("Give a waiting order another position or priority."), _add_move),
    ("withdraw", gettext_lazy("Take a waiting order out of the queue."), _add_queued_order),
    (
        "wait-sealed",
        lazy_sentences(gettext_lazy("Wait until a market's day is sealed."), SEALED_EXIT_CODES),
        _add_wait_sealed,
    ),
    (
        "retry",
        gettext_lazy("Start a new task with the failed and unprocessed stocks of an ended one."),
        _add_retry,
    ),
)


def iso_day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(
            _("“%(text)s” is not a date (YYYY-MM-DD)") % {"text": text}
        ) from None


def time_of_day(text: str) -> time:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise argparse.ArgumentTypeError(_("“%(text)s” is not a time of day (HH:MM)") % {"text": text})
    return time.fromisoformat(text)


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Returns an argparse type: a whole number within these bounds."""

    def number(text: str) -> int:
        if not (re.fullmatch(r"[0-9]{1,9}", text) and lowest <= int(text) <= highest):
            sentence = _("“%(text)s” is not a whole number from %(lowest)d to %(highest)d")
            raise argparse.ArgumentTypeError(sentence % {"text": text, "lowest": lowest, "highest": highest})
        return int(text)

    return number


WORKERS = whole_number(1, 1000)


def add_second_source(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name the source to compare with."""
    parser.add_argument(
        "--verify-with",
        default="",
        metavar="SOURCE",
        help=_("a second source, whose bars of the same stocks and days are compared and not stored"),
    )
    parser.add_argument(
        "--verify-sample",
        type=whole_number(1, 100),
        default=100,
        metavar="PERCENT",
        help=_("how many percent of the stocks are compared (default: 100)"),
    )
