"""`manage.py sources replay`: lists what a replay of raw answers changes, and has it written."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _
from rich.console import Console

from tasks_app.conf import ALL_MARKETS, Conf
from tasks_app.engine import replay
from tasks_app.engine.replay import Change, Failure, Scope, StockReplay
from tasks_app.errors import SourceUnusable
from tasks_app.lifecycle.events import Actor
from tasks_app.management import cli_arguments
from tasks_app.market.codes import canonical_or_same
from tasks_app.models.events import Channel
from tasks_app.orders import order as orders
from tasks_app.sources import registry

ACTOR = Actor(Channel.COMMAND)
LISTED = 500  # changes, and failures; the rest is counted
COUNTS = ("derived", "added", "corrected", "adjustments", "later", "others", "rescaled", "refused")


@dataclass
class Summary:
    """What a replay changes, over all stocks: counts, and the first changes and failures."""

    stocks: int = 0
    changed_stocks: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)  # changed values by column
    changes: list[Change] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0

    def add(self, done: StockReplay) -> None:
        self.stocks += 1
        self.changed_stocks += bool(done.changes)
        self.counts.update({name: getattr(done, name) for name in COUNTS})
        self.fields.update(change.field for change in done.changes)
        self.changes += done.changes[: LISTED - len(self.changes)]
        self.failures += done.failures[: LISTED - len(self.failures)]
        self.failed += len(done.failures)

    def payload(self) -> dict[str, Any]:
        """Returns it as plain values; `changes` and `failures` hold the first ones only."""
        return {
            "stocks": self.stocks,
            "changed_stocks": self.changed_stocks,
            **{name: self.counts[name] for name in COUNTS},
            "changed_values": self.fields.total(),
            "changed_fields": dict(self.fields),
            "changes": [each._asdict() for each in self.changes],
            "failed": self.failed,
            "failures": [each._asdict() for each in self.failures],
        }


def add_arguments(parser: CommandParser) -> None:
    """Adds the options of `replay`."""
    parser.add_argument("name", help=_("the source's name"))
    parser.add_argument(
        "--codes", nargs="+", default=[], metavar="CODE", help=_("default: all; @FILE reads them")
    )
    parser.add_argument("--market", default="", type=str.upper, choices=("", *ALL_MARKETS))
    parser.add_argument(
        "--since",
        type=cli_arguments.iso_day,
        metavar="DAY",
        help=_("only answers of this day or later (UTC)"),
    )
    parser.add_argument("--write", action="store_true", help=_("write it; otherwise it is only listed"))


def run(console: Console, conf: Conf, options: dict[str, Any], confirm: bool) -> dict[str, Any]:
    """Lists what changes, and writes it if told to and, with `confirm`, confirmed. Returns both as values.

    Raises `CollectorError`, of which `TaskAlreadyRunning` while a task runs.
    """
    scope = _scope(conf, options)
    found = _summarize(replay.replay(scope, conf))
    _print(console, found)
    written: dict[str, Any] | None = None
    if options["write"] and found.changes and (not confirm or _is_confirmed(console)):
        written, done = _write(scope, conf)
        text = _("Written: %(added)s new bars, %(corrected)s changed bars, %(adjustments)s tables.")
        console.print(text % {name: f"{done.counts[name]:,}" for name in COUNTS}, soft_wrap=True)
    elif found.changes and not written:
        console.print(_("Nothing was written. To write it, add --write."), soft_wrap=True)
    scope_values = {**asdict(scope), "market": scope.market or None}
    return {**scope_values, "found": found.payload(), "written": written}


def _scope(conf: Conf, options: dict[str, Any]) -> Scope:
    source = orders.get_source(options["name"], conf)
    if reason := registry.why_unusable(source.name, conf):
        raise SourceUnusable(source=source.name, reason=reason)
    if market := options["market"]:
        orders.check_market(market, source)
    markets = [market] if market else source.markets
    codes = cli_arguments.read_codes(options["codes"])
    spelled = dict.fromkeys(canonical_or_same(market, code.upper()) for code in codes for market in markets)
    return Scope(options["name"], market, tuple(spelled), options["since"])


def _summarize(stocks: Iterable[StockReplay]) -> Summary:
    summary = Summary()
    for one in stocks:
        summary.add(one)
    return summary


def _print(console: Console, found: Summary) -> None:
    if not found.stocks:
        console.print(_("No raw answers of this are kept."), soft_wrap=True)
        return
    for change in found.changes:
        console.print(_line(change), soft_wrap=True)
    if rest := found.fields.total() - len(found.changes):
        console.print(_("… further values: %(count)s") % {"count": f"{rest:,}"})
    for failure in found.failures:
        text = _("%(code)s: nothing can be derived from answer %(id)s: %(error)s")
        values = {"code": failure.code, "id": failure.call_id, "error": failure.error}
        console.print(text % values, soft_wrap=True)
    counts = {name: f"{found.counts[name]:,}" for name in COUNTS}
    text = _(
        "%(stocks)s stocks, %(derived)s bars derived. To change: bars %(corrected)s, new bars %(added)s, "
        "tables of factors or corporate actions %(adjustments)s."
    )
    console.print(text % {**counts, "stocks": f"{found.stocks:,}"}, soft_wrap=True)
    left = {
        "later": _("bars stored by a later answer that is not kept: %(count)s"),
        "others": _("bars of another source: %(count)s"),
        "rescaled": _("compared bars that all changed by one ratio: %(count)s"),
        "refused": _("bars that the checks refuse: %(count)s"),
    }
    for name, sentence in left.items():
        if found.counts[name]:
            console.print(_("Left as it is:"), sentence % {"count": counts[name]}, soft_wrap=True)
    if not found.changes:
        console.print(_("Nothing changes."))


def _line(change: Change) -> str:
    where = " ".join(filter(None, (change.market, change.code, change.adjust, str(change.day or ""))))
    old, new = ("–" if value is None else str(value) for value in (change.old, change.new))
    return f"{where}  {change.field}: {old} → {new}"


def _is_confirmed(console: Console) -> bool:
    answer = console.input(_("Write these changes? [y/N] "))
    return answer.strip().lower() in ("y", "yes")


def _write(scope: Scope, conf: Conf) -> tuple[dict[str, Any], Summary]:
    """Returns what was written as values: the id of the record, and the counts."""
    pk, done = None, Summary()
    for record, one in replay.write(scope, conf, ACTOR):
        done.add(one)
        pk = record.pk
    return {"replay": pk, **{name: done.counts[name] for name in ("added", "corrected", "adjustments")}}, done
